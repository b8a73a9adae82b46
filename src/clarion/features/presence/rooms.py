"""Rooms: what sockets do in them.

Whoever subscribes to `presence:<room>` with `enter`, or publishes `enter` there, is in the room: their user stands in its map. What is written of it
and when is the `Agenda`'s affair and the `Writer`'s, what a large room tells its subscribers that of `Sizes`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from clarion.auth.principal import Principal
from clarion.errors import Fault, Forbidden, Invalid, NotFound
from clarion.features.presence.agenda import Agenda
from clarion.features.presence.arguments import Words, params_of, words_of
from clarion.features.presence.hidden import Hidden
from clarion.features.presence.leases import Leases
from clarion.features.presence.places import Places
from clarion.features.presence.room import Entry, copied
from clarion.features.presence.sizes import CHANGES, COUNT, ROOM, Sizes
from clarion.features.presence.writer import News, Writer
from clarion.settings import Presence as Settings
from clarion.topics import Call, Granted, Position, Publish, Published, Topic, TopicEngine, Topics
from clarion.topics.stores import TopicStore


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
        settings: Limits.
        agenda: Has the rooms.
        leases: Note them for the case that this node dies.
        places: Where sockets are.
        active: Told of a socket whose user has done something.
        hidden: Who is not to be seen.
    """

    def __init__(
        self,
        topics: Topics,
        engine: TopicEngine,
        settings: Settings,
        *,
        agenda: Agenda,
        leases: Leases,
        places: Places,
        active: Callable[[str], None],
        hidden: Hidden,
    ) -> None:
        kept: dict[str, Any] = {"log_size": settings.log_size, "log_age_s": settings.log_age_s}
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
        changes = topics.add(CHANGES, "map", rights=watch, keys=1, publish=_refuse, **kept)
        count = topics.add(COUNT, "map", rights=watch, keys=1, publish=_refuse, **kept)
        assert isinstance(self.kind.log, TopicStore)
        self._settings = settings
        self._store = self.kind.log
        self.sizes = Sizes(topics, engine, settings, self._store, count=count, changes=changes)
        self.writer = Writer(topics, self.kind, leases, self._tell)
        self._agenda = agenda
        self.places = places
        self._active = active
        self._hidden = hidden

    async def members(self, topic: Topic, after: str, limit: int) -> Members:
        """Who is in a room, see `Presence.members`."""
        found = await self._store.items(topic, after, limit)
        users = await self._store.count(topic)
        members = [Member(user, copied(item.data)) for user, item in found.items]
        return Members(found.position, users, members, found.more)

    # ── what sockets do ──
    async def _open(
        self, topic: Topic, principal: Principal | None, params: Mapping[str, Any]
    ) -> Topic:
        wish = params_of(params, self._settings)
        if wish.enter is not None:
            user = user_of(principal)
            await self.kind.admit("publish", principal, topic)
            await self._hidden.load(topic.tenant, user)
        return await self.sizes.topic_for(topic, wish.mode, self._here(topic))

    def _began(
        self, topic: Topic, socket: Any, principal: Principal | None, params: Mapping[str, Any]
    ) -> None:
        wish = params_of(params, self._settings)
        if wish.enter is not None:
            room = Topic(topic.tenant, ROOM, topic.name)
            self._enter(room, socket, user_of(principal), wish.enter, via=topic.kind)

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
        who = user_of(call.principal)
        if given.event == "enter":
            await self._hidden.load(call.topic.tenant, who)
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
            self._active(call.socket.id)
            self.places.say(place, words)
        at = await self._agenda.written(call.topic)
        return Published(call.topic.wire, at.epoch, at.offset, at.mark, self.kind.durability)

    def _enter(self, topic: Topic, socket: Any, user: str, words: Words, *, via: str = "") -> None:
        room = self._agenda.rooms.get(topic)
        if room is None or user not in room.people:
            self.sizes.check(topic, self._here(topic))
        self._active(socket.id)
        is_hidden = (topic.tenant, user) in self._hidden
        self.places.enter(topic, socket, user, words, via=via, is_hidden=is_hidden)

    def _here(self, topic: Topic) -> int:
        room = self._agenda.rooms.get(topic)
        return 0 if room is None else len(room.people)

    def _watch(self, topic: Topic, begins: bool) -> None:
        self.sizes.watch(topic, begins)

    async def _tell(self, topic: Topic, news: News, at: Position) -> None:
        await self.sizes.tell(topic, news, at)
        room = self._agenda.rooms.get(topic)
        if room is None or not room.people:
            self.sizes.forget(topic)


def user_of(principal: Principal | None) -> str:
    """The user who calls.

    Raises:
        Forbidden: It is none.
    """
    if principal is None or principal.kind != "user":
        raise Forbidden("only a user can be in a room: an API key is nobody")
    return principal.id


async def _refuse(call: Call, _: Publish) -> Published:
    # The scope of back ends is for every kind: with it one could say how many are in a room.
    raise Forbidden(f"nobody may publish on topics of kind {call.topic.kind}")
