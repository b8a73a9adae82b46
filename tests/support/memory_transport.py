"""A session's transport in memory, and a client on it: a Socket.IO server without connections."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from clarion.clock import LoopClock
from clarion.ids import Ids
from clarion.protocol.engineio import Transport as Kind
from clarion.realtime import Handshake, Server
from clarion.realtime.session import Session
from clarion.realtime.transports.base import Prepared
from clarion.settings import Limits, Realtime
from tests.support.simulation import SimLoop, simulate


class MemoryTransport:
    """Keeps what is sent; `is_writable` is the test's to change."""

    def __init__(self, kind: Kind = Kind.WEBSOCKET) -> None:
        self.kind = kind
        self.goes_straight = (
            False  # whether frames may be written without a detour, as to a connection
        )
        self.is_writable = True
        self.sent: list[str | bytes] = []
        self.writes = 0
        self.stuck = 0
        self.held_s = 0.0
        self.closed: tuple[int | None, str] | None = None

    @property
    def direct(self) -> Callable[[bytes], object] | None:
        return self._write_frame if self.goes_straight and self.is_writable else None

    def _write_frame(self, frame: bytes) -> None:
        assert frame[1] < 126, "a short text, as these tests send"
        self.writes += 1
        self.sent.append(frame[2:].decode())

    def write(self, item: Prepared, /) -> None:
        self.writes += 1
        if self.closed is None:
            self.sent.extend(item.messages)

    def write_many(self, items: list[Prepared], /) -> int:
        self.writes += 1
        for item in items:
            self.sent.extend(item.messages)
        return len(items)

    def buffered(self) -> int:
        return self.stuck

    def throttle(self, seconds: float) -> None:
        self.held_s = seconds

    def close(self, code: int | None, text: str) -> None:
        self.closed = self.closed or (code, text)


def handshake(**more: Any) -> Handshake:
    """What a client may have said."""
    facts = {"address": "192.0.2.1", "secure": False, "issued": 0, "url": "/socket.io/", "auth": {}}
    return Handshake(**{**facts, "raw_headers": b"", **more})


def make_server(
    settings: Realtime | None = None, limits: Limits | None = None, *, seed: int = 5, **more: Any
) -> Server:
    """A server that lives in the running loop's time."""
    ids = Ids.seeded(seed)
    return Server(settings or Realtime(), limits or Limits(), clock=LoopClock(), ids=ids, **more)


class MemoryClient:
    """A client of a server, over a transport in memory."""

    def __init__(
        self, server: Server, kind: Kind = Kind.WEBSOCKET, shook: Handshake | None = None
    ) -> None:
        self.transport = MemoryTransport(kind)
        self.session: Session = server.open(self.transport, shook or handshake())

    def say(self, *messages: str | bytes) -> "MemoryClient":
        """Send Engine.IO messages."""
        for message in messages:
            self.session.receive(message, self.transport)
        return self

    async def hear(self) -> list[str | bytes]:
        """What came since the last call, once nothing more is to come."""
        await settle()
        heard, self.transport.sent = self.transport.sent, []
        return heard

    async def join(self, namespace: str = "/", auth: Any = None) -> str:
        """Connect to a namespace; returns the socket's id."""
        await self.hear()
        prefix = "" if namespace == "/" else namespace + ","
        self.say(f"40{prefix}{'' if auth is None else json.dumps(auth)}")
        heard = await self.hear()
        assert isinstance(heard[0], str)
        assert heard[0].startswith(f"40{prefix}"), heard
        self.transport.sent[:0] = heard[1:]
        return str(json.loads(heard[0][2 + len(prefix) :])["sid"])

    def lose(self) -> None:
        """The connection breaks."""
        self.session.lost(self.transport)


async def settle() -> None:
    """Let the loop run what is ready."""
    for _ in range(12):
        await asyncio.sleep(0)


def in_time(scenario: Callable[[SimLoop], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario in virtual time, where waiting costs nothing."""
    outcome = simulate(scenario, seed=1)
    if outcome.error is not None:
        raise outcome.error
