"""Where sockets are: each has a place in each room that it is in, which it loses with its connection, and gets back if it is quick."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any, Final

from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import TooMany
from clarion.features.presence.agenda import Agenda
from clarion.features.presence.arguments import Words, said_of
from clarion.features.presence.room import Device, Person
from clarion.features.presence.saved import SavedDevice, SavedPerson
from clarion.settings import Presence as Settings
from clarion.telemetry import limit_exceeded, presence_devices
from clarion.topics import Topic

TURN: Final = 500  # sockets that are looked at in one turn of the loop
EVERYBODY: Final = "presence-users"
"""The kind of the rooms that every user who is connected is in."""


class Place(Struct, frozen=True):
    """Where a socket is."""

    topic: Topic
    user: str
    device: Device


class Places:
    """The places of this node's sockets.

    Args:
        agenda: Has the rooms.
        settings: `grace_s`, `rooms`.
        node: This process's name.
        clock: For times.
    """

    def __init__(self, agenda: Agenda, settings: Settings, *, node: str, clock: Clock) -> None:
        self._agenda = agenda
        self._settings = settings
        self._node = node
        self._clock = clock
        # No two of a process are alike, and no two processes have one name.
        self._numbers = count(1)
        # Socket → room → place. Invariant: a place is here <=> its device has that socket.
        self._of: dict[str, dict[Topic, Place]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def everywhere(self, socket_id: str) -> Place | None:
        """A socket's place among all users; None: it is gone, or no user's."""
        mine = self._of.get(socket_id, {})
        return next((place for topic, place in mine.items() if topic.kind == EVERYBODY), None)

    def of(self, socket_id: str) -> list[Place]:
        """A socket's places in rooms."""
        mine = self._of.get(socket_id, {})
        return [place for topic, place in mine.items() if topic.kind != EVERYBODY]

    def find(self, socket_id: str, topic: Topic) -> Place | None:
        """A socket's place in a room; None: it is not there."""
        return self._of.get(socket_id, {}).get(topic)

    def enter(
        self,
        topic: Topic,
        socket: Any,
        user: str,
        words: Words,
        *,
        via: str = "",
        is_hidden: bool = False,
    ) -> None:
        """Give a socket a place in a room, or let it say something if it has one.

        Args:
            topic: The room.
            socket: Nothing happens if it is gone.
            user: Whose it is.
            words: What it says.
            via: See `room.Device`.
            is_hidden: Whether nothing of the user is to be published.

        Raises:
            TooMany: The socket is in `presence.rooms` rooms, or its user 50 times in this one.
        """
        mine = self._of.get(socket.id, {})
        place = mine.get(topic)
        if place is not None:
            place.device.via = via or place.device.via
            self.say(place, words)
            return
        if not socket.connected:
            return
        is_room = topic.kind != EVERYBODY
        if is_room and len(self.of(socket.id)) >= self._settings.rooms:
            limit_exceeded.labels("presence_rooms").inc()
            raise TooMany(
                f"this socket is in {self._settings.rooms} rooms (presence.rooms)",
                limit=self._settings.rooms,
            )
        now_ms = self._clock.now_ms()
        said, id = said_of(words, now_ms), f"{self._node}{next(self._numbers)}"
        device = self._agenda.room(topic).enter(
            user, id, socket.id, said, now_ms, via=via, is_hidden=is_hidden
        )
        presence_devices.inc(is_room)
        self._of.setdefault(socket.id, {})[topic] = Place(topic, user, device)
        self._agenda.note(said.text_until_ms, topic, user, None)
        self._agenda.mark(topic)

    def say(self, place: Place, words: Words) -> None:
        """A socket says something in a room."""
        now_ms = self._clock.now_ms()
        said = said_of(words, now_ms)
        self._agenda.rooms[place.topic].update(place.user, place.device, said, now_ms)
        self._agenda.note(said.text_until_ms, place.topic, place.user, None)
        self._agenda.mark(place.topic)

    async def listen(self, unanswered_s: Callable[[str], float]) -> None:
        """Look which connections have not answered for a while: their users may be gone, whom nobody has seen go.

        Args:
            unanswered_s: For how long a socket has not answered (s).
        """
        for at, socket_id in enumerate(list(self._of)):
            if at % TURN == TURN - 1:
                await asyncio.sleep(0)
            place = self.everywhere(socket_id)
            if place is None:
                continue
            is_silent = unanswered_s(socket_id) >= self._settings.unanswered_s
            if self._agenda.rooms[place.topic].hear(place.user, place.device, is_silent=is_silent):
                self._agenda.mark(place.topic)

    def lose(self, place: Place, *, may_return: bool) -> None:
        """Take a socket's place away: for good, or after a while unless its user comes back."""
        mine = self._of[place.device.socket]
        del mine[place.topic]
        if not mine:
            del self._of[place.device.socket]
        presence_devices.dec(place.topic.kind != EVERYBODY)
        # Who leaves may enter again before it is written: a subscription that takes another one's place does.
        grace_ms = int(self._settings.grace_s * 1000) if may_return else 0
        gone_ms = self._clock.now_ms() + grace_ms
        self._agenda.rooms[place.topic].lose(place.device, gone_ms)
        self._agenda.note(gone_ms, place.topic, place.user, place.device)

    def disconnected(self, socket_id: str) -> None:
        """A socket is gone."""
        for place in list(self._of.get(socket_id, {}).values()):
            self.lose(place, may_return=True)

    # ── from one process to the next ──
    def saved(self) -> Iterator[SavedPerson]:
        """Everybody who is here and may be seen: the next process does not know who may not."""
        for topic, room in self._agenda.rooms.items():
            for user, person in room.people.items():
                devices = [SavedDevice(each.name, each.status) for each in person.devices.values()]
                if devices and not person.is_hidden:
                    facts = {**person.facts, **person.said}
                    yield SavedPerson(
                        topic.tenant, topic.kind, topic.name, user, person.since_ms,
                        person.active_ms, person.text_until_ms, facts, devices,
                    )  # fmt: skip

    def restore(self, people: Iterable[SavedPerson], window_s: float) -> None:
        """Take over users whose connections ended with another process: they have so long (s), and the grace period, to come back."""
        gone_ms = self._clock.now_ms() + int((window_s + self._settings.grace_s) * 1000)
        for saved in people:
            topic, user = saved.topic, saved.user
            facts = {name: value for name, value in saved.facts.items() if value is not None}
            devices = [
                Device(
                    f"{self._node}{next(self._numbers)}",
                    each.status,
                    each.name,
                    "",
                    gone_ms=gone_ms,
                )
                for each in saved.devices
            ]
            person = Person(
                saved.active_ms, saved.since_ms, facts=facts, text_until_ms=saved.text_until_ms
            )
            self._agenda.room(topic).restore(user, person, devices)
            for device in devices:
                self._agenda.note(gone_ms, topic, user, device)
            self._agenda.note(saved.text_until_ms, topic, user, None)
            self._agenda.mark(topic)
