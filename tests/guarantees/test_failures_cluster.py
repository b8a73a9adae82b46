"""Two nodes over Redis and PostgreSQL: whatever of it is killed, paused or cut off under load, nothing that was answered is lost or doubled."""

import asyncio
from collections.abc import Iterator

import pytest

from clarion.ids import Ids
from tests.chaos.cluster import Cluster
from tests.support.server import until
from tests.support.services import Postgres
from tests.support.two_nodes import House

FOLLOWERS = 10
FAULTS = {
    "redis-killed": 0.5,
    "redis-paused": 2.5,
    "pubsub-cut": 0.1,
    "lone-partition": 2.5,
    "redis-full": 0.3,
    "postgres-hung": 1.0,
    "postgres-fast": 0.1,
    "postgres-immediate": 0.1,
    "node-killed": 0.5,
}
"""For how long (s) each."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """One that a test may stop."""
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[House]:
    database = asyncio.run(postgres.new_database())
    house = House(tmp_path_factory.mktemp("house"), database, CLARION_LIMITS_DRAIN_S="1")
    yield house
    house.close()


async def test_nothing_answered_is_lost_or_doubled(house: House, postgres: Postgres) -> None:
    """Under each fault in turn, and many publishers: offsets without gaps, recovery of all that was missed, presence without ghosts, inboxes exactly once.

    Every answer comes in time, with a code that says why not. Who goes with a node that dies is not there any longer; in the end nothing is left.
    """
    cluster = Cluster(house, postgres, Ids.seeded(1))
    one, two = house.nodes
    async with cluster.fleet as fleet:
        await cluster.settle(FOLLOWERS)
        for fault, for_s in FAULTS.items():
            await cluster.under(fault, for_s)
            assert await cluster.audit() == [], fault
        house.send_to(one)
        two.kill()
        await fleet.lose(fleet.members[-1])
        house.start(two)
        await fleet.live()
        assert await cluster.audit() == []
    await asyncio.to_thread(until, lambda: not any(map(house.present, house.nodes)))
    await asyncio.to_thread(until, lambda: set(house.kept().values()) == {0})


def test_only_a_node_that_has_lost_redis_alone_is_taken_out(house: House) -> None:
    """Without Redis for both they stay ready and say why; with it for one, the other says 503, and 200 again when it is back."""
    one, two = house.nodes
    until(lambda: [house.ready(each) for each in (one, two)] == [(200, {}), (200, {})])
    house.ways[0].hole()
    lone = (503, {"redis": "this node is without Redis, others have it"})
    until(lambda: house.ready(one) == lone)
    assert one.get("/livez").status_code == 200
    until(lambda: house.ready(two) == (200, {}))
    house.ways[1].hole()
    nobody = (200, {"redis": "no node has Redis"})
    until(lambda: house.ready(two) == house.ready(one) == nobody)
    for way in house.ways:
        way.heal()
    until(lambda: [house.ready(each) for each in (one, two)] == [(200, {}), (200, {})])
