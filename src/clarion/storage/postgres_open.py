"""Opening the store on PostgreSQL: the lock, the migrations, and what every connection of the pool is told."""

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from clarion.clock import Clock
from clarion.errors import SettingsError, Unavailable
from clarion.storage.migrate import migrate_postgres
from clarion.storage.postgres import ANSWER_S, POOL, WAIT_S, PostgresStore
from clarion.storage.postgres_errors import DRIVER
from clarion.storage.postgres_lock import ServerLock
from clarion.telemetry import get_logger

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]

_log = get_logger(__name__)

SERVER_SETTINGS = {
    "application_name": "clarion",
    # Whatever the database says: an answer means that the write is on disk.
    "synchronous_commit": "on",
    "statement_timeout": "7000",
    "lock_timeout": "5000",
    # Compiling short statements costs more than running them.
    "jit": "off",
    # A generic plan is kept from when the tables were small: a joined run of 1,000 rows took up to 2.3 s with it, 30 ms without.
    "plan_cache_mode": "force_custom_plan",
    # What is asked for by key is in memory or on a flash disk. By its own 4.0, a rotating disk's, PostgreSQL reads 100,000 people for a thousand: 14 ms, not 2.
    "random_page_cost": "1.1",
}


def _in_our_words(record: logging.LogRecord) -> bool:
    """What asyncpg's pool says of a connection that it cannot make, a traceback each time it tries, is one line of ours."""
    exc = record.exc_info[1] if record.exc_info else None
    if not isinstance(exc, DRIVER):
        return True
    _log.warning("no connection to PostgreSQL can be made", reason=str(exc) or type(exc).__name__)
    return False


logging.getLogger("asyncpg.pool").addFilter(_in_our_words)


async def open_postgres(
    url: str, clock: Clock, migrations: Path, *, contract: bool, idle_s: float, is_alone: bool
) -> "PostgresStore":
    """Take the lock, migrate, connect.

    Raises:
        SettingsError: Another server uses it, or database and migrations don't fit together.
        Unavailable: It cannot be reached, or refuses us.
    """
    async with contextlib.AsyncExitStack() as release:
        lock = ServerLock(url, is_shared=not is_alone)
        release.push_async_callback(lock.close)
        try:
            await lock.take()
            await _migrate(url, clock, migrations, contract=contract)
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=POOL,
                timeout=WAIT_S,
                command_timeout=ANSWER_S,
                server_settings=SERVER_SETTINGS
                | {"idle_in_transaction_session_timeout": str(int(idle_s * 1000))},
                # A connection is given back as it was lent: no transaction, no session state. Saves a round trip a call.
                reset=_keep,
            )
        except ValueError as exc:
            # What exactly cannot be parsed may be a part of the password.
            raise SettingsError(
                "database_url cannot be understood: it reads postgresql://user:password@host:5432/database"
            ) from exc
        except DRIVER as exc:
            why = str(exc) or type(exc).__name__
            raise Unavailable(f"PostgreSQL cannot be used: {why}") from exc
        release.pop_all()
    return PostgresStore(pool, clock, lock)


async def _migrate(url: str, clock: Clock, migrations: Path, *, contract: bool) -> None:
    db = await asyncpg.connect(url, timeout=WAIT_S, server_settings={"application_name": "clarion"})
    try:
        await migrate_postgres(db, migrations, clock, contract=contract)
    finally:
        await db.close(timeout=WAIT_S)


async def _keep(db: "_Connection") -> None:
    if db.is_in_transaction():  # its user was cancelled at a bad moment
        await db.reset()
