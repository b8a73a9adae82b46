"""Leases by name, on both engines and on the simulator's disk."""

from clarion.clock import ManualClock
from clarion.jobs import Leases
from clarion.storage import Store
from tests.jobs.stores import memory_store, postgres_store, sqlite_store

__all__ = ["memory_store", "postgres_store", "sqlite_store"]

A, B = ("default", "a"), ("default", "b")


class LeaseConformance:
    async def test_one_node_has_it_until_it_lets_go_or_is_not_heard_of(self, store: Store) -> None:
        """Whoever has one renews it; others get it after its end, or at once where it was given up; tenants do not share names."""
        clock = ManualClock(1_000_000)
        one, two = (Leases(store, clock, node=node) for node in ("one", "two"))
        assert await one.take([A, B], 10) == {A: None, B: None}
        assert await two.take([A, B, ("else", "a")], 10) == {("else", "a"): None}
        clock.advance(9)
        assert await one.take([A], 10) == {A: None}
        clock.advance(1)
        assert await two.take([A, B], 10) == {B: None}
        assert await one.take([A, B], 10) == {A: None}
        await two.release([A, B])
        assert await one.take([A, B], 10) == {A: None, B: None}
        assert await two.take([], 10) == {}
        clock.advance(86_500)
        await one.forget()
        assert await two.take([A], 10) == {A: None}


class TestOnSqlite(LeaseConformance):
    store = sqlite_store


class TestOnPostgres(LeaseConformance):
    store = postgres_store


class TestInMemory(LeaseConformance):
    store = memory_store
