"""Fixtures of all floors."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.redis_server import RedisServer, make_cluster
from tests.support.services import Postgres

# No tests by their names: without it an assertion of theirs that fails would not say what it compared.
pytest.register_assert_rewrite(
    "tests.realtime.transports.attacks", "tests.conformance.socketio.exchanges"
)

# A deadline of 200 ms an example, as hypothesis sets it, fails where the machine is busy.
settings.register_profile("without-deadline", deadline=None)
settings.load_profile("without-deadline")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A private PostgreSQL, started by the first test that asks for it."""
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A private Redis, started by the first test that asks for it; each test has a prefix of its own."""
    server = RedisServer()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[list[RedisServer]]:
    """Two servers that form a Cluster; who moves a slot moves it back."""
    servers = make_cluster()
    yield servers
    for server in servers:
        server.remove()
