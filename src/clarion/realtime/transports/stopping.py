"""uvicorn's loop with a stop that hurts nobody.

Accept no more, and serve whom the kernel has let connect by then; let requests end; close the WebSockets one after another so that their
clients do not all come back in the same second; cut off who stays.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator, Sequence
from itertools import islice

import uvicorn

from clarion.realtime.transports.connections import Connections
from clarion.realtime.transports.handover import Arrivals
from clarion.realtime.transports.http import HttpProtocol
from clarion.realtime.transports.message import WebSocket
from clarion.realtime.transports.ports import BACKLOG, waiting
from clarion.realtime.transports.relay import Relayed
from clarion.telemetry import spawn

CLOSES_PER_S = 50  # while draining: a few sockets go at once, thousands take all of limits.drain_s
LATE_S = 0.2  # between two looks, while draining, for sockets that have come in since
COMING_S = 0.05  # for the requests of who was accepted last to be read


class Uvicorn(uvicorn.Server):
    """uvicorn's loop with our stop."""

    def __init__(
        self,
        config: uvicorn.Config,
        connections: Connections,
        is_started: asyncio.Event,
        on_stopping: Callable[[], None] | None,
        arrivals: Arrivals | None,
    ) -> None:
        super().__init__(config)
        self._arrivals = arrivals
        self._connections, self._is_started = connections, is_started
        self._on_stopping = on_stopping
        self._forced = asyncio.Event()

    def force(self) -> None:
        """Wait for nobody."""
        self.force_exit = True
        self._forced.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Not uvicorn's: it raises a signal again after the stop, and the process dies of it."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept."""
        await super().startup(sockets)
        if self._arrivals is not None:
            self._arrivals.start(self._arrived)
        self._is_started.set()

    def _arrived(self, data: bytes = b"") -> asyncio.Protocol:
        make: Callable[..., HttpProtocol] = self.config.http_protocol_class  # type: ignore[assignment]
        state, app_state = self.server_state, self.lifespan.state
        return make(config=self.config, server_state=state, app_state=app_state, arrived=data)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop in order, within `drain_s` + `close_s` and a little."""
        await self._close_doors(sockets or [])
        if self._on_stopping is not None:
            self._on_stopping()
        drain = spawn(self._drain(), name="drain")
        for connection in self._connections:
            if isinstance(connection, HttpProtocol):
                connection.shutdown()
        limits = self._connections.limits
        empty = spawn(self._connections.wait_empty(), name="wait for connections to end")
        forced = spawn(self._forced.wait(), name="wait for a second signal")
        try:
            # One sweep more than the deadlines: it is the sweep that cuts off who does not answer the close.
            wait_s = limits.drain_s + limits.close_s + 1.5
            await asyncio.wait({empty, forced}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (drain, empty, forced):
                task.cancel()
            await asyncio.gather(drain, empty, forced, return_exceptions=True)
        if (
            self._arrivals is not None
        ):  # until here others' requests for sessions that end were served
            await self._arrivals.close()
        self._connections.abort_all()
        await super().shutdown(sockets)

    async def _close_doors(self, sockets: Sequence[socket.socket]) -> None:
        """Listen no more, and lose nobody who has come by now: the kernel resets who is not accepted yet, and a proxy may not repeat his request."""
        loop = asyncio.get_running_loop()
        held: list[socket.socket] = []
        with contextlib.suppress(OSError):  # no descriptor is left: then nobody can be accepted
            for each in sockets:
                held.append(each.dup())  # noqa: PERF401  those that were made are closed below
        for server in self.servers:
            server.close()
        for each in held:
            # All at once, then closed: served meanwhile, they would come again, without an end.
            accepted = list(islice(waiting(each), BACKLOG))
            each.close()
            for come in accepted:
                try:
                    await loop.connect_accepted_socket(self._arrived, come)
                except OSError:  # he has gone again
                    come.close()
        await asyncio.sleep(COMING_S)

    async def _drain(self) -> None:
        """Tell all that there are, then those who were still on their way in."""
        told: dict[WebSocket | Relayed, None] = {}
        while True:
            sockets = [c for c in self._connections if isinstance(c, WebSocket | Relayed)]
            new = [each for each in sockets if each not in told]
            told.update(dict.fromkeys(new))
            await self._tell(new)
            await asyncio.sleep(LATE_S)

    async def _tell(self, sockets: Sequence[WebSocket | Relayed]) -> None:
        """Tell one after another, evenly over the window; a pause each 50 ms is even enough."""
        clock = self._connections.now
        window = min(self._connections.limits.drain_s, len(sockets) / CLOSES_PER_S)
        began = clock()
        for i, each in enumerate(sockets):
            due = began + window * i / len(sockets)
            if due > clock() + 0.05:
                await asyncio.sleep(due - clock())
            each.on_drain()
