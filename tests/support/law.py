"""The joining law, for any procedure: a run over a + b leaves what a run over a, then over b leaves."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import apsw

from clarion.clock import ManualClock
from clarion.storage import Procedure
from clarion.storage.core import Call, Core
from clarion.storage.migrate import MIGRATIONS, migrate_sqlite


def assert_law(
    procedure: Procedure,
    calls: Sequence[Sequence[Any]],
    *,
    given: Sequence[tuple[Procedure, Sequence[Any]]] = (),
    migrations: Path = MIGRATIONS,
) -> None:
    """Run `calls` joined on one database and one by one on another; both must answer and end alike.

    Args:
        procedure: What is held to the law.
        calls: The input rows of each caller.
        given: What is stored before.
        migrations: Whose tables.
    """
    states = []
    for is_joined in (True, False):
        db = apsw.Connection(":memory:")
        db.deserialize("main", _migrated(migrations))
        core = Core(db)
        for earlier, rows in given:
            core.run([Call(earlier, rows)])
        members = [Call(procedure, rows) for rows in calls if rows]
        groups = [members] if is_joined else [[member] for member in members]
        answers = [_told(outcome) for group in groups for outcome in core.run(group)]
        states.append((answers, _tables(db)))
        db.close()
    assert states[0] == states[1]


@lru_cache
def _migrated(migrations: Path) -> bytes:
    """An empty database of today's shape; to make one takes longer than all that is done to it."""
    db = apsw.Connection(":memory:")
    migrate_sqlite(db, migrations, ManualClock(), contract=True)
    return db.serialize("main")


def _told(outcome: Any) -> Any:
    return type(outcome) if isinstance(outcome, Exception) else outcome


def _tables(db: apsw.Connection) -> dict[str, list[Any]]:
    names = [
        name
        for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    ]
    return {
        str(name): sorted(
            db.execute(LEDGERS.get(name, f"SELECT * FROM {name}")).fetchall(), key=repr
        )
        for name in names
    }


# Of what is only ever added up, the sums: what is done in one step leaves fewer rows than what is done in two.
LEDGERS = {
    "stat_change": """SELECT tenant, hour_ms, what, workflow, channel, provider, category, status, bucket, sum(count) FROM stat_change
        GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9 HAVING sum(count) <> 0"""
}
