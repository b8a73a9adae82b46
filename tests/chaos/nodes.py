"""Chaos over two nodes and Redis: by a seed, one thing after another is hurt under load, and after each everything is audited."""

import asyncio
import random  # noqa: TID251  seeded
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from clarion.ids import Ids
from tests.chaos.cluster import EVERY_S, Cluster, Trial
from tests.chaos.faults import FAILOVER, FAULTS, OF_A_CLUSTER, OF_A_NETWORK
from tests.guarantees import invariants
from tests.support.network import Network
from tests.support.sentinels import Watched
from tests.support.server import until
from tests.support.services import Postgres
from tests.support.shards import Shards
from tests.support.two_nodes import SHORT, USUAL, Given, House

FOLLOWERS: Final = 40
DELIVERIES: Final = 1_500  # a second to a crowd, of each publisher: one process is all of them

LASTS: Final[dict[str, tuple[float, float]]] = {
    "redis-killed": (0.1, 5.0),
    "redis-paused": (0.5, 20.0),
    "pubsub-cut": (0.0, 0.2),
    "lone-partition": (0.5, 6.0),
    "one-way": (0.5, 6.0),
    "node-killed": (0.0, 3.0),
    "rolling-restart": (0.0, 0.1),
    "node-stopped": (0.5, 10.0),
    "clients-cut": (0.0, 0.2),
    "clients-half-open": (0.0, 0.2),
    "redis-full": (0.1, 5.0),
    "postgres-hung": (0.5, 20.0),
    "postgres-fast": (0.0, 2.0),
    "postgres-immediate": (0.0, 2.0),
}
"""Between how many seconds each; a pause of Redis or PostgreSQL as long as a disk that is stuck."""

CROWD: Final = 2_000
RESTARTS: Final = ("rolling-restart:0", "node-killed:1", "rolling-restart:0", "node-killed:0")
"""After each of the first kind everybody is on the node that is killed then."""


SHARDED: Final = (
    "listened-to-killed:0",
    "slots-moved:0.5",
    "log-primary-killed:0",
    "node-killed:1",
    "replicas-promoted:0.5",
    "listened-to-killed:0",
    "log-primary-killed:0",
    "slots-moved:0.5",
)
"""Over a Cluster of three primaries."""


CUT_OFF: Final = (
    "packets-lost:4",
    "packets-back-lost:3",
    "packets-to-redis-lost:3",
    "packets-lost:0.5",
    "packets-back-lost:8",
    "packets-to-redis-lost:8",
)
"""Between one node and a Redis in a network of its own; as the holes of a proxy, but nothing is acknowledged."""


class Outcome(Struct):
    """What came of a run."""

    trials: list[Trial] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def faults_of(seed: int, count: int) -> list[str]:
    """So many, as `name:seconds`: each once before any comes again."""
    chance = random.Random(seed)
    found: list[str] = []
    while len(found) < count:
        names = list(FAULTS)
        chance.shuffle(names)
        found += [f"{name}:{chance.uniform(*LASTS[name]):.1f}" for name in names]
    return found[:count]


def alone(seed: int, faults: Sequence[str], tell: Callable[[str], None], crowd: int = 0) -> Outcome:
    """`run`, on a database and in a folder of its own."""
    postgres = Postgres()
    try:
        with tempfile.TemporaryDirectory(prefix="clarion-chaos-") as folder:
            return asyncio.run(run(seed, faults, Path(folder), postgres, tell, crowd))
    finally:
        postgres.remove()


def _given(names: set[str]) -> Given | None:
    """The Redis that such faults need; None: one of the house's own."""
    if FAILOVER in names:
        return Watched()
    if names & OF_A_CLUSTER.keys():
        return Shards()
    return Network() if names & OF_A_NETWORK.keys() else None


async def run(
    seed: int,
    faults: Sequence[str],
    folder: Path,
    postgres: Postgres,
    tell: Callable[[str], None],
    crowd: int = 0,
) -> Outcome:
    """Hurt it, and look; ends at the first that is wrong.

    Args:
        seed: Of everything else that is chosen.
        faults: See `faults_of`.
        folder: For the nodes' files.
        postgres: Is stopped now and then.
        tell: Is told of each fault.
        crowd: Clients beside the others that follow the topic, which is spoken to less often the more they are.
    """
    outcome = Outcome()
    names = {fault.partition(":")[0] for fault in faults}
    given = _given(names)
    # A crowd takes seconds to come back, all of it from one process.
    settings = USUAL if crowd else SHORT
    database = await postgres.new_database()
    house = await asyncio.to_thread(House, folder, database, given, **settings)
    try:
        cluster = Cluster(house, postgres, Ids.seeded(seed), max(EVERY_S, crowd / DELIVERIES))
        async with cluster.fleet:
            await cluster.settle(FOLLOWERS, crowd)
            for fault in faults:
                name, _, seconds = fault.partition(":")
                trial = await cluster.under(name, float(seconds))
                outcome.trials.append(trial)
                outcome.wrong += [f"{fault}: {each}" for each in await cluster.audit()]
                tell(
                    f"{fault} s: back after {trial.back_s:.2f} s, a client away for {trial.away_s:.2f} s at most, {trial.answered} answered, refused {trial.refused}"
                    + "".join(f", a node ended within {took_s:.2f} s" for took_s in trial.stops_s)
                )
                if outcome.wrong:
                    return outcome
        await asyncio.to_thread(until, lambda: not any(map(house.present, house.nodes)))
        nothing = dict.fromkeys(house.kept(), 0.0)
        outcome.wrong += invariants.left_behind(nothing, await asyncio.to_thread(house.kept))
    finally:
        await asyncio.to_thread(house.close)
        if given is not None:
            given.remove()
    return outcome
