"""Which pages may talk to the server from a browser, and what a browser is told about that (CORS).

A request without an Origin header does not come from a browser's page: cookies of a person can't be abused by it, so it passes.
Node checks the origin of nothing but what CORS lets a page read, so that any site can open a WebSocket with a person's cookies.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from msgspec import Struct

from clarion.errors import UsageError
from clarion.realtime.transports.head import Headers, joined
from clarion.telemetry import get_logger

log = get_logger(__name__)

MOST_NAMED: Final = 20  # origins in the log: anybody can make them up

AllowedOrigins: TypeAlias = str | Sequence[str | re.Pattern[str]] | Callable[[str], bool]
"""`*` is everybody · `https://app.example.com` · a list of such and of patterns, which must match as a whole · a function."""


class Cors(Struct, frozen=True, kw_only=True):
    """What pages of other origins may do."""

    origins: AllowedOrigins = ()
    """Besides the server's own. A function gets the Origin in lower case; if it raises, that page is not allowed."""
    credentials: bool = True
    """Whether they may send cookies and logins; never with `*`, which browsers refuse."""
    methods: Sequence[str] = ("GET", "POST")
    """What a preflight answers."""
    allowed_headers: Sequence[str] | None = None
    """Request headers that a page may set; None: those that it asks for."""
    exposed_headers: Sequence[str] = ()
    """Answer headers that a page may read besides the ordinary ones."""
    max_age_s: int = 600
    """For how long a browser may keep the answer to a preflight."""
    refuse: bool = True
    """Whether requests and WebSockets of other origins get 403. Off, they are served, and only not readable by the page, as in
    Node: then any site can act with the cookies of a person who visits it."""


class Origins:
    """The judge of Origin headers.

    Args:
        cors: The rules.

    Raises:
        UsageError: An origin that no browser would send.
    """

    def __init__(self, cors: Cors) -> None:
        origins = cors.origins
        listed = () if callable(origins) else [origins] if isinstance(origins, str) else origins
        if not isinstance(listed, Iterable) or any(not isinstance(each, _KINDS) for each in listed):
            raise UsageError(
                f"origins are text or patterns, or a function that judges them, not {origins!r}"
            )
        self._cors = cors
        self._ask = origins if callable(origins) else None
        self._everybody = "*" in listed
        self._listed = {_as_sent(each): None for each in listed if isinstance(each, str)}
        self._patterns = [each for each in listed if not isinstance(each, str)]
        # Grows to MOST_NAMED
        self._named: dict[bytes, None] = {}

    def allows(self, origin: bytes, host: bytes, *, is_secure: bool) -> bool:
        """Whether a request may be served.

        Args:
            origin: Its Origin header, empty if there is none.
            host: Its Host header: the page may be the server's own.
            is_secure: Whether it came over TLS, as far as we know: a proxy may have taken it off.
        """
        if not origin or not self._cors.refuse or self._everybody:
            return True
        origin = origin.lower()
        if _is_own(origin, host.lower(), is_secure=is_secure) or self._is_listed(origin):
            return True
        self._name(origin)
        return False

    def headers(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        """Headers with which a browser lets the page read the answer; none for the server's own pages and other programs."""
        if not origin:
            return []
        if self._everybody:
            found = [(b"access-control-allow-origin", b"*")]
        elif self._is_listed(origin.lower()):
            found = [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]
            if self._cors.credentials:
                found.append((b"access-control-allow-credentials", b"true"))
        else:
            return []
        if self._cors.exposed_headers:
            found.append((b"access-control-expose-headers", _listing(self._cors.exposed_headers)))
        return found

    def preflight(self, asked: Headers) -> list[tuple[bytes, bytes]]:
        """Headers that let a browser send what its page wants to send; go with those of `headers`."""
        cors = self._cors
        allowed = (
            joined(asked, b"access-control-request-headers")
            if cors.allowed_headers is None
            else _listing(cors.allowed_headers)
        )
        found = [
            (b"access-control-allow-methods", _listing(cors.methods)),
            (b"access-control-max-age", b"%d" % cors.max_age_s),
        ]
        if allowed:
            found.append((b"access-control-allow-headers", allowed))
        if cors.allowed_headers is None:
            found.append((b"vary", b"Access-Control-Request-Headers"))
        return found

    def _name(self, origin: bytes) -> None:
        """Say in the log who was refused: the browser's console speaks of CORS, and not of what to set. Each once, and the first few."""
        if origin not in self._named and len(self._named) < MOST_NAMED:
            self._named[origin] = None
            told = "a page of another origin was refused: list it in allowed_origins if it is yours"
            log.warning(told, origin=origin.decode("latin-1")[:200])

    def _is_listed(self, origin: bytes) -> bool:
        text = origin.decode("latin-1")
        if self._ask is not None:
            try:
                return bool(self._ask(text))
            except Exception:
                log.exception("the function for allowed origins failed", origin=text[:200])
                return False
        return text in self._listed or any(each.fullmatch(text) for each in self._patterns)


_KINDS: Final = (str, re.Pattern)


def _as_sent(origin: str) -> str:
    """As a browser writes it: without a path, in lower case."""
    found = _ORIGIN.fullmatch(origin.lower())
    if origin != "*" and found is None:
        raise UsageError(f"{origin!r} is not an origin: write https://host or https://host:port")
    return found[1] if found is not None else origin


_ORIGIN = re.compile(r"(null|[a-z][a-z0-9+.-]*://[^/?#\s]+)(?:/.*)?")


def _listing(names: Sequence[str]) -> bytes:
    return ", ".join(names).encode("latin-1")


_PORTS = {b"http": b":80", b"https": b":443"}


def _is_own(origin: bytes, host: bytes, *, is_secure: bool) -> bool:
    """Whether a page came from where its request goes."""
    scheme, _, page = origin.partition(b"://")
    if scheme not in _PORTS or (is_secure and scheme != b"https"):
        return False
    return _with_port(page, scheme) == _with_port(host, scheme)


def _with_port(host: bytes, scheme: bytes) -> bytes:
    """`example.com` and `example.com:443` are one for https."""
    bare = host.rpartition(b"]")[2]  # of an IPv6 address what stands behind its brackets
    return host if b":" in bare else host + _PORTS[scheme]
