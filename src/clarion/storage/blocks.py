"""Users who may not come in: rows and statements."""

from msgspec import Struct

from clarion.storage.store import Sql


class BlockRow(Struct, frozen=True):
    """One of them; times are ms since 1970, no end: for ever."""

    tenant: str
    id: str
    until_ms: int | None
    reason: str
    created_ms: int


# A block that is there already is replaced; it counts from the first time.
PUT = Sql(
    """INSERT INTO blocked_user (tenant, id, until_ms, reason, created_ms)
       VALUES (:tenant, :id, :until_ms, :reason, :now_ms)
       ON CONFLICT (tenant, id) DO UPDATE SET until_ms = excluded.until_ms, reason = excluded.reason
       RETURNING tenant, id, until_ms, reason, created_ms""",
    BlockRow,
)

REMOVE = Sql("DELETE FROM blocked_user WHERE tenant = :tenant AND id = :id")

FIND = Sql(
    """SELECT tenant, id, until_ms, reason, created_ms FROM blocked_user
       WHERE tenant = :tenant AND id = :id AND (until_ms IS NULL OR until_ms > :now_ms)""",
    BlockRow,
)

# Of all tenants, page by page in the order of the key.
ACTIVE = Sql(
    """SELECT tenant, id, until_ms, reason, created_ms FROM blocked_user
       WHERE (tenant, id) > (:after_tenant, :after_id) AND (until_ms IS NULL OR until_ms > :now_ms)
       ORDER BY tenant, id LIMIT 1000""",
    BlockRow,
)

# Slice by slice, so that nobody waits long behind it.
PURGE = Sql(
    """DELETE FROM blocked_user WHERE (tenant, id) IN
       (SELECT tenant, id FROM blocked_user WHERE until_ms <= :now_ms LIMIT :n)"""
)
