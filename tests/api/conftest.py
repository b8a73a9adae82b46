"""The HTTP application over real services on SQLite, and a client that calls it in this process."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clarion.accounts import Accounts, Authenticator, Blocks, Hasher, Keys, Revocations
from clarion.api import Readiness, as_local, build_http
from clarion.auth import OneKey, TokenIssuer, TokenVerifier, secret_key, system
from clarion.auth.tokens import ISSUER
from clarion.bus import LocalBus
from clarion.bus.nodes import Nodes
from clarion.clock import ManualClock
from clarion.features.activity import Feeds
from clarion.features.dashboard import Dashboards
from clarion.features.presence import Presence
from clarion.features.search import Search
from clarion.ids import Ids
from clarion.jobs import Queue
from clarion.notifications import Inbox, Notifications, inbox_kind
from clarion.notifications.channels.push.encryption import SEED, private_key
from clarion.notifications.channels.push.parts import PushKeys, PushParts
from clarion.notifications.email import Email
from clarion.notifications.engine import Engine
from clarion.notifications.events.events import Events
from clarion.notifications.events.numbers import Numbers
from clarion.notifications.preferences.book import Book
from clarion.notifications.reach import Reach
from clarion.outbound import Outbound
from clarion.realtime import Server
from clarion.settings import Auth, Limits, Realtime, Settings, Templates
from clarion.storage import Store, open_store
from clarion.topics import Kinds, Subscriptions, TopicEngine, Topics
from clarion.topics.stores import MemoryStore
from tests.support.renders import Inside
from tests.support.triggers import NotedTriggers

PASSWORD = "correct horse battery"
AUDIENCE = "clarion"
SECRET = secret_key("the server's own secret, 32 bytes and more")


class Site:
    """Everything behind the doors, as the server puts it together; nothing listens."""

    def __init__(
        self, store: Store, settings: Settings, *, web: Path, mounts: dict[str, Any] | None = None
    ) -> None:
        self.clock, self.ids = ManualClock(), Ids()
        self.store, self.settings = store, settings
        self.readiness = Readiness(True)
        revocations = Revocations(store, self.clock)
        self.hasher = Hasher(16, self.ids)
        self.issuer = TokenIssuer(SECRET, audience=AUDIENCE, life_s=900)
        self.accounts = Accounts(
            store,
            settings.auth,
            self.issuer,
            self.hasher,
            revocations,
            clock=self.clock,
            ids=self.ids,
        )
        self.blocks = Blocks(store, revocations, self.clock)
        self.keys = Keys(store, revocations, clock=self.clock, ids=self.ids)
        verifier = TokenVerifier({ISSUER: OneKey(SECRET)}, audience=AUDIENCE, leeway_s=0)
        kinds = Kinds()
        kinds.add(inbox_kind(store))
        bus = LocalBus()
        self.engine = TopicEngine(
            lambda event, data: (event, data),
            kinds,
            bus,
            settings.limits,
            clock=self.clock,
            ids=self.ids,
        )
        nodes = Nodes(self.ids.node(), bus, ids=self.ids)
        self.subscriptions = Subscriptions(self.engine, nodes)
        topic_store = MemoryStore(clock=self.clock, ids=self.ids)
        self.topics = Topics(self.engine, kinds, topic_store, settings.limits, clock=self.clock)
        self.presence = Presence(
            store,
            bus,
            self.topics,
            self.engine,
            settings.presence,
            node=self.ids.node(),
            clock=self.clock,
            ids=self.ids,
        )
        self.inbox = Inbox(store, self.engine, clock=self.clock, ids=self.ids)
        self.book = Book(store, self.inbox, settings.limits, clock=self.clock)
        self.notifications = Notifications(
            store, self.inbox, self.book, settings.limits, clock=self.clock, ids=self.ids
        )
        queue = Queue(store, self.clock, self.ids, node=self.ids.node())
        self.workflows = Engine(
            store,
            self.inbox,
            queue,
            settings.limits,
            Outbound(self.clock),
            self.book,
            clock=self.clock,
            ids=self.ids,
            node="n",
            presence=self.presence,
            renders=Inside(Templates()),
        )
        self.events = Events(store, settings.events, clock=self.clock, ids=self.ids)
        self.event_numbers = Numbers(store, self.clock)
        self.push = PushParts(
            store,
            PushKeys(private_key(bytes(SEED)), "of tests"),
            Outbound(self.clock),
            settings,
            self.workflows.sender.on_woken,
            clock=self.clock,
            ids=self.ids,
        )
        self.email = Email(
            settings,
            store,
            self.workflows.suppressions,
            Outbound(self.clock),
            secret="of tests",
            clock=self.clock,
            ids=self.ids,
        )
        self.workflows.channels.add(self.email.channel)
        self.reach = Reach(
            settings, store, self.workflows, "a secret of tests", clock=self.clock, ids=self.ids
        )
        self.activity = Feeds(
            store, bus, self.engine, queue, settings.limits, clock=self.clock, ids=self.ids
        )
        for kind in self.activity.kinds:
            kinds.add(kind)
        self.triggers = NotedTriggers()
        self.search = Search(
            store,
            bus,
            self.engine,
            settings.limits,
            clock=self.clock,
            ids=self.ids,
            triggers=self.triggers,
        )
        kinds.add(self.search.live.kind)
        self.dashboards = Dashboards(
            store,
            self.topics,
            self.engine,
            settings.dashboards,
            settings.limits,
            triggers=self.triggers,
            queue=Queue(store, self.clock, self.ids, node="node"),
            outbound=Outbound(self.clock),
            node=self.ids.node(),
            clock=self.clock,
            ids=self.ids,
        )
        self.io = Server(
            Realtime(), settings.limits, clock=self.clock, ids=self.ids, home="/clarion"
        )
        self.io.of("/clarion")
        self.authenticator = Authenticator(verifier, self.keys, revocations, self.clock)
        self.app = build_http(self, mounts, web)
        self.http = client(self.app)

    @property
    def operator(self) -> httpx.AsyncClient:
        """A caller on the local socket."""
        return client(as_local(self.app))

    def token(self, user: str, *scopes: str, tenant: str = "default", **claims: Any) -> str:
        """An access token of somebody, signed as the server signs."""
        now_ms = claims.pop("now_ms", self.clock.now_ms())
        return self.issuer.issue(
            user,
            token_id=self.ids.token(),
            family=claims.pop("family", self.ids.token()),
            now_ms=now_ms,
            tenant=tenant,
            scopes=list(scopes),
        )

    async def key(self, *scopes: str) -> str:
        """A back end's API key."""
        return (await self.keys.create(system("tests"), "tests", scopes)).key

    async def notify(self, *users: str, title: str = "Hello") -> None:
        """Put a message into inboxes."""
        body = {"recipients": [{"id": user} for user in users], "title": title}
        token = self.token("sender", "notifications:send")
        answer = await self.http.post("/v1/notifications", json=body, headers=bearer(token))
        assert answer.status_code == 202, answer.text

    async def close(self) -> None:
        await self.reach.close()
        await self.dashboards.close()
        await self.search.close()
        await self.engine.close()
        self.hasher.close()


def client(app: Any, address: str = "192.0.2.7") -> httpx.AsyncClient:
    """Calls an ASGI application, from an address."""
    transport = httpx.ASGITransport(app, client=(address, 50_000))
    return httpx.AsyncClient(transport=transport, base_url="http://clarion.test")


def bearer(credential: str) -> dict[str, str]:
    return {"authorization": f"Bearer {credential}"}


@contextlib.asynccontextmanager
async def opened(
    folder: Path, *, web: Path | None = None, mounts: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Site]:
    """A site with other settings than its defaults."""
    given = Settings(**{"auth": Auth(leeway_s=0), **settings})
    store = await open_store(data_dir=folder / "data", clock=ManualClock())
    site = Site(store, given, web=web or folder / "no-web", mounts=mounts)
    try:
        yield site
    finally:
        await site.close()
        await store.close()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A site on an empty database."""
    async with opened(tmp_path, limits=Limits(login_tries=5)) as site:
        yield site


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer that must be one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["code"] == code
    assert document["type"] == f"/errors/{code}"
    assert document["title"]
    assert document["detail"]
    return document
