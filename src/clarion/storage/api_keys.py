"""API keys: rows and statements. A key's secret is never here, only its SHA-256."""

from msgspec import Struct

from clarion.storage.store import Procedure, Sql


class KeyRow(Struct, frozen=True):
    """One key; `scopes` is a list with spaces, times are ms since 1970."""

    tenant: str
    id: str
    name: str
    digest: str
    scopes: str
    created_ms: int
    used_ms: int | None


class Use(Struct, frozen=True):
    """When a key was last presented."""

    tenant: str
    id: str
    used_ms: int


_COLUMNS = "tenant, id, name, digest, scopes, created_ms, used_ms"

ADD = Sql(
    """INSERT INTO api_key (tenant, id, name, digest, scopes, created_ms)
       VALUES (:tenant, :id, :name, :digest, :scopes, :now_ms)"""
)

# The one read that cannot name a tenant: the key tells it.
FIND = Sql(f"SELECT {_COLUMNS} FROM api_key WHERE id = :id", KeyRow)

LIST = Sql(
    f"SELECT {_COLUMNS} FROM api_key WHERE tenant = :tenant ORDER BY created_ms, id",
    KeyRow,
)

# 1 row is gone, or 0: there was no such key.
REMOVE = Sql("DELETE FROM api_key WHERE tenant = :tenant AND id = :id")

# Law: the latest of several uses wins, in whatever order they come.
USED = Procedure(
    "keys_used",
    Use,
    (
        Sql(
            """UPDATE api_key SET used_ms = u.used_ms
               FROM (SELECT r.tenant AS tenant, r.id AS id, max(r.used_ms) AS used_ms
                     FROM {rows r} GROUP BY r.tenant, r.id) AS u
               WHERE api_key.tenant = u.tenant AND api_key.id = u.id AND coalesce(api_key.used_ms, 0) < u.used_ms"""
        ),
    ),
)
