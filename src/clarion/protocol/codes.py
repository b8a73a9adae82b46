"""Numbers and words with which a connection, a subscription or a socket ends, and what a client should do then.

Ranges carry the advice, so that a client need not know each number: 3000-3499 "reconnect (or subscribe again) and
recover", 3500-3999 "stop, it won't help". RFC 6455 §7.4.2 leaves 3000-3999 to registered libraries, 1000-2999 to itself.
`docs/reference/codes.md` is generated from `rows()`.
"""

from collections.abc import Iterator
from enum import Enum, IntEnum, unique
from typing import Literal, Self

from msgspec import Struct

Advice = Literal["recover", "stop", "fix"]
"""recover: come back and go on from where it was · stop: a person must act · fix: the program that sent it is wrong."""


@unique
class CloseCode(IntEnum):
    """Close codes of the WebSocket, and codes of `unsubscribed`."""

    def __new__(cls, value: int, scope: str, meaning: str) -> Self:
        """A row of the table."""
        member = int.__new__(cls, value)
        member._value_ = value
        return member

    def __init__(self, _value: int, scope: str, meaning: str) -> None:
        self.scope = scope
        self.meaning = meaning

    # RFC 6455 §7.4.1: those that we send.
    NORMAL = 1000, "close", "The client asked for it, or everything was said"
    GOING_AWAY = 1001, "close", "The server stops"
    PROTOCOL_ERROR = 1002, "close", "A frame broke RFC 6455"
    WRONG_PARSER = (
        1003,
        "close",
        "Packets of the other parser came: `realtime.parser` and the client's `parser` must be the same",
    )
    INVALID_DATA = 1007, "close", "A text message was not UTF-8"
    POLICY = 1008, "close", "The attachments that a packet announced did not come in time"
    TOO_BIG = 1009, "close", "A message, or the number of its fragments, exceeded its limit"
    INTERNAL = 1011, "close", "A bug of ours; the log has it"
    # Reconnect, or subscribe again, and recover.
    DRAINING = 3001, "close", "This process is shutting down in good order; another one serves"
    AGED = 3002, "close", "The connection reached its maximum age; connections are spread anew"
    SLOW = 3008, "close, unsubscribed", "The client did not read fast enough: its queue was full"
    RATE = 3009, "close", "More events than allowed, for longer than is forgiven"
    INSUFFICIENT_STATE = (
        3010,
        "unsubscribed",
        "Publications were lost on the way: subscribe again with your position",
    )
    UNCONFIRMED = (
        3011,
        "unsubscribed",
        "The application does not say now whether this is still allowed: subscribe again with your position",
    )
    RESIZED = (
        3012,
        "unsubscribed",
        "The topic has grown too large for this way of following it: subscribe again, and get it by another one",
    )
    # Stop.
    REVOKED = 3500, "close, unsubscribed", "The user, the token or the right was taken back"
    TOKEN_EXPIRED = 3501, "close, unsubscribed", "The token ran out and was not renewed: log in"
    UNAUTHENTICATED = 3502, "close", "No namespace was joined in time"
    TOO_MANY_CONNECTIONS = 3505, "close", "This user or address holds as many connections as it may"

    @property
    def advice(self) -> Advice:
        """What a client should do."""
        return advice(self.value)

    @property
    def reason(self) -> str:
        """The name on the wire, such as `insufficient_state`."""
        return self.name.lower()


TOO_BIG_MESSAGE = "message too big (limits.max_payload_bytes)"
"""The reason that goes with `TOO_BIG` for a message, by whichever of its layers it is noticed."""


def advice(code: int) -> Advice:
    """What a client should do after a code, known or not: the range decides."""
    if 3500 <= code <= 3999:
        return "stop"
    if code in _FAULTS:
        return "fix"
    return "recover"


# The same bytes would be refused again; a client that reconnects must not repeat them.
_FAULTS = frozenset({1002, 1003, 1007, 1008, 1009})


@unique
class EngineError(IntEnum):
    """Why Engine.IO refuses a request: number and text as Node sends them, HTTP status of a polling answer."""

    def __new__(cls, value: int, message: str, status: int, advice: Advice) -> Self:
        """A row of the table."""
        member = int.__new__(cls, value)
        member._value_ = value
        return member

    def __init__(self, _value: int, message: str, status: int, advice: Advice) -> None:
        self.message = message
        self.status = status
        self.advice: Advice = (
            advice  # the official client never looks: it reconnects after any answer but 200
        )

    TRANSPORT_UNKNOWN = 0, "Transport unknown", 400, "fix"
    UNKNOWN_SID = 1, "Session ID unknown", 400, "recover"
    BAD_HANDSHAKE_METHOD = 2, "Bad handshake method", 400, "fix"
    BAD_REQUEST = 3, "Bad request", 400, "fix"
    FORBIDDEN = 4, "Forbidden", 403, "stop"
    UNSUPPORTED_PROTOCOL_VERSION = 5, "Unsupported protocol version", 400, "fix"


@unique
class Reason(Enum):
    """Why a socket is gone: what `disconnect` listeners get, word for word as in Socket.IO."""

    def __init__(self, text: str, recoverable: bool, meaning: str) -> None:
        self.text = text
        self.recoverable = recoverable
        """Whether connection state recovery may bring the socket back."""
        self.meaning = meaning

    CLIENT_DISCONNECT = "client namespace disconnect", False, "The client left the namespace"
    SERVER_DISCONNECT = "server namespace disconnect", False, "The server put the socket out"
    SHUTTING_DOWN = "server shutting down", True, "The server closes every session"
    PING_TIMEOUT = "ping timeout", True, "No pong came in time"
    TRANSPORT_CLOSE = "transport close", True, "The client or the network closed the connection"
    TRANSPORT_ERROR = "transport error", True, "The transport broke, or its rules were broken"
    FORCED_CLOSE = "forced close", True, "A Socket.IO packet could not be decoded"
    FORCED_SERVER_CLOSE = (
        "forced server close",
        True,
        "A packet out of turn, no namespace was joined in time, or the session reached its age",
    )
    PARSE_ERROR = "parse error", False, "An Engine.IO packet could not be decoded"


class Row(Struct, frozen=True):
    """One line of the reference page."""

    table: Literal["close", "engine", "reason"]
    code: str
    name: str
    where: str
    advice: str
    meaning: str


def rows() -> Iterator[Row]:
    """Every code of the three tables, in order; the only source of `docs/reference/codes.md`."""
    for code in CloseCode:
        yield Row("close", str(code.value), code.reason, code.scope, code.advice, code.meaning)
    for error in EngineError:
        where, name = f"HTTP {error.status}", error.name.lower()
        yield Row("engine", str(error.value), name, where, error.advice, error.message)
    for reason in Reason:
        recover = "recoverable" if reason.recoverable else "final"
        yield Row("reason", reason.text, reason.name.lower(), "disconnect", recover, reason.meaning)
