"""Presence as an application and the doors use it."""

from pathlib import Path
from typing import Any

from clarion.auth.principal import DEFAULT_TENANT
from clarion.clock import Clock
from clarion.features.presence.rooms import Members, Rooms
from clarion.features.presence.saved import save, take
from clarion.features.presence.sizes import ROOM
from clarion.ids import Ids
from clarion.settings import Presence as Settings
from clarion.topics import Topic, TopicEngine, Topics
from clarion.topics.stores import TopicStore

PAGE = 500


class Presence:
    """Who is where.

    Args:
        topics: Where rooms are published.
        engine: Ends subscriptions that a room has outgrown.
        settings: Times and limits.
        node: This process's name among its peers.
        clock: For times and grace.
        ids: Names connections.
        store: Where rooms are kept; None: where the server's topics are.
        folder: Where they are saved for the next process; None: the store outlives this one.
        window_s: How long a planned restart takes clients away (s).
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
        folder: Path | None = None,
        window_s: float = 10.0,
    ) -> None:
        self._clock = clock
        self._folder = folder
        self._window_s = window_s
        self.rooms = Rooms(topics, engine, settings, node=node, clock=clock, ids=ids, store=store)

    async def start(self) -> None:
        """Begin to publish; who was here before a planned restart is here."""
        if self._folder is not None:
            self.rooms.places.restore(take(self._folder, self._clock.now_ms()), self._window_s)
        await self.rooms.start()

    def freeze(self) -> None:
        """The server is about to stop: whose connection ends now has not left."""
        self.rooms.freeze()

    async def close(self) -> None:
        """End every task, and leave what is here to the next process."""
        await self.rooms.close(self._window_s)
        if self._folder is not None:
            save(self._folder, self._clock.now_ms(), self.rooms.places.saved())

    def disconnected(self, socket: Any) -> None:
        """A socket is gone."""
        self.rooms.places.disconnected(socket.id)

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
