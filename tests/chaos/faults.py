"""What may go wrong with two nodes and what they need, and how it is mended."""

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from clarion.clock import SystemClock
from tests.support.network import Network
from tests.support.redis_server import RedisServer
from tests.support.sentinels import Watched
from tests.support.server import until
from tests.support.shards import Shards
from tests.support.two_nodes import LOG

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster

KEYS: Final = f"*|{LOG}"
"""What Redis calls the keys of the topic that is followed."""

_clock = SystemClock()


class Fault(Struct, frozen=True):
    """Something that goes wrong, and how it is mended."""

    hurt: "Callable[[Cluster], None]"
    mend: "Callable[[Cluster], None]"


def _nothing(_: "Cluster") -> None:
    pass


def _cut_pubsub(cluster: "Cluster") -> None:
    cluster.house.redis.cli("CLIENT", "KILL", "TYPE", "pubsub")


def _heal(cluster: "Cluster") -> None:
    for way in cluster.house.ways:
        way.heal()
    cluster.house.balancer.heal()


def _hear_nothing(cluster: "Cluster") -> None:
    cluster.house.ways[0].down.hole = True


def _kill_node(cluster: "Cluster") -> None:
    one, two = cluster.house.nodes
    cluster.house.send_to(two)
    one.kill()


def _stop_node(cluster: "Cluster") -> None:
    one, two = cluster.house.nodes
    cluster.house.send_to(two)
    one.send(signal.SIGSTOP)


def _roll(cluster: "Cluster") -> None:
    """One node after the other is told to end, and started anew, as a new version is put there."""
    for node, other in ((0, 1), (1, 0)):
        cluster.house.send_to(cluster.house.nodes[other])
        began = _clock.monotonic()
        status = cluster.house.nodes[node].stop(signal.SIGTERM)
        cluster.stops.append((status, _clock.monotonic() - began))
        cluster.house.start(cluster.house.nodes[node])


def _kill_primary(cluster: "Cluster") -> None:
    watched = cluster.house.given
    assert isinstance(watched, Watched)
    until(watched.is_ready)  # else there would be nobody to take over
    watched.primary.kill()


def _restart_database(mode: str) -> "Callable[[Cluster], None]":
    def restart(cluster: "Cluster") -> None:
        cluster.postgres.stop(mode)

    return restart


def _shards(cluster: "Cluster") -> Shards:
    """Those of the run, all of them there."""
    shards = cluster.house.given
    assert isinstance(shards, Shards)
    shards.make_whole()
    return shards


def _having(cluster: "Cluster") -> RedisServer:
    """The primary that has the topic that is followed."""
    return _shards(cluster).having(KEYS)


def _move(cluster: "Cluster") -> None:
    """The slot of the topic that is followed comes to another primary, while it is published to."""
    _shards(cluster).move(KEYS)


def _kill_listened_to(cluster: "Cluster") -> None:
    """The server that nodes hear messages from: a primary, or one that was."""
    listened_to = [
        each for each in _shards(cluster).servers if each.cli("CLIENT", "LIST", "TYPE", "pubsub")
    ]
    listened_to[0].kill()


def _network(cluster: "Cluster") -> Network:
    network = cluster.house.given
    assert isinstance(network, Network)
    return network


def _mend_network(cluster: "Cluster") -> None:
    _network(cluster).heal()


FAILOVER: Final = "primary-killed"
FAULTS: Final[dict[str, Fault]] = {
    "redis-killed": Fault(lambda c: c.house.redis.kill(), lambda c: c.house.redis.start()),
    "redis-paused": Fault(lambda c: c.house.redis.pause(), lambda c: c.house.redis.resume()),
    "pubsub-cut": Fault(_cut_pubsub, _nothing),
    "lone-partition": Fault(lambda c: c.house.ways[0].hole(), _heal),
    "one-way": Fault(_hear_nothing, _heal),
    "rolling-restart": Fault(_roll, _nothing),
    "node-killed": Fault(_kill_node, lambda c: c.house.start(c.house.nodes[0])),
    "node-stopped": Fault(_stop_node, lambda c: c.house.nodes[0].send(signal.SIGCONT)),
    "clients-cut": Fault(lambda c: _unused(c.house.balancer.cut()), _nothing),
    "clients-half-open": Fault(lambda c: _unused(c.house.balancer.half_open("server")), _nothing),
    "redis-full": Fault(
        lambda c: _unused(c.house.redis.cli("CONFIG", "SET", "maxmemory", "1")),
        lambda c: _unused(c.house.redis.cli("CONFIG", "SET", "maxmemory", "0")),
    ),
    "postgres-hung": Fault(lambda c: c.postgres.pause(), lambda c: c.postgres.resume()),
    "postgres-fast": Fault(_restart_database("fast"), lambda c: c.postgres.start()),
    "postgres-immediate": Fault(_restart_database("immediate"), lambda c: c.postgres.start()),
}


OF_SENTINELS: Final = {FAILOVER: Fault(_kill_primary, _nothing)}
OF_A_CLUSTER: Final[dict[str, Fault]] = {
    "log-primary-killed": Fault(lambda c: _having(c).kill(), _nothing),
    "listened-to-killed": Fault(_kill_listened_to, _nothing),
    "slots-moved": Fault(_move, _move),
    "replicas-promoted": Fault(lambda c: _shards(c).promote(), _nothing),
}
"""Of a Cluster of Redis; who was killed there comes back before the next fault."""
OF_A_NETWORK: Final[dict[str, Fault]] = {
    "packets-lost": Fault(lambda c: _network(c).drop(to=True, back=True), _mend_network),
    "packets-to-redis-lost": Fault(lambda c: _network(c).drop(to=True, back=False), _mend_network),
    "packets-back-lost": Fault(lambda c: _network(c).drop(to=False, back=True), _mend_network),
}
"""Of the first node, where Redis is in a network of its own."""
EVERY: Final = FAULTS | OF_SENTINELS | OF_A_CLUSTER | OF_A_NETWORK


def _unused(_: int | str) -> None:
    pass
