"""What servers say to each other, in no format. One message is about one namespace.

`request` is the id of what wants an answer, which the answer repeats; `uid` is the sender, who passes over its own echo.
"""

from typing import Any

from msgspec import Struct


class Options(Struct, frozen=True):
    """Whom a message is about, and how an event is sent.

    Args:
        rooms: Everybody in one of these; none: in the namespace.
        excluded: But nobody in one of these.
        is_volatile: Not for who is behind in reading.
        compress: Whether connections may compress; None: nothing was said.
        expects_one: The answer of one socket is wanted, not a list.
        timeout_ms: For answers.
    """

    rooms: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    is_volatile: bool = False
    compress: bool | None = None
    expects_one: bool = False
    timeout_ms: int | float | None = None


class Broadcast(Struct, frozen=True):
    """An event for sockets.

    Args:
        uid: Who says so.
        event: Its name, then its arguments.
        options: Whom it is for.
        request: Answers of the sockets are wanted; None: none.
        ack: The id of an event to one socket that wants an answer, kept for recovery; None: none.
    """

    uid: str
    event: list[Any]
    options: Options = Options()
    request: str | None = None
    ack: int | None = None


class Join(Struct, frozen=True):
    """Put sockets into rooms. With a `request` (adapters before version 7) it is about one socket, whose server answers `Done`."""

    uid: str
    options: Options
    rooms: tuple[str, ...]
    request: str | None = None


class Leave(Struct, frozen=True):
    """Take sockets out of rooms; `request` as in `Join`."""

    uid: str
    options: Options
    rooms: tuple[str, ...]
    request: str | None = None


class Disconnect(Struct, frozen=True):
    """Put sockets out of the namespace, or with `close` end their sessions; `request` as in `Join`."""

    uid: str
    options: Options
    close: bool
    request: str | None = None


class Fetch(Struct, frozen=True):
    """Which sockets are there? Answered by `Fetched`."""

    uid: str
    options: Options
    request: str


class ServerSide(Struct, frozen=True):
    """An event for the servers themselves; with a `request` each answers `Emitted`."""

    uid: str
    event: list[Any]
    request: str | None = None


class AllRooms(Struct, frozen=True):
    """Which rooms are there? Answered by `Rooms`."""

    uid: str
    request: str


class ListIds(Struct, frozen=True):
    """The ids of the sockets in rooms? Of adapters before version 7; answered by `ListedIds`."""

    uid: str
    request: str
    rooms: tuple[str, ...]


class Fetched(Struct, frozen=True):
    """Sockets, each `{id, handshake, rooms, data}`."""

    request: str
    sockets: list[dict[str, Any]]
    uid: str = ""


class Rooms(Struct, frozen=True):
    """The rooms of one server."""

    request: str
    rooms: tuple[str, ...]


class ListedIds(Struct, frozen=True):
    """Ids of sockets of one server."""

    request: str
    ids: tuple[str, ...]


class Emitted(Struct, frozen=True):
    """What a server answers to an event; None also where it answered nothing."""

    request: str
    value: Any
    uid: str = ""


class Counted(Struct, frozen=True):
    """How many sockets of one server were sent an event that wants answers."""

    request: str
    count: int
    uid: str = ""


class Acked(Struct, frozen=True):
    """What one socket answered: the first argument alone."""

    request: str
    value: Any
    uid: str = ""


class Done(Struct, frozen=True):
    """A request of an old adapter was carried out."""

    request: str


class Beat(Struct, frozen=True):
    """A server is there (`kind` 1, or 2 for the first time answered), or goes (13)."""

    uid: str
    kind: int


Message = (
    Broadcast
    | Join
    | Leave
    | Disconnect
    | Fetch
    | ServerSide
    | AllRooms
    | ListIds
    | Fetched
    | Rooms
    | ListedIds
    | Emitted
    | Counted
    | Acked
    | Done
    | Beat
)
