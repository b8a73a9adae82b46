"""Migrations: forward only, once, in order, whole."""

import asyncio
from pathlib import Path

import apsw
import asyncpg
import pytest

from clarion.clock import ManualClock, SystemClock
from clarion.errors import SettingsError
from clarion.storage import open_store
from clarion.storage.migrate import (
    MIGRATIONS,
    Migration,
    migrate_postgres,
    migrate_sqlite,
    pending,
    read,
)
from tests.support.services import Postgres

FIRST = "CREATE TABLE a (tenant TEXT NOT NULL);"
SECOND = (
    "ALTER TABLE a ADD COLUMN note TEXT;\n-- only: postgresql\nCREATE INDEX a_note ON a (note);"
)
BAD = "CREATE TABLE half (tenant TEXT); CREATE TABLE a (tenant TEXT);"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_first.expand.sql").write_text(FIRST)
    (folder / "0005_second.expand.sql").write_text(SECOND)
    return folder


async def migrate(engine: str, where: str, folder: Path, *, contract: bool = False) -> int:
    clock = ManualClock()
    if engine == "sqlite":
        db = apsw.Connection(where)
        try:
            return migrate_sqlite(db, folder, clock, contract=contract)
        finally:
            db.close()
    pg = await asyncpg.connect(where)
    try:
        return await migrate_postgres(pg, folder, clock, contract=contract)
    finally:
        await pg.close()


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    if request.param == "sqlite":
        return "sqlite", str(tmp_path / "x.db")
    server: Postgres = request.getfixturevalue("postgres")
    return "postgresql", await server.new_database()


async def test_each_file_is_applied_once(database: tuple[str, str], folder: Path) -> None:
    """A second start has nothing to do; a new file is applied by the next; numbers may have holes."""
    assert await migrate(*database, folder) == 2
    assert await migrate(*database, folder) == 0
    (folder / "0007_third.expand.sql").write_text("CREATE TABLE b (tenant TEXT NOT NULL);")
    assert await migrate(*database, folder) == 1


async def test_a_file_that_fails_is_rolled_back_whole(
    database: tuple[str, str], folder: Path
) -> None:
    """The files before it are kept; nothing of it is; the next start tries it again."""
    bad = folder / "0006_bad.expand.sql"
    bad.write_text(BAD)
    for _ in range(2):
        with pytest.raises(SettingsError, match="0006_bad"):
            await migrate(*database, folder)
    bad.write_text("CREATE TABLE half (tenant TEXT NOT NULL);")
    assert await migrate(*database, folder) == 1


async def test_an_edited_file_is_refused(database: tuple[str, str], folder: Path) -> None:
    """What was applied stays as it was."""
    await migrate(*database, folder)
    (folder / "0001_first.expand.sql").write_text(FIRST + " ")
    with pytest.raises(SettingsError, match=r"0001_first\.expand\.sql was changed"):
        await migrate(*database, folder)


async def test_a_newer_database_is_refused(database: tuple[str, str], folder: Path) -> None:
    """An older Clarion does not touch what it cannot know."""
    await migrate(*database, folder)
    (folder / "0005_second.expand.sql").unlink()
    with pytest.raises(SettingsError, match="newer than this version"):
        await migrate(*database, folder)


async def test_order_is_sacred(database: tuple[str, str], folder: Path) -> None:
    """A file that would have come before an applied one is refused."""
    await migrate(*database, folder)
    (folder / "0003_late.expand.sql").write_text("CREATE TABLE late (tenant TEXT NOT NULL);")
    with pytest.raises(SettingsError, match="0003_late"):
        await migrate(*database, folder)


async def test_contract_waits_until_it_is_asked_for(
    database: tuple[str, str], folder: Path
) -> None:
    """A start applies nothing from the first pending contract on; once applied, it is no hindrance."""
    (folder / "0006_drop.contract.sql").write_text("ALTER TABLE a DROP COLUMN tenant;")
    (folder / "0007_third.expand.sql").write_text("CREATE TABLE b (tenant TEXT NOT NULL);")
    assert await migrate(*database, folder) == 2
    assert await migrate(*database, folder, contract=True) == 2
    (folder / "0008_fourth.expand.sql").write_text("CREATE TABLE c (tenant TEXT NOT NULL);")
    assert await migrate(*database, folder) == 1


async def test_three_nodes_that_start_at_once_apply_once(postgres: Postgres, folder: Path) -> None:
    """One migrates, the others wait for it and find nothing to do."""
    url = await postgres.new_database()
    counts = await asyncio.gather(*(migrate("postgresql", url, folder) for _ in range(3)))
    assert sorted(counts) == [0, 0, 2]


@pytest.mark.parametrize(
    "name", ["0001_first.sql", "1_a.expand.sql", "0002_A.expand.sql", "0002_a.alter.sql"]
)
def test_a_misnamed_file_is_refused(folder: Path, name: str) -> None:
    """A file that would be overlooked, or whose kind is not said, stops the start."""
    (folder / name).write_text(FIRST)
    with pytest.raises(SettingsError, match="is not named"):
        read(folder, "sqlite")


def test_two_files_with_one_number_are_refused(folder: Path) -> None:
    """Their order would be chance."""
    (folder / "0001_other.expand.sql").write_text(FIRST)
    with pytest.raises(SettingsError, match="same number"):
        read(folder, "sqlite")


def test_what_is_pending() -> None:
    """Pure: files and hashes in, files out."""
    files = [Migration(n, f"{n:04}", n == 3, str(n), "") for n in (1, 2, 3, 4)]
    assert pending(files, {}, contract=False) == files[:2]
    assert pending(files, {1: "1"}, contract=True) == files[1:]
    assert pending([], {}, contract=False) == []


async def schema_of(engine: str, where: str) -> dict[str, list[tuple[str, str, bool]]]:
    """Tables with their columns: name, type, whether it may be missing. Those of FTS5 are none of ours."""
    if engine == "sqlite":
        db = apsw.Connection(where)
        rows = db.execute(
            """SELECT m.name, c.name, lower(c.type), c."notnull" FROM pragma_table_list m JOIN pragma_table_info(m.name) c
               WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name, c.cid"""
        ).fetchall()
        db.close()
    else:
        pg = await asyncpg.connect(where)
        rows = await pg.fetch(
            """SELECT table_name, column_name, data_type, (is_nullable = 'NO')::int FROM information_schema.columns
               WHERE table_schema = 'public' ORDER BY table_name, ordinal_position"""
        )
        await pg.close()
    same = {"integer": "bigint", "real": "double precision", "blob": "bytea"}
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for table, column, kind, required in rows:
        found.setdefault(str(table), []).append(
            (str(column), same.get(str(kind), str(kind)), bool(required))
        )
    return found


async def keys_of(engine: str, where: str) -> dict[str, list[str]]:
    """Each table's primary key columns in order."""
    if engine == "sqlite":
        db = apsw.Connection(where)
        rows = db.execute(
            """SELECT m.name, c.name FROM pragma_table_list m JOIN pragma_table_info(m.name) c
               WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND c.pk > 0 ORDER BY m.name, c.pk"""
        ).fetchall()
        db.close()
    else:
        pg = await asyncpg.connect(where)
        rows = await pg.fetch(
            """SELECT t.relname, a.attname FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
               JOIN pg_namespace s ON s.oid = t.relnamespace AND s.nspname = 'public'
               CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(attnum, n)
               JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum
               WHERE i.indisprimary ORDER BY t.relname, k.n"""
        )
        await pg.close()
    found: dict[str, list[str]] = {}
    for table, column in rows:
        found.setdefault(str(table), []).append(str(column))
    return found


async def test_both_engines_end_in_one_schema(postgres: Postgres, tmp_path: Path) -> None:
    """Clarion's own migrations make the same tables, columns, types and keys on SQLite and PostgreSQL."""
    url, path = await postgres.new_database(), str(tmp_path / "x.db")
    await migrate("postgresql", url, MIGRATIONS, contract=True)
    await migrate("sqlite", path, MIGRATIONS, contract=True)
    assert await schema_of("sqlite", path) == await schema_of("postgresql", url)
    assert await keys_of("sqlite", path) == await keys_of("postgresql", url)


async def test_every_table_belongs_to_a_tenant(tmp_path: Path) -> None:
    """`tenant` is there, required, and first in the key: no statement can forget it without a scan."""
    path = str(tmp_path / "x.db")
    await migrate("sqlite", path, MIGRATIONS, contract=True)
    tables, keys = await schema_of("sqlite", path), await keys_of("sqlite", path)
    # What is known of the database as a whole.
    del tables["schema_migration"], tables["server"], tables["server_secret"]
    assert tables
    for table, columns in tables.items():
        assert ("tenant", "text", True) in columns, table
        # A ledger of all tenants, added up in the order in which it was written.
        if table != "stat_change":
            assert keys[table][0] == "tenant", table


async def test_a_store_opens_migrated(tmp_path: Path) -> None:
    """Opening brings the schema up to date, and again changes nothing."""
    for _ in range(2):
        store = await open_store(data_dir=tmp_path, clock=SystemClock())
        await store.ping()
        await store.close()
