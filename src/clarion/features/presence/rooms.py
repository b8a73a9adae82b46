"""Rooms: what sockets do in them, and what of it is published.

Whoever subscribes with `enter`, or publishes `enter`, is in the room: their user stands in the map `presence:<room>`. Nothing is written while a
command runs: the room is marked, and once per tick its changes are written together, whatever their number; then those who wait are answered.
Beside the map there are who came and went in the last tick (`presence-changes:<room>`), and the number of users (`presence-count:<room>`): maps with
one item, of which subscribers of a large room get one in the list's place.
"""

import asyncio
import heapq
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count, islice
from typing import Any, Final

from msgspec import Struct

from clarion.auth.principal import Principal
from clarion.clock import Clock
from clarion.errors import (
    ClarionError,
    Fault,
    Forbidden,
    Invalid,
    NotFound,
    ServerError,
    TooMany,
)
from clarion.features.presence.arguments import Mode, Words, params_of, said_of, words_of
from clarion.features.presence.room import Device, Entry, Room
from clarion.ids import Ids
from clarion.protocol.codes import CloseCode
from clarion.settings import Presence as Settings
from clarion.telemetry import get_logger, limit_exceeded, presence_devices, spawn
from clarion.topics import Call, Granted, Publish, Published, Topic, TopicEngine, Topics
from clarion.topics.changes import REMOVE, Change, Guard, Outcome
from clarion.topics.stores import TopicStore
from clarion.topics.stream import Position

_log = get_logger(__name__)

ROOM: Final = "presence"
COUNT: Final = "presence-count"
CHANGES: Final = "presence-changes"
KINDS: Final[Mapping[Mode, str]] = {"full": ROOM, "changes": CHANGES, "count": COUNT}
USERS: Final = "users"
NEWS: Final = "changed"
"""The only keys of `presence-count` and `presence-changes`."""

SLICE: Final = 500  # changes that are written at one moment: others have a turn between two slices
NAMED: Final = 100  # users that one publication of `presence-changes` names
ROOMS_AT_ONCE: Final = 16  # that are written at a time
TRIES: Final = 8  # of writing what another node changes all the time, in one tick
WATCHED_S: Final = 5.0  # between two looks at the sizes of rooms that are watched here


class Place(Struct, frozen=True):
    """Where a socket is."""

    topic: Topic
    user: str
    device: Device


class Member(Struct, frozen=True):
    """A user in a room, and what is published of them."""

    user: str
    entry: Entry


class Members(Struct, frozen=True):
    """Users in a room, in the order of their ids.

    Args:
        position: Where the room's log stands.
        users: How many there are.
        members: Some of them.
        more: There are further ones, behind the last one.
    """

    position: Position
    users: int
    members: list[Member]
    more: bool


class Rooms:
    """The rooms of this node's sockets.

    Args:
        topics: Where rooms are published.
        engine: Ends subscriptions that a room has outgrown.
        settings: Times and limits.
        node: This process's name among its peers: 4 characters.
        clock: For times and grace.
        ids: Names connections.
        store: Where rooms are kept; None: where the server's topics are.
    """

    def __init__(
        self,
        topics: Topics,
        engine: TopicEngine,
        settings: Settings,
        *,
        node: str,
        clock: Clock,
        ids: Ids,
        store: TopicStore | None = None,
    ) -> None:
        # Fixed at creation
        self._topics = topics
        self._engine = engine
        self._settings = settings
        self.node = node
        self._clock = clock
        self._ids = ids
        kept: dict[str, Any] = {
            "log_size": settings.log_size,
            "log_age_s": settings.log_age_s,
            "store": store,
        }
        granted = Granted(tuple(settings.open))
        watch = {"subscribe": granted}
        self.kind = topics.add(
            ROOM,
            "map",
            rights={**watch, "publish": granted},
            keys=2
            * settings.members,  # nodes count for themselves, and may pass the limit together
            open=self._open,
            publish=self._publish,
            watched=self._watch,
            began=self._began,
            ended=self._ended,
            **kept,
        )
        self._changes = topics.add(CHANGES, "map", rights=watch, keys=1, **kept)
        self._count = topics.add(COUNT, "map", rights=watch, keys=1, **kept)
        assert isinstance(self.kind.log, TopicStore)
        self._store = self.kind.log
        # Changes while open
        self._rooms: dict[Topic, Room] = {}
        self._sizes: dict[Topic, int] = {}
        self._watched: dict[Topic, None] = {}
        # Socket → room → place. Invariant: a place is here <=> its device has that socket.
        self._places: dict[str, dict[Topic, Place]] = {}
        # Rooms in which something is to be written, and who waits for it.
        self._dirty: dict[Topic, None] = {}
        self._waiting: dict[Topic, list[asyncio.Future[Position]]] = {}
        # When something ends by itself: a device that is away (its `gone_ms`), or a text. What was changed since is passed over.
        self._due: list[tuple[int, int, Topic, str, Device | None]] = []
        self._numbers = count()
        self._woken = asyncio.Event()
        self._is_frozen = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to publish."""
        for work in (self._tick_forever(), self._look_forever()):
            self._tasks.append(spawn(work, name="presence: rooms"))

    def freeze(self) -> None:
        """This process is about to stop: who goes now goes because of that, and is not published as gone."""
        self._is_frozen = True

    async def close(self) -> None:
        """End every task; who waits for a publication is told that it is unknown."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for waiting in self._waiting.values():
            for each in waiting:
                each.cancel()

    async def members(self, topic: Topic, after: str, limit: int) -> Members:
        """Who is in a room, see `Presence.members`."""
        found = await self._store.items(topic, after, limit)
        users = await self._store.count(topic)
        members = [Member(user, item.data) for user, item in found.items]
        return Members(found.position, users, members, found.more)

    # ── what sockets do ──
    async def _open(
        self, topic: Topic, principal: Principal | None, params: Mapping[str, Any]
    ) -> Topic:
        wish = params_of(params, self._settings)
        if wish.enter is not None:
            self._check_user(principal)
            await self.kind.admit("publish", principal, topic)
        mode = self.mode(await self._store.count(topic), wish.mode)
        return topic if mode == "full" else Topic(topic.tenant, KINDS[mode], topic.name)

    def mode(self, users: int, wanted: Mode = "full") -> Mode:
        """What a subscriber to a room with so many users gets who wants no more than that."""
        if wanted == "count" or users > self._settings.changes:
            return "count"
        return "changes" if wanted == "changes" or users > self._settings.full else "full"

    def _began(
        self, topic: Topic, socket: Any, principal: Principal | None, params: Mapping[str, Any]
    ) -> None:
        wish = params_of(params, self._settings)
        if wish.enter is not None:
            who = self._check_user(principal)
            room = Topic(topic.tenant, ROOM, topic.name)
            self._enter(room, socket, who, wish.enter, via=topic.kind)

    def _ended(self, topic: Topic, socket: Any, _: Principal | None, may_return: bool) -> None:
        place = self._places.get(socket.id, {}).get(Topic(topic.tenant, ROOM, topic.name))
        if place is not None and place.device.via == topic.kind:
            self._lose(socket.id, place, may_return=may_return)

    def disconnected(self, socket: Any) -> None:
        """A socket is gone; its places are kept for a while."""
        for place in list(self._places.get(socket.id, {}).values()):
            self._lose(socket.id, place, may_return=True)

    async def _publish(self, call: Call, given: Publish) -> Published:
        if given.key is not None or given.only or given.version or given.ttl_s or given.owned:
            raise Invalid("what is published to a room is `event` and `data`")
        words = words_of(given.data, self._settings)
        if call.socket is None:
            raise Invalid("only a socket can be in a room")
        who = self._check_user(call.principal)
        place = self._places.get(call.socket.id, {}).get(call.topic)
        if given.event == "enter":
            self._enter(call.topic, call.socket, who, words)
        elif given.event not in {"update", "leave"}:
            raise Invalid(faults=[Fault("/event", "expected enter, update or leave")])
        elif place is None:
            raise NotFound("this socket is not in that room: enter it")
        elif given.event == "leave":
            self._lose(call.socket.id, place, may_return=False)
        else:
            self._say(place, words)
        at = await self._written(call.topic)
        return Published(call.topic.wire, at.epoch, at.offset, at.mark, self.kind.durability)

    def _check_user(self, principal: Principal | None) -> Principal:
        if principal is None or principal.kind != "user":
            raise Forbidden("only a user can be in a room: an API key is nobody")
        return principal

    def _enter(
        self, topic: Topic, socket: Any, who: Principal, words: Words, *, via: str = ""
    ) -> None:
        mine = self._places.get(socket.id, {})
        place = mine.get(topic)
        if place is not None:
            place.device.via = via or place.device.via
            self._say(place, words)
            return
        if not socket.connected:
            return
        if len(mine) >= self._settings.rooms:
            limit_exceeded.labels("presence_rooms").inc()
            raise TooMany(
                f"this socket is in {self._settings.rooms} rooms (presence.rooms)",
                limit=self._settings.rooms,
            )
        room = self._rooms.get(topic)
        if room is None:
            room = self._rooms[topic] = Room(self.node)
        self._check_size(topic, room, who.id)
        now_ms = self._clock.now_ms()
        id = self.node + self._ids.token(6)
        said = said_of(words, now_ms)
        device = room.enter(who.id, id, socket.id, said, now_ms, via=via)
        presence_devices.inc()
        self._places.setdefault(socket.id, {})[topic] = Place(topic, who.id, device)
        self._note_text(topic, who.id, said.text_until_ms)
        self._mark(topic)

    def _check_size(self, topic: Topic, room: Room, user: str) -> None:
        most = self._settings.members
        if user not in room.people and max(self._sizes.get(topic, 0), len(room.people)) >= most:
            limit_exceeded.labels("presence_members").inc()
            raise TooMany(f"this room has {most} users (presence.members)", limit=most)

    def _say(self, place: Place, words: Words) -> None:
        now_ms = self._clock.now_ms()
        said = said_of(words, now_ms)
        self._rooms[place.topic].update(place.user, place.device, said, now_ms)
        self._note_text(place.topic, place.user, said.text_until_ms)
        self._mark(place.topic)

    def _lose(self, socket_id: str, place: Place, *, may_return: bool) -> None:
        mine = self._places[socket_id]
        del mine[place.topic]
        if not mine:
            del self._places[socket_id]
        presence_devices.dec()
        now_ms = self._clock.now_ms()
        # Who leaves may enter again before it is published: a subscription that takes another one's place does.
        gone_ms = now_ms + int(self._settings.grace_s * 1000) if may_return else now_ms
        self._rooms[place.topic].lose(place.device, gone_ms)
        self._push(gone_ms, place.topic, place.user, place.device)
        if not may_return:
            self._mark(place.topic)

    # ── what ends by itself ──
    def _note_text(self, topic: Topic, user: str, until_ms: int | None) -> None:
        if until_ms is not None:
            self._push(until_ms, topic, user, None)

    def _push(self, due_ms: int, topic: Topic, user: str, device: Device | None) -> None:
        heapq.heappush(self._due, (due_ms, next(self._numbers), topic, user, device))
        self._woken.set()

    def _end_what_is_due(self) -> None:
        now_ms = self._clock.now_ms()
        while self._due and self._due[0][0] <= now_ms:
            due_ms, _, topic, user, device = heapq.heappop(self._due)
            room = self._rooms.get(topic)
            if room is None:
                continue
            if device is None:
                room.end_text(user, now_ms)
            elif device.gone_ms == due_ms and not self._is_frozen:
                room.leave(user, device)
            if not room.is_settled:
                self._dirty[topic] = None

    # ── what is written ──
    def _mark(self, topic: Topic) -> None:
        self._dirty[topic] = None
        self._woken.set()

    def _written(self, topic: Topic) -> asyncio.Future[Position]:
        """Done when everything of a room is written that has happened until now."""
        done: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(topic, []).append(done)
        self._mark(topic)
        return done

    async def tick(self) -> None:
        """Write what is to be written now."""
        self._end_what_is_due()
        dirty, self._dirty = list(self._dirty), {}
        for at in range(0, len(dirty), ROOMS_AT_ONCE):
            await asyncio.gather(*map(self._write_room, dirty[at : at + ROOMS_AT_ONCE]))

    async def _write_room(self, topic: Topic) -> None:
        waiting = self._waiting.pop(topic, [])
        room = self._rooms.get(topic)
        try:
            at = None if room is None else await self._write(topic, room)
            if at is None:
                at = (await self._store.top([topic]))[0]
        except ServerError as exc:
            _log.warning("presence not written", error=exc.code)
            self._fail(topic, waiting, exc)
            return
        except Exception as exc:  # noqa: BLE001  a bug that one room meets must not end presence
            _log.exception("presence failed")
            self._fail(topic, waiting, exc)
            return
        for each in waiting:
            if not each.done():
                each.set_result(at)

    def _fail(self, topic: Topic, waiting: list[asyncio.Future[Position]], exc: Exception) -> None:
        for each in waiting:
            if not each.done():
                each.set_exception(exc)
        room = self._rooms.get(topic)
        if room is not None and not room.is_settled and isinstance(exc, ClarionError):
            self._dirty[topic] = None

    async def _write(self, topic: Topic, room: Room) -> Position | None:
        """Write a room's changes, and what follows from them; returns the position, or None where there were none."""
        news, at = _News(), None
        for _ in range(TRIES):
            changes = room.changes()
            if not changes:
                break
            at = await self._write_changes(topic, room, changes, news)
        if not room.is_settled:
            self._dirty[topic] = None
        if at is not None:
            await self._tell(topic, news, at)
        if not room.people and room.is_settled:
            del self._rooms[topic]
            self._sizes.pop(topic, None)
        return at

    async def _write_changes(
        self, topic: Topic, room: Room, changes: dict[str, Change], news: "_News"
    ) -> Position | None:
        at, left = None, iter(changes.items())
        while some := dict(islice(left, SLICE)):
            try:
                appended = await self._topics.change(self.kind, topic, list(some.values()))
            except BaseException:
                room.failed([*some, *(user for user, _ in left)])
                raise
            room.applied(some, appended.outcomes)
            news.take(some, appended.outcomes)
            at = appended.position
            if len(changes) > SLICE:
                await asyncio.sleep(0)
        return at

    async def _tell(self, topic: Topic, news: "_News", at: Position) -> None:
        """What follows from changes of a room: who came and went, the number of users, and who may no longer get the list."""
        users = await self._store.count(topic)
        before, self._sizes[topic] = self._sizes.get(topic), users
        told = Change(event="set", key=NEWS, data={"users": users, **news.told()})
        await self._topics.change(self._changes, Topic(topic.tenant, CHANGES, topic.name), [told])
        if users != before:
            await self._count_users(topic, users, at)
        if topic in self._watched:
            self._judge(topic, users)

    async def _count_users(self, topic: Topic, users: int, at: Position) -> None:
        # Of two nodes that count, the one counts that has seen more.
        change = Change(
            event="set", key=USERS, data=users, guard=Guard("newer", at.offset), version=at.offset
        )
        await self._topics.change(self._count, Topic(topic.tenant, COUNT, topic.name), [change])

    # ── rooms that outgrow their subscribers ──
    def _watch(self, topic: Topic, begins: bool) -> None:
        if topic.kind != ROOM:
            return
        if begins:
            self._watched[topic] = None
        else:
            self._watched.pop(topic, None)

    def _judge(self, topic: Topic, users: int) -> None:
        if self.mode(users) != "full":
            ended = self._engine.end_of_topic(topic, CloseCode.RESIZED)
            _log.info("a room has outgrown its list", users=users, subscriptions=ended)

    async def _look_forever(self) -> None:
        # Others' changes of a room in which nobody from here is.
        while True:
            await asyncio.sleep(WATCHED_S)
            for topic in list(self._watched):
                if topic not in self._rooms:
                    with suppress(ServerError):
                        self._judge(topic, await self._store.count(topic))

    async def _tick_forever(self) -> None:
        while True:
            if not self._dirty:
                self._woken.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause_s()):
                        await self._woken.wait()
            await self.tick()
            await asyncio.sleep(self._settings.tick_s)

    def _pause_s(self) -> float | None:
        if not self._due:
            return None
        return max(0.0, (self._due[0][0] - self._clock.now_ms()) / 1000)


class _News:
    """Who came, changed and went in a tick: the first of them by name, all by number."""

    def __init__(self) -> None:
        self._told: dict[str, list[Any]] = {"entered": [], "updated": [], "left": []}
        self._count = 0

    def take(self, changes: Mapping[str, Change], outcomes: Sequence[Outcome]) -> None:
        for (user, change), outcome in zip(changes.items(), outcomes, strict=True):
            if outcome.refused is not None:
                continue
            self._count += 1
            if self._count > NAMED:
                continue
            if change.event == REMOVE:
                self._told["left"].append(user)
            else:
                kind = "entered" if change.event == "enter" else "updated"
                self._told[kind].append({"user": user, **change.data})

    def told(self) -> dict[str, Any]:
        """As subscribers get it; `more`: how many are not named."""
        named = {kind: users for kind, users in self._told.items() if users}
        return named if self._count <= NAMED else {**named, "more": self._count - NAMED}
