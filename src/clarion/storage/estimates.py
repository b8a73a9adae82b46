"""What SQLite's planner is told of the tables, whatever is in them.

Without statistics it takes the first column of every key for one that leaves ten rows. Ours is the tenant, of which most databases
have one: it would rather read all of a tenant's rows by the primary key than a few of them by the index that was made for the
question. Statistics of what is there (ANALYZE) would be right until a table has grown, and different on each machine. So the
planner is told the same everywhere: tables are large, an index of a condition is small, a tenant has all of it, and what
comes behind tells rows apart (https://sqlite.org/fileformat2.html#stat1tab).
"""

from typing import Final

import apsw

ROWS: Final = 1_000_000  # of a table
PART: Final = 10_000  # of an index with a condition
COARSE: Final = frozenset({"tenant", "priority", "channel", "status", "what"})
"""Columns with few values."""
FIRST, NEXT = (
    1_000,
    100,
)  # of how many rows the first other column leaves one, and each one behind it


def tell_planner(db: apsw.Connection) -> None:
    """Write the statistics, if they are not there; connections that are opened from here on have them."""
    tables = db.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    ).fetchall()
    rows = {(str(table), *each) for (table,) in tables for each in _indexes(db, str(table))}
    if rows == _told(db):
        return
    with db:  # one transaction
        db.execute("ANALYZE schema_migration")  # makes the table of them
        db.execute("DELETE FROM sqlite_stat1")
        db.executemany("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", sorted(rows))


def _told(db: apsw.Connection) -> set[tuple[str, str, str]]:
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").fetchall():
        return set()
    rows = db.execute("SELECT tbl, idx, stat FROM sqlite_stat1").fetchall()
    return {(str(table), str(index), str(stat)) for table, index, stat in rows}


def _indexes(db: apsw.Connection, table: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, is_unique, origin, is_partial in db.execute(
        'SELECT name, "unique", origin, partial FROM pragma_index_list(?)', (table,)
    ).fetchall():
        columns = [
            str(column)
            for (column,) in db.execute("SELECT name FROM pragma_index_info(?)", (name,))
        ]
        # The primary key of a table without row ids is known by the table's own name.
        known_as = table if origin == "pk" else str(name)
        stat = estimate(columns, is_unique=bool(is_unique), is_partial=bool(is_partial))
        found.append((known_as, stat))
    return found


def estimate(columns: list[str], *, is_unique: bool, is_partial: bool) -> str:
    """The `stat` of an index: how many rows it has, and of how many all columns up to each one are the same."""
    left = PART if is_partial else ROWS
    told, one_of = [left], FIRST
    for n, column in enumerate(columns, 1):
        if is_unique and n == len(columns):
            left = 1
        elif column not in COARSE:
            left, one_of = max(2, left // one_of), NEXT
        told.append(left)
    return " ".join(map(str, told))
