"""The error tree: each class has a code, an HTTP status, and advice on trying again.

    ClarionError
    ├── PeerError          their mistake: the code goes to them, the breach is counted
    │   ├── Malformed, Invalid, TooLarge, UnsupportedMediaType, ProtocolError
    │   ├── Unauthenticated ── TokenExpired
    │   ├── Forbidden ── Blocked
    │   ├── NotFound, MethodNotAllowed, UnknownEvent, UnknownNamespace, ConnectRefused
    │   ├── Conflict ── IdempotencyConflict, InProgress
    │   ├── Stale
    │   ├── RateLimited, TooMany ── TooManyConnections
    │   └── TooCostly
    ├── ServerError        ours: they may try again, as `retry` says
    │   ├── Unavailable ── Overloaded, UpstreamUnavailable, OutcomeUnknown
    │   ├── StorageFull, Internal
    └── UsageError         the calling program's mistake: raised to it, never sent to a peer
        └── SettingsError, UndeclaredRight, OutboundRefused, Closed, Disconnected

Over HTTP an error is an RFC 9457 problem document, over a socket `{code, message, …}`; both come from here.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import msgspec

from clarion.allowed import allowed_at, members_at, unknown
from clarion.patterns import in_words

Retry = Literal["never", "later", "same"]
"""never: the call itself must change · later: the same call may succeed after a while · same: repeat it with the same key."""


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong and where: a JSON pointer into the body, `?name` of the query, or a header's name."""

    pointer: str
    detail: str

    @classmethod
    def of(cls, error: msgspec.ValidationError, kind: Any = None) -> "Fault":
        """What msgspec found, as a JSON pointer (RFC 6901) and what is wrong there.

        A member that is missing or unknown is pointed at itself, so that a form knows which one is meant.

        Args:
            error: What was raised.
            kind: The type that was asked for: where it leaves a choice of values, they are told. None: they are not.
        """
        detail, place, is_key = str(error), "", False
        if (found := _PLACE.fullmatch(detail)) is not None:
            detail, is_key, place = found[1], bool(found[2]), found[3]
        steps = [step[1] or step[2] or "..." for step in _STEP.finditer(place)]
        pointer = "".join(f"/{step}" for step in steps if step != "...")
        if (found := _UNKNOWN.fullmatch(detail)) is not None:
            members = () if kind is None else members_at(kind, steps)
            return cls(f"{pointer}/{pointer_step(found[1])}", unknown(found[1], members))
        if (missing := _MISSING.fullmatch(detail)) is not None:
            return cls(f"{pointer}/{pointer_step(missing[1])}", "is missing")
        if kind is not None and detail.startswith("Invalid "):
            way = [*steps, "key"] if is_key else steps
            if values := allowed_at(kind, way):
                return cls(pointer, f"{detail}: expected {_one_of(values)}")
        return cls(pointer, in_words(detail))


def _one_of(values: Sequence[str]) -> str:
    shown = [f"'{value}'" for value in values[:_SHOWN]]
    if len(values) > _SHOWN:
        return f"one of {len(values)}, such as {', '.join(shown)}"
    return " or ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


_SHOWN = 20  # values of a choice
# msgspec says: Expected `int`, got `str` - at `$.a[0].b`; for a dict's key: - at `key` in `$.a`; for its value: $.a[...]
_PLACE = re.compile(r"(?s)(.*) - at (`key` in )?`\$(.*?)`")
_UNKNOWN = re.compile(r"(?s)Object contains unknown field `(.*)`")
_MISSING = re.compile(r"Object missing required field `(.*)`")
_STEP = re.compile(r"\[(\d+)\]|\.([^.\[]+)|\[\.\.\.\]")


def pointer_step(name: str) -> str:
    """A name as a step of a JSON pointer (RFC 6901 §3)."""
    return name.replace("~", "~0").replace("/", "~1")


class ClarionError(Exception):
    """Base of everything that Clarion raises on purpose.

    Args:
        message: What happened and what a person can do about it. Never holds a secret. By default the first fault.
        faults: Places in the input that are wrong.
        retry_after_s: Seconds after which trying again makes sense.
        facts: Further members of the answer, such as `limit` and `size` (bytes).
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong"
    retry: ClassVar[Retry] = "later"

    def __init__(
        self,
        message: str = "",
        *,
        faults: Sequence[Fault] = (),
        retry_after_s: float | None = None,
        **facts: Any,
    ) -> None:
        if not message and faults:
            message = f"{faults[0].pointer or 'the body'}: {faults[0].detail}"
        super().__init__(message or self.title)
        self.message = message or self.title
        self.faults = tuple(faults)
        self.retry_after_s = retry_after_s
        self.facts: Mapping[str, Any] = facts

    def as_answer(self) -> dict[str, Any]:
        """The error as a socket sees it: `{code, message, retry_after?, errors?, …facts}`."""
        answer: dict[str, Any] = {"code": self.code, "message": self.message, **self.facts}
        if self.retry_after_s is not None:
            answer["retry_after"] = self.retry_after_s
        if self.faults:
            answer["errors"] = [msgspec.structs.asdict(fault) for fault in self.faults]
        return answer


class PeerError(ClarionError):
    """The peer asked for something that it may not have or put it wrongly."""

    code, status, title = "bad_request", 400, "The request cannot be served"
    retry: ClassVar[Retry] = "never"


class Malformed(PeerError):
    """The bytes do not parse."""

    code, status, title = "malformed", 400, "The body is not valid JSON"


class ProtocolError(PeerError):
    """A peer broke Engine.IO, Socket.IO or WebSocket; `position` is the offset in the packet where known."""

    code, status, title = "protocol_error", 400, "The protocol was broken"


class Unauthenticated(PeerError):
    """Credentials are missing, wrong or revoked. `challenge`: how they are to be given over HTTP (RFC 9110 §11.6.1)."""

    code, status, title = "unauthenticated", 401, "Credentials are missing or wrong"
    challenge: ClassVar[str] = "Bearer"


class TokenExpired(Unauthenticated):
    """The access token was good once: get a new one and come back."""

    code, title = "token_expired", "The access token has expired"


class Forbidden(PeerError):
    """Known, but not allowed."""

    code, status, title = "forbidden", 403, "Not allowed"


class Blocked(Forbidden):
    """The user was blocked; `until` says until when, null: for ever."""

    code, title = "blocked", "This user is blocked"


class NotFound(PeerError):
    """It does not exist, or it is not theirs to know of."""

    code, status, title = "not_found", 404, "There is no such thing"


class UnknownEvent(PeerError):
    """Nobody listens to this event here."""

    code, status, title = "unknown_event", 404, "No handler for this event"


class UnknownNamespace(PeerError):
    """The server offers no such namespace."""

    # The message is Node's, word for word: programs compare it.
    code, status, title = "unknown_namespace", 404, "Invalid namespace"


class ConnectRefused(PeerError):
    """A middleware of the application lets the client not into the namespace; further facts reach it as `err.data`."""

    code, status, title = "connect_refused", 403, "Not allowed to connect"


class MethodNotAllowed(PeerError):
    """The path exists, the method does not."""

    code, status, title = "method_not_allowed", 405, "This method is not offered here"


class Conflict(PeerError):
    """It contradicts what is stored."""

    code, status, title = "conflict", 409, "It contradicts what is there"


class IdempotencyConflict(Conflict):
    """The Idempotency-Key was used with another body."""

    code, title = "idempotency_conflict", "This Idempotency-Key was used with another body"


class InProgress(Conflict):
    """The first call with this Idempotency-Key still runs."""

    code, title, retry = "in_progress", "The first call with this key is still running", "same"


class Stale(PeerError):
    """It has changed since it was read (If-Match)."""

    code, status, title = "stale", 412, "It has changed since it was read"


class TooLarge(PeerError):
    """The peer sent more than it may; `limit` and `size` are bytes."""

    code, status, title = "too_large", 413, "Too large"


class UnsupportedMediaType(PeerError):
    """The body is of another type than the door takes (JSON, where nothing else is said), or compressed."""

    code, status, title = "unsupported_media_type", 415, "The body is of another type"


class Invalid(PeerError):
    """It parses, but it is not what is asked for; `errors` says where."""

    code, status, title = "invalid", 422, "The request is not valid"


class RateLimited(PeerError):
    """Too often; `retry_after` says when again."""

    code, status, title, retry = "rate_limited", 429, "Too many requests", "later"


class TooMany(PeerError):
    """More rooms, topics, sockets or namespaces than one client may have; `limit` says how many."""

    code, status, title = "too_many", 429, "Too many of these"


class TooManyConnections(TooMany):
    """This user holds as many connections as one may; `limit` says how many."""

    code, title = "too_many_connections", "Too many connections"


class TooCostly(PeerError):
    """Answering would take longer than one question may take: ask for less, or for something more particular."""

    code, status, title = "too_costly", 422, "This costs too much"


class ServerError(ClarionError):
    """The request was fine; we could not serve it."""


class Internal(ServerError):
    """A bug of ours. The log has the whole story, the answer has none of it."""


class Unavailable(ServerError):
    """A part that is needed is not there now; nothing was written."""

    code, status, title = "unavailable", 503, "Not available now"


class Overloaded(Unavailable):
    """Refused before its cost was paid."""

    code, title = "overloaded", "Too busy now"


class UpstreamUnavailable(Unavailable):
    """The application's own endpoint does not answer, or not in time. It may have been asked."""

    code, title = "upstream_unavailable", "The application is not available now"


class OutcomeUnknown(Unavailable):
    """The write had begun and its end was not seen: repeat it with the same Idempotency-Key or id."""

    code, title, retry = "outcome_unknown", "It may or may not have been done", "same"

    def __init__(self, message: str = "", **facts: Any) -> None:
        super().__init__(message, outcome="unknown", **facts)


class StorageFull(ServerError):
    """The disk is full: reads go on, writes do not."""

    code, status, title = "storage_full", 507, "No room to store it"


class UsageError(ClarionError):
    """A mistake in the program that calls us."""

    code = "usage"
    retry: ClassVar[Retry] = "never"


class SettingsError(UsageError):
    """A setting is wrong, or the settings do not go together. The command line exits with 2 and this message."""

    code = "bad_setting"


class UndeclaredRight(UsageError):
    """A route, command or kind does not say who may use it: nothing starts."""

    code = "undeclared_right"


class OutboundRefused(UsageError):
    """A call to the outside goes where none may go: a private address, a port, a scheme. Nothing was sent.

    `facts["opened_by"]` is the setting of the door that would let it through, `networks` or `ports`, if there is one.
    """

    code = "outbound_refused"


class Closed(UsageError):
    """The part was closed before this call."""

    code = "closed"


class Disconnected(UsageError):
    """The client left before it answered."""

    code = "disconnected"


class AckTimeout(UsageError):
    """Not every client answered in time; `responses` are the answers that came, in their order."""

    code = "ack_timeout"

    def __init__(
        self, message: str = "", *, responses: Sequence[Any] = (), missing: int = 1
    ) -> None:
        asked = len(responses) + missing
        one = "the client did not answer in time"
        many = f"{missing} of {asked} clients did not answer in time"
        super().__init__(message or (one if asked == 1 else many), missing=missing)
        self.responses = tuple(responses)
        self.missing = missing
