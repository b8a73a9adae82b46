"""Fixtures of all floors."""

from collections.abc import Iterator

import pytest

from tests.support.redis_server import RedisServer
from tests.support.services import Postgres


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
