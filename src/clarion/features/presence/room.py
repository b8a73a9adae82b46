"""A room as one node knows it: its own connections of each user, merged into one published entry for each user.

Connections are inside, users outside. A connection that breaks keeps its place for a while (grace): its user comes back into it, and nothing has
happened. What is published of a user is decided from the connections here and the entry that is published already, in which other nodes
have their connections: `changes` says what should be written, each guarded by what it was decided from, and `applied` hears what became of it. Where
somebody else was faster, the entry is decided anew from what they wrote. So nodes agree without asking each other.

Pure: nothing here waits, stores or knows the time.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from clarion.clock import as_datetime
from clarion.errors import TooMany
from clarion.topics.changes import ABSENT, REMOVE, Change, Guard, Outcome

Status = Literal["online", "away", "dnd", "idle"]

STRONGER: Final[Mapping[str, int]] = {"dnd": 3, "online": 2, "away": 1, "idle": 0}
"""Of a user's connections the strongest status counts: who is active anywhere is online, who wants no disturbance nowhere has it."""

DEVICES: Final = 50  # of one user in one room on one node, as sessions_per_user

# Floats are read by Python: see protocol.jsontext.
_decode = msgspec.json.Decoder(float_hook=float).decode

Entry = dict[str, Any]
"""What is published of a user: `{status, since, last_active, devices: {id: {status, device?}}, data?, text?, text_until?}`."""


class Said(Struct, frozen=True):
    """What a connection says of itself and of its user. UNSET: nothing about that; None or '' takes it away.

    Args:
        status: Of the connection.
        device: What the connection runs on, such as `phone`.
        data: Of the user: anything the application wants to show.
        text: Of the user.
        text_until_ms: When the text goes by itself (ms since 1970); None: never.
    """

    status: Status | UnsetType = UNSET
    device: str | UnsetType = UNSET
    data: Any = UNSET
    text: str | UnsetType = UNSET
    text_until_ms: int | None = None


class Device(Struct):
    """One connection, or its place while it is away.

    Args:
        id: Begins with the node's name.
        status: Its own.
        name: What it runs on; '': not said.
        socket: Its id; '' while it is away.
        via: The kind of the subscription that brought it here, with which it leaves; '': it came by command.
        gone_ms: While it is away: when it goes for good.
        is_silent: Whether it may be gone without a word: it has not answered for a while, and is published as idle.
    """

    id: str
    status: Status
    name: str
    socket: str
    via: str = ""
    gone_ms: int | None = None
    is_silent: bool = False


class Person(Struct):
    """A user with connections here, or of whom something is still to be written.

    Args:
        devices: By id.
        active_ms: When one of them was active last (ms since 1970).
        since_ms: When the first of them came.
        facts: What is published of the user beside connections, as far as is known: `data`, `text`, `text_until`.
        said: Of these, what is still to be written; None takes away.
        text_until_ms: When the text goes.
        is_hidden: Whether nothing of them is published.
        entry: What is published, as far as is known; None: nothing.
        offset: Of that.
    """

    active_ms: int
    since_ms: int
    is_hidden: bool = False
    devices: dict[str, Device] = {}
    facts: dict[str, Any] = {}
    said: dict[str, Any] = {}
    text_until_ms: int | None = None
    entry: Entry | None = None
    offset: int = 0

    @property
    def is_here(self) -> bool:
        """Whether one of their connections is not away."""
        return any(each.socket for each in self.devices.values())


class Room:
    """The connections of one node in one room.

    Args:
        node: Its name: what the ids of its connections begin with.
    """

    def __init__(self, node: str) -> None:
        self.node = node
        self.people: dict[str, Person] = {}
        # Whose entry may not be as it should; in the order in which it happened.
        self._dirty: dict[str, None] = {}

    @property
    def is_settled(self) -> bool:
        """Whether everything is written."""
        return not self._dirty

    # ── connections ──
    def enter(
        self,
        user: str,
        id: str,
        socket: str,
        said: Said,
        now_ms: int,
        *,
        via: str = "",
        is_hidden: bool = False,
    ) -> Device:
        """A connection comes: into the place of one that is away, on the same sort of device if there is one; else into a new place.

        Args:
            user: Whose.
            id: For a new place.
            socket: The connection's.
            said: What it says; a status that is not said is `online`.
            now_ms: Milliseconds since 1970.
            via: See `Device`.
            is_hidden: Whether nothing of the user is to be published.

        Raises:
            TooMany: The user has 50 connections here.
        """
        person = self.people.get(user)
        if person is None:
            person = self.people[user] = Person(now_ms, now_ms)
        name = said.device or ""
        status: Status = "online" if said.status is UNSET else said.status
        away = [each for each in person.devices.values() if not each.socket]
        device = next((each for each in away if each.name == name), away[0] if away else None)
        if device is None:
            if len(person.devices) >= DEVICES:
                raise TooMany(f"you are here {DEVICES} times", limit=DEVICES)
            device = person.devices[id] = Device(id, status, name, socket, via)
        person.is_hidden = is_hidden
        device.socket, device.via, device.gone_ms, device.is_silent = socket, via, None, False
        device.status, device.name = status, name
        self._say(user, person, said, now_ms)
        return device

    def restore(self, user: str, person: Person, devices: Iterable[Device]) -> None:
        """A user is here whose connections are all away, as a process before this one has saved it."""
        self.people[user] = person
        person.devices = {device.id: device for device in devices}
        self._dirty[user] = None

    def update(self, user: str, device: Device, said: Said, now_ms: int) -> None:
        """A connection says something, or only that it is active."""
        if said.status is not UNSET:
            device.status = said.status
        if said.device is not UNSET:
            device.name = said.device
        self._say(user, self.people[user], said, now_ms)

    def hear(self, user: str, device: Device, *, is_silent: bool) -> bool:
        """A connection answers, or not; returns whether it is another than before."""
        if device.is_silent == is_silent:
            return False
        device.is_silent = is_silent
        self._dirty[user] = None
        return True

    def lose(self, device: Device, gone_ms: int) -> None:
        """A connection broke; its place is kept until a time. Nothing is published."""
        device.socket, device.gone_ms = "", gone_ms

    def leave(self, user: str, device: Device) -> None:
        """A connection goes for good, or did not come back in time."""
        person = self.people.get(user)
        if person is not None and person.devices.get(device.id) is device:
            del person.devices[device.id]
            self._dirty[user] = None

    def hide(self, user: str, is_hidden: bool) -> None:
        """Publish nothing of a user from now on, or something again."""
        person = self.people.get(user)
        if person is not None and person.is_hidden != is_hidden:
            person.is_hidden = is_hidden
            self._dirty[user] = None

    def end_text(self, user: str, now_ms: int) -> None:
        """Take away a user's text if its time is over."""
        person = self.people.get(user)
        if person is None or person.text_until_ms is None or person.text_until_ms > now_ms:
            return
        person.text_until_ms = None
        person.said |= {"text": None, "text_until": None}
        self._dirty[user] = None

    def assert_all(self) -> None:
        """Write everything again that is not there: somebody may have taken this node for dead."""
        for person in self.people.values():
            if person.devices:  # of the others it must be known what to take away
                person.entry, person.offset = None, 0
        self._dirty |= dict.fromkeys(self.people)

    def _say(self, user: str, person: Person, said: Said, now_ms: int) -> None:
        person.active_ms = now_ms
        if said.data is not UNSET:
            person.said["data"] = said.data
        if said.text is not UNSET:
            person.text_until_ms = said.text_until_ms if said.text else None
            until = None if person.text_until_ms is None else rfc3339(person.text_until_ms)
            person.said |= {"text": said.text or None, "text_until": until}
        self._dirty[user] = None

    # ── what is published ──
    def changes(self) -> dict[str, Change]:
        """What should be written now, by user; to be followed by `applied`, or by `failed`."""
        found: dict[str, Change] = {}
        dirty, self._dirty = self._dirty, {}
        for user in dirty:
            person = self.people[user]
            change = change_of(user, person, self.node)
            if change is not None:
                found[user] = change
            elif not person.devices:
                del self.people[user]
        return found

    def applied(self, changes: Mapping[str, Change], outcomes: Sequence[Outcome]) -> None:
        """What became of changes, in their order. What others were faster with is decided anew with the next `changes`."""
        for (user, change), outcome in zip(changes.items(), outcomes, strict=True):
            person = self.people[user]
            if outcome.refused is not None:
                item = outcome.item
                person.entry = None if item is None else item.data
                person.offset = 0 if item is None else item.offset
                self._dirty[user] = None
                continue
            person.entry = None if change.event == REMOVE else change.data
            person.offset = outcome.offset
            if person.entry is not None:
                person.facts = facts_of(person.entry)
                # What was said meanwhile is still to be written.
                person.said = {
                    name: value
                    for name, value in person.said.items()
                    if person.facts.get(name) != value
                }
            if not person.devices:  # `changes` forgets them
                self._dirty[user] = None

    def failed(self, changes: Iterable[str]) -> None:
        """They could not be written; they are due again."""
        self._dirty = dict.fromkeys(changes) | self._dirty


def change_of(user: str, person: Person, node: str) -> Change | None:
    """What makes a user's published entry what it should be; None: it is."""
    wanted = entry_of(person, node)
    entry = person.entry
    if wanted is None and entry is None:
        return None
    if wanted is None:
        return Change(
            event=REMOVE, data={"reason": "left"}, key=user, guard=Guard("at", person.offset)
        )
    if entry is None:
        return Change(event="enter", data=wanted, key=user, guard=ABSENT)
    if is_same(entry, wanted):
        return None
    return Change(event="update", data=wanted, key=user, guard=Guard("at", person.offset))


def entry_of(person: Person, node: str) -> Entry | None:
    """What should be published of a user; None: nothing. Connections of other nodes stay as they are."""
    before = person.entry or {}
    devices: dict[str, Any] = {
        id: device for id, device in before.get("devices", {}).items() if not id.startswith(node)
    }
    since = before.get("since")
    if not person.is_hidden:
        for device in person.devices.values():
            devices[device.id] = _shown("idle" if device.is_silent else device.status, device.name)
    if not devices:
        return None
    mine = rfc3339(person.since_ms)
    active = rfc3339(person.active_ms)
    facts = {**(facts_of(before) if before else person.facts), **person.said}
    return {
        "status": strongest(device["status"] for device in devices.values()),
        "since": mine if since is None else min(since, mine),
        "last_active": max(before.get("last_active", ""), active),
        "devices": devices,
        **{name: value for name, value in facts.items() if value is not None},
    }


@lru_cache(1024)
def _shown(status: Status, name: str) -> Mapping[str, str]:
    """What is published of a connection: one object for all that are alike, as most are (200 bytes each). Nobody changes it."""
    return {"status": status, "device": name} if name else {"status": status}


def without(entry: Entry, node: str) -> Entry | None:
    """An entry after a node's death; None: nothing is left of it."""
    devices = {id: each for id, each in entry["devices"].items() if not id.startswith(node)}
    if not devices:
        return None
    status = strongest(each["status"] for each in devices.values())
    return {**entry, "devices": devices, "status": status}


def facts_of(entry: Entry) -> dict[str, Any]:
    """What an entry says of the user beside connections."""
    return {name: entry[name] for name in ("data", "text", "text_until") if name in entry}


def copied(value: Any) -> Any:
    """A JSON value that may be changed without changing the one given: a store's values are its own."""
    return _decode(msgspec.json.encode(value))


def is_same(one: Entry, other: Entry) -> bool:
    """Whether two entries say the same: that somebody was active is no news while they are online."""
    return {**one, "last_active": ""} == {**other, "last_active": ""}


def strongest(statuses: Iterable[str]) -> str:
    """The status of a user whose connections have these."""
    return max(statuses, key=STRONGER.__getitem__)


@lru_cache(256)
def rfc3339(ms: int) -> str:
    """A time as it stands on the wire; later ones sort higher."""
    return as_datetime(ms).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
