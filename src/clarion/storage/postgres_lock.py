"""One server per PostgreSQL database, as the lock file does for SQLite; processes that form one server hold the lock together.

The lock is held by a session: it goes with the process however that ends, and with the connection when that breaks. Then it is
taken again; if another server has it by then, this one says that it is not ready.
"""

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg

from clarion.errors import SettingsError, Unavailable
from clarion.storage.migrate import ADVISORY_LOCK
from clarion.storage.postgres_errors import DRIVER
from clarion.telemetry import get_logger, spawn

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]

_log = get_logger(__name__)

KEY = ADVISORY_LOCK + 1
WAIT_S = 2.0  # for the session of a server that has just been killed
AGAIN_S = 1.0  # between two tries to get it back
_SETTINGS = {
    "application_name": "clarion lock",
    "lock_timeout": str(int(WAIT_S * 1000)),
    # A host that vanished without a word must not hold the lock for two hours (TCP's default): 10 + 3 × 5 s.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


class ServerLock:
    """Held from `take` to `close`.

    Args:
        url: The database.
        is_shared: Whether others may hold it, too, who say so.
    """

    def __init__(self, url: str, *, is_shared: bool = False) -> None:
        self._url = url
        self._statement = f"SELECT pg_advisory_lock{'_shared' if is_shared else ''}($1)"
        self._db: _Connection | None = None
        self._again: asyncio.Task[None] | None = None
        self._is_closed = False

    async def take(self) -> None:
        """Take it.

        Raises:
            SettingsError: Another server holds it.
        """
        db = await asyncpg.connect(self._url, timeout=WAIT_S * 2, server_settings=_SETTINGS)
        try:
            await db.execute(self._statement, KEY)
        except asyncpg.LockNotAvailableError as exc:
            await db.close(timeout=WAIT_S)
            raise SettingsError(
                "another Clarion server uses this database; processes that form one server all need redis_url"
            ) from exc
        except BaseException:
            db.terminate()
            raise
        self._db = db
        db.add_termination_listener(self._on_lost)

    def check(self) -> None:
        """Return while it is held.

        Raises:
            Unavailable: It was lost and is not back yet.
        """
        if self._again is not None and not self._again.done():
            raise Unavailable("the lock on the database was lost: another server may have it")

    async def close(self) -> None:
        """Let go."""
        self._is_closed = True
        if self._again is not None:
            self._again.cancel()
            await asyncio.gather(self._again, return_exceptions=True)
        if self._db is not None:
            self._db.terminate()

    def _on_lost(self, _db: Any) -> None:
        if not self._is_closed:
            _log.warning("the lock on the database was lost")
            self._again = spawn(self._take_again(), name="postgresql-lock")

    async def _take_again(self) -> None:
        reason = ""
        while True:
            try:
                await self.take()
            except (SettingsError, *DRIVER) as exc:
                if str(exc) != reason:  # it is tried all the time
                    _log.warning("the lock on the database is not back", reason=str(exc))
                reason = str(exc)
                await asyncio.sleep(AGAIN_S)
            else:
                _log.info("the lock on the database is back")
                return
