"""What is kept of workflows, and no longer: runs with their records, messages with their attempts, digests, throttles, triggers.

Each table in slices, the oldest first, over all tenants. A trigger goes when nothing of it is left.
"""

from msgspec import Struct

from clarion.storage.store import Procedure, Sql


class Old(Struct, frozen=True, array_like=True):
    """Names a row that is too old."""

    tenant: str
    id: str


def _these(key: str) -> str:
    return f"(tenant, {key}) IN (SELECT r.tenant, r.id FROM {{rows r}})"


OLD_RUNS = Sql(
    """SELECT tenant, id FROM run WHERE status IN ('done', 'stopped', 'failed', 'cancelled') AND created_ms < :before
       ORDER BY created_ms LIMIT :n""",
    Old,
)
FORGET_RUNS = Procedure(
    "forget_run",
    Old,
    tuple(
        Sql(f"DELETE FROM {table} WHERE {_these(key)}")
        for table, key in (("run_record", "run"), ("batch_item", "run"), ("run", "id"))
    ),
)
OLD_OUTGOING = Sql(
    "SELECT tenant, id FROM outgoing WHERE run_ms IS NULL AND created_ms < :before ORDER BY created_ms LIMIT :n",
    Old,
)
FORGET_OUTGOING = Procedure(
    "forget_outgoing",
    Old,
    tuple(
        Sql(f"DELETE FROM {table} WHERE {_these(key)}")
        for table, key in (("attempt", "message"), ("message_event", "message"), ("outgoing", "id"))
    ),
)
FORGET_BATCHES = Sql(
    """DELETE FROM batch WHERE (tenant, id) IN (SELECT tenant, id FROM batch
         WHERE state = 'closed' AND run_ms IS NULL AND opened_ms < :before ORDER BY opened_ms LIMIT :n)"""
)
FORGET_TRIGGERS = Sql(
    """DELETE FROM trigger_call WHERE (tenant, id) IN (SELECT t.tenant, t.id FROM trigger_call t
         WHERE t.created_ms < :before AND t.start_ms < :before AND t.state <> 'planning'
           AND NOT EXISTS (SELECT 1 FROM run WHERE run.tenant = t.tenant AND run.trigger_id = t.id)
           AND NOT EXISTS (SELECT 1 FROM outgoing o WHERE o.tenant = t.tenant AND o.trigger_id = t.id)
         ORDER BY t.created_ms LIMIT :n)"""
)
FORGET_THROTTLES = Sql(
    """DELETE FROM throttle WHERE (tenant, throttle) IN
       (SELECT tenant, throttle FROM throttle WHERE ends_ms < :before ORDER BY ends_ms LIMIT :n)"""
)
