"""Everybody who is connected: rooms that each user is in, by the mere fact of a connection, and that nobody can subscribe to.

They are spread over a few maps by the user's id, so that nodes write and hear of parts. What is in them is for `status` and for
contacts, which ask first who may see whom.
"""

import binascii
from collections.abc import Iterator, Sequence
from typing import Any, Final

from clarion.auth.principal import Principal
from clarion.clock import Clock
from clarion.errors import TooMany
from clarion.features.presence.agenda import Agenda
from clarion.features.presence.arguments import Words
from clarion.features.presence.places import EVERYBODY, Places
from clarion.features.presence.room import Entry, Person
from clarion.features.presence.seen import Seen
from clarion.settings import Presence as Settings
from clarion.storage import Store
from clarion.telemetry import get_logger
from clarion.topics import Kind, Topic, Topics
from clarion.topics.stores import TopicStore

_log = get_logger(__name__)

SHARDS: Final = 16
KEYS: Final = 10_000_000  # users of a shard: sockets are bounded elsewhere


class Users:
    """The connected users of this node.

    Args:
        topics: Where they are published.
        agenda: Has the rooms.
        places: Where sockets are.
        settings: For the log, and `seen_s`.
        store: Where is written when they were here.
        clock: For times.
    """

    def __init__(
        self,
        topics: Topics,
        agenda: Agenda,
        places: Places,
        settings: Settings,
        store: Store,
        clock: Clock,
    ) -> None:
        self.log: TopicStore = topics.store()
        # Of no kind that is offered: who may see whom is asked before anything of it is shown.
        self.kind = Kind(
            name=EVERYBODY,
            rights={},
            log=self.log,
            durability="recoverable",
            log_size=settings.log_size,
            log_age_s=settings.log_age_s,
            shape="map",
            keys=KEYS,
        )
        self._agenda = agenda
        self._places = places
        self._settings = settings
        self._clock = clock
        self.seen = Seen(store, settings, clock, self._connected)
        # Sockets that are not counted: their users may be in rooms, and not be among all.
        self._uncounted: set[str] = set()

    def connected(self, socket: Any, principal: Principal | None) -> None:
        """A socket has come; nothing happens if it is no user's."""
        if principal is None or principal.kind != "user":
            return
        topic = shard_of(principal.tenant, principal.id)
        try:
            self._places.enter(topic, socket, principal.id, Words())
        except TooMany:
            # It works like any other; the user is here by the others.
            self._uncounted.add(socket.id)
            _log.info("a connection is not counted for presence")

    def disconnected(self, socket_id: str) -> None:
        """A socket is about to go."""
        self._uncounted.discard(socket_id)
        place = self._places.everywhere(socket_id)
        if place is not None:
            active_ms = self._agenda.rooms[place.topic].people[place.user].active_ms
            self.seen.left(place.topic.tenant, place.user, active_ms)

    def lost(self, topic: Topic, user: str) -> None:
        """A user was only on a node that has died: so long ago as it takes to be sure of that."""
        ago_ms = int((self._settings.lease_s + self._settings.grace_s) * 1000)
        self.seen.left(topic.tenant, user, 0, ago_ms)

    def active(self, socket_id: str) -> None:
        """A socket's user has done something."""
        place = self._places.everywhere(socket_id)
        if place is not None:
            self._agenda.rooms[place.topic].people[place.user].active_ms = self._clock.now_ms()

    def is_here(self, tenant: str, user: str) -> bool:
        """Whether a user has a connection to this node."""
        person = self._person(tenant, user)
        return person is not None and person.is_here

    def may_be_here(self, tenant: str, user: str) -> bool:
        """Whether a user may have a place in a room of this node, be it that of a connection that is away."""
        return self._person(tenant, user) is not None or bool(self._uncounted)

    async def entries(self, tenant: str, users: Sequence[str]) -> list[Entry | None]:
        """What is published of users, in their order; None: they are not connected.

        Raises:
            Unavailable: The store is not there now.
        """
        shards: dict[Topic, list[int]] = {}
        for at, user in enumerate(users):
            shards.setdefault(shard_of(tenant, user), []).append(at)
        found: list[Entry | None] = [None] * len(users)
        for topic, places in shards.items():
            items = await self.log.get(topic, [users[at] for at in places])
            for at, item in zip(places, items, strict=True):
                found[at] = None if item is None else item.data
        return found

    def active_ms(self, tenant: str, user: str) -> int:
        """When a user did something last on this node (ms since 1970); 0: they are not here."""
        person = self._person(tenant, user)
        return 0 if person is None else person.active_ms

    def _person(self, tenant: str, user: str) -> Person | None:
        room = self._agenda.rooms.get(shard_of(tenant, user))
        return None if room is None else room.people.get(user)

    def _connected(self) -> Iterator[tuple[str, str, int]]:
        for topic, room in self._agenda.rooms.items():
            if topic.kind == EVERYBODY:
                for user, person in room.people.items():
                    if person.is_here:
                        yield topic.tenant, user, person.active_ms


def shard_of(tenant: str, user: str) -> Topic:
    """The map in which a user is."""
    return Topic(tenant, EVERYBODY, str(binascii.crc32(user.encode()) % SHARDS))
