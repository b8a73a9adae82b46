"""JSON values over a connection of the simulated network, one a line, both ways."""

import asyncio
from collections.abc import Callable
from typing import Any, Self, cast

import msgspec

from tests.support.simulation_network import Network

SILENCE_S = 12.0  # without a word from the peer: it is given up
DIAL_S = 3.0


class Wire(asyncio.Protocol):
    """One connection, seen from one side."""

    def __init__(self, accepted: "Callable[[Wire], object] | None" = None) -> None:
        self._accepted = accepted
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.is_open = True

    @classmethod
    async def dial(cls, network: Network, host: str, port: int) -> Self:
        """Connect; raises OSError if that fails (TimeoutError is one)."""
        wire = cls()
        async with asyncio.timeout(DIAL_S):
            await network.connect(host, port, wire)
        return wire

    def send(self, value: object) -> None:
        """Send one value; lost in silence if the connection is."""
        self.send_line(msgspec.json.encode(value) + b"\n")

    def send_line(self, line: bytes) -> None:
        """Send one that is encoded already."""
        if self._transport is not None:
            self._transport.write(line)

    async def receive(self, silence_s: float = SILENCE_S) -> Any:
        """The next value.

        Raises:
            OSError: The connection is gone, or nothing comes.
        """
        async with asyncio.timeout(silence_s):
            value = await self._inbox.get()
        if value is _GONE:
            raise ConnectionResetError
        return value

    def close(self) -> None:
        """Hang up."""
        self.is_open = False
        if self._transport is not None:
            self._transport.close()

    # ── asyncio.Protocol ──
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        if self._accepted is not None:
            self._accepted(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes, cut anywhere."""
        self._buffer += data
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = rest
        for line in lines:
            self._inbox.put_nowait(msgspec.json.decode(line))

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.is_open = False
        self._inbox.put_nowait(_GONE)


_GONE = object()
