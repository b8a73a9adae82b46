"""An app: opens its parts, serves, and closes them."""

import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from clarion.api import RateLimits, Readiness, SharedLimits, as_local, build_http
from clarion.api.routes.health import PROBES
from clarion.app.asgi import Asgi
from clarion.app.partition import Backplane
from clarion.app.parts import Parts
from clarion.app.readiness import Probe
from clarion.app.siblings import Siblings
from clarion.clock import Clock
from clarion.errors import SettingsError
from clarion.ids import Ids
from clarion.realtime.transports import HttpServer, Others, settle_memory
from clarion.settings import Settings
from clarion.storage.secrets import secret_of
from clarion.telemetry import get_logger, spawn, spawn_forever

_log = get_logger(__name__)

LOCAL_SOCKET: Final = "clarion.sock"
"""Where the command line reaches a running server, in its data folder."""

Setup = Callable[["App"], object]
"""An application's own part: called with the app before anything listens."""


class App(Parts):
    """A server with all its parts, which are its attributes.

    Attributes:
        asgi: The whole as an ASGI application, for any ASGI server: API, pages, and sessions on both transports. Its lifespan opens the
            app and closes it. Mounted in another application it gets none: enter the app in that one's lifespan.
        local: The HTTP side for the operator of this machine: every right, no credential.
    """

    def __init__(
        self,
        settings: Settings,
        setup: Setup | None = None,
        *,
        clock: Clock | None = None,
        ids: Ids | None = None,
        owner: Path | None = None,
        siblings: Siblings | None = None,
    ) -> None:
        """Make an app; nothing is opened before it is entered (`async with`).

        Args:
            settings: Of the server.
            setup: The application's own part.
            clock: Tells the time.
            ids: Source of ids.
            owner: Socket of the process that owns the SQLite file; None: this one does, or uses PostgreSQL.
            siblings: The other workers of the host.
        """
        super().__init__(settings, clock, ids, owner)
        self._setup = setup
        self._limits: SharedLimits | None = None
        self._siblings = siblings
        self._server: HttpServer | None = None
        self._has_ended = False
        self._probe = Probe(lambda: self.store.ping(), self._look_at_backplane)  # noqa: PLW0108  it is made later
        self.asgi: Final = Asgi(self)

    async def __aenter__(self) -> Self:
        """Open and start every part.

        Raises:
            SettingsError: Something about the settings, the data folder or the application's setup is wrong.
            Unavailable: The database or Redis cannot be reached.
        """
        try:
            await self._make()
            if self._setup is not None:
                outcome = self._setup(self)
                if isinstance(outcome, Awaitable):
                    await outcome
            self._make_http()
            await self._start()
        except BaseException:
            await self._closing.aclose()
            raise
        self._probe.started()
        await self._probe.look()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop every part, in the opposite order."""
        await self._closing.aclose()

    async def serve(
        self,
        sockets: Sequence[socket.socket] | None = None,
        *,
        on_started: Callable[[int], object] = lambda _: None,
        local: str = LOCAL_SOCKET,
    ) -> None:
        """Listen until SIGINT or SIGTERM, then stop in order; SIGTERM gives balancers `limits.notice_s` first.

        Args:
            sockets: Already bound; None: listen on `settings.host` and `settings.port`.
            on_started: Called with the port once requests are answered.
            local: Name of the local socket in `settings.data_dir`.

        Raises:
            SettingsError: The address or the port cannot be had, or there are to be several workers, which are processes.
        """
        settings = self.settings
        if settings.workers > 1 and self._siblings is None:
            raise SettingsError("workers: several are processes, which `clarion serve` starts")
        self._server = server = HttpServer(
            self.http,
            limits=settings.limits,
            clock=self.clock,
            endpoints=self.io.endpoints,
            host=settings.host,
            port=settings.port,
            sockets=sockets,
            uds=Path(settings.data_dir) / local,
            trusted_proxies=settings.trusted_proxies,
            always=PROBES,
            others=await self._others(),
            on_leaving=self._probe.stopping,
            on_stopping=self.stopping,
        )
        if self._has_ended:
            server.stop()
        files = self.io.client_files
        if files is not None and not files.are_there:
            _log.warning("/socket.io/socket.io.js is not in this build: run `make build`")

        async def begin() -> None:
            await server.started.wait()
            settle_memory()
            on_started(server.port)

        beginning = spawn(begin(), name="http server: started")
        try:
            await server.serve()
        finally:
            beginning.cancel()

    def end(self) -> None:
        """Let `serve` stop, without notice: for who finds that this process cannot go on."""
        self._has_ended = True
        if self._server is not None:
            self._server.stop()

    async def _others(self) -> Others | None:
        """The processes that may have sessions that this one is asked for."""
        if not self.is_one_of_many:
            return None
        settings = self.settings
        return Others(
            self.node,
            self._session_paths(),
            Path(settings.data_dir),
            self.address_of if settings.node_url else None,
            await secret_of(self.store, "relay", self.ids.token(32)),
        )

    def _session_paths(self) -> list[str]:
        # Raw endpoints are WebSockets alone, and have no sessions.
        return [path for path, admit in self.io.endpoints.items() if admit == self.io.admit]

    def _make_http(self) -> None:
        mounts = dict.fromkeys(self._session_paths(), self.io.asgi)
        limits = RateLimits(self.settings.limits, self.clock)
        if self.is_one_of_many:
            self._limits = SharedLimits(limits, self.nodes)
        whole = None if self._siblings is None else self._siblings.metrics
        self.http = build_http(self, mounts, whole=whole, limits=limits)
        self.local = as_local(self.http)

    async def _start(self) -> None:
        at_close = self._closing.push_async_callback
        await self.nodes.start()
        at_close(self.nodes.close)
        if self.is_one_of_many:  # what was told before this process could hear
            self._shared.look_again(None)
        if self._limits is not None:
            self._limits.start()
            at_close(self._limits.close)
        self.upkeep.start()
        self.opened.start()
        at_close(self.opened.close)
        self.engine.start()
        at_close(self.engine.close)
        self.topics.start()
        self.search.start()
        at_close(self.topics.close)
        await self.presence.start()
        at_close(self.presence.close)
        self.dashboards.start()
        at_close(self.dashboards.close)
        at_close(self.commands.close)
        self.activity.start(self.worker)
        if not self.is_one_of_many:
            await self.workflows.release()
        await self.worker.start()
        self.workflows.start()
        at_close(self.workflows.close)
        at_close(self.worker.close)
        self.inbox.alarm.start()
        at_close(self.inbox.alarm.close)
        if self.partition is not None:
            at_close(self.partition.close)
        probing = spawn_forever(self._probe.run, name="readiness")
        self._closing.callback(probing.cancel)
        at_close(self.io.close)

    @property
    def readiness(self) -> Readiness:
        """Whether it can serve, and what keeps it: the newest state, without any waiting."""
        return self._probe.now

    async def _look_at_backplane(self) -> Backplane:
        return Backplane() if self.partition is None else await self.partition.look()

    def stopping(self) -> None:
        """Nobody new is let in from now on, and balancers are told."""
        self._probe.stopping()
        self.presence.freeze()
        self.io.stop()


def build(settings: Settings, setup: Setup | None = None) -> App:
    """Make an app from settings; `setup(app)` adds the application's own part. Open it with `async with`."""
    return App(settings, setup)
