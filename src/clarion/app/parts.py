"""Every part of a server, made from the ground up, each handed what it needs. Nothing runs yet but what reading needs: the database and Redis."""

import contextlib
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

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
    Upkeep,
    load_secrets,
    teller,
    trusted_issuers,
)
from clarion.app.admission import Admission, principal_of
from clarion.app.partition import Partition
from clarion.app.processes import alone, of_one_host, over_redis
from clarion.auth import Principal, TokenIssuer, TokenVerifier, secret_key
from clarion.auth.tenants import FOREIGN
from clarion.bus.nodes import MISSED
from clarion.bus.owner_link import OwnerLink
from clarion.clock import Clock, SystemClock
from clarion.features.activity import Feeds
from clarion.features.dashboard import ALERT_JOB, Dashboards
from clarion.features.presence import Presence
from clarion.features.search import Search
from clarion.features.upstream import Caller, Routes
from clarion.ids import Ids
from clarion.jobs import Leases, Queue, Worker
from clarion.jobs.purging import EVERY_S, LONGEST_S, Purger
from clarion.notifications import HandedOn, Inbox, Notifications, inbox_kind
from clarion.notifications.ageing import Ageing
from clarion.notifications.bulk import TOLD
from clarion.notifications.channels.email.channel import NAME as EMAIL
from clarion.notifications.channels.push.parts import PushParts, push_keys
from clarion.notifications.delivery import Delivery, Mode
from clarion.notifications.email import Email
from clarion.notifications.engine import Engine
from clarion.notifications.events.events import Events
from clarion.notifications.events.numbers import Numbers
from clarion.notifications.preferences.book import Book
from clarion.notifications.progress import Progress
from clarion.notifications.reach import Reach
from clarion.outbound import Outbound, to_endpoint, to_networks
from clarion.realtime import Namespace, Server, Socket
from clarion.realtime.admin import instrument
from clarion.settings import Settings
from clarion.storage import Store, open_store
from clarion.storage.remote import RemoteStore
from clarion.storage.secrets import secret_of
from clarion.topics import Commands, Kinds, Subscriptions, TopicEngine, Topics
from clarion.topics.stores import SqlStore

JWKS_BYTES = 64 * 1024


class Closes(Protocol):
    """Has to be closed."""

    async def close(self) -> None:
        """Release what it holds."""


C = TypeVar("C", bound=Closes)


class Parts:
    """What a server is made of.

    Attributes:
        io: The Socket.IO server; an application adds its handlers here. `/` is its own, `io.home` is Clarion's.
        notifications: Sends notifications.
        triggers: Takes what kinds of topics want people to be told of.
        inbox: Everybody's inbox.
        book: Everybody's preferences.
        workflows: How notifications unfold: channels, workflows, triggers.
        reach: Webhooks, text messages and chats.
        push: Push messages: devices, and what they report.
        email: The email channel, and what is told of its messages.
        accounts: Clarion's own logins.
        keys: API keys.
        blocks: Users who may not come in.
        kinds: Kinds of topics, with rows of their own; an application may add its own.
        topics: Topics: publishing, reading, and kinds that have no rows of their own.
        activity: Streams of activities, what users follow, and their timelines.
        subscriptions: Counts and ends subscriptions, on all processes of the server.
        address_of: Finds the `node_url` of one of them; None: they have none.
        nodes: The processes that form the server; alone without `redis_url` and workers.
        is_one_of_many: Whether there may be other processes.
        partition: Tells whether only this process is without Redis; None without `redis_url`.
        search: Collections of documents, and asking for them.
        presence: Who is where.
        dashboards: Dashboards, and what their widgets show.
        events: What people did.
        event_numbers: How often, and how many of them.
        worker: Durable jobs.
        purger: Removes what is too old, once an hour on one process of the server.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None,
        ids: Ids | None,
        owner: Path | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.ids = ids or Ids()
        self.node = self.ids.node()
        self.is_one_of_many = owner is not None or bool(settings.redis_url)
        self._owner = owner
        self._link: OwnerLink | None = None
        self._closing = contextlib.AsyncExitStack()

    async def _make(self) -> None:
        settings, clock = self.settings, self.clock
        data_dir = Path(settings.data_dir)
        self.store = self._kept(await self._open_store(data_dir))
        secrets = self._secrets(data_dir)
        self._link_secret = await secret_of(self.store, "email links", self.ids.token(32))
        await self._make_processes(secrets)
        self.queue = Queue(self.store, clock, self.ids, node=self.node)
        await self._make_accounts(secrets)
        self._make_realtime()
        self._make_topics()
        self._make_notifications()
        self._make_activity()
        self._make_presence()
        self._make_events()
        self._make_workflows()
        self._make_search()
        self._make_dashboards()
        self._make_jobs()
        await self._make_push()
        self.reach = self._kept(
            Reach(
                settings,
                self.store,
                self.workflows,
                secrets.token_secret,
                clock=clock,
                ids=self.ids,
            )
        )
        self._make_upstream()

    async def _open_store(self, data_dir: Path) -> Store:
        settings = self.settings
        if self._owner is None:
            return await open_store(
                url=settings.database_url,
                data_dir=data_dir,
                clock=self.clock,
                is_alone=not settings.redis_url,
            )
        self._link = self._kept(OwnerLink(self._owner, self.node, ids=self.ids))
        await self._link.start()
        return RemoteStore(self._link, self.clock)

    def _kept(self, part: C) -> C:
        """A part that is closed when the app is."""
        self._closing.push_async_callback(part.close)
        return part

    def _secrets(self, data_dir: Path) -> Secrets:
        found, given = load_secrets(data_dir, self.ids), self.settings.auth.token_secret
        return Secrets(given) if given else found

    async def _make_processes(self, secrets: Secrets) -> None:
        settings, clock, ids = self.settings, self.clock, self.ids
        if settings.redis_url:
            processes = await over_redis(
                settings,
                self.store,
                self.node,
                secrets.token_secret,
                self._closing,
                clock=clock,
                ids=ids,
            )
        elif self._link is not None:
            processes = of_one_host(self.node, self._link, ids)
        else:
            processes = alone(self.node, clock, ids)
        self.bus, self.nodes = processes.bus, processes.nodes
        self.address_of = processes.address_of
        self._topic_store, self._backplane = processes.topics, processes.backplane
        self.partition = (
            Partition(
                self.node,
                Leases(self.store, clock, node=self.node),
                lambda: self.nodes.silent_s,
            )
            if settings.redis_url
            else None
        )

    async def _make_accounts(self, secrets: Secrets) -> None:
        auth, clock, ids = self.settings.auth, self.clock, self.ids
        outbound = self._kept(Outbound(clock))

        async def fetch(url: str) -> bytes:
            return (await outbound.request("GET", url, max_bytes=JWKS_BYTES)).body

        own = secret_key(secrets.token_secret, auth.other_secrets)
        issuers = trusted_issuers(auth, own, fetch, clock)
        for keys in issuers.values():
            if isinstance(keys, KeySet):
                self._kept(keys)
        self.opened = Opened(clock)
        revocations = Revocations(
            self.store, clock, self.opened.revoked, tell=teller(self.nodes.tell)
        )
        await revocations.load()
        self.blocks = Blocks(self.store, revocations, clock)
        await self.blocks.load()
        self.keys = Keys(self.store, revocations, clock=clock, ids=ids)
        self.upkeep = self._kept(Upkeep(self.keys, revocations))
        self._shared = shared = self._kept(Shared(revocations, self.blocks, self.keys, self.opened))
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
        self._admission = Admission(
            self.authenticator,
            self.opened,
            auth.open_namespaces,
            lambda socket: self.engine.leave(socket),  # noqa: PLW0108  it is made later
        )

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
            backplane=self._backplane,
            node=self.node,
        )
        self._make_admin()

    def _guard(self, namespace: Namespace) -> None:
        """No namespace is without, but the admin page's, which has a password of its own."""
        admin = self.settings.admin_ui
        if not (admin.password and namespace.name == admin.namespace):
            self._admission.guard(namespace)

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

    def _make_topics(self) -> None:
        limits, clock, ids = self.settings.limits, self.clock, self.ids
        self.kinds = Kinds()
        home = self.io.of(self.io.home)
        self.engine = TopicEngine(home.prepare, self.kinds, self.bus, limits, clock=clock, ids=ids)
        durable = self._kept(SqlStore(self.store, clock=clock, ids=ids))
        self.topics = Topics(
            self.engine, self.kinds, self._topic_store, limits, clock=clock, durable=durable
        )
        self.subscriptions = Subscriptions(self.engine, self.nodes)
        self.commands = Commands(
            self.engine,
            self.topics,
            principal_of,
            limits,
            clock=clock,
            authenticate=self.authenticator.authenticate,
        )
        self.commands.install(home)

    def _make_notifications(self) -> None:
        limits, clock, ids = self.settings.limits, self.clock, self.ids
        log_age_s = limits.inbox_log_days * 86_400
        self.kinds.add(
            inbox_kind(
                self.store,
                lambda call, given: self.inbox.publish(call, given),  # noqa: PLW0108  it is made later
                log_size=limits.inbox_log_size,
                log_age_s=log_age_s,
            )
        )
        self.inbox = Inbox(self.store, self.engine, clock=clock, ids=ids)
        self._trim_inboxes = partial(self.inbox.trim, limits.inbox_log_size, log_age_s)
        self.ageing = Ageing(self.store, self.inbox, limits, clock=clock, ids=ids)
        self.book = Book(self.store, self.inbox, limits, clock=clock)
        self.notifications = Notifications(
            self.store, self.inbox, self.book, limits, clock=clock, ids=ids
        )

    def _make_workflows(self) -> None:
        self._outbound = self._kept(Outbound(self.clock))
        self.workflows = Engine(
            self.store,
            self.inbox,
            self.queue,
            self.settings.limits,
            self._outbound,
            self.book,
            self.settings.sending,
            self._delivery(),
            clock=self.clock,
            ids=self.ids,
            node=self.node,
            public_url=self.settings.public_url,
            link_secret=self._link_secret,
            templates=self.settings.templates,
            presence=self.presence,
            events=self.events,
        )
        self.triggers = HandedOn(self.notifications, self.workflows.triggers)

    def _make_activity(self) -> None:
        self.activity = self._kept(
            Feeds(
                self.store,
                self.bus,
                self.engine,
                self.queue,
                self.settings.limits,
                clock=self.clock,
                ids=self.ids,
            )
        )
        for kind in self.activity.kinds:
            self.kinds.add(kind)

    def _make_dashboards(self) -> None:
        settings = self.settings
        own = settings.dashboards
        outbound = self._kept(
            to_networks(
                self.clock,
                own.source_networks,
                own.source_ports,
                setting="dashboards.source_networks",
            )
        )
        self.dashboards = Dashboards(
            self.store,
            self.topics,
            self.engine,
            own,
            settings.limits,
            triggers=self.triggers,
            queue=self.queue,
            outbound=outbound,
            node=self.node,
            clock=self.clock,
            ids=self.ids,
        )
        self.dashboards.source("events")(self.event_numbers.asked)

    def _make_search(self) -> None:
        self.search = self._kept(
            Search(
                self.store,
                self.bus,
                self.engine,
                self.settings.limits,
                clock=self.clock,
                ids=self.ids,
                triggers=self.triggers,
            )
        )
        self.kinds.add(self.search.live.kind)

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
            # Rooms of many outlive this process.
            folder=None if self.is_one_of_many else Path(self.settings.data_dir),
            window_s=self.settings.limits.drain_s,
        )
        home = self.io.of(self.io.home)

        def unanswered_s(id: str) -> float:
            socket = home.sockets.get(id)
            return 0.0 if socket is None else socket.unanswered_s

        self.presence.unanswered_s = unanswered_s
        home.on("connection", lambda socket: self.presence.connected(socket, principal_of(socket)))
        home.handle("disconnect", lambda socket, _: self.presence.disconnected(socket))

    def _make_events(self) -> None:
        self.events = Events(self.store, self.settings.events, clock=self.clock, ids=self.ids)
        self.event_numbers = Numbers(self.store, self.clock)
        self.kinds.add(self.events.kind(self.topics.store()))

    def _make_upstream(self) -> None:
        settings = self.settings.upstream
        if not settings.url:
            return
        outbound = self._kept(to_endpoint(self.clock, settings.url))
        caller = self._kept(Caller(settings, outbound, clock=self.clock, ids=self.ids))
        routes = self._kept(Routes(settings, caller, self.topics, self.io, self.queue))
        routes.install(self.worker)

    def _delivery(self) -> Delivery:
        settings = self.settings
        return Delivery(
            self.store,
            msgspec.convert(settings.delivery, Mode),
            settings.delivery_allow,
            keep=settings.limits.captures,
            clock=self.clock,
            ids=self.ids,
        )

    def _make_jobs(self) -> None:
        self.worker = Worker(self.queue, self.clock, self.ids)
        self.email = self._kept(
            Email(
                self.settings,
                self.store,
                self.workflows.suppressions,
                self._outbound,
                secret=self._link_secret,
                way_out=lambda message: self.workflows.unsubscribing.link(message, EMAIL),
                clock=self.clock,
                ids=self.ids,
            )
        )
        self.email.on_woken = self.workflows.wake
        self.workflows.channels.add(self.email.channel)
        self.workflows.install(self.worker)
        self.nodes.on(TOLD, self.workflows.bulk.hear)
        self.workflows.bulk.tell_others = lambda told: self.nodes.tell(TOLD, told)
        self.dashboards.source("messages")(self.workflows.counts.asked)
        self._kept(
            Progress(self.topics, self.workflows.sends, self.workflows.imports, clock=self.clock)
        )
        self.worker.handle(ALERT_JOB, self.dashboards.alert)
        people, leaving = self.workflows.people, self.activity.leaving
        people.also_erase += [leaving.erase, self.search.saved.erase, self.dashboards.erase]
        people.also_tell.append(leaving.tell)

        self.purger = purger = Purger(self.clock)
        purger.add("logins", self.accounts.purge)
        purger.add("blocks", self.blocks.purge)
        purger.add("idempotency keys", self.notifications.forget_keys)
        purger.add("inboxes", self.ageing.purge)
        purger.add("inbox logs", self._trim_inboxes)
        purger.add("activities", self.activity.streams.purge)
        purger.add("activity logs", self.activity.streams.trim)
        purger.add("reactions", self.activity.reactions.purge)
        purger.add("timelines", self.activity.writer.forget_away)
        purger.add("leases", self.dashboards.purge)
        purger.add("search collections", self.search.purge)
        purger.add("search logs", self.search.trim)
        purger.add("last seen", self.presence.purge)
        purger.add("events", self.events.purge)
        purger.add("captures", self.workflows.delivery.purge)
        purger.add("workflows", self.workflows.retention.purge)
        purger.add("stats", self.workflows.counts.purge)
        purger.add("imports", self.workflows.imports.purge)
        purger.add("schedules", self.workflows.schedules.purge)

        self.worker.every(EVERY_S, "purge", lambda _: purger.run(), timeout_s=LONGEST_S)

    async def _make_push(self) -> None:
        settings = self.settings
        own = settings.push
        outbound = self._kept(
            to_networks(self.clock, own.networks, own.ports, setting="push.networks")
        )
        self.push = PushParts(
            self.store,
            await push_keys(self.store, self.ids),
            outbound,
            settings,
            self.workflows.sender.on_woken,
            clock=self.clock,
            ids=self.ids,
        )
        self.workflows.channels.add(self.push.channel)
        self.purger.add("push devices", self.push.devices.purge)
