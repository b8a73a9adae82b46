"""What a client said when it opened its session: as `socket.handshake` in Node."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from msgspec import Struct

from clarion.clock import as_datetime
from clarion.realtime.transports.request import Request

# They say how the connection was made, not who made it. What remains is kept for as long as the session lives: with all of
# them a browser's idle connection would cost 0.6 KB more.
_FORGOTTEN: Final = frozenset(
    {b"connection", b"upgrade", b"content-length", b"accept", b"accept-encoding", b"cache-control",
     b"pragma", b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-extensions"}
)  # fmt: skip


class Handshake(Struct, frozen=True):
    """The first request of a session, shared by its sockets, and what this socket said to be let into its namespace."""

    address: str
    """The client's, as a trusted proxy told it where there is one."""
    secure: bool
    """Whether the client's side speaks TLS."""
    issued: int
    """When, in milliseconds since 1970."""
    url: str
    """Path and query."""
    auth: Mapping[str, Any]
    """Object that came with the CONNECT packet; empty if none did."""
    raw_headers: bytes
    """`name:value` lines; use `headers`."""

    @property
    def time(self) -> str:
        """`issued` as text (RFC 3339)."""
        return as_datetime(self.issued).isoformat(timespec="milliseconds")

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers, names in lower case; several of a name joined by commas. Made anew at each use."""
        found: dict[str, str] = {}
        for line in self.raw_headers.decode("latin-1").split("\n"):
            name, colon, value = line.partition(":")
            if colon:
                found[name] = f"{found[name]}, {value}" if name in found else value
        return found

    @property
    def path(self) -> str:
        """The URL without its query."""
        return self.url.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The request's query; of several values of a key the last."""
        return dict(parse_qsl(self.url.partition("?")[2], keep_blank_values=True))

    @property
    def xdomain(self) -> bool:
        """Whether the request named an origin, as browsers do for other sites."""
        return self.raw_headers.startswith(b"origin:") or b"\norigin:" in self.raw_headers


def make_handshake(request: Request, now_ms: int) -> Handshake:
    """What is worth keeping of the request that began a session.

    Args:
        request: Its headers' values have no line ends: the HTTP parser refuses them.
        now_ms: The time.
    """
    kept = b"\n".join(
        b"%b:%b" % (name, value) for name, value in request.raw_headers if name not in _FORGOTTEN
    )
    return Handshake(request.address, request.is_secure, now_ms, request.url, {}, kept)
