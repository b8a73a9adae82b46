"""The composition root: makes every part, hands each what it needs, starts and stops them in order. There are no globals.

    async with build(settings) as app:      # every part, nothing listens yet
        await app.serve()                   # until SIGINT or SIGTERM

Stopping goes the other way round: nobody new is let in, clients are told, what was begun is finished, the store closes last.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from clarion.accounts import (
    REVOKED,
    Accounts,
    Authenticator,
    Blocks,
    Hasher,
    Keys,
    KeySet,
    Opened,
    Revocations,
    Secrets,
    Shared,
    load_secrets,
    teller,
    trusted_issuers,
)
from clarion.api import Readiness, as_local, build_http
from clarion.auth import DEFAULT_TENANT, Principal, TokenIssuer, TokenVerifier, secret_key
from clarion.auth.tenants import FOREIGN, rooms_of_tenant, user_room
from clarion.bus import Bus, LocalBus
from clarion.bus.nodes import MISSED, Nodes
from clarion.bus.registry import Registry, identity
from clarion.clock import Clock, SystemClock
from clarion.errors import ClarionError, SettingsError, Unauthenticated, Unavailable
from clarion.features.activity import Feeds
from clarion.features.dashboard import ALERT_JOB, Dashboards
from clarion.features.presence import Presence
from clarion.features.search import Search
from clarion.features.upstream import DISCONNECT_JOB, Caller, Routes
from clarion.ids import Ids
from clarion.jobs import Job, Queue, Worker
from clarion.jobs.purging import EVERY_S, LONGEST_S, Purger
from clarion.notifications import Inbox, Notifications, NotifyingTriggers, inbox_kind
from clarion.notifications.engine import Engine
from clarion.outbound import Outbound
from clarion.realtime import Namespace, Server, Socket
from clarion.realtime.admin import instrument
from clarion.realtime.transports import HttpServer, settle_memory
from clarion.realtime.transports.asgi import Receive, Scope, Send
from clarion.settings import Settings
from clarion.storage import open_store
from clarion.storage.server import name_of
from clarion.telemetry import get_logger, spawn
from clarion.topics import Commands, Kinds, Subscriptions, TopicEngine, Topics
from clarion.topics.arguments import convert
from clarion.topics.books import channel
from clarion.topics.publishing import PublishArgs, Published
from clarion.topics.stores import MemoryStore, SqlStore, TopicStore
from clarion.topics.stores.redis import RedisStore

if TYPE_CHECKING:
    from clarion.bus.redis import RedisClient

_log = get_logger(__name__)

Setup = Callable[["App"], object]
"""An application's own part: called with the app before anything listens."""

PROBE_S = 2.0  # between two looks at whether the store answers
JWKS_BYTES = 64 * 1024


class App:
    """A server with all its parts.

    Attributes:
        io: The Socket.IO server; an application adds its handlers here. `/` is its own, `io.home` is Clarion's.
        notifications: Sends notifications.
        triggers: Takes what kinds of topics want people to be told of.
        inbox: Everybody's inbox.
        workflows: How notifications unfold: channels, workflows, triggers.
        accounts: Clarion's own logins.
        keys: API keys.
        blocks: Users who may not come in.
        kinds: Kinds of topics, with rows of their own; an application may add its own.
        topics: Topics: publishing, reading, and kinds that have no rows of their own.
        activity: Streams of activities, what users follow, and their timelines.
        subscriptions: Counts and ends subscriptions, on all processes of the server.
        nodes: The processes that form the server; alone without `redis_url`.
        search: Collections of documents, and asking for them.
        presence: Who is where.
        dashboards: Dashboards, and what their widgets show.
        worker: Durable jobs.
        purger: Removes what is too old, once an hour on one process of the server.
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
    ) -> None:
        """Make an app; nothing is opened before it is entered (`async with`)."""
        self.settings = settings
        self.clock = clock or SystemClock()
        self.ids = ids or Ids()
        self.node = self.ids.node()
        self._readiness = Readiness(False, {"server": "starting"})
        self._not_serving: dict[str, str] = {"server": "starting"}
        self._closing = contextlib.AsyncExitStack()
        self._tickets: dict[str, int] = {}
        self._setup = setup
        self.asgi: Final = _Asgi(self)

    async def __aenter__(self) -> Self:
        """Open and start every part.

        Raises:
            SettingsError: Something about the settings, the data folder or the application's setup is wrong.
            Unavailable: The database or Redis cannot be reached.
        """
        try:
            await self._start()
        except BaseException:
            await self._closing.aclose()
            raise
        self._not_serving = {}
        await self._look()
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
    ) -> None:
        """Listen until SIGINT or SIGTERM, then stop in order.

        Args:
            sockets: Already listening; None: listen on `settings.host` and `settings.port`.
            on_started: Called with the port once requests are answered.

        Raises:
            SettingsError: The address or the port cannot be had.
        """
        settings = self.settings
        server = HttpServer(
            self.http,
            limits=settings.limits,
            clock=self.clock,
            endpoints=self.io.endpoints,
            host=settings.host,
            port=settings.port,
            sockets=sockets,
            uds=Path(settings.data_dir) / "clarion.sock",
            trusted_proxies=settings.trusted_proxies,
            on_stopping=self.stopping,
        )

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

    # ── making, from the ground up ──
    async def _start(self) -> None:
        settings, clock = self.settings, self.clock
        data_dir = Path(settings.data_dir)
        self.store = await open_store(
            url=settings.database_url,
            data_dir=data_dir,
            clock=clock,
            is_alone=not settings.redis_url,
        )
        self._closing.push_async_callback(self.store.close)
        secrets = self._secrets(data_dir)
        await self._make_nodes(secrets)
        self.queue = Queue(self.store, clock, self.ids, node=self.node)
        await self._make_accounts(secrets)
        self._make_realtime()
        self._make_notifications()
        self._make_activity()
        self._make_search()
        self._make_presence()
        self._make_dashboards()
        self._make_jobs()
        self._make_upstream()
        if self._setup is not None:
            outcome = self._setup(self)
            if isinstance(outcome, Awaitable):
                await outcome
        self._make_http()
        await self.nodes.start()
        self._closing.push_async_callback(self.nodes.close)
        if self.settings.redis_url:  # what was told before this process could hear
            self._shared.look_again(None)
        self.opened.start()
        self._closing.push_async_callback(self.opened.close)
        self.engine.start()
        self._closing.push_async_callback(self.engine.close)
        self.topics.start()
        self.search.start()
        self._closing.push_async_callback(self.topics.close)
        await self.presence.start()
        self._closing.push_async_callback(self.presence.close)
        self.dashboards.start()
        self._closing.push_async_callback(self.dashboards.close)
        self._closing.push_async_callback(self.commands.close)
        self.activity.start(self.worker)
        await self.worker.start()
        self.workflows.start()
        self._closing.push_async_callback(self.workflows.close)
        self._closing.push_async_callback(self.worker.close)
        probing = spawn(self._probe(), name="readiness")
        self._closing.callback(probing.cancel)
        self._closing.push_async_callback(self.io.close)

    def _secrets(self, data_dir: Path) -> Secrets:
        found, given = load_secrets(data_dir, self.ids), self.settings.auth.token_secret
        return Secrets(given) if given else found

    async def _make_nodes(self, secrets: Secrets) -> None:
        """What this process shares with others: nothing without `redis_url`."""
        settings, clock, ids = self.settings, self.clock, self.ids
        self.bus: Bus
        self._topic_store: TopicStore
        if not settings.redis_url:
            self.bus = LocalBus()
            self.nodes = Nodes(self.node, self.bus, ids=ids)
            self._topic_store = MemoryStore(clock=clock, ids=ids)
            return
        try:
            from clarion.bus.redis import RedisClient  # an optional extra
            from clarion.bus.redis_bus import RedisBus
        except ImportError as exc:
            raise SettingsError(
                'redis_url is set, and what speaks to Redis is not installed: pip install "clarion[redis]"'
            ) from exc
        prefix = settings.redis_prefix
        redis = RedisClient(settings.redis_url, ids=ids)
        self._closing.push_async_callback(redis.close)
        self.bus = bus = RedisBus(settings.redis_url, ids=ids, prefix=prefix)
        self._closing.push_async_callback(bus.close)
        try:
            await bus.start()
        except Unavailable as exc:
            raise Unavailable(f"redis_url: {exc.message}") from exc
        await self._warn_of_eviction(redis)
        # Where the application has its own login, nothing is signed here.
        signs = "" if settings.auth.is_external else secrets.token_secret
        database = await name_of(self.store, ids.token(12))
        registry = Registry(redis, self.node, identity(database, signs), prefix=prefix)
        self.nodes = Nodes(self.node, bus, ids=ids, registry=registry)
        self._topic_store = RedisStore(
            redis,
            clock=clock,
            ids=ids,
            prefix=prefix,
            channel=lambda topic: bus.name_of(channel(topic)),
        )

    async def _warn_of_eviction(self, redis: "RedisClient") -> None:
        try:
            evicts = await redis.evicts()
        except ClarionError:  # some who rent it out let nobody ask
            return
        if evicts:
            _log.warning(
                "Redis evicts keys when it is full: topics would be torn; set maxmemory-policy noeviction"
            )

    async def _make_accounts(self, secrets: Secrets) -> None:
        auth, clock, ids = self.settings.auth, self.clock, self.ids
        outbound = Outbound(clock)
        self._closing.push_async_callback(outbound.close)

        async def fetch(url: str) -> bytes:
            return (await outbound.request("GET", url, max_bytes=JWKS_BYTES)).body

        own = secret_key(secrets.token_secret)
        issuers = trusted_issuers(auth, own, fetch, clock)
        for keys in issuers.values():
            if isinstance(keys, KeySet):
                self._closing.push_async_callback(keys.close)
        self.opened = Opened(clock)
        revocations = Revocations(
            self.store, clock, self.opened.revoked, tell=teller(self.nodes.tell)
        )
        await revocations.load()
        self.blocks = Blocks(self.store, revocations, clock)
        await self.blocks.load()
        self.keys = Keys(self.store, revocations, clock=clock, ids=ids)
        self._closing.push_async_callback(self.keys.flush)
        self._shared = shared = Shared(revocations, self.blocks, self.keys, self.opened)
        self._closing.push_async_callback(shared.close)
        self.nodes.on(REVOKED, shared.hear)
        self.nodes.on(MISSED, shared.look_again)
        hasher = Hasher(self.settings.limits.hashes_queued, ids)
        self._closing.callback(hasher.close)
        self.accounts = Accounts(
            self.store,
            auth,
            TokenIssuer(own, audience=auth.audience, life_s=auth.access_token_s),
            hasher,
            revocations,
            clock=clock,
            ids=ids,
        )
        verifier = TokenVerifier(issuers, audience=auth.audience, leeway_s=auth.leeway_s)
        self.authenticator = Authenticator(verifier, self.keys, revocations, clock)
        self._revocations = revocations

    def _make_realtime(self) -> None:
        settings = self.settings
        self.io = Server(
            settings.realtime,
            settings.limits,
            clock=self.clock,
            ids=self.ids,
            allowed_origins=[*settings.allowed_origins, *filter(None, [settings.public_url])],
            trusted_proxies=settings.trusted_proxies,
            home=settings.realtime.namespace,
            new_namespace=self._guard,
        )
        self._make_admin()

    def _make_admin(self) -> None:
        admin = self.settings.admin_ui
        if not admin.password:
            return
        instrument(self.io, admin, clock=self.clock, ids=self.ids)

        @self.io.of(admin.namespace).use
        def of_no_tenant(page: Socket) -> None:
            # The HTTP API reaches sockets of the caller's tenant, and no page of the operators.
            page.principal = Principal(id=admin.username, tenant="", kind="system")
            page.starts_in = (FOREIGN,)

    def _make_notifications(self) -> None:
        limits, clock, ids = self.settings.limits, self.clock, self.ids
        self.kinds = Kinds()
        self.kinds.add(inbox_kind(self.store))
        home = self.io.of(self.io.home)
        self.engine = TopicEngine(home.prepare, self.kinds, self.bus, limits, clock=clock, ids=ids)
        durable = SqlStore(self.store, clock=clock, ids=ids)
        self._closing.push_async_callback(durable.close)
        self.topics = Topics(
            self.engine, self.kinds, self._topic_store, limits, clock=clock, durable=durable
        )
        self.subscriptions = Subscriptions(self.engine, self.nodes)
        self.inbox = Inbox(self.store, self.engine, clock=clock, ids=ids)
        self.notifications = Notifications(self.store, self.inbox, limits, clock=clock, ids=ids)
        self.triggers = NotifyingTriggers(self.notifications)
        self.commands = Commands(
            self.engine,
            self.topics,
            _principal_of,
            limits,
            clock=clock,
            authenticate=self.authenticator.authenticate,
        )
        self.commands.install(home)

    def _make_activity(self) -> None:
        self.activity = Feeds(
            self.store,
            self.bus,
            self.engine,
            self.queue,
            self.settings.limits,
            clock=self.clock,
            ids=self.ids,
        )
        for kind in self.activity.kinds:
            self.kinds.add(kind)
        self._closing.push_async_callback(self.activity.close)

    def _make_dashboards(self) -> None:
        settings = self.settings
        networks = settings.dashboards.source_networks
        try:
            outbound = Outbound(
                self.clock,
                allow_private=networks,
                allow_http=bool(networks),
                ports=settings.dashboards.source_ports or None,
            )
        except ValueError as exc:
            raise SettingsError(f"dashboards.source_networks: {exc}") from exc
        self._closing.push_async_callback(outbound.close)
        self.dashboards = Dashboards(
            self.store,
            self.topics,
            self.engine,
            settings.dashboards,
            settings.limits,
            triggers=self.triggers,
            queue=self.queue,
            outbound=outbound,
            node=self.node,
            clock=self.clock,
            ids=self.ids,
        )

    def _make_search(self) -> None:
        self.search = Search(
            self.store,
            self.bus,
            self.engine,
            self.settings.limits,
            clock=self.clock,
            ids=self.ids,
            triggers=self.triggers,
        )
        self.kinds.add(self.search.live.kind)
        self._closing.push_async_callback(self.search.close)

    def _make_presence(self) -> None:
        self.presence = Presence(
            self.store,
            self.bus,
            self.topics,
            self.engine,
            self.settings.presence,
            node=self.node,
            clock=self.clock,
            ids=self.ids,
            # Rooms in Redis outlive this process.
            folder=None if self.settings.redis_url else Path(self.settings.data_dir),
            window_s=self.settings.limits.drain_s,
        )
        home = self.io.of(self.io.home)
        home.on("connection", lambda socket: self.presence.connected(socket, _principal_of(socket)))
        home.handle("disconnect", lambda socket, _: self.presence.disconnected(socket))

    def _make_upstream(self) -> None:
        settings = self.settings.upstream
        if not settings.url:
            return
        # The operator's own endpoint: it may be on this machine or a private network, where strangers' URLs must not lead.
        url = urlsplit(settings.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        outbound = Outbound(
            self.clock, allow_private=("0.0.0.0/0", "::/0"), allow_http=True, ports=[port]
        )
        self._closing.push_async_callback(outbound.close)
        caller = Caller(settings, outbound, clock=self.clock, ids=self.ids)
        self._closing.push_async_callback(caller.close)

        async def publish(whose: Principal, given: dict[str, Any]) -> Published:
            args = convert((given,), PublishArgs)
            return await self.topics.of(args.topic, whose.tenant).give(args)

        routes = Routes(settings, caller, publish, self.io, self.queue)
        self._closing.push_async_callback(routes.close)
        self.worker.handle(DISCONNECT_JOB, routes.tell_again)
        routes.install()
        routes.install_topics(self.topics)

    def _make_jobs(self) -> None:
        self.worker = Worker(self.queue, self.clock, self.ids)
        outbound = Outbound(self.clock)
        self._closing.push_async_callback(outbound.close)
        self.workflows = Engine(
            self.store,
            self.inbox,
            self.queue,
            self.settings.limits,
            outbound,
            clock=self.clock,
            ids=self.ids,
            node=self.node,
        )
        self.workflows.install(self.worker)
        self.worker.handle(ALERT_JOB, self.dashboards.alert)

        self.purger = purger = Purger(self.clock)
        purger.add("logins", self.accounts.purge)
        purger.add("blocks", self.blocks.purge)
        purger.add("idempotency keys", self.notifications.forget_keys)
        purger.add("inbox logs", self.inbox.trim)
        purger.add("activities", self.activity.streams.purge)
        purger.add("activity logs", self.activity.streams.trim)
        purger.add("reactions", self.activity.reactions.purge)
        purger.add("timelines", self.activity.writer.forget_away)
        purger.add("leases", self.dashboards.purge)
        purger.add("search collections", self.search.purge)
        purger.add("search logs", self.search.trim)
        purger.add("last seen", self.presence.purge)

        async def purge(_: Job) -> None:
            await self.keys.flush()
            self._revocations.forget_past()
            await purger.run()

        self.worker.every(EVERY_S, "purge", purge, timeout_s=LONGEST_S)

    def _make_http(self) -> None:
        self.http = build_http(
            self.settings,
            authenticator=self.authenticator,
            accounts=self.accounts,
            keys=self.keys,
            blocks=self.blocks,
            notifications=self.notifications,
            workflows=self.workflows,
            inbox=self.inbox,
            topics=self.topics,
            subscriptions=self.subscriptions,
            activity=self.activity,
            search=self.search,
            presence=self.presence,
            dashboards=self.dashboards,
            io=self.io,
            readiness=lambda: self._readiness,
            clock=self.clock,
            ids=self.ids,
            # Raw endpoints are WebSockets alone.
            mounts={
                path: self.io.asgi
                for path, admit in self.io.endpoints.items()
                if admit == self.io.admit
            },
        )
        self.local = as_local(self.http)

    # ── sockets: who is it, and until when ──
    def _guard(self, namespace: Namespace) -> None:
        """No namespace is without: whoever comes in has a credential, and leaves when it ends.

        But for the admin page's, which has a password of its own.
        """
        if self.settings.admin_ui.password and namespace.name == self.settings.admin_ui.namespace:
            return
        namespace.use(self._let_in)
        namespace.on("connection", self._connected)
        namespace.handle("disconnect", self._disconnected)

    async def _let_in(self, client: Socket) -> None:
        credential = _credential(client)
        if credential is None:
            if client.namespace in self.settings.auth.open_namespaces:
                return
            raise Unauthenticated("sign in first: give an access token as `auth: {token}`")
        principal = await self.authenticator.authenticate(credential)
        client.principal = principal
        client.starts_in = rooms_of_tenant(principal.tenant)
        if principal.kind != "user":
            return
        if principal.tenant == DEFAULT_TENANT:
            client.user = principal.id
        else:  # its room's name says whose it is
            client.user_room = user_room(principal.tenant, principal.id)

    def _connected(self, client: Socket) -> None:
        def close(why: ClarionError) -> None:
            _log.info("socket ends with its credential", socket=client.id, code=why.code)
            self.engine.leave(client)
            client.disconnect()

        principal = _principal_of(client)
        if principal is None:
            return
        self._tickets[client.id] = self.opened.add(principal, close)
        if not self.authenticator.is_good(principal):  # it ended while the client was coming in
            close(Unauthenticated())

    def _disconnected(self, client: Socket, _reason: str) -> None:
        if (ticket := self._tickets.pop(client.id, None)) is not None:
            self.opened.remove(ticket)

    # ── readiness ──
    async def _probe(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(PROBE_S)

    async def _look(self) -> None:
        store: dict[str, str] = {}
        try:
            async with asyncio.timeout(PROBE_S):
                await self.store.ping()
        except (ClarionError, TimeoutError) as exc:
            store = {"store": str(exc) or "no answer"}
        # Only now: a stop that began while the store was asked must not be taken back.
        reasons = self._not_serving | store
        self._readiness = Readiness(not reasons, reasons)

    def stopping(self) -> None:
        """Nobody new is let in from now on, and balancers are told."""
        self._not_serving = {"server": "stopping"}
        self._readiness = Readiness(False, self._not_serving)
        self.presence.freeze()
        self.io.stop()


class _Asgi:
    """An app on a foreign server."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] == "http":
            await self._app.http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._app.io.asgi(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        try:
            await self._app.__aenter__()
        except (SettingsError, Unavailable) as exc:
            await send({"type": "lifespan.startup.failed", "message": str(exc)})
            return
        try:
            await send({"type": "lifespan.startup.complete"})
            await receive()  # lifespan.shutdown
            self._app.stopping()
        finally:
            await self._app.__aexit__(None, None, None)
        await send({"type": "lifespan.shutdown.complete"})


def _credential(client: Socket) -> str | None:
    """What the client came with: `auth.token` of the namespace, or the header of the session's first request."""
    given = client.handshake.auth.get("token")
    if given is not None:
        if not isinstance(given, str) or not given:
            raise Unauthenticated("`auth.token` is not an access token")
        return given
    scheme, _, header = client.handshake.headers.get("authorization", "").partition(" ")
    return (header.strip() or None) if scheme.lower() == "bearer" else None


def _principal_of(client: Socket) -> Principal | None:
    principal: Principal | None = client.principal
    return principal


def build(settings: Settings, setup: Setup | None = None) -> App:
    """Make an app from settings; `setup(app)` adds the application's own part. Open it with `async with`."""
    return App(settings, setup)
