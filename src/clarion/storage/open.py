"""Opening the store: which engine, whose data folder, whose turn, which schema.

Everything that can be wrong with the place where data lives is found here, before anything is served, and said in one line.
"""

import asyncio
import contextlib
import fcntl
import os
from pathlib import Path

import apsw

from clarion.clock import Clock
from clarion.errors import SettingsError
from clarion.storage.estimates import tell_planner
from clarion.storage.migrate import MIGRATIONS, migrate_sqlite
from clarion.storage.sqlite import SqliteStore, connect
from clarion.storage.store import Store
from clarion.storage.transaction import IDLE_S

DATABASE = "clarion.db"
# Up to 3.51.2 a commit beside a checkpoint of another connection could corrupt a database in WAL mode (fixed in 3.51.3).
OLDEST_SQLITE = (3, 51, 3)


async def open_store(
    *,
    url: str = "",
    data_dir: Path,
    clock: Clock,
    migrations: Path = MIGRATIONS,
    contract: bool = False,
    idle_s: float = IDLE_S,
    is_alone: bool = True,
) -> Store:
    """Open the database, take its lock, and bring its schema up to date.

    Args:
        url: `postgresql://…`; empty: SQLite, in the file `clarion.db` of `data_dir`.
        data_dir: Made (mode 0700) where it is missing. Not used with PostgreSQL.
        clock: For the metric of durations, and the time at which a migration was applied.
        migrations: Folder of the numbered files.
        contract: Apply `contract` migrations, too: only when no node of the former version runs any more.
        idle_s: A transaction without a statement for this long is rolled back.
        is_alone: Refuse to share a PostgreSQL database with another process: without Redis neither would hear of the other's
            writes. False: shared with those that say the same. SQLite is never shared.

    Raises:
        SettingsError: The folder cannot be written, another server uses the data, the driver of PostgreSQL is not installed, or
            database and migrations don't fit together.
        Unavailable: PostgreSQL cannot be reached.
    """
    if url:
        try:
            from clarion.storage.postgres_open import open_postgres  # an optional extra
        except ImportError as exc:
            raise SettingsError(
                'database_url names PostgreSQL, whose driver is not installed: pip install "clarion[postgres]"'
            ) from exc
        return await open_postgres(
            url, clock, migrations, contract=contract, idle_s=idle_s, is_alone=is_alone
        )
    with contextlib.ExitStack() as release:
        path = await asyncio.to_thread(_prepare, data_dir, clock, migrations, contract, release)
        return SqliteStore(path, clock, release.pop_all(), idle_s)
    raise AssertionError


def _prepare(
    data_dir: Path, clock: Clock, migrations: Path, contract: bool, release: contextlib.ExitStack
) -> Path:
    version = tuple(map(int, apsw.sqlite_lib_version().split(".")[:3]))
    if version < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise SettingsError(
            f"apsw brings SQLite {apsw.sqlite_lib_version()}, which can corrupt a database: {wanted} or newer is needed"
        )
    path = data_dir / DATABASE
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock(path, release)
        # Made here for its mode: SQLite gives its log files the mode of the database.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        raise SettingsError(f"data_dir {data_dir} cannot be written: {exc.strerror}") from exc
    try:
        with contextlib.closing(connect(str(path))) as db:
            migrate_sqlite(db, migrations, clock, contract=contract)
            tell_planner(db)
    except (apsw.NotADBError, apsw.CorruptError, apsw.CantOpenError) as exc:
        raise SettingsError(f"{path} cannot be used as a database: {exc}") from exc
    return path


def lock(path: Path, release: contextlib.ExitStack) -> None:
    """Hold `<path>.lock` until `release` is closed; it goes with the process, however that ends.

    Raises:
        SettingsError: Another process holds it.
    """
    # Not followed: root, who may put a copy back, must not be led to a file of its own by who has the folder.
    flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(f"{path}.lock", flags, 0o600)
    release.callback(os.close, fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        holder = os.read(fd, 32).decode("ascii", "replace").strip()
        who = f" (process {holder})" if holder else ""
        raise SettingsError(f"another Clarion server{who} uses data_dir {path.parent}") from exc
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
