"""Two real nodes over a Redis and a database of PostgreSQL, with proxies between: each may be hurt by a test.

Run as `python -m tests.support.two_nodes serve`, a node waits for seconds where others wait for a quarter of a minute.
"""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import asyncpg
import httpx

from clarion.app import partition, readiness
from clarion.auth import TokenIssuer, secret_key
from clarion.bus import nodes, registry
from clarion.cli import main
from clarion.clock import SystemClock
from tests.support.fault_proxy import FaultProxy
from tests.support.network import Network
from tests.support.redis_server import RedisServer
from tests.support.sentinels import Watched
from tests.support.server import Server
from tests.support.shards import Shards

SECRET: Final = "the secret of both processes, of 32 bytes or more"
# As the real ones: less than WELL_S is between two looks after a beat, and WELL_S + BEAT_S is less than SILENT_S.
PROBE_S, BEAT_S, LEASE_S, WELL_S, SILENT_S = 0.5, 0.5, 2.0, 1.6, 2.2

SHORT: Final = {"CLARION_PRESENCE_LEASE_S": "3", "CLARION_PRESENCE_GRACE_S": "1"}
USUAL: Final = {"CLARION_PRESENCE_LEASE_S": "15", "CLARION_PRESENCE_GRACE_S": "10"}
"""For how long somebody may be away before it is said that he has left."""

LOG, LEDGER = "log:a", "ledger:a"
APP: Final = """
from clarion.topics import SignedIn

def setup(app):
    rights = {"subscribe": SignedIn()}
    app.topics.add("log", "stream", rights=rights, log_size=50_000)
    app.topics.add("ledger", "stream", rights=rights, log_size=50_000, durability="durable")
"""
REMIND: Final = {
    "workflow": "remind",
    "steps": [{"wait": "1s"}, {"inbox": {"title": "{{ payload.id }}"}}],
}
INBOXES: Final = """SELECT m.usr, n.title FROM message m JOIN notification n
  ON n.tenant = m.tenant AND n.id = m.notification"""


Given = Watched | Shards | Network


class Home:
    """Some nodes that are one server, and what one asks of them. Who makes it sets the attributes.

    Attributes:
        nodes: Processes.
        database: The URL of theirs.
        key: For everything that is asked.
        port: Where clients connect.
    """

    nodes: list[Server]
    database: str
    key: str
    port: int

    def start(self, node: Server) -> None:
        """Start one, or start it again."""
        node.start("--app", "kinds:setup")

    def _let_in(self) -> None:
        """Make what is needed to ask."""
        scopes = ("topics:*", "metrics:read", "notifications:send", "workflows:*")
        self.key = self.nodes[0].key(*scopes)
        answer = self.nodes[0].put("/v1/workflows/remind", REMIND, token=self.key)
        assert answer.is_success, answer.text

    # ── what one asks of it ──
    def token(self, user: str) -> str:
        """Of a login of somebody's."""
        issuer = TokenIssuer(secret_key(SECRET), audience="clarion", life_s=900)
        return issuer.issue(user, token_id=user, family=user, now_ms=SystemClock().now_ms())

    def say(self, node: Server, id: str, topic: str = LOG) -> httpx.Response:
        """Publish, under an id."""
        body = {"event": "said", "data": id, "id": id}
        return node.post(
            f"/v1/topics/{topic.replace(':', '%3A')}/publications", body, token=self.key
        )

    def log(self, topic: str = LOG) -> tuple[str, list[str]]:
        """What a topic has: its epoch, and what was said, in order from offset 1 on."""
        said: list[str] = []
        while True:
            place = f"{_place(topic)}?after={len(said)}&limit=1000"
            told = self.nodes[0].get(place, token=self.key).json()
            offsets = [item["offset"] for item in told["items"]]
            assert offsets == list(range(len(said) + 1, len(said) + len(offsets) + 1))
            said += [item["data"] for item in told["items"]]
            if len(said) >= told["offset"]:
                return told["epoch"], said

    def notify(self, node: Server, id: str, people: Sequence[str]) -> httpx.Response:
        """Put a message into inboxes, under a key."""
        body = {"recipients": [{"id": who} for who in people], "title": id}
        return node.post("/v1/notifications", body, token=self.key, **{"Idempotency-Key": id})

    def remind(self, node: Server, id: str, people: Sequence[str]) -> httpx.Response:
        """Put a message into inboxes a second later, under a key."""
        to = [{"id": who} for who in people]
        body = {"workflow": "remind", "recipients": to, "payload": {"id": id}}
        return node.post("/v1/triggers", body, token=self.key, **{"Idempotency-Key": id})

    async def inboxes(self) -> dict[str, list[str]]:
        """What everybody has in the inbox, by title, as the database says."""
        db = await asyncpg.connect(self.database)
        try:
            rows = await db.fetch(INBOXES)
        finally:
            await db.close()
        found: dict[str, list[str]] = {}
        for who, title in rows:
            found.setdefault(who, []).append(title)
        return found

    def kept(self) -> dict[str, float]:
        """What each node holds now: open sessions, and descriptors."""
        found = {}
        for node in self.nodes:
            text = node.get("/metrics", token=self.key).text
            counted = [
                line.split()[1]
                for line in text.splitlines()
                if line.startswith("clarion_sessions{")
            ]
            found[f"sessions of {node.folder.name}"] = sum(map(float, counted))
        return found

    def present(self, node: Server) -> list[str]:
        """Who is in the lobby, as a node says; nobody where it does not say."""
        answer = node.get("/v1/presence/lobby?limit=500", token=self.key).json()
        return [item["user"] for item in answer.get("items", [])]

    def ready(self, node: Server) -> tuple[int, dict[str, str]]:
        """What a node says of itself."""
        answer = node.get("/readyz", token=self.key)
        return answer.status_code, answer.json()["reasons"]


class House(Home):
    """Two nodes that form one server, behind a balancer that sends everybody to one of them.

    Args:
        folder: For a folder of each.
        database: Its URL.
        given: A Redis behind Sentinels, in a network of its own, or a Cluster, without proxies; None: one of its own.
        settings: More of their environment.

    Attributes:
        redis: The one of its own: keeps what it has answered, also when it is killed.
        ways: Between each node and Redis.
        balancer: What clients connect to; its `to` may be changed.
    """

    def __init__(
        self, folder: Path, database: str, given: Given | None = None, **settings: str
    ) -> None:
        self._stack = ExitStack()
        (folder / "kinds.py").write_text(APP)
        self.database = database
        self.given, self.ways = given, list[FaultProxy]()
        if given is not None:
            urls = given.urls if isinstance(given, Network) else [given.url] * 2
        else:
            self.redis = RedisServer("--appendonly", "yes", "--appendfsync", "always")
            self._stack.callback(self.redis.remove)
            socket = self.redis.url.removeprefix("unix://")
            self.ways = [self._stack.enter_context(FaultProxy(socket)) for _ in range(2)]
            urls = [f"redis://127.0.0.1:{way.port}" for way in self.ways]
        self.nodes = [
            self._node(folder, name, url, settings)
            for name, url in zip(("one", "two"), urls, strict=True)
        ]
        self.balancer = self._stack.enter_context(FaultProxy(("127.0.0.1", self.nodes[0].port)))
        self.port = self.balancer.port
        for node in self.nodes:
            self.start(node)
        self._let_in()

    def _node(self, folder: Path, name: str, redis: str, settings: dict[str, str]) -> Server:
        (folder / name).mkdir()
        here = os.environ.get("PYTHONPATH", "")
        server = Server(
            folder / name,
            module="tests.support.two_nodes",
            PYTHONPATH=f"{folder}{os.pathsep}{Path.cwd()}{os.pathsep}{here}",
            CLARION_REDIS_URL=redis,
            CLARION_DATABASE_URL=self.database,
            CLARION_AUTH_TOKEN_SECRET=SECRET,
            CLARION_PRESENCE_OPEN="lobby",
            **(SHORT | settings),
        )
        self._stack.callback(server.close)
        return server

    def send_to(self, node: Server) -> None:
        """Who connects from now on comes to this one."""
        self.balancer.to = ("127.0.0.1", node.port)

    def close(self) -> None:
        """End everything."""
        self._stack.close()


def _place(topic: str) -> str:
    return f"/v1/topics/{topic.replace(':', '%3A')}/publications"


def hurry() -> None:
    """Let this process wait for less."""
    for module in (nodes, registry):
        setattr(module, "BEAT_S", BEAT_S)  # noqa: B010  constants are Final for everybody else
        setattr(module, "LEASE_S", LEASE_S)  # noqa: B010
    setattr(readiness, "PROBE_S", PROBE_S)  # noqa: B010
    setattr(partition, "WELL_S", WELL_S)  # noqa: B010
    setattr(partition, "SILENT_S", SILENT_S)  # noqa: B010


if __name__ == "__main__":
    hurry()
    main()
