"""Forward-only numbered migrations, one SQL text for both engines.

    migrations/0001_first.expand.sql … 0007_add_snooze.expand.sql  0008_drop_old.contract.sql
    -- only: postgresql      a block for one engine, until the next `-- only:` or `-- both`

A file is applied once, in one transaction with its row in `schema_migration` (both engines have transactional DDL). Its hash is kept,
so an edited file is refused. `expand` files run at every start; `contract` files (which would break nodes of the former version)
only when asked. Numbers may have holes, but the order is sacred: a file below one that was applied is refused.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import apsw
import msgspec

from clarion.clock import Clock
from clarion.errors import SettingsError
from clarion.storage.sql import for_postgres, for_sqlite, split
from clarion.telemetry import get_logger

if TYPE_CHECKING:
    import asyncpg

_log = get_logger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
ADVISORY_LOCK = 0x636C_6172_696F_6E01
"""Key of PostgreSQL's lock under which one node migrates and the others wait: "clarion", 1."""
LOCK_WAIT_MS = (
    5_000  # a migration that can't get its table fails; it must not queue up all readers behind it
)
TURN_WAIT_MS = 60_000  # for the node that migrates now
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.(expand|contract)\.sql")
# The runner's own: not of a tenant, and older than any migration.
_TABLE = """CREATE TABLE IF NOT EXISTS schema_migration (
    n BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL, applied_ms BIGINT NOT NULL)"""


class Migration(msgspec.Struct, frozen=True):
    """One file, as one engine reads it."""

    n: int
    name: str
    is_contract: bool
    hash: str
    text: str


def read(folder: Path, engine: str) -> list[Migration]:
    """All migrations of a folder in order.

    Raises:
        SettingsError: A file is misnamed, or two have one number.
    """
    found: dict[int, Migration] = {}
    for file in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(file.name)
        if match is None:
            raise SettingsError(f"{file.name} is not named NNNN_name.(expand|contract).sql")
        n, text = int(match[1]), file.read_text(encoding="utf-8")
        if n in found:
            raise SettingsError(f"{file.name} and {found[n].name} have the same number")
        script = split(text, engine)
        script = for_sqlite(script) if engine == "sqlite" else for_postgres(script)[0]
        digest = hashlib.sha256(text.encode()).hexdigest()
        found[n] = Migration(n, file.name, match[2] == "contract", digest, script)
    return list(found.values())


def pending(
    files: Sequence[Migration], applied: Mapping[int, str], *, contract: bool
) -> list[Migration]:
    """What is still to be applied.

    Args:
        files: From `read`.
        applied: Hashes by number, from the database.
        contract: Whether `contract` files may run; otherwise nothing from the first pending one on.

    Raises:
        SettingsError: Database and files don't fit together.
    """
    if unknown := sorted(set(applied) - {file.n for file in files}):
        raise SettingsError(
            f"the database is newer than this version of Clarion: it has migrations {unknown}, which are unknown here"
        )
    todo: list[Migration] = []
    for file in files:
        if file.n in applied:
            if applied[file.n] != file.hash:
                raise SettingsError(f"migration {file.name} was changed after it had been applied")
        elif file.n < max(applied, default=0):
            raise SettingsError(f"migration {file.name} comes before one that was already applied")
        else:
            todo.append(file)
    if not contract:
        first = next((i for i, file in enumerate(todo) if file.is_contract), len(todo))
        del todo[first:]
    return todo


def migrate_sqlite(db: apsw.Connection, folder: Path, clock: Clock, *, contract: bool) -> int:
    """Bring a database up to date; returns how many files were applied.

    Raises:
        SettingsError: They don't fit, or one failed: it was rolled back whole, those before it are kept.
    """
    db.execute(for_sqlite(_TABLE))
    rows = db.execute("SELECT n, hash FROM schema_migration").fetchall()
    applied = {cast(int, n): cast(str, digest) for n, digest in rows}
    todo = pending(read(folder, "sqlite"), applied, contract=contract)
    for file in todo:
        try:
            with db:  # one transaction
                db.execute(file.text)
                row = (file.n, file.name, file.hash, clock.now_ms())
                db.execute("INSERT INTO schema_migration VALUES (?, ?, ?, ?)", row)
        except apsw.Error as exc:
            raise _failed(file, exc) from exc
        _log.info("migration applied", name=file.name)
    return len(todo)


async def migrate_postgres(
    db: "asyncpg.Connection[asyncpg.Record]", folder: Path, clock: Clock, *, contract: bool
) -> int:
    """The same on PostgreSQL, on a connection that is closed afterwards (which frees the lock). Several nodes may start at once."""
    import asyncpg  # an optional extra

    try:
        await db.execute(f"SET lock_timeout = {TURN_WAIT_MS}; SET statement_timeout = 0")
        await db.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK)
        await db.execute(f"SET lock_timeout = {LOCK_WAIT_MS}")
    except asyncpg.LockNotAvailableError as exc:
        raise SettingsError(
            "another server migrates this database and does not come to an end"
        ) from exc
    await db.execute(for_postgres(_TABLE)[0])
    rows = await db.fetch("SELECT n, hash FROM schema_migration")
    todo = pending(read(folder, "postgresql"), {r[0]: r[1] for r in rows}, contract=contract)
    for file in todo:
        try:
            async with db.transaction():
                await db.execute(file.text)
                row = (file.n, file.name, file.hash, clock.now_ms())
                await db.execute("INSERT INTO schema_migration VALUES ($1, $2, $3, $4)", *row)
        except asyncpg.PostgresError as exc:
            raise _failed(file, exc) from exc
        _log.info("migration applied", name=file.name)
    return len(todo)


def _failed(file: Migration, exc: Exception) -> SettingsError:
    return SettingsError(f"migration {file.name} failed and was rolled back whole: {exc}")
