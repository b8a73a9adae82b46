"""Whether this node has lost Redis alone, or all nodes have: only the first is a reason to send nobody here any more.

Each node says in the database that it hears Redis, by a lease which ends soon after it does so no longer. A node that has not heard Redis for a
while looks whether another one says so. Where nobody does, all stay ready, since what needs no Redis goes on: taken out of the balancer
together they would serve nobody at all.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from clarion.auth.tenants import FOREIGN
from clarion.errors import ServerError
from clarion.jobs import Leases
from clarion.telemetry import get_logger

_log = get_logger(__name__)

SILENT_S: Final = 15.0  # without Redis, until a node asks whether it is the only one
WELL_S: Final = 8.0
"""For how long after Redis was heard it counts as heard. With the time between two beats it is less than `SILENT_S`: when Redis goes away
for all, nobody's lease may outlive the first one's patience."""
_NAMES: Final = "hears redis: "


class Backplane(Struct, frozen=True):
    """What is the matter with it; '': nothing. `is_lone`: only here."""

    reason: str = ""
    is_lone: bool = False


class Partition:
    """Looks for it.

    Args:
        node: This process.
        leases: In the database of all nodes.
        silent_s: For how long (s) nothing was heard from Redis.
    """

    def __init__(self, node: str, leases: Leases, silent_s: Callable[[], float]) -> None:
        # Fixed at creation
        self._lease = (FOREIGN, f"{_NAMES}{node}")
        self._leases, self._silent_s = leases, silent_s
        # When Redis had been heard (the loop's time), as the lease says.
        self._said = float("-inf")

    async def look(self) -> Backplane:
        """Say that Redis is heard here, or see whether others hear it.

        Raises:
            Unavailable, StorageFull: Of the database.
        """
        silent_s = self._silent_s()
        heard = asyncio.get_running_loop().time() - silent_s
        if silent_s < WELL_S and heard > self._said + 1:
            await self._leases.take([self._lease], WELL_S - silent_s)
            self._said = heard
        if silent_s < SILENT_S:
            return Backplane()
        if await self._leases.of_others(FOREIGN, _NAMES):
            return Backplane("this node is without Redis, others have it", is_lone=True)
        return Backplane("no node has Redis")

    async def close(self) -> None:
        """Say it no longer."""
        try:
            await self._leases.release([self._lease])
        except ServerError as exc:
            _log.warning("the others will take this process for one with Redis", error=exc.code)
