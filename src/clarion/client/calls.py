"""What is asked and how the answer is read, without any I/O: both clients are shells over this."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Recipient = str | Mapping[str, Any]
"""A user's id, or `{"id": …, "name"?, "email"?, "phone"?, "locale"?, "time_zone"?, "attributes"?}`."""

# What msgspec raises of bytes that are not what was asked for.
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# Statuses after which the same call may succeed: the server had not begun, or the key makes the repetition safe.
_TRY_AGAIN = frozenset({429, 503})
# Things that one call takes at most: publications, documents, users.
_BATCH = 1_000
# Seconds a client waits at most before it tries again, whatever the server says.
_LONGEST_WAIT_S = 30.0


class Accepted(msgspec.Struct, frozen=True):
    """A notification that was stored: `durability` says what the answer means."""

    id: str
    recipients: int
    durability: str
    created_at: str
    skipped: int = 0
    """Recipients who do not want it."""


class Key(msgspec.Struct, frozen=True):
    """An API key, without its secret."""

    id: str
    name: str
    scopes: list[str]
    created_at: str
    last_used_at: str | None = None


class NewKey(Key, frozen=True, kw_only=True):
    """An API key as it is shown once."""

    key: str


class Keys(msgspec.Struct, frozen=True):
    """All keys of the caller's tenant."""

    items: list[Key]


class Emitted(msgspec.Struct, frozen=True):
    """An event that is on its way to `sockets` sockets: `durability` is `ephemeral`, nothing is stored."""

    sockets: int
    durability: str


class Room(msgspec.Struct, frozen=True):
    """A room, and how many sockets are in it."""

    name: str
    sockets: int


class Socket(msgspec.Struct, frozen=True):
    """Somebody's connection to a namespace."""

    id: str
    namespace: str
    user: str | None
    rooms: list[str]
    transport: str
    opened_at: str


class Rooms(msgspec.Struct, frozen=True):
    """A page of rooms."""

    items: list[Room]
    next: str | None


class Sockets(msgspec.Struct, frozen=True):
    """A page of sockets."""

    items: list[Socket]
    next: str | None


class Count(msgspec.Struct, frozen=True):
    """How many sockets were meant."""

    sockets: int


FAULTS_TOLD: Final = 5


class ApiError(Exception):
    """The server refused or failed, or could not be reached.

    Attributes:
        status: The HTTP status; 0 where no answer came.
        code: The error's name, such as `invalid` (docs/reference/errors.md); `unreachable` where no answer of Clarion's came.
        message: What happened, for a person.
        problem: The whole problem document (RFC 9457), with `errors` as JSON pointers into the body.
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(problem.get("code") or "unreachable")
        self.message = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        self.problem = dict(problem)
        super().__init__(f"{self.code}: {self.explained}")

    @property
    def explained(self) -> str:
        """The message in one line, with the first places that are wrong where it does not name them: `…: /payload: "text" is a required property`."""
        faults = self.problem.get("errors") or []
        told = [
            f"{each.get('pointer')}: {each.get('detail')}"
            for each in faults
            if str(each.get("detail")) not in self.message
        ]
        more = len(told) - FAULTS_TOLD
        shown = [*told[:FAULTS_TOLD], *([f"and {more} more"] if more > 0 else [])]
        return ": ".join([self.message, "; ".join(shown)] if shown else [self.message])


def not_clarion(status: int, where: str) -> ApiError:
    """Something else answers there."""
    return ApiError(status, {"detail": f"what answers on {where} is not Clarion"})


def refused(error: Mapping[str, Any]) -> ApiError:
    """What the server says of one of many things, or in an ack: `{code, message, …}`."""
    return ApiError(0, {**error, "detail": error.get("message")})


class Call(msgspec.Struct, Generic[T_co], frozen=True):
    """One request: what to send, and the type of its answer (None: no body)."""

    method: str
    path: str
    answer: type[T_co]
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = {}
    is_repeatable: bool = True
    """Whether making it twice has one effect: then it is tried again where no answer came."""
    content: Callable[[], Iterator[bytes]] | None = None
    """Instead of a body, pieces that are made while they are sent; from the beginning for each try."""

    def read(self, status: int, content: bytes, where: str) -> T_co:
        """The answer of the call, which `where` gave.

        Raises:
            ApiError: The status is not a success, or this is no answer of Clarion's.
        """
        if status >= 400:
            raise ApiError(status, _problem(content))
        if status >= 300:
            raise ApiError(status, {"detail": f"{where} leads elsewhere (HTTP {status})"})
        try:
            return self.decode(content)
        except (*_NOT_JSON, TypeError):  # of an empty answer where there are members
            raise not_clarion(status, where) from None

    def decode(self, content: bytes) -> T_co:
        """What a success says."""
        return msgspec.json.decode(content, type=self.answer) if content else self.answer()


def wait_before_retry(status: int, content: bytes, attempt: int, spread: float) -> float | None:
    """Seconds to wait before the call is repeated, or None where that would not help.

    Args:
        status: HTTP status; 0 where no answer came.
        content: Body of the answer.
        attempt: How often the call was tried; the first is 1.
        spread: A random number between 0 and 1, so that many clients don't come back together.
    """
    if status and status not in _TRY_AGAIN:
        return None
    asked = _problem(content).get("retry_after") if status else None
    if isinstance(asked, int | float):
        return min(float(asked) + spread, _LONGEST_WAIT_S)
    return min(2.0**attempt * 0.25 * (0.5 + spread), _LONGEST_WAIT_S)


def notify(
    recipients: Sequence[Recipient],
    title: str,
    body: str | None,
    data: Mapping[str, Any] | None,
    action_url: str | None,
    idempotency_key: str,
    **more: Any,
) -> Call[Accepted]:
    """`POST /v1/notifications`."""
    if isinstance(recipients, str):  # it would be taken for a list of letters
        raise TypeError(f"recipients is a list: [{recipients!r}]")
    given = {"body": body, "data": data, "action_url": action_url, **more}
    content: dict[str, Any] = {"recipients": list(recipients), "title": title}
    content |= {name: value for name, value in given.items() if value is not None}
    return Call(
        "POST", "/v1/notifications", Accepted, content, {"idempotency-key": idempotency_key}
    )


def create_key(name: str, scopes: Sequence[str]) -> Call[NewKey]:
    """`POST /v1/keys`."""
    return Call("POST", "/v1/keys", NewKey, {"name": name, "scopes": list(scopes)})


def list_keys() -> Call[Keys]:
    """`GET /v1/keys`."""
    return Call("GET", "/v1/keys", Keys)


def revoke_key(key_id: str) -> Call[dict[str, Any]]:
    """`DELETE /v1/keys/{id}`."""
    return Call("DELETE", f"/v1/keys/{quote(key_id, safe='')}", dict)


def emit(
    whom: str,
    event: str,
    args: Sequence[Any],
    namespace: str | None,
    except_: Sequence[str],
    volatile: bool,
) -> Call[Emitted]:
    """`POST /v1/broadcast`, or `POST /v1/<whom>/emit`."""
    if isinstance(except_, str):
        raise TypeError(f"except_ is a list: [{except_!r}]")
    body: dict[str, Any] = {"event": event, "args": list(args)}
    body |= {"namespace": namespace} if namespace is not None else {}
    body |= {"except": list(except_)} if except_ else {}
    body |= {"volatile": True} if volatile else {}
    path = f"/v1/{whom}/emit" if whom else "/v1/broadcast"
    # It may have been sent although no answer came, and a second event is another event.
    return Call("POST", path, Emitted, body, is_repeatable=False)


def list_rooms(namespace: str | None, cursor: str | None) -> Call[Rooms]:
    """`GET /v1/rooms`."""
    return Call("GET", "/v1/rooms" + query(namespace=namespace, cursor=cursor, limit=1000), Rooms)


def list_sockets(whose: str, namespace: str | None, cursor: str | None) -> Call[Sockets]:
    """`GET /v1/<whose>/sockets`, `whose` being a room or a user."""
    asked = query(namespace=namespace, cursor=cursor, limit=1000)
    return Call("GET", f"/v1/{whose}/sockets{asked}", Sockets)


def move(
    room: str, how: str, users: Sequence[str], sockets: Sequence[str], namespace: str | None
) -> Call[Count]:
    """`POST /v1/rooms/{room}/join` or `leave`."""
    if isinstance(users, str) or isinstance(sockets, str):
        raise TypeError("users and sockets are lists")
    body: dict[str, Any] = {"users": list(users), "sockets": list(sockets)}
    body |= {"namespace": namespace} if namespace is not None else {}
    return Call("POST", f"/v1/{place('rooms', room)}/{how}", Count, body)


def disconnect_user(user: str, namespace: str | None, close: bool) -> Call[Count]:
    """`DELETE /v1/users/{id}/sockets`."""
    asked = query(namespace=namespace, close="true" if close else None)
    return Call("DELETE", f"/v1/{place('users', user)}/sockets{asked}", Count)


def disconnect_socket(id: str, close: bool) -> Call[dict[str, Any]]:
    """`DELETE /v1/sockets/{id}`."""
    asked = query(close="true" if close else None)
    return Call("DELETE", f"/v1/{place('sockets', id)}{asked}", dict)


def place(collection: str, name: str) -> str:
    """The path of one thing; whatever is in its name leads to no other address."""
    quoted = quote(name, safe="")
    # RFC 3986 §5.2.4: a step `.` or `..` would be taken out on the way.
    return f"{collection}/{quoted.replace('.', '%2E') if not quoted.strip('.') else quoted}"


def batches(given: Sequence[T]) -> list[Sequence[T]]:
    """What is said in one call each."""
    return [given[at : at + _BATCH] for at in range(0, len(given), _BATCH)]


def query(**given: str | int | None) -> str:
    """The query of an address, without what is None."""
    wanted = {name: value for name, value in given.items() if value is not None}
    return f"?{urlencode(wanted)}" if wanted else ""


def _problem(content: bytes) -> dict[str, Any]:
    try:
        problem = msgspec.json.decode(content, type=dict[str, Any])
    except _NOT_JSON:
        return {"detail": content[:200].decode(errors="replace")}
    return problem
