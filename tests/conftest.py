"""Fixtures of all floors."""

from collections.abc import Iterator

import pytest

from tests.support.services import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A private PostgreSQL, started by the first test that asks for it."""
    server = Postgres()
    yield server
    server.remove()
