"""A Cluster of three primaries, each with a replica that takes its place within two seconds when it dies."""

from msgspec import Struct

from tests.support.redis_server import RedisServer, make_cluster
from tests.support.server import until

GONE_MS = 1_000  # without an answer, until the others take a server for gone
PRIMARIES = 3


class Share(Struct):
    """What a server says of itself."""

    id: str
    is_primary: bool
    slots: list[range]


class Shards:
    """All six; any of them may be killed.

    Attributes:
        url: What `redis_url` would be: it names one of them, as the others are to be found from there.
    """

    def __init__(self) -> None:
        keeps = ("--appendonly", "yes", "--appendfsync", "always")
        soon = ("--cluster-node-timeout", str(GONE_MS), "--repl-diskless-sync-delay", "0")
        self.servers = make_cluster(PRIMARIES, *keeps, *soon, copies=True)
        self.url = self.servers[0].url
        until(self.is_ready)

    @property
    def primaries(self) -> list[RedisServer]:
        """Those that have slots now."""
        living = [each for each in self.servers if each.is_running]
        return [each for each in living if self.share(each).slots]

    def share(self, server: RedisServer) -> Share:
        """What a server has."""
        told = server.cli("CLUSTER", "NODES").splitlines()
        id, _, flags, *_, rest = next(each for each in told if "myself" in each).split(" ", 8)
        first = [each.partition("-") for each in rest.split(" ") if each[:1].isdigit()]
        slots = [range(int(a), int(b or a) + 1) for a, _, b in first]
        return Share(id, "master" in flags, slots if "master" in flags else [])

    def having(self, pattern: str) -> RedisServer:
        """The primary that has such a key."""
        return next(each for each in self.primaries if each.cli("KEYS", pattern))

    def is_ready(self) -> bool:
        """Whether all are there, and each primary has a replica that has everything."""
        if not all(
            each.is_running and "cluster_state:ok" in each.cli("CLUSTER", "INFO")
            for each in self.servers
        ):
            return False
        found = self.primaries
        return len(found) == PRIMARIES and all(
            each.cli("WAIT", "1", "200") == "1" for each in found
        )

    def make_whole(self) -> None:
        """Start those that were killed: they come back as replicas of who has taken their place."""
        for each in self.servers:
            if not each.is_running:
                each.start()
        until(self.is_ready)

    def promote(self) -> None:
        """Each replica takes its primary's place, in order, as when all are to be updated."""
        former = self.primaries
        for each in self.servers:
            if each not in former:
                each.cli("CLUSTER", "FAILOVER")
                until(lambda each=each: self.share(each).slots)

    def move(self, pattern: str) -> None:
        """Move the slot of such a key to another primary, key after key."""
        here = self.having(pattern)
        there = next(each for each in self.primaries if each is not here)
        slot = here.cli("CLUSTER", "KEYSLOT", here.cli("KEYS", pattern).splitlines()[0])
        ids = {each: each.cli("CLUSTER", "MYID") for each in (here, there)}
        there.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[here])
        here.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[there])
        while keys := here.cli("CLUSTER", "GETKEYSINSLOT", slot, "10").splitlines():
            for key in keys:
                here.cli("MIGRATE", "127.0.0.1", str(there.port), key, "0", "1000")
        for each in (there, here, *self.primaries):
            each.cli("CLUSTER", "SETSLOT", slot, "NODE", ids[there])

    def remove(self) -> None:
        """End all."""
        for each in self.servers:
            each.remove()
