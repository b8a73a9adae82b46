"""The one door to the outside: an HTTP client that dials only addresses that were checked.

The check sits where the connection is made, so that the address that was judged is the address that is dialled: a name that
answers differently the second time (DNS rebinding) gains nothing. The name still goes into SNI, the certificate and Host.
"""

import asyncio
import functools
import ssl
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import httpcore
import httpx
import msgspec

from clarion.clock import Clock
from clarion.errors import OutboundRefused, Unavailable
from clarion.outbound.addresses import (
    Networks,
    addresses_in,
    check_addresses,
    check_url,
    origin_of,
    parse_networks,
)
from clarion.telemetry import get_logger

log = get_logger(__name__)

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Addresses of a name for a port, best first. Raises `OSError` where there are none."""

PORTS = (443, 8443)
HTTP_PORTS = (80, 8080)
DIAL_S = 3.0  # for each address of a name
IDLE_S = 15.0  # how long a connection is kept for the next call
REDIRECTS = frozenset({301, 302, 303, 307, 308})

# RFC 9110 §7.6.1 and §8.6: about the connection and the body's framing, which are ours. `Host` is that of the URL.
_OURS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

# What may follow a redirect to another origin: everything else could be a credential.
_HARMLESS = frozenset(
    {"accept", "accept-encoding", "accept-language", "content-type", "user-agent"}
)


class Answer(msgspec.Struct, frozen=True):
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """Names in lower case."""
    body: bytes
    """After inflation."""

    def header(self, name: str) -> str | None:
        """The first header of a name."""
        return next((value for key, value in self.headers if key == name.lower()), None)


@functools.cache
def public_certificates() -> ssl.SSLContext:
    """What is trusted by default: read once, since every reading costs 25 ms and 2 MB."""
    return httpx.create_ssl_context()


class Outbound:
    """Calls that leave this machine.

    Args:
        clock: For the log.
        resolver: Of names; by default the system's.
        allow_private: Networks that may be called though they are not public (`10.1.2.0/24`); none by default.
        allow_http: Whether `http://` may be called.
        ports: Ports that may be called; by default 443 and 8443, with `allow_http` also 80 and 8080.
        tls: Certificates to trust; by default the public ones.
    """

    def __init__(
        self,
        clock: Clock,
        resolver: Resolver | None = None,
        *,
        allow_private: Iterable[str] = (),
        allow_http: bool = False,
        ports: Iterable[int] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._clock, self._allow_http = clock, allow_http
        self._allowed = parse_networks(allow_private)
        default_ports = PORTS + HTTP_PORTS if allow_http else PORTS
        self._ports = frozenset(default_ports if ports is None else ports)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or public_certificates(),
            http2=True,
            keepalive_expiry=IDLE_S,
            network_backend=_Dialler(resolver or resolve, self._allowed),
        )

    def check(self, url: str) -> None:
        """Refuse a URL that is going to be called, before it is: what can be said of it without its name being looked up.

        Raises:
            OutboundRefused: See `addresses.check_url`; or its host is an address that may not be dialled, or this machine's name.
        """
        host = check_url(url, ports=self._ports, allow_http=self._allow_http).host
        check_addresses(host, addresses_in(host), self._allowed)

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        max_bytes: int = 1 << 20,
        deadline_s: float = 10.0,
        redirects: int = 0,
    ) -> Answer:
        """Make one call.

        Args:
            method: `GET`, `POST` …
            url: Where to; checked as if a stranger had written it.
            headers: Sent in UTF-8, without those that are about the connection, `Host` and the body's length among them.
            body: Sent as it is.
            max_bytes: Of the answer's body, before and after inflation.
            deadline_s: For everything: names, dialling, redirects, the last byte.
            redirects: How many to follow; each is checked anew. With 0 the redirect itself is the answer.

        Returns:
            The answer, whatever its status.

        Raises:
            OutboundRefused: The URL, or one that it led to, may not be called.
            Unavailable: No answer in time, or one that is too large or broken. The call may have been made.
        """
        began = self._clock.monotonic()
        at = check_url(url, ports=self._ports, allow_http=self._allow_http)
        given = ((name.lower(), value) for name, value in (headers or {}).items())
        sent = {name: value for name, value in given if name not in _OURS}
        sent.setdefault("accept-encoding", "gzip")
        host = at.host
        try:
            async with asyncio.timeout(deadline_s):
                answer = await self._once(method, at, sent, body, max_bytes)
                while redirects and answer.status in REDIRECTS and answer.header("location"):
                    method, at, sent, body = self._redirected(method, at, sent, body, answer)
                    redirects, host = redirects - 1, at.host
                    answer = await self._once(method, at, sent, body, max_bytes)
        except TimeoutError as exc:
            raise Unavailable(f"{host} did not answer within {deadline_s:g} s") from exc
        except (httpcore.NetworkError, httpcore.TimeoutException, OSError) as exc:
            raise Unavailable(f"{host} can't be reached: {_why(exc)}") from exc
        except (httpcore.ProtocolError, zlib.error) as exc:
            raise Unavailable(f"{host} broke the protocol: {_why(exc)}") from exc
        took_s = round(self._clock.monotonic() - began, 3)
        log.debug("outbound call", host=host, method=method, status=answer.status, took_s=took_s)
        return answer

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._pool.aclose()

    async def _once(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], body: bytes, max_bytes: int
    ) -> Answer:
        # httpcore's own URL: what was judged is what is dialled, not a second reading of the text.
        scheme, host, port = url.raw_scheme, url.raw_host, url.port
        target = httpcore.URL(scheme=scheme, host=host, port=port, target=url.raw_path)
        lines = [
            (name.encode(errors="replace"), value.encode(errors="replace"))
            for name, value in headers.items()
        ]
        async with self._pool.stream(method, target, headers=lines, content=body) as response:
            found = tuple(
                (name.decode("latin-1").lower(), value.decode("latin-1"))
                for name, value in response.headers
            )
            encoding = next((value for name, value in found if name == "content-encoding"), "")
            content = _Content(encoding.strip().lower(), max_bytes, url.host)
            async for chunk in response.aiter_stream():
                content.add(chunk)
            return Answer(response.status, found, content.whole())

    def _redirected(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], body: bytes, answer: Answer
    ) -> tuple[str, httpx.URL, dict[str, str], bytes]:
        try:
            to = url.join(answer.header("location") or "")
        except (httpx.InvalidURL, ValueError) as exc:
            raise OutboundRefused(f"{url.host} redirects to what is not a URL") from exc
        to = check_url(to, ports=self._ports, allow_http=self._allow_http)
        if url.scheme == "https" and to.scheme != "https":
            raise OutboundRefused(f"{url.host} redirects from https to http")
        kept = dict(headers)
        if answer.status == 303 or (answer.status in {301, 302} and method == "POST"):
            # RFC 9110 §15.4: what browsers do, and with it every server expects.
            method, body = "GET", b""
            kept.pop("content-type", None)
        if origin_of(to) != origin_of(url):
            kept = {name: value for name, value in kept.items() if name in _HARMLESS}
        return method, to, kept, body


class _Dialler(httpcore.AsyncNetworkBackend):
    """Resolves a name, judges every address, and dials one of those that were judged."""

    def __init__(self, resolver: Resolver, allowed: Networks) -> None:
        self._resolver, self._allowed = resolver, allowed
        self._net = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Called by the pool for each new connection."""
        name = host.strip("[]")
        addresses = await self._resolver(name, port)
        if not addresses:
            raise httpcore.ConnectError("the name has no address")
        check_addresses(name, addresses, self._allowed)
        for address in addresses[:-1]:
            try:
                return await self._net.connect_tcp(address, port, timeout=DIAL_S)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._net.connect_tcp(addresses[-1], port, timeout=DIAL_S)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Nothing outside is on a Unix socket."""
        raise OutboundRefused("a Unix socket is not outside")

    async def sleep(self, seconds: float) -> None:
        """Between retries, of which there are none."""
        await asyncio.sleep(seconds)


class _Content:
    """The body of an answer, inflated as it comes and never beyond its limit: 1 KB can hold 1 MB of zeros."""

    def __init__(self, encoding: str, limit: int, host: str) -> None:
        if encoding not in {"", "identity", "gzip"}:
            raise Unavailable(f"{host} answers in an encoding that was not asked for")
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding == "gzip" else None
        self._limit, self._host = limit, host
        self._wire = self._size = 0
        self._is_midway = False
        self._parts: list[bytes] = []

    def add(self, chunk: bytes) -> None:
        """Take what came over the wire."""
        self._wire += len(chunk)
        if self._wire > self._limit:
            self._too_large()
        if self._inflater is None:
            self._keep(chunk)
            return
        while chunk:
            self._keep(self._inflater.decompress(chunk, self._limit + 1 - self._size))
            chunk = self._inflater.unconsumed_tail
            self._is_midway = not self._inflater.eof
            if self._inflater.eof:  # RFC 1952 §2.2: a file is one member or several
                chunk = self._inflater.unused_data
                self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def whole(self) -> bytes:
        """The body."""
        if self._is_midway:
            raise zlib.error("the compressed body is cut off")
        return b"".join(self._parts)

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            self._too_large()
        self._parts.append(data)

    def _too_large(self) -> None:
        raise Unavailable(f"the answer of {self._host} exceeds {self._limit:,} bytes")


async def resolve(host: str, port: int) -> Sequence[str]:
    """The system's resolver."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, proto=6)  # TCP
    except UnicodeError as exc:
        raise OSError("the name can't be looked up") from exc
    return list(dict.fromkeys(address[0] for *_, address in found if isinstance(address[0], str)))


def _why(exc: BaseException) -> str:
    """What can be told of a failure: the first line of the deepest reason, which names no path or query."""
    while exc.__cause__ is not None and not str(exc):
        exc = exc.__cause__
    return str(exc).partition("\n")[0] or type(exc).__name__
