"""SQLite goes by the index that was made for a question, however little or much there is in the tables."""

import asyncio
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from clarion import storage
from clarion.clock import SystemClock
from clarion.storage import Procedure, Sql, open_store
from clarion.storage.estimates import estimate, tell_planner
from clarion.storage.open import DATABASE
from clarion.storage.sql import for_sqlite

GROWING = {
    "address", "attempt", "batch", "batch_item", "event", "inbox_change", "job", "message", "message_event", "notification", "outgoing",
    "run", "run_record", "subscriber", "trigger_call", "trigger_recipient", "audience_member", "inbox_head", "preference", "suppression",
}  # fmt: skip
WHOLE = {
    "push OLD": "once an hour, of a table with no index by age",
    "preferences ANY": "asks for one row",
    "jobs DEAD": "a page, in the order of its index",
}
"""Statements that read what belongs to a tenant, or all, from one end → why they may."""


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    folder = tmp_path_factory.mktemp("estimates")

    async def make() -> None:
        await (await open_store(url="", data_dir=folder, clock=SystemClock())).close()

    asyncio.run(make())
    connection = apsw.Connection(str(folder / DATABASE))
    yield connection
    connection.close()


def statements() -> Iterator[tuple[str, str]]:
    """All that are written down in the storage: their names, and as SQLite takes them."""
    for module in pkgutil.iter_modules(storage.__path__):
        for name, found in vars(importlib.import_module(f"clarion.storage.{module.name}")).items():
            if isinstance(found, Sql):
                yield f"{module.name} {name}", for_sqlite(found.text)
            elif isinstance(found, Procedure):
                for step in found.steps:
                    yield f"{module.name} {name}", for_sqlite(step.text, found.row)


def test_no_statement_goes_through_all_that_a_tenant_has(db: apsw.Connection) -> None:
    """Of tables that grow with what is sent: with empty tables, without ANALYZE, each finds its rows by more than the tenant."""
    guilty: dict[str, str] = {}
    for name, text in statements():
        bindings: dict[str, object] = dict.fromkeys(re.findall(r":(\w+)", text), 1)
        bindings["rows"] = "[]"
        try:
            plan = db.execute(f"EXPLAIN QUERY PLAN {text}", bindings).fetchall()
        except apsw.SQLError:
            continue  # PostgreSQL's, or a piece of one
        aliases = dict(re.findall(r"\b(?:FROM|JOIN|UPDATE|INTO)\s+(\w+)\s+(?:AS\s+)?(\w+)", text))
        names = {alias: table for table, alias in aliases.items()}
        for *_, step in plan:
            found = re.match(r"(?:SCAN (\w+)(?! VIRTUAL)|SEARCH (\w+) .*\(tenant=\?\)$)", str(step))
            table = found and (found[1] or found[2])
            if table and names.get(table, table) in GROWING and name not in WHOLE:
                guilty[name] = str(step)
    assert guilty == {}


def test_what_a_person_has_measured_is_overwritten(db: apsw.Connection, tmp_path: Path) -> None:
    """ANALYZE on a small database would send SQLite the long way once it has grown; the next start says the same as the first."""
    told = db.execute("SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY 1, 2").fetchall()
    db.execute("ANALYZE")
    assert db.execute("SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY 1, 2").fetchall() != told
    tell_planner(db)
    assert db.execute("SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY 1, 2").fetchall() == told
    changes = db.total_changes()
    tell_planner(db)
    assert db.total_changes() == changes


@pytest.mark.parametrize(
    ("columns", "is_unique", "is_partial", "stat"),
    [
        (["tenant", "id"], True, False, "1000000 1000000 1"),
        (["tenant", "usr", "seq"], True, False, "1000000 1000000 1000 1"),
        (["tenant", "wait_key"], False, True, "10000 10000 10"),
        (["created_ms"], False, False, "1000000 1000"),
    ],
)
def test_what_is_said_of_an_index(
    columns: list[str], is_unique: bool, is_partial: bool, stat: str
) -> None:
    """Rows, then for how many of them the columns up to each are the same (SQLite's `sqlite_stat1`)."""
    assert estimate(columns, is_unique=is_unique, is_partial=is_partial) == stat
