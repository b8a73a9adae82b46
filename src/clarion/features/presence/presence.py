"""Presence as an application and the doors use it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from clarion.auth.principal import DEFAULT_TENANT, Principal
from clarion.bus import Bus
from clarion.clock import Clock
from clarion.errors import ClarionError, ServerError
from clarion.features.presence.agenda import Agenda
from clarion.features.presence.contacts import Contacts
from clarion.features.presence.hidden import Hidden
from clarion.features.presence.leases import Leases
from clarion.features.presence.notices import Notices
from clarion.features.presence.people import People
from clarion.features.presence.places import EVERYBODY, Places
from clarion.features.presence.room import Room
from clarion.features.presence.rooms import Members, Rooms
from clarion.features.presence.saved import save, take
from clarion.features.presence.signals import Signals
from clarion.features.presence.sizes import ROOM
from clarion.features.presence.statuses import Statuses, UserStatus
from clarion.features.presence.users import Users
from clarion.features.presence.writer import Writer
from clarion.ids import Ids
from clarion.settings import Presence as Settings
from clarion.storage import Store
from clarion.telemetry import Tasks, get_logger
from clarion.topics import Position, Topic, TopicEngine, Topics

_log = get_logger(__name__)

PAGE: Final = 500
AT_ONCE: Final = 1_000  # users whose status is read together


class Presence:
    """Who is where.

    Args:
        store: Where is written what outlives connections.
        bus: Tells nodes what users have chosen, and how users are.
        topics: Where rooms are published.
        engine: Ends subscriptions that a room has outgrown.
        settings: Times and limits.
        node: This process's name among its peers: 4 characters.
        clock: For times and grace.
        ids: For epochs, marks, and names of cursors.
        folder: Where rooms are saved for the next process; None: nowhere.
        window_s: How long a planned restart takes clients away (s).
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        topics: Topics,
        engine: TopicEngine,
        settings: Settings,
        *,
        node: str,
        clock: Clock,
        ids: Ids,
        folder: Path | None = None,
        window_s: float = 10.0,
    ) -> None:
        self._clock = clock
        self._folder = folder
        self._window_s = window_s
        self._leases = Leases(
            topics.store(), node, settings, clock, clean=self._clean, revive=self._revive
        )
        self._agenda = Agenda(node, settings.tick_s, clock, self._write)
        self.places = Places(self._agenda, settings, node=node, clock=clock)
        self.users = Users(topics, self._agenda, self.places, settings, store, clock)
        self.people = People(store, bus, settings)
        self._hidden = Hidden(self.people, self._agenda, self.users)
        self.rooms = Rooms(
            topics,
            engine,
            settings,
            agenda=self._agenda,
            leases=self._leases,
            places=self.places,
            active=self.users.active,
            hidden=self._hidden,
        )
        self.signals = Signals(
            topics, self._hidden, settings, active=self.users.active, clock=clock, ids=ids
        )
        self._writers = {
            ROOM: self.rooms.writer,
            EVERYBODY: Writer(topics, self.users.kind, self._leases, lost=self.users.lost),
        }
        self._statuses = Statuses(self.users, self.people, clock)
        self.contacts = Contacts(
            self.people,
            self.users,
            self.places,
            self._agenda,
            bus,
            engine,
            settings,
            clock=clock,
            ids=ids,
        )
        topics.kinds.add(self.contacts.kind)
        self._notices = Notices(bus, self._heed, self._known)
        self.unanswered_s: Callable[[str], float] = lambda _: 0.0
        """For how long a socket has not answered a ping (s); whoever has sockets knows."""
        self._tasks = Tasks()

    # ── life ──
    async def start(self) -> None:
        """Begin to publish; who was here before a planned restart is here."""
        if self._folder is not None:
            self.places.restore(take(self._folder, self._clock.now_ms()), self._window_s)
        await self.begin()
        self._agenda.start()
        self.contacts.start()
        for work in (
            self.rooms.sizes.look_forever,
            self._beat_forever,
            self.users.seen.flush_forever,
        ):
            self._tasks.spawn_forever(work, name="presence")

    async def begin(self) -> None:
        """Take a lease, and write what was restored: a part of `start`."""
        self._notices.start()
        await self._leases.begin()
        await self.tick()

    def freeze(self) -> None:
        """The server is about to stop: who goes now goes because of that, and is not published as gone."""
        self._agenda.freeze()

    async def close(self) -> None:
        """End every task, and leave what is here to other nodes or to the next process; who waits for a publication is told nothing."""
        await self._tasks.close()
        await self._notices.close()
        await self.contacts.close()
        await self.signals.close()
        await self._agenda.close()
        for last in (self.users.seen.flush(), self._leases.end(self._window_s)):
            try:
                await last
            except ClarionError as exc:
                _log.warning("presence could not say good-bye", error=exc.code)
        if self._folder is not None:
            save(self._folder, self._clock.now_ms(), self.places.saved())

    async def tick(self) -> None:
        """Write what is to be written now."""
        await self._agenda.tick()

    async def beat(self) -> None:
        """Say that this node lives, look after the others, and hear which connections have fallen silent.

        Raises:
            Unavailable: The store is not there now.
        """
        await self.places.listen(self.unanswered_s)
        await self._leases.beat()

    def purge(self) -> AsyncIterator[int]:
        """Forget when users were here who have not been for long (`presence.seen_keep_days`). See `jobs.purging.Slices`."""
        return self.users.seen.purge()

    # ── sockets ──
    def connected(self, socket: Any, principal: Principal | None) -> None:
        """A socket has come: its user, if it has one, is online."""
        self.users.connected(socket, principal)

    def disconnected(self, socket: Any) -> None:
        """A socket is gone."""
        self.signals.disconnected(socket.id)
        mine = self.places.everywhere(socket.id)
        self.users.disconnected(socket.id)
        self.places.disconnected(socket.id)
        if mine is not None and not self.users.is_here(mine.topic.tenant, mine.user):
            self._hidden.forget(mine.topic.tenant, mine.user)

    # ── reading ──
    async def members(
        self, room: str, tenant: str = DEFAULT_TENANT, *, after: str = "", limit: int = PAGE
    ) -> Members:
        """Who is in a room.

        Args:
            room: Its name, without `presence:`.
            tenant: Whose.
            after: Users whose ids are above this; '': from the first.
            limit: Users.

        Raises:
            Unavailable: It cannot be read now.
        """
        return await self.rooms.members(Topic(tenant, ROOM, room), after, limit)

    async def status(
        self,
        tenant: str,
        users: Sequence[str],
        *,
        viewer: str | None = None,
        regardless: bool = False,
    ) -> list[UserStatus]:
        """How users are, in their order: connected or not, since when, on what, and when they were last here.

        Args:
            tenant: Whose; `default` where there is only one.
            users: Their ids; of any number a thousand are read at a time.
            viewer: The user who is to see it; None: nobody in particular, who sees what everyone may.
            regardless: Whatever users let others see: for decisions, such as whether to send an email, and not to be shown.

        Raises:
            Invalid: A name that cannot be.
            Unavailable: It cannot be read now.
        """
        found: list[UserStatus] = []
        for at in range(0, len(users), AT_ONCE):
            some = users[at : at + AT_ONCE]
            found += await self._statuses.find(tenant, some, viewer, regardless=regardless)
        return found

    # ── writing, and other nodes ──
    async def _write(self, topic: Topic, room: Room | None) -> Position:
        return await self._writers[topic.kind].write(topic, room)

    async def _clean(self, node: str, topic: Topic) -> None:
        await self._writers[topic.kind].clean(node, topic)

    async def _heed(self, tenant: str, user: str) -> None:
        if await self._hidden.changed(tenant, user):
            self.signals.hide(tenant, user)
        await self.contacts.changed(tenant, user)

    def _known(self) -> list[tuple[str, str]]:
        return [*self._hidden.known(), *self.contacts.known()]

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
