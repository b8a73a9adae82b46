"""What a request's head must be before anything is done for it: rules over values, no I/O.

The parser (llhttp) refuses what is no HTTP at all: two framings, folded headers, a space before the colon, a bare line feed. Here
is what it lets through: heads without end, no Host or two, control bytes, upgrades that hide a body, and the rules of RFC 6455.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias

import msgspec

from clarion.errors import SettingsError
from clarion.settings import Limits

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Names in lower case, values as they came, in the order of the wire."""

Address: TypeAlias = tuple[str, int]
"""Host and port of a peer; the port is 0 where only a proxy knew it."""

Networks: TypeAlias = Sequence[IPv4Network | IPv6Network]

_HOST = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
# C0 and C1 without the tab, which RFC 9110 §5.5 allows: 0x85 is a line's end to code that splits lines after decoding.
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_C0 = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Refused(Exception):
    """The request is answered with an error instead of being served, and the connection is closed.

    Args:
        status: HTTP status of the answer.
        body: What the peer reads.
        content_type: Of the body.
        retry_after_s: Becomes a `Retry-After` header.
        limit: Name of the limit that was exceeded, for the count of breaches.
    """

    def __init__(
        self,
        status: int,
        body: str | bytes = b"",
        content_type: str = "text/plain; charset=utf-8",
        *,
        retry_after_s: int | None = None,
        limit: str = "",
    ) -> None:
        self.body = body.encode() if isinstance(body, str) else body
        super().__init__(f"{status} {self.body[:200].decode(errors='replace')}")
        self.status, self.content_type = status, content_type
        self.retry_after_s, self.limit = retry_after_s, limit

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the answer says of its body and of a next try."""
        found = [
            (b"content-type", self.content_type.encode()),
            (b"content-length", b"%d" % len(self.body)),
        ]
        if self.retry_after_s is not None:
            found.append((b"retry-after", b"%d" % self.retry_after_s))
        if self.status == 426:  # RFC 6455 §4.4: say which version is spoken here
            found.append((b"sec-websocket-version", b"13"))
        return found

    def as_response(self) -> bytes:
        """The whole answer, as it goes over the wire."""
        lines = [b"HTTP/1.1 %d %s" % (self.status, HTTPStatus(self.status).phrase.encode())]
        lines += [b"%b: %b" % header for header in self.headers]
        lines.insert(3, b"connection: close")
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body


class Upgrade(msgspec.Struct, frozen=True):
    """A request for a WebSocket that is fit to be answered with 101. Do not keep it: its headers cost 1-2 KB a connection."""

    target: bytes
    """Path and query, as they came."""
    headers: Headers
    client: Address | None
    """The peer's address; with trusted proxies the one that they name; None where it is not known."""
    is_secure: bool
    """Whether the peer's side speaks TLS, as far as we or a trusted proxy can tell."""
    answer: list[tuple[str, str]] = []
    """Further headers of the 101: whoever admits may add some."""

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        """What follows the question mark."""
        return self.target.partition(b"?")[2]

    def header(self, name: bytes) -> bytes:
        """A header's value, several joined by commas (RFC 9110 §5.3); `b""` where there is none."""
        return joined(self.headers, name)


def joined(headers: Headers, name: bytes) -> bytes:
    """All values of a header as one."""
    found: bytes | None = None
    for key, value in headers:
        if key == name:
            found = value if found is None else b"%b,%b" % (found, value)
    return found or b""


def check_header(name: bytes, value: bytes) -> None:
    """One header by itself.

    Raises:
        Refused: 400 for control bytes, and for anything but ASCII where the WebSocket handshake is meant.
    """
    if name.startswith(b"sec-websocket-") and not value.isascii():
        raise Refused(400, "Sec-WebSocket headers are ASCII")
    # Browsers send a cookie's UTF-8 raw, continuation bytes are C1; no line is ever split out of a cookie here.
    if (_C0 if name == b"cookie" else _CONTROL).search(value):
        raise Refused(400, "control bytes in a header")


def check_head(version: str, headers: Headers, limits: Limits) -> None:
    """The head as a whole.

    Raises:
        Refused: 431 for size and count, 400 for none or several or a malformed Host (RFC 9112 §3.2).
    """
    if len(headers) > limits.headers:
        raise Refused(431, "too many headers", limit="headers")
    if sum(len(name) + len(value) + 4 for name, value in headers) > limits.head_bytes:
        raise Refused(431, "request head too large", limit="head_bytes")
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1 and (hosts or version != "1.0"):
        raise Refused(400, "exactly one Host header, please")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise Refused(400, "malformed Host header")


def wants_websocket(headers: Headers) -> bool:
    """Whether this asks for a WebSocket; `Connection` is a list, and Firefox sends `keep-alive, Upgrade`."""
    if joined(headers, b"upgrade").strip().lower() != b"websocket":
        return False
    tokens = joined(headers, b"connection").lower().split(b",")
    return any(token.strip() == b"upgrade" for token in tokens)


def has_body(headers: Headers) -> bool:
    """Whether a body is announced."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 ") != b"")
        for name, value in headers
    )


def websocket_key(method: bytes, headers: Headers) -> bytes:
    """The key of a WebSocket handshake that is as RFC 6455 §4.2.1 wants it.

    Raises:
        Refused: 405, 426 or 400.
    """
    if method != b"GET":
        raise Refused(405, "a WebSocket begins with GET")
    if joined(headers, b"sec-websocket-version").strip() != b"13":
        raise Refused(426, "WebSocket version 13, please")
    key = joined(headers, b"sec-websocket-key").strip()
    try:
        is_key = len(key) == 24 and len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        is_key = False
    if not is_key:
        raise Refused(400, "bad Sec-WebSocket-Key")
    return key


def parse_networks(listed: Sequence[str]) -> Networks:
    """Addresses and networks (`10.0.0.0/8`) out of the settings; one alone need be no list.

    Raises:
        SettingsError: One is neither.
    """
    try:
        several = [listed] if isinstance(listed, str) else listed
        return [ip_network(item.strip(), strict=False) for item in several]
    except ValueError as exc:
        raise SettingsError(f"trusted_proxies: {exc}") from exc


def original(
    peer: Address | None, is_secure: bool, headers: Headers, trusted: Networks
) -> tuple[Address | None, bool]:
    """Who asked, and whether over TLS, when some proxies are trusted.

    `X-Forwarded-For` is read from right to left, for as long as the one who wrote an entry is trusted: the first address that
    is not a trusted proxy's is the client. An entry that is no address ends the walk: nothing left of it can be believed.
    """
    if peer is None or not is_trusted(peer[0], trusted):
        return peer, is_secure
    scheme = joined(headers, b"x-forwarded-proto").rpartition(b",")[2].strip().lower()
    if scheme in {b"https", b"wss", b"http", b"ws"}:
        is_secure = scheme in {b"https", b"wss"}
    for entry in reversed(joined(headers, b"x-forwarded-for").split(b",")):
        host = _bare_host(entry.strip().decode("latin-1"))
        if host is None:
            break
        peer = host, 0
        if not is_trusted(host, trusted):
            break
    return peer, is_secure


def is_trusted(host: str, trusted: Networks) -> bool:
    """Whether an address is in one of the networks; an IPv4 address inside IPv6 counts as what it is."""
    address = ip_address(host.partition("%")[0])
    if address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in trusted)


def _bare_host(entry: str) -> str | None:
    """The address in `1.2.3.4`, `1.2.3.4:5`, `::1` or `[::1]:5`, in its usual spelling."""
    if entry.startswith("["):
        entry = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        entry = entry.partition(":")[0]
    try:
        return str(ip_address(entry))
    except ValueError:
        return None
