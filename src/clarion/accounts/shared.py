"""What the processes of one server tell each other of accounts: what has ended, and who is blocked.

It is stored before it is told. A process that may have missed something reads it again, and ends what should have ended.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec

from clarion.accounts.blocks import Blocks
from clarion.accounts.keys import Keys
from clarion.accounts.opened import Opened
from clarion.accounts.revocations import Revocations
from clarion.auth.principal import Revoked
from clarion.errors import ServerError
from clarion.telemetry import get_logger, spawn

_log = get_logger(__name__)

REVOKED: Final = "accounts: revoked"
AGAIN_S: Final = 5.0  # until the database is asked again that could not be

Tell = Callable[[str, Any], None]


def teller(tell: Tell) -> Callable[[Revoked, int | None], None]:
    """What `Revocations` calls with what ended here; None as a time: for ever."""

    def revoked(what: Revoked, until_ms: int | None) -> None:
        tell(REVOKED, [msgspec.to_builtins(what), until_ms])

    return revoked


class Shared:
    """Hears of what other processes have ended.

    Args:
        revocations: Knows it at every check of a credential.
        blocks: Reads again who is blocked.
        keys: Reads again whether keys are there.
        opened: What keys have opened.
    """

    def __init__(
        self, revocations: Revocations, blocks: Blocks, keys: Keys, opened: Opened
    ) -> None:
        self._revocations, self._blocks = revocations, blocks
        self._keys, self._opened = keys, opened
        # Changes while open
        self._reading: asyncio.Task[None] | None = None
        self._is_stale = False

    async def close(self) -> None:
        """Read no more."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def hear(self, told: Any) -> None:
        """Another process has ended something."""
        what, until_ms = told
        self._revocations.hear(msgspec.convert(what, Revoked), until_ms)

    def look_again(self, _: Any) -> None:
        """Something may have been missed: read what is stored, soon."""
        self._is_stale = True
        if self._reading is None or self._reading.done():
            self._reading = spawn(self._read(), name="accounts: read again")

    async def _read(self) -> None:
        while self._is_stale:
            self._is_stale = False
            try:
                await self._revocations.load()
                await self._blocks.load()
                await self._keys.recheck(self._opened.principals("key"))
            except ServerError as exc:
                _log.warning("what has ended cannot be read", error=exc.code)
                self._is_stale = True
                await asyncio.sleep(AGAIN_S)
