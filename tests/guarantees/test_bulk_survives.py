"""Clause 6 in a bulk send: whatever dies when, everybody has each message once, and the provider got each once at least."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.run import Plan, chaos, faults_of
from tests.support.services import Postgres

# Between two slices; with runs in hand; with a slice that is not committed; with a provider's yes that is not written down.
FAULTS = {
    "sqlite": ["committed:2", "runs-claimed:2"],
    "postgresql": ["written:2", "database:0.3", "handed:150"],
}
PEOPLE = 700  # two slices of planning, four of runs


@pytest.mark.parametrize("database", FAULTS)
def test_a_bulk_send_survives_whatever_dies(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Killed at named points, and the database with `pg_ctl -m immediate`: every row is counted. `make chaos` does it to 10,000, at any time."""
    postgres = request.getfixturevalue("own_postgres") if database == "postgresql" else None
    outcome = chaos(Plan(PEOPLE, FAULTS[database]), tmp_path, postgres)
    assert outcome.wrong == []
    assert outcome.crashes >= len(FAULTS[database])


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """One that a test may crash."""
    made = Postgres()
    yield made
    made.remove()


def test_what_is_done_follows_from_the_seed() -> None:
    """Every named point is in it, and the same seed does the same."""
    faults = faults_of(7, 20, 10_000, is_postgres=True)
    assert len(faults) == 20
    assert faults == faults_of(7, 20, 10_000, is_postgres=True) != faults_of(8, 20, 10_000, is_postgres=True)  # fmt: skip
