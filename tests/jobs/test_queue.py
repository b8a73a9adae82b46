"""The queue, on both engines and on the simulator's disk."""

from clarion.clock import ManualClock
from clarion.ids import Ids
from clarion.jobs.queue import BACKOFF_CAP_S, Queue, backoff_s
from clarion.storage.jobs import NewJob
from tests.conformance.queue import QueueConformance, clock, other, queue
from tests.jobs.stores import memory_store, postgres_store, sqlite_store

__all__ = ["clock", "memory_store", "other", "postgres_store", "queue", "sqlite_store"]


class TestOnSqlite(QueueConformance):
    store = sqlite_store


class TestOnPostgres(QueueConformance):
    store = postgres_store


class TestInMemory(QueueConformance):
    store = memory_store


def test_backoff_has_full_jitter_and_a_cap() -> None:
    """Waits spread over the whole range, which doubles up to an hour."""
    ids = Ids.seeded(3)
    waits = [backoff_s(3, ids) for _ in range(200)]
    assert min(waits) < 1 < 7 < max(waits) <= 8
    assert 0 <= backoff_s(500, ids) <= BACKOFF_CAP_S


def test_a_row_is_made_from_anything_that_json_can_say() -> None:
    """Defaults: now, a new id that sorts by time, the default tenant."""
    clock = ManualClock(1_000)
    row = Queue(None, clock, Ids.seeded(1), node="n").job("k", [1, {"a": None}])  # type: ignore[arg-type]
    assert isinstance(row, NewJob)
    assert (row.tenant, row.payload, row.run_ms, row.created_ms, len(row.id)) == (
        "default",
        '[1,{"a":null}]',
        1000,
        1000,
        36,
    )
