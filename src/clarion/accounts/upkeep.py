"""What each process does now and then for what it remembers of accounts: it writes when keys were used, and forgets what is over.

Not a job: those run on one process of the server, and this is about the memory of each.
"""

import asyncio
from typing import Final

from clarion.accounts.keys import Keys
from clarion.accounts.revocations import Revocations
from clarion.errors import ServerError
from clarion.telemetry import Tasks, get_logger

_log = get_logger(__name__)

EVERY_S: Final = 60.0


class Upkeep:
    """Looks after one process's keys and revocations.

    Args:
        keys: Know which were used.
        revocations: Know what has ended, longer than they need to.
    """

    def __init__(self, keys: Keys, revocations: Revocations) -> None:
        self._keys, self._revocations = keys, revocations
        self._tasks = Tasks()

    def start(self) -> None:
        """Begin."""
        self._tasks.spawn_forever(self._forever, name="accounts: upkeep")

    async def close(self) -> None:
        """Write what is left; the database may be away, which costs no more than that."""
        await self._tasks.close()
        await self._write()

    async def _forever(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            self._revocations.forget_past()
            await self._write()

    async def _write(self) -> None:
        try:
            await self._keys.flush()
        except ServerError as exc:
            _log.warning("not written when keys were used", error=exc.code)
