"""What happens to two nodes when Redis is gone, slow, or reached by one of them only."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.support.fault_proxy import FaultProxy
from tests.support.redis_server import RedisServer
from tests.support.server import Server, until
from tests.support.services import Postgres
from tests.support.two_nodes import two_nodes

SAID = "/v1/topics/log%3Aa/publications"
LEDGER = "/v1/topics/ledger%3Aa/publications"
APP = """
from clarion.topics import SignedIn

def setup(app):
    app.topics.add("log", "stream", rights={"subscribe": SignedIn()})
    app.topics.add("ledger", "stream", rights={"subscribe": SignedIn()}, durability="durable")
"""


class House:
    """Two nodes, and a Redis of their own, which each reaches through a proxy."""

    def __init__(self, folder: Path, database: str) -> None:
        self._stack = ExitStack()
        (folder / "kinds.py").write_text(APP)
        self.redis = RedisServer("--appendonly", "yes", "--appendfsync", "always")
        self._stack.callback(self.redis.remove)
        socket = self.redis.url.removeprefix("unix://")
        self.proxies = [self._stack.enter_context(FaultProxy(socket)) for _ in range(2)]
        urls = (
            f"redis://127.0.0.1:{self.proxies[0].port}",
            f"redis://127.0.0.1:{self.proxies[1].port}",
        )
        nodes = two_nodes(folder, database, urls, "--app", "kinds:setup")
        self.one, self.two = self._stack.enter_context(nodes)
        self.key = self.two.key("topics:*", "metrics:read", "notifications:send", "inbox:*")

    def close(self) -> None:
        self._stack.close()

    def say(self, server: Server, what: str, where: str = SAID) -> httpx.Response:
        """Publish, under an id of its own."""
        return server.post(where, {"event": "said", "data": what, "id": what}, token=self.key)

    def ready(self, server: Server) -> tuple[int, dict[str, str]]:
        """What a node says of itself."""
        answer = server.get("/readyz", token=self.key)
        return answer.status_code, answer.json()["reasons"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"), asyncio.run(postgres.new_database()))
    yield house
    house.close()


def test_only_a_node_that_has_lost_redis_alone_is_taken_out(house: House) -> None:
    """Without Redis for both they stay ready and say why; with it for one, the other says 503, and 200 again when it is back."""
    one, two = house.one, house.two
    assert [house.ready(each) for each in (one, two)] == [(200, {}), (200, {})]
    house.proxies[0].hole()
    lone = (503, {"redis": "this node is without Redis, others have it"})
    until(lambda: house.ready(one) == lone)
    assert one.get("/livez").status_code == 200
    assert house.ready(two) == (200, {})
    house.proxies[1].hole()
    nobody = (200, {"redis": "no node has Redis"})
    until(lambda: house.ready(two) == house.ready(one) == nobody)
    for proxy in house.proxies:
        proxy.heal()
    until(lambda: [house.ready(each) for each in (one, two)] == [(200, {}), (200, {})])
