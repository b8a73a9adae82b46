"""What looks for due rows and takes them goes by its index, however much has ended, or waits, of everybody."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import Struct

from clarion.clock import SystemClock
from clarion.storage import Store, batches, jobs, open_store, outgoing, runs
from clarion.storage.sql import for_postgres, for_sqlite
from clarion.storage.store import Sql

ROWS = 6_000  # of each table; one in six waits, for eight tenants
_N = (
    "WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < 6000)"
)
_TENANT = "'t' || (i % 8), 'id' || i"
_LEASE = "CASE WHEN i % 6 = 0 THEN i ELSE NULL END, i / 8 % 4"
FILL = (
    f"""INSERT INTO trigger_call (tenant, id, workflow, version, caller, actor, payload, asked, cancel_key, state, total, created_ms)
        {_N} SELECT {_TENANT}, 'w', 1, 'c', '', '{{}}', '{{}}', '', 'planned', 1, i FROM n""",
    f"""INSERT INTO job (tenant, id, kind, payload, max_attempts, created_ms, run_ms, priority)
        {_N} SELECT {_TENANT}, 'k', '{{}}', 3, i, {_LEASE} FROM n""",
    f"""INSERT INTO run (tenant, id, trigger_id, usr, workflow, version, state, status, wait_key, created_ms, run_ms, priority)
        {_N} SELECT {_TENANT}, 'g', 'u' || i, 'w', 1, '{{}}', 'running', '', i, {_LEASE} FROM n""",
    f"""INSERT INTO batch (tenant, id, workflow, step, usr, batch_key, state, lead, size, opened_ms, max_ms, run_ms, priority)
        {_N} SELECT {_TENANT}, 'w', 's', 'u' || i, '', 'open', '', 1, i, i, {_LEASE} FROM n""",
    f"""INSERT INTO outgoing (tenant, id, message, run, trigger_id, workflow, category, step, usr, channel, address, content,
          provider, provider_id, status, rank, cause, created_ms, run_ms, priority)
        {_N} SELECT {_TENANT}, 'm', 'r', 'g', 'w', '', 's', 'u' || i, 'email', 'a@b', '{{}}', '', '', 'queued', 0, '', i, {_LEASE} FROM n""",
)
LOOKS: dict[str, tuple[Sql, Sql]] = {
    "job": (jobs.WAITING, jobs.CLAIM),
    "run": (runs.WAITING_RUNS, runs.CLAIM),
    "batch": (batches.WAITING, batches.CLAIM),
    "outgoing": (outgoing.WAITING, outgoing.CLAIM),
}
VALUES = {
    "lane": "'email'",
    "priority": "2",
    "tenant": "'t3'",
    "now": "5000",
    "until": "9000",
    "node": "'n'",
    "limit": "10",
}


class Plan(Struct, frozen=True):
    """A line of PostgreSQL's."""

    detail: str


class Step(Struct, frozen=True):
    """A line of SQLite's."""

    id: int
    parent: int
    notused: int
    detail: str


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    url = ""
    if request.param == "postgresql":
        url = await request.getfixturevalue("postgres").new_database()
    store = await open_store(url=url, data_dir=tmp_path, clock=SystemClock())
    async with store.transaction() as tx:
        for text in FILL:
            await tx.execute(Sql(text))
        if url:
            await tx.execute(Sql("ANALYZE"))
    yield store
    await store.close()


async def _explain(store: Store, statement: Sql) -> str:
    text = re.sub(r"(?<!:):([a-z]+)", lambda found: VALUES[found[1]], statement.text)
    async with store.transaction() as tx:
        if store.engine == "sqlite":
            steps = await tx.fetch(Sql(f"EXPLAIN QUERY PLAN {for_sqlite(text)}", Step))
            return "\n".join(step.detail for step in steps)
        lines = await tx.fetch(Sql(f"EXPLAIN {for_postgres(text)[0]}", Plan))
        return "\n".join(line.detail for line in lines)


async def test_looking_and_taking_read_no_more_than_they_give(store: Store) -> None:
    """Each tenant and priority is one step in the index; nothing is scanned or sorted, and no other index stands in."""
    for table, statements in LOOKS.items():
        for statement in statements:
            plan = await _explain(store, statement)
            assert f"{table}_due" in plan, plan
            if store.engine == "sqlite":
                scanned = re.findall(rf"SCAN (?:t|{table})\b.*", plan)
                assert not scanned, plan
                assert "TEMP B-TREE" not in plan, plan
            else:
                assert "Seq Scan" not in plan, plan
                assert "Sort" not in plan, plan


async def test_what_waits_is_found_by_tenant_and_priority(store: Store) -> None:
    """All of them, each with its first time, of the lane that is asked for."""
    for table, (waiting, _) in LOOKS.items():
        lane = {"lane": "email"} if table == "outgoing" else {}
        found = {
            (each.tenant, each.priority): each.run_ms for each in await store.fetch(waiting, **lane)
        }
        expected: dict[tuple[str, int], int] = {}
        for i in range(6, ROWS + 1, 6):
            expected.setdefault((f"t{i % 8}", i // 8 % 4), i)
        assert found == expected
    assert await store.fetch(outgoing.WAITING, lane="push") == []
