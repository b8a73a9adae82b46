"""Requests for sessions of other processes: recognised by the session's id, and sent there with their connection.

The last four characters of an id name the process that has the session. On this host the connection itself is handed over, and this
process has nothing more to do with it; to another host it is relayed, and carries that one request. Where neither can be done the request
is served here, and hears that its session is unknown: the client begins a new one.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Iterator
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from clarion.realtime.transports.head import Address, Headers
from clarion.telemetry import moved_connections

NODE: Final = 4  # characters at the end of an id that name a process
_SID: Final = re.compile(rb"[?&]sid=[A-Za-z0-9_-]{6,128}(?=&|$)")


class Moving(Struct, frozen=True):
    """A request as far as it was read.

    Attributes:
        method: Of the request.
        target: Path and query, as they came.
        headers: All of them.
        rest: What came behind the head.
        client: Who asks; None: it is not known.
        is_secure: Whether the client's side speaks TLS.
        version: Of HTTP: 1.0 needs no Host, and its connection ends with the answer.
    """

    method: bytes
    target: bytes
    headers: Headers
    rest: bytes
    client: Address | None
    is_secure: bool
    version: str = "1.1"

    def as_bytes(self, headers: Headers | None = None) -> bytes:
        """As it goes over the wire, with other headers if there are any."""
        return b"".join(self._parts(self.headers if headers is None else headers))

    def _parts(self, headers: Headers) -> Iterator[bytes]:
        yield b"%b %b HTTP/%b\r\n" % (self.method, self.target, self.version.encode())
        for name, value in headers:
            yield b"%b: %b\r\n" % (name, value)
        yield b"\r\n"
        yield self.rest


class Others(Struct, frozen=True):
    """The other processes of a server.

    Attributes:
        node: The 4 characters that name this one.
        paths: Where sessions are.
        folder: Where those of this host hand connections over.
        find: Where those of other hosts are (`http://10.0.0.5:8000`), by their name, '' if it is not known; None: there are none.
        secret: What all of them sign with for each other.
    """

    node: str
    paths: Collection[str]
    folder: Path
    find: Callable[[str], Awaitable[str]] | None = None
    secret: str = ""


class Way(Protocol):
    """One way to other processes."""

    @property
    def name(self) -> str:
        """For the count of connections that have gone it."""
        ...

    @property
    def is_last(self) -> bool:
        """Whether what has come by it does not go by it again."""
        ...

    async def take(self, node: str, request: Moving, transport: asyncio.Transport) -> bool:
        """Send a request there with its connection, which is nobody's here from then on; False: it cannot be done, and nothing was."""
        ...


class Elsewhere:
    """What this process does with requests that are not its own.

    Args:
        node: The 4 characters that name it.
        paths: Where sessions are.
        ways: Tried in this order.
    """

    def __init__(self, node: str, paths: Collection[str], ways: Collection[Way]) -> None:
        self._node = node.encode()
        self._paths = tuple(path.encode() for path in paths)
        self._ways = tuple(ways)

    def owner(self, target: bytes) -> str:
        """The process whose session a request names; '': this one's, or no session."""
        if not target.startswith(self._paths):
            return ""
        found = _SID.search(target)
        node = found[0][-NODE:] if found is not None else self._node
        return "" if node == self._node else node.decode()

    async def take(
        self, node: str, request: Moving, transport: asyncio.Transport, *, is_relayed: bool
    ) -> bool:
        """Send a request there; False: it stays here. One that was relayed to this host may still be another worker's."""
        for way in self._ways:
            if not (is_relayed and way.is_last) and await way.take(node, request, transport):
                moved_connections.labels(way.name).inc()
                return True
        return False
