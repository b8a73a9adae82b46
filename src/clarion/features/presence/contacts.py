"""Contacts: the kind of topic `contacts:<user>`, by which somebody sees which of those whom they know are here, without a room for each.

A view begins when its user first subscribes, on the process that they are on, and lingers for a while when nobody is subscribed to it any longer: who
comes back then is told what was missed. It has the user's own entry, whatever they let others see; what a socket publishes here is of that.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from clarion.auth import rights
from clarion.auth.principal import Principal
from clarion.bus import Bus
from clarion.clock import Clock
from clarion.errors import ClarionError, Conflict, Fault, Invalid, Unavailable
from clarion.features.presence.agenda import Agenda
from clarion.features.presence.arguments import words_of
from clarion.features.presence.people import People
from clarion.features.presence.places import Places
from clarion.features.presence.room import Entry as Published
from clarion.features.presence.shards import Shard
from clarion.features.presence.users import Users, shard_of
from clarion.features.presence.view import LOG_AGE_S, LOG_SIZE, View
from clarion.ids import Ids
from clarion.settings import Presence as Settings
from clarion.telemetry import Tasks, presence_views
from clarion.topics import Call, Kind, Publish, Topic, TopicEngine
from clarion.topics import Published as Answer
from clarion.topics.books import channel
from clarion.topics.kinds import Read, Snapshot
from clarion.topics.stores.base import PAGE, page_of
from clarion.topics.stream import Entry, Position

KIND: Final = "contacts"
LINGER_S: Final = 60.0  # that a view is kept true which nobody is subscribed to
SWEEP_S: Final = 5.0
TURN: Final = 50  # views that are told in one turn of the loop: 40 us each, and whom everybody knows is in thousands
_GONE: Final = Position("gone", 0, 0)


class Contacts:
    """The views of this node's users.

    Args:
        people: Who knows whom, and who may see whom.
        users: What is published of users.
        places: Where sockets are.
        agenda: Writes what sockets say.
        bus: Where users' changes are announced.
        engine: Has the subscribers.
        settings: `contacts`, `data_bytes`.
        clock: For what lingers.
        ids: For epochs and marks.
    """

    def __init__(
        self,
        people: People,
        users: Users,
        places: Places,
        agenda: Agenda,
        bus: Bus,
        engine: TopicEngine,
        settings: Settings,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._people = people
        self._users = users
        self._places = places
        self._agenda = agenda
        self._bus = bus
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._views: dict[Topic, View] = {}
        # Views that nobody watches, and since when.
        self._idle: dict[Topic, float] = {}
        self._beginning: dict[Topic, asyncio.Future[None]] = {}
        # Tenant and user → the views that have to hear of them.
        self._views_of: dict[tuple[str, str], dict[View, None]] = {}
        # The reverse: of each view whom it has to hear of.
        self._followed: dict[View, dict[str, None]] = {}
        self._shards: dict[Topic, Shard] = {}
        # Tenant and user of whose changes views are yet to be told.
        self._due: dict[tuple[str, str], None] = {}
        self._is_telling = False
        self._tasks = Tasks()
        bus.on_gap(self._on_gap)

    @property
    def kind(self) -> Kind:
        """The kind `contacts`."""
        return Kind(
            name=KIND,
            rights={"subscribe": rights.Self(), "publish": rights.Self()},
            log=self,
            durability="recoverable",
            log_size=LOG_SIZE,
            log_age_s=LOG_AGE_S,
            shape="map",
            open=self.open,
            publish=self.publish,
            watched=self.watched,
        )

    def start(self) -> None:
        """Begin to forget views that nobody is subscribed to."""
        self._tasks.spawn_forever(self._sweep_forever, name="presence: forget contacts")

    async def close(self) -> None:
        """End every task."""
        await self._tasks.close()
        for shard in self._shards.values():
            await shard.close()

    # ── what the engine asks ──
    async def open(self, topic: Topic, _: Principal | None, params: Mapping[str, Any]) -> Topic:
        """Begin the view if there is none.

        Raises:
            Invalid: There are params.
            Unavailable: It cannot be read now.
        """
        if params:
            raise Invalid(faults=[Fault("/params", f"kind {KIND} takes none")])
        if topic not in self._views:
            self._begin(topic)
        beginning = self._beginning.get(topic)
        if beginning is not None:
            await asyncio.shield(beginning)
        if topic in self._idle:
            self._idle[topic] = self._clock.monotonic()
        return topic

    def watched(self, topic: Topic, is_watched: bool) -> None:
        """Somebody has subscribed, or nobody is subscribed any more."""
        if topic not in self._views:
            return
        if is_watched:
            self._idle.pop(topic, None)
        else:
            self._idle[topic] = self._clock.monotonic()

    async def top(self, topics: Sequence[Topic]) -> list[Position]:
        """Where each view stands; one that has ended, in no epoch that anybody knows."""
        found = (self._views.get(topic) for topic in topics)
        return [_GONE if view is None else view.position for view in found]

    async def read(self, topic: Topic, after: int, limit: int) -> Read:
        """At most `limit` entries behind an offset."""
        view = self._views.get(topic)
        if view is None:
            return Read(_GONE, [])
        since_ms = self._clock.now_ms() - LOG_AGE_S * 1000
        return Read(view.position, view.read(after, limit, since_ms))

    async def snapshot(self, topic: Topic) -> Snapshot:
        """The first page of those who are here.

        Raises:
            Unavailable: The view has just ended.
        """
        return await self.page(topic, "")

    async def page(self, topic: Topic, after: str) -> Snapshot:
        """The page behind a user.

        Raises:
            Unavailable: The view has just ended.
        """
        view = self._views.get(topic)
        if view is None:
            raise Unavailable("the view has just ended: subscribe again")
        items = view.items(after, PAGE)
        return Snapshot(items.position, page_of(items))

    async def publish(self, call: Call, given: Publish) -> Answer:
        """What a socket says of itself and its user, beyond rooms: `update`.

        Raises:
            Invalid, TooLarge: It cannot be said.
            Conflict: The socket is gone, or not counted.
            Unavailable: It is not written yet; it will be.
        """
        if given.key is not None or given.only or given.version or given.ttl_s or given.owned:
            raise Invalid("what is published here is `event` and `data`")
        words = words_of(given.data, self._settings)
        if given.event != "update":
            raise Invalid(faults=[Fault("/event", "expected update")])
        place = None if call.socket is None else self._places.everywhere(call.socket.id)
        if place is None:
            raise Conflict("this is no connection of a user that counts")
        self._places.say(place, words)
        await self._agenda.written(place.topic)
        at = (await self.top([call.topic]))[0]
        return Answer(call.topic.wire, at.epoch, at.offset, at.mark, "recoverable")

    # ── what happens ──
    def known(self) -> list[tuple[str, str]]:
        """Whom this node's views have to hear of."""
        return list(self._views_of)

    async def changed(self, tenant: str, user: str) -> None:
        """A user has other contacts, or lets others see them than before.

        Raises:
            Unavailable: It cannot be read now.
        """
        views = list(self._views_of.get((tenant, user), ()))
        beginning = [ready for view in views if (ready := self._beginning.get(view.topic))]
        if beginning:
            await asyncio.wait(beginning)
        others = [view for view in views if view.topic.name != user]
        viewers = [view.topic.name for view in others]
        seen = await self._people.visible_to(tenant, user, viewers) if viewers else []
        for n, (view, is_seen) in enumerate(zip(others, seen, strict=True)):
            if n % TURN == TURN - 1:
                await asyncio.sleep(0)
            if self._shows(view, user):
                view.contacts[user] = is_seen
                self._tell(view, user)
        for view in views:
            if view.topic.name == user and self._views.get(view.topic) is view:
                await self._fill(view)

    def _heard(self, tenant: str, user: str, _: Published | None) -> None:
        self._due[tenant, user] = None
        if not self._is_telling:
            self._is_telling = True
            self._tasks.spawn(self._tell_all(), name="presence: tell contacts")

    async def _tell_all(self) -> None:
        try:
            while self._due:
                tenant, user = next(iter(self._due))
                del self._due[tenant, user]
                for n, view in enumerate(list(self._views_of.get((tenant, user), ()))):
                    if n % TURN == TURN - 1:
                        await asyncio.sleep(0)
                    if self._shows(view, user):
                        self._tell(view, user)
        finally:
            self._is_telling = False

    def _shows(self, view: View, user: str) -> bool:
        """Whether a view is about a user: it may have ended meanwhile, not have begun, or its user may know this one no longer."""
        return self._views.get(view.topic) is view and user in view.contacts

    def _tell(self, view: View, user: str) -> None:
        # What is published now, whatever it was when it became due: a view finds out what is new to it.
        published = self._shard(view.topic.tenant, user).entries.get(user)
        self._announce(view, view.put(user, published, self._clock.now_ms()))

    def _announce(self, view: View, entries: Sequence[Entry]) -> None:
        if entries:
            self._engine.announce_here(view.topic, view.position.epoch, entries)

    # ── views ──
    def _begin(self, topic: Topic) -> None:
        view = self._views[topic] = View(topic, self._ids)
        self._idle[topic] = self._clock.monotonic()
        presence_views.set(len(self._views))
        # From now on it hears of its user, and with that of other contacts.
        self._listen(view, [topic.name])
        ready = self._beginning[topic] = asyncio.get_running_loop().create_future()
        self._tasks.spawn(self._fill_first(view, ready), name="presence: begin contacts")

    async def _fill_first(self, view: View, ready: "asyncio.Future[None]") -> None:
        try:
            await self._fill(view)
        except ClarionError as exc:
            self._forget(view)
            ready.set_exception(exc)
            ready.exception()
        except BaseException:
            self._forget(view)
            ready.cancel()
            raise
        else:
            ready.set_result(None)
        finally:
            del self._beginning[view.topic]

    async def _fill(self, view: View) -> None:
        """Let a view show those whom its user knows now."""
        tenant, user = view.topic.tenant, view.topic.name
        known = await self._people.contacts(tenant, user, "", self._settings.contacts)
        who = list(dict.fromkeys([user, *known]))
        # Nothing is waited for between these two: whoever chooses something from now on, this view hears of.
        self._listen(view, who)
        for topic in dict.fromkeys(shard_of(tenant, each) for each in who):
            await self._shards[topic].read()
        seen = await self._people.visible(tenant, user, who)
        if self._views.get(view.topic) is not view:
            return
        self._listen_no_more(view, self._followed[view].keys() - dict.fromkeys(who))
        published = {
            each: entry
            for each in who
            if (entry := self._shard(tenant, each).entries.get(each)) is not None
        }
        now_ms = self._clock.now_ms()
        self._announce(view, view.show(dict(zip(who, seen, strict=True)), published, now_ms))

    def _listen(self, view: View, users: Sequence[str]) -> None:
        tenant, followed = view.topic.tenant, self._followed.setdefault(view, {})
        for user in users:
            if user not in followed:
                followed[user] = None
                self._views_of.setdefault((tenant, user), {})[view] = None
                self._shard(tenant, user).want([user])

    def _listen_no_more(self, view: View, users: Iterable[str]) -> None:
        tenant, followed = view.topic.tenant, self._followed[view]
        for user in list(users):
            del followed[user]
            views = self._views_of[tenant, user]
            del views[view]
            if not views:
                del self._views_of[tenant, user]
            topic = shard_of(tenant, user)
            self._shards[topic].unwant([user])
            if self._shards[topic].is_idle:
                self._tasks.spawn(self._shards.pop(topic).close(), name="presence: follow no more")

    def _forget(self, view: View) -> None:
        if self._views.get(view.topic) is view:
            del self._views[view.topic]
            self._idle.pop(view.topic, None)
            presence_views.set(len(self._views))
            self._listen_no_more(view, self._followed[view])
            del self._followed[view]

    def _shard(self, tenant: str, user: str) -> Shard:
        topic = shard_of(tenant, user)
        found = self._shards.get(topic)
        if found is None:
            found = self._shards[topic] = Shard(
                topic, self._users.log, self._bus, partial(self._heard, tenant)
            )
        return found

    def sweep(self) -> None:
        """Forget the views that nobody has been subscribed to for a while."""
        since = self._clock.monotonic() - LINGER_S
        for topic in [topic for topic, at in self._idle.items() if at <= since]:
            if topic not in self._beginning:
                self._forget(self._views[topic])

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep()

    def _on_gap(self, channels: Sequence[str]) -> None:
        lost = dict.fromkeys(channels)
        for topic, shard in self._shards.items():
            if channel(topic) in lost:
                shard.doubt()
