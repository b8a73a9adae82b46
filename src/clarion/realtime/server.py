"""The Socket.IO server: namespaces on one side, sessions on the other.

It is usable alone:

    io = Server()

    @io.on("connection")
    def connected(socket): ...

    io.run(port=3000)

On any ASGI server, before an application or mounted in one, `asgi` serves everything:

    app = io.app(other)        # uvicorn module:app

Beside an application on the fast port, `admit` decides about WebSockets and `asgi` serves polling; both go to `transports.HttpServer`:

    door = HttpServer(app, limits=io.limits, clock=…, endpoints=io.endpoints, on_stopping=io.stop)
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeVar, overload

from clarion.clock import Clock, SystemClock
from clarion.errors import UsageError
from clarion.ids import Ids
from clarion.protocol.deflate import Deflate
from clarion.protocol.engineio import Transport as Kind
from clarion.protocol.parser import PARSERS
from clarion.protocol.session import Timing
from clarion.protocol.socketio import DecoderLimits
from clarion.realtime.admission import Ingress
from clarion.realtime.client import Client
from clarion.realtime.client_files import ClientFiles
from clarion.realtime.cookie import Cookie
from clarion.realtime.egress import Flusher
from clarion.realtime.emitter import Emitter
from clarion.realtime.endpoints import RawEndpoints, check_path
from clarion.realtime.engine import Engine
from clarion.realtime.entrance import AllowRequest, Entrance, GenerateId
from clarion.realtime.handlers import Runner, check_takes
from clarion.realtime.handshake import Handshake
from clarion.realtime.heartbeat import RESOLUTION_S, Wheel
from clarion.realtime.namespace import Namespace
from clarion.realtime.namespaces import Backplane, Found, Namespaces
from clarion.realtime.origins import AllowedOrigins, Cors
from clarion.realtime.parent import Match, ParentNamespace
from clarion.realtime.raw import RawConnection, RawHandler
from clarion.realtime.root import OWN_EVENTS, Root
from clarion.realtime.session import Session
from clarion.realtime.shelf import Shelf
from clarion.realtime.transports.application import Application, AsgiApp
from clarion.realtime.transports.asgi import Begin
from clarion.realtime.transports.base import Transport
from clarion.realtime.transports.deflated import Deflating
from clarion.realtime.transports.head import Upgrade, parse_networks
from clarion.realtime.transports.leaving import Admit
from clarion.realtime.transports.polling import PollingEndpoint, Receive, Scope, Send
from clarion.realtime.transports.request import Request
from clarion.realtime.transports.serve import HttpServer, run, settle_memory
from clarion.realtime.transports.websocket import SessionSocket
from clarion.settings import Limits, Realtime, checked
from clarion.telemetry import get_logger, handshakes, spawn

log = get_logger(__name__)

R = TypeVar("R", bound=RawHandler)

GRACE_S: Final = 10.0  # for handlers to end by themselves when the server closes


class Server(Root):
    """A Socket.IO server. What it says, it says to `/`.

    Args:
        settings: Path and times; None: the defaults, which are Node's.
        limits: How much clients may do; None: the defaults.
        clock: Says when a session began; None: the machine's.
        ids: Makes ids of sessions and sockets; None: from the operating system's chance.
        allowed_origins: Origins of pages that may talk to the server, besides its own; `*` is everybody. Short for `cors`.
        cors: What pages of other origins may do, in full.
        allow_request: Judges each request for a new session; `def` or `async def`, see `AllowRequest`.
        generate_id: Makes the ids of sessions; `def` or `async def`, see `GenerateId`. 4 characters that name the node follow.
        cookie: Names the session in the first answer on polling, for load balancers; True: `io`, as Node's.
        trusted_proxies: Addresses or networks whose `X-Forwarded-*` headers are believed when it runs alone (a foreign server has
            its own list), and that limits by address do not count.
        home: The namespace of `emit_to_user`, `emit_to_room` and `broadcast` where none is named.
        recovery_skips_middlewares: Let clients back in by their `pid` alone, as Node does by default: a token that has run out is not
            seen, nor that its user may not come any more. Off, the middlewares run, and must find the same user.
        bare_errors: Answer to an unknown namespace with the message alone, byte for byte as Node, without `data`.
        new_namespace: Called with each namespace as it is made, `/` included: the place for what all of them need.
        backplane: The way to other nodes, see `clarion.realtime.backplane`; None: this one is alone.
        node: The 4 characters that name this process in ids of sessions; '': random ones.

    Raises:
        SettingsError: A value of `settings` or `limits` is no good, or a proxy is no address.
        UsageError: An origin is none that a browser sends, or two arguments contradict one another.
    """

    session_type: ClassVar[type[Session]] = Client
    """What a client becomes; `clarion.testing.protocol_server` puts Engine.IO alone in its place."""

    def __init__(
        self,
        settings: Realtime | None = None,
        limits: Limits | None = None,
        *,
        clock: Clock | None = None,
        ids: Ids | None = None,
        allowed_origins: AllowedOrigins = (),
        cors: Cors | None = None,
        allow_request: AllowRequest | None = None,
        generate_id: GenerateId | None = None,
        cookie: Cookie | bool = False,
        trusted_proxies: Sequence[str] = (),
        home: str = "/",
        recovery_skips_middlewares: bool = False,
        bare_errors: bool = False,
        new_namespace: Callable[[Namespace], None] = lambda _: None,
        backplane: Backplane | None = None,
        node: str = "",
    ) -> None:
        settings, limits = checked(settings, Realtime), checked(limits, Limits)
        clock, ids = clock or SystemClock(), ids or Ids()
        if cors is not None and allowed_origins:
            raise UsageError("give `cors` or its short form `allowed_origins`, not both")
        if not isinstance(cors, Cors | None):
            raise UsageError(
                f"`cors` is Cors(origins=…), not {cors!r}; its short form is `allowed_origins`"
            )
        if not isinstance(cookie, Cookie | bool):
            raise UsageError(f"a cookie is True or Cookie(…), not {cookie!r}")
        for judge in filter(None, (allow_request, generate_id)):
            check_takes(judge, "the request")
        # Fixed at creation
        bare_path = settings.path.rstrip("/")
        self.path = f"{bare_path}/" if settings.add_trailing_slash else bare_path
        self._trusted_proxies = trusted_proxies
        self.home = home
        self.limits = limits
        self.bare_errors = bare_errors
        self.max_payload_bytes = limits.max_payload_bytes
        self.ingress = Ingress.of(limits)
        self.upgrades: Sequence[str] = (
            ("websocket",) if settings.allow_upgrades and "websocket" in settings.transports else ()
        )
        self.connect_timeout_s = settings.connect_timeout_s
        self.timing = Timing(
            ping_interval_s=settings.ping_interval_s,
            ping_timeout_s=settings.ping_timeout_s,
            upgrade_timeout_s=settings.upgrade_timeout_s,
        )
        self.decoding = DecoderLimits(
            attachments=limits.attachments,
            attachment_bytes=limits.max_payload_bytes * max(1, limits.attachments),
        )
        self.parser = PARSERS[settings.parser]
        self._clock, self._ids = clock, ids
        self._node = node or ids.node()
        # Node's 20 s give RESOLUTION_S. With the 200 ms of the official suite, which asks for the end of a session 500 ms after its
        # beginning, a hundredth was too coarse: the ping and the missing pong were each noticed up to 2 ms late.
        shortest = min(settings.ping_interval_s, settings.ping_timeout_s)
        self.wheel = Wheel(min(RESOLUTION_S, shortest / 400))
        self.flusher = Flusher(limits.egress_soft_bytes, limits.egress_hard_bytes)
        self._runner = Runner()
        self._shelf = None
        if settings.recovery_s:
            self._shelf = Shelf(
                settings.recovery_s,
                limits,
                self.timing,
                self.wheel,
                ids,
                skips_middlewares=recovery_skips_middlewares,
            )
        self.asgi: Final = Application(self)
        """ASGI application: sessions under `path`, on polling and WebSockets; 404 elsewhere."""
        self._new_namespace = new_namespace
        self._events = Emitter(OWN_EVENTS, self._runner)
        # Grows while the application sets itself up
        self._spaces = Namespaces(
            self,
            self._runner,
            limits.dynamic_namespaces,
            cleans_up=settings.cleanup_empty_namespaces,
            backplane=backplane,
        )
        # Changes while open
        self._sessions: dict[str, Session] = {}
        self.engine: Final = Engine(self._sessions, self._runner)
        """What happens below the namespaces."""
        self._entrance = Entrance(
            self._open,
            settings,
            limits,
            ids=ids,
            node=self._node,
            clock=clock,
            sessions=self._sessions,
            now=self.wheel.now,
            engine=self.engine,
            cors=cors or Cors(origins=allowed_origins),
            exempt=parse_networks(trusted_proxies),
            allow_request=allow_request,
            generate_id=generate_id,
            cookie=Cookie() if cookie is True else cookie or None,
        )
        compress_from = settings.http_compression_bytes if settings.http_compression else None
        self._polling = PollingEndpoint(self._entrance, limits.max_payload_bytes, compress_from)
        self.client_files = ClientFiles() if settings.serve_client else None
        self.endpoints: dict[str, Admit] = {self.path: self.admit, f"{bare_path}/": self.admit}
        """Who decides about WebSockets, by path: what `HttpServer` needs to know."""
        self._deflating = Deflating.of(settings)
        self._raw = RawEndpoints(
            limits, self.flusher, self._runner, self._entrance, clock, self.wheel.now
        )
        self._door: HttpServer | None = None
        self._root = self.of("/")
        self._hub = self._root._hub  # what `Speaking` means

    # ── running alone ──
    async def serve(
        self,
        host: str = "127.0.0.1",
        port: int = 3000,
        *,
        on_started: Callable[[int], object] = lambda _: None,
        handle_signals: bool = True,
    ) -> None:
        """Listen, with nothing but this server on the port, until SIGINT, SIGTERM or `close`; then stop in order.

        Args:
            host: Name or address to listen on; `""` is every address of the machine.
            port: 0 takes a free one.
            on_started: Called with the port once clients can come.
            handle_signals: Only possible in the main thread.

        Raises:
            SettingsError: The address or the port cannot be had.
        """
        self._door = door = HttpServer(
            self.asgi,
            limits=self.limits,
            clock=self._clock,
            endpoints=self.endpoints,
            host=host,
            port=port,
            trusted_proxies=self._trusted_proxies,
            on_stopping=self.stop,
            handle_signals=handle_signals,
        )

        async def begin() -> None:
            await door.started.wait()
            on_started(door.port)

        beginning = spawn(begin(), name="socket.io server: started")
        try:
            await door.serve()
        finally:
            beginning.cancel()
            self._door = None
            await self.close()

    def run(self, host: str = "127.0.0.1", port: int = 3000, **more: Any) -> None:
        """Do `serve` in an event loop of its own, on uvloop where that is installed; returns when it has stopped."""

        async def main() -> None:
            settle_memory()
            await self.serve(host, port, **more)

        run(main())

    # ── setting up ──
    @overload
    def of(self, name: str) -> Namespace: ...
    @overload
    def of(self, name: Match) -> ParentNamespace: ...
    def of(self, name: str | Match) -> Namespace:
        """The namespace of a name, made where there is none: clients can join it from now on.

        Args:
            name: `/admin`, or the parent of many: a compiled pattern that is searched in the name (so write `^` and `$`), or a
                function, sync or async, of the name and the client's `auth`. It decides whether there is such a namespace, and is
                not asked while there is; who may come in is for middlewares.

        Raises:
            UsageError: The name is none that a client could ask for, or the function does not take two arguments.
        """
        if isinstance(name, str):
            return self._spaces.of(name)
        if not isinstance(name, re.Pattern):
            check_takes(name, "a name and the client's `auth`", 2)
        return self._spaces.parent(name)

    @overload
    def websocket(
        self, path: str, *, subprotocols: Sequence[str] = (), deflate: Deflate | None = None
    ) -> Callable[[R], R]: ...
    @overload
    def websocket(
        self,
        path: str,
        handler: R,
        *,
        subprotocols: Sequence[str] = (),
        deflate: Deflate | None = None,
    ) -> R: ...
    def websocket(
        self,
        path: str,
        handler: R | None = None,
        *,
        subprotocols: Sequence[str] = (),
        deflate: Deflate | None = None,
    ) -> R | Callable[[R], R]:
        """Serve WebSockets that are no Socket.IO on a path, with the same egress, limits, origin check and drain.

        Only on the port of `HttpServer`, `serve` or `run`, not through `asgi`.

        Args:
            path: Such as `/echo`; one that ends with a slash is meant with all below it.
            handler: Gets each `RawConnection`; without it this is a decorator.
            subprotocols: That can be spoken, of those the client's first is taken; a client that asks for none is served, too.
            deflate: How to compress for clients that offer it; None: as `realtime.deflate` says.

        Raises:
            UsageError: The path is none, or is served already, or the handler does not take one argument.
        """
        if handler is None:
            return lambda given: self.websocket(
                path, given, subprotocols=subprotocols, deflate=deflate
            )
        check_takes(handler, "the connection")
        check_path(path, taken=self.endpoints)
        deflating = self._deflating if deflate is None else Deflating(deflate)
        self.endpoints[path] = self._raw.admit(handler, subprotocols, deflating)
        return handler

    # ── what there is ──
    @property
    def namespaces(self) -> Mapping[str, Namespace]:
        """Those that clients can join, by name."""
        return self._spaces.by_name

    @property
    def sessions(self) -> int:
        """How many are open in this process."""
        return len(self._sessions)

    @property
    def is_stopping(self) -> bool:
        """Whether nobody new is let in any more."""
        return self._entrance.admission.is_stopping

    def app(self, other: AsgiApp | None = None) -> Application:
        """An ASGI application: this server under `path`, another one everywhere else.

        Args:
            other: Gets every request that is not ours, and the lifespan; None: they are answered 404, as by `asgi`.
        """
        return Application(self, other)

    def admit(self, upgrade: Upgrade) -> SessionSocket | Awaitable[SessionSocket]:
        """Decide about an upgrade on `path`, for `HttpServer`: at once, or awaited where the application is asked.

        Raises:
            Refused: 400 for what Engine.IO does not serve, 403 for a foreign page or by `allow_request`, 503 and 429 for limits.
        """
        begin = self.begin(upgrade)
        if not callable(begin):
            return self._later(upgrade, begin)
        return self._socket(upgrade, begin)

    def _socket(self, upgrade: Upgrade, begin: Begin) -> SessionSocket:
        if self._deflating is None:
            return SessionSocket(begin)
        return self._deflating.socket(upgrade, begin)

    async def _later(self, upgrade: Upgrade, begin: Awaitable[Begin]) -> SessionSocket:
        return self._socket(upgrade, await begin)

    def begin(self, upgrade: Upgrade) -> Begin | Awaitable[Begin]:
        """Decide about a WebSocket, whatever will carry it; as `admit`.

        Returns:
            What to call with the transport once it is open.
        """
        return self._entrance.begin(upgrade)

    async def serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request under `path` that is no WebSocket: `asgi` calls this."""
        request = Request.of_scope(scope)
        if self.client_files is not None and self.client_files.is_asked(request):
            await self.client_files.serve(request, self._entrance.cors(request), send)
        else:
            await self._polling(request, receive, send)

    # ── for the registry of namespaces ──
    def make_namespace(self, name: str) -> Namespace:
        """A namespace with what all of them need."""
        made = Namespace(
            name, self.limits, self.wheel, self._runner, self._ids, self.parser, self._shelf
        )
        self._new_namespace(made)
        return made

    def make_parent(self, match: Match, name: str) -> ParentNamespace:
        """A parent; what all namespaces need its children get when they are made."""
        return ParentNamespace(match, name, self.limits, self.wheel, self._runner, self._ids)

    def made_namespace(self, namespace: Namespace) -> None:
        """A namespace is complete: listeners of `new_namespace` may add to it."""
        if namespace.name != "/":
            self._events.tell("new_namespace", namespace)

    # ── for sessions ──
    def find_namespace(self, name: str, auth: Mapping[str, Any], found: Found) -> None:
        """Say what a client meant that asked for a namespace that is not there."""
        self._spaces.find(name, auth, found)

    # ── for transports ──
    def find(self, sid: str) -> Session | None:
        """The session of an id, also one whose last packets wait to be fetched."""
        return self._sessions.get(sid)

    def open(self, transport: Transport, handshake: Handshake) -> Session:
        """Begin a session on a transport: the simulator's way in.

        Raises:
            Refused: 503 where there are too many.
        """
        self._entrance.count()
        return self._open(self._ids.session_id(self._node), transport, handshake)

    def aged_by(self, now: float) -> float | None:
        """When a session that begins now has lived long enough; None: never. A fifth of chance spreads those who began together."""
        age_s = self.limits.connection_age_s
        return now + self._ids.uniform(0.8 * age_s, 1.2 * age_s) if age_s else None

    def ended(self, session: Session) -> None:
        """Forget a session."""
        if self._sessions.pop(session.id, None) is not None:
            self.wheel.cancel(session)
            self._entrance.admission.left(session.handshake.address)

    def _open(self, sid: str, transport: Transport, handshake: Handshake) -> Session:
        session = self.session_type(sid, self, handshake, transport)
        self._sessions[sid] = session
        self._entrance.admission.entered(handshake.address)
        session.open()
        _opened.inc()
        if self.engine.is_heard:
            self.engine.tell("connection", session)
        return session

    # ── the end ──
    def stop(self) -> None:
        """The process is about to stop: no new sessions, and those on polling are told to go.

        Sessions on WebSockets are told one after another by `HttpServer`, which knows their connections, or by `close`.
        """
        self._entrance.admission.is_stopping = True
        if self._shelf is not None:
            self._shelf.is_stopping = True
        for session in list(self._sessions.values()):
            if session.transport.kind is Kind.POLLING:
                session.drain()

    async def close(self, drain_s: float = 0.0) -> None:
        """End all sessions in a way that lets clients come back, and wait until handlers have ended; `serve` returns, too.

        Args:
            drain_s: The closes are spread over it, so that clients do not all come back in the same second.
        """
        if self._door is not None:
            self._door.stop()
        self.stop()
        open_now: list[Session | RawConnection] = [*self._sessions.values(), *self._raw.open]
        for number, each in enumerate(open_now):
            each.drain()
            if drain_s and number + 1 < len(open_now):
                await asyncio.sleep(drain_s / len(open_now))
        await self._runner.close(GRACE_S)
        self.flusher.flush()
        if self._shelf is not None:
            self._shelf.close()
        self.wheel.close()


_opened = handshakes.labels("opened")
