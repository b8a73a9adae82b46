"""Listening, running and stopping: one TCP port, optionally a local socket, and an exit that hurts nobody.

Sockets are bound before anything else starts, so that a taken port is one clear line. To stop: let balancers see it first and serve on
meanwhile, then `stopping`.
"""

import asyncio
import contextlib
import functools
import gc
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import uvicorn

from clarion.clock import Clock
from clarion.realtime.transports.connections import Connections
from clarion.realtime.transports.elsewhere import Elsewhere, Others, Way
from clarion.realtime.transports.handover import Arrivals, Handover
from clarion.realtime.transports.head import parse_networks
from clarion.realtime.transports.http import HttpProtocol
from clarion.realtime.transports.leaving import Admit
from clarion.realtime.transports.ports import BACKLOG, begin, listen_local, reserve, room_for_files
from clarion.realtime.transports.relay import Relay, Signing
from clarion.realtime.transports.stopping import Uvicorn
from clarion.settings import Limits
from clarion.telemetry import get_logger

log = get_logger(__name__)

T = TypeVar("T")

TASKS_S = 2  # whole seconds for requests to notice that their connection is gone


class HttpServer:
    """The application's door: HTTP, polling and WebSockets on one port.

    Args:
        app: ASGI application for everything that is not a WebSocket. No lifespan events: whoever calls `serve` starts and stops it.
        limits: Sizes and deadlines.
        clock: What deadlines are measured with.
        endpoints: By path (`/socket.io/`), who admits WebSockets; looked at with each upgrade, so that it may grow.
        host: Name or address to listen on; a name may stand for several.
        port: 0 takes a free one; the attribute `port` then tells which.
        sockets: Already bound (`reserve`, `listen`), instead of `host` and `port`: for whoever must know first that they can be had.
        uds: Path of the local socket, made with mode 0600; None for none. Requests by it carry `LOCAL` in `scope["extensions"]`.
        trusted_proxies: Addresses or networks whose `X-Forwarded-*` headers are believed.
        always: Paths that are answered even where there is no room for more connections (`/livez`).
        others: The other processes of this server, which have sessions that this one is asked for; None: there are none.
        on_leaving: Called as soon as it is told to stop: the moment to tell balancers. With it a SIGTERM gives them `limits.notice_s`.
        on_stopping: Called when the stop begins, before anything is closed: the moment to end held polls.
        handle_signals: SIGTERM and SIGINT stop the server; a second one ends the notice, a second SIGINT without one waits for nobody.
            Only in the main thread.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        *,
        limits: Limits,
        clock: Clock,
        endpoints: Mapping[str, Admit] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        sockets: Sequence[socket.socket] | None = None,
        uds: Path | None = None,
        trusted_proxies: Sequence[str] = (),
        always: Sequence[str] = (),
        others: Others | None = None,
        on_leaving: Callable[[], None] | None = None,
        on_stopping: Callable[[], None] | None = None,
        handle_signals: bool = True,
    ) -> None:
        # Fixed at creation
        self._host, self._uds = host, uds
        self.connections = Connections(limits, clock)
        self._handle_signals = handle_signals
        self._on_leaving = on_leaving
        arrivals, more = self._ways(others, clock) if others is not None else (None, {})
        http = functools.partial(
            HttpProtocol,
            connections=self.connections,
            endpoints=endpoints if endpoints is not None else {},
            trusted=parse_networks(trusted_proxies),
            always=frozenset(path.encode() for path in always),
            **more,
        )
        config = uvicorn.Config(
            _ending_quietly(app),
            http=http,  # type: ignore[arg-type]  # anything that makes a protocol will do
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # HttpProtocol does that, for upgrades too
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=TASKS_S,
        )
        self.started = asyncio.Event()
        self._server = Uvicorn(config, self.connections, self.started, on_stopping, arrivals)
        # Known once `started` is set
        self.port = port
        # Only while listening
        self._sockets = list(sockets or ())
        # Only while balancers are given notice
        self._notice: asyncio.TimerHandle | None = None

    def _ways(self, others: Others, clock: Clock) -> tuple[Arrivals, dict[str, Any]]:
        ways: list[Way] = [Handover(others.folder)]
        signing = None
        if others.find is not None:
            signing = Signing(others.secret, clock)
            ways.append(Relay(others.find, signing, self.connections))
        elsewhere = Elsewhere(others.node, others.paths, ways)
        arrivals = Arrivals(others.folder, others.node)
        return arrivals, {"elsewhere": elsewhere, "signing": signing}

    async def serve(self) -> None:
        """Listen until stopped, then stop in order; returns when nothing is left running.

        Raises:
            SettingsError: The address, the port or the local socket can't be had; nothing was started.
        """
        self.connections.capacity = min(self.connections.limits.connections, room_for_files())
        self._sockets = self._sockets or reserve(self._host, self.port)
        tcp = len(self._sockets)
        self.port = self._sockets[0].getsockname()[1]
        try:
            begin(self._sockets, self._host)
            if self._uds is not None:
                self._sockets.append(listen_local(self._uds))
            async with self._signals() if self._handle_signals else contextlib.nullcontext():
                await self._server.serve(self._sockets)
        finally:
            for each in self._sockets:
                each.close()
            if self._uds is not None and len(self._sockets) > tcp:
                self._uds.unlink(missing_ok=True)
            self.connections.close()

    def stop(self, *, notice_s: float = 0.0, now: bool = False) -> None:
        """Begin to stop; called again, end the notice.

        Args:
            notice_s: Serve on for so long (s), but keep no connection for another request: balancers are told, and look elsewhere.
            now: Wait for nobody.
        """
        is_first, self.connections.is_stopping = not self.connections.is_stopping, True
        if is_first and self._on_leaving is not None:
            self._on_leaving()
        if is_first and notice_s and not now:
            self._notice = asyncio.get_running_loop().call_later(notice_s, self.stop)
            return
        if self._notice is not None:
            self._notice.cancel()
            self._notice = None
        self._server.should_exit = True
        if now:
            self._server.force()

    @contextlib.asynccontextmanager
    async def _signals(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        notice_s = 0.0 if self._on_leaving is None else self.connections.limits.notice_s

        def caught(name: str) -> None:
            # A person at a terminal does not wait for balancers, and the second time for nobody.
            is_ending = self.connections.is_stopping and self._notice is None
            self.stop(
                notice_s=notice_s if name == "SIGTERM" else 0.0,
                now=is_ending and name == "SIGINT",
            )
            log.info(
                "stopping", signal=name
            )  # the log may be a pipe that nobody reads any more: that must not keep us

        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, caught, each.name)
        try:
            yield
        finally:
            for each in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(each)


def _ending_quietly(app: Callable[..., Any]) -> Callable[..., Any]:
    """The application; a request that is cancelled at the stop just ends, where uvicorn would log a traceback for each."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        # Only Uvicorn.shutdown cancels these tasks, once their connections are cut off.
        with contextlib.suppress(asyncio.CancelledError):
            await app(scope, receive, send)

    return call


# ── processes that do nothing else ──
# Objects that may be made before the collector looks at the young ones; Python's own 700 are made by 20 clients that connect.
YOUNG: Final = 10_000


def settle_memory() -> None:
    """Call it once everything is made and before clients come, in a process that is only a server.

    What exists now lives as long as the process, and a connection lives longer than the collector's patience: by itself it takes 6 %
    of a connect storm (benchmarks, `connect`) and finds nothing, since what ends here leaves no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)


def run(main: Coroutine[Any, Any, T], *, use_uvloop: bool = True) -> T:
    """Run a coroutine to its end, on uvloop where that is installed, on asyncio elsewhere."""
    with asyncio.Runner(loop_factory=_loop_factory() if use_uvloop else None) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
