"""Rooms: what sockets do in them.

Whoever subscribes to `presence:<room>` with `enter`, or publishes `enter` there, is in the room: their user stands in its map. What is written of it
and when is the `Agenda`'s affair and the `Writer`'s, what a large room tells its subscribers that of `Sizes`.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from clarion.auth.principal import Principal
from clarion.clock import Clock
from clarion.errors import Fault, Forbidden, Invalid, NotFound, ServerError
from clarion.features.presence.agenda import Agenda
from clarion.features.presence.arguments import Words, params_of, words_of
from clarion.features.presence.leases import Leases
from clarion.features.presence.places import Places
from clarion.features.presence.room import Entry
from clarion.features.presence.sizes import CHANGES, COUNT, ROOM, Sizes
from clarion.features.presence.writer import News, Writer
from clarion.ids import Ids
from clarion.settings import Presence as Settings
from clarion.telemetry import get_logger, spawn
from clarion.topics import Call, Granted, Position, Publish, Published, Topic, TopicEngine, Topics
from clarion.topics.stores import TopicStore

_log = get_logger(__name__)


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
        kept: dict[str, Any] = {
            "log_size": settings.log_size,
            "log_age_s": settings.log_age_s,
            "store": store,
        }
        granted = Granted(tuple(settings.open))
        self.kind = topics.add(
            ROOM,
            "map",
            rights={"subscribe": granted, "publish": granted},
            keys=2 * settings.members,  # nodes count for themselves: together they may pass it
            open=self._open,
            publish=self._publish,
            watched=self._watch,
            began=self._began,
            ended=self._ended,
            **kept,
        )
        watch = {"subscribe": granted}
        changes = topics.add(CHANGES, "map", rights=watch, keys=1, **kept)
        count = topics.add(COUNT, "map", rights=watch, keys=1, **kept)
        assert isinstance(self.kind.log, TopicStore)
        self._settings = settings
        self._store = self.kind.log
        self._sizes = Sizes(topics, engine, settings, self._store, count=count, changes=changes)
        self._leases = Leases(
            self._store, node, settings, clock, clean=self._clean, revive=self._revive
        )
        self._writer = Writer(topics, self.kind, self._leases, self._tell)
        self._agenda = Agenda(node, settings.tick_s, clock, self._writer.write)
        self.places = Places(self._agenda, settings, node=node, clock=clock, ids=ids)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take a lease, and begin to publish: what was restored is published when this returns."""
        await self.begin()
        self._agenda.start()
        for work in (self._sizes.look_forever(), self._beat_forever()):
            self._tasks.append(spawn(work, name="presence: rooms"))

    async def begin(self) -> None:
        """The first part of `start`."""
        await self._leases.begin()
        await self.tick()

    def freeze(self) -> None:
        """This process is about to stop: who goes now goes because of that, and is not published as gone."""
        self._agenda.freeze()

    async def close(self, window_s: float = 0.0) -> None:
        """End every task; who waits for a publication is told nothing.

        Args:
            window_s: For so long, and the grace period, the users who are here are kept by other nodes (s).
        """
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._agenda.close()
        try:
            await self._leases.end(window_s)
        except ServerError as exc:
            _log.warning("presence could not say good-bye", error=exc.code)

    async def tick(self) -> None:
        """Write what is to be written now."""
        await self._agenda.tick()

    async def beat(self) -> None:
        """Say that this node lives, and look after the others.

        Raises:
            Unavailable: The store is not there now.
        """
        await self._leases.beat()

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
            _user(principal)
            await self.kind.admit("publish", principal, topic)
        return await self._sizes.topic_for(topic, wish.mode)

    def _began(
        self, topic: Topic, socket: Any, principal: Principal | None, params: Mapping[str, Any]
    ) -> None:
        wish = params_of(params, self._settings)
        if wish.enter is not None:
            room = Topic(topic.tenant, ROOM, topic.name)
            self._enter(room, socket, _user(principal), wish.enter, via=topic.kind)

    def _ended(self, topic: Topic, socket: Any, _: Principal | None, may_return: bool) -> None:
        place = self.places.find(socket.id, Topic(topic.tenant, ROOM, topic.name))
        if place is not None and place.device.via == topic.kind:
            self.places.lose(place, may_return=may_return)

    async def _publish(self, call: Call, given: Publish) -> Published:
        if given.key is not None or given.only or given.version or given.ttl_s or given.owned:
            raise Invalid("what is published to a room is `event` and `data`")
        words = words_of(given.data, self._settings)
        if call.socket is None:
            raise Invalid("only a socket can be in a room")
        who = _user(call.principal)
        place = self.places.find(call.socket.id, call.topic)
        if given.event == "enter":
            self._enter(call.topic, call.socket, who, words)
        elif given.event not in {"update", "leave"}:
            raise Invalid(faults=[Fault("/event", "expected enter, update or leave")])
        elif place is None:
            raise NotFound("this socket is not in that room: enter it")
        elif given.event == "leave":
            self.places.lose(place, may_return=False)
        else:
            self.places.say(place, words)
        at = await self._agenda.written(call.topic)
        return Published(call.topic.wire, at.epoch, at.offset, at.mark, self.kind.durability)

    def _enter(self, topic: Topic, socket: Any, user: str, words: Words, *, via: str = "") -> None:
        room = self._agenda.rooms.get(topic)
        if room is None or user not in room.people:
            self._sizes.check(topic, 0 if room is None else len(room.people))
        self.places.enter(topic, socket, user, words, via=via)

    def _watch(self, topic: Topic, begins: bool) -> None:
        self._sizes.watch(topic, begins)

    async def _tell(self, topic: Topic, news: News, at: Position) -> None:
        await self._sizes.tell(topic, news, at)
        room = self._agenda.rooms.get(topic)
        if room is None or not room.people:
            self._sizes.forget(topic)

    # ── other nodes ──
    async def _clean(self, node: str, topic: Topic) -> None:
        await self._writer.clean(node, topic)

    def _revive(self) -> None:
        for topic, room in self._agenda.rooms.items():
            room.assert_all()
            self._agenda.mark(topic)

    async def _beat_forever(self) -> None:
        while True:
            await asyncio.sleep(self._leases.beat_s)
            try:
                await self.beat()
            except ServerError as exc:
                _log.warning("presence lease not renewed", error=exc.code)


def _user(principal: Principal | None) -> str:
    if principal is None or principal.kind != "user":
        raise Forbidden("only a user can be in a room: an API key is nobody")
    return principal.id
