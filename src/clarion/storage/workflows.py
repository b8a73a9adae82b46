"""Workflows in versions: one that is kept never changes, so that what runs goes on as it began."""

from msgspec import Struct

from clarion.storage.store import Sql


class Current(Struct, frozen=True):
    """The version that a trigger gets now."""

    version: int
    digest: str
    is_active: int


class HeadRow(Struct, frozen=True):
    """Which version a trigger gets now, and whether it may be triggered."""

    version: int
    is_active: int


class WorkflowRow(Struct, frozen=True):
    """One version of a workflow, and whether the workflow may be triggered."""

    workflow: str
    version: int
    definition: str
    author: str
    created_ms: int
    is_active: int


_OWNER = "w.tenant = :tenant AND w.workflow = :workflow"
_ROW = "w.workflow, v.version, v.definition, v.author, v.created_ms, w.is_active"
_JOIN = "workflow w JOIN workflow_version v ON v.tenant = w.tenant AND v.workflow = w.workflow"

CURRENT = Sql(
    f"""SELECT w.version, v.digest, w.is_active FROM {_JOIN} AND v.version = w.version
        WHERE {_OWNER} {{for_update}}""",
    Current,
)
HEAD = Sql(f"SELECT w.version, w.is_active FROM workflow w WHERE {_OWNER}", HeadRow)
ADD_VERSION = Sql(
    """INSERT INTO workflow_version (tenant, workflow, version, definition, digest, author, created_ms)
       VALUES (:tenant, :workflow, :version, :definition, :digest, :author, :now_ms)"""
)
SET_CURRENT = Sql(
    """INSERT INTO workflow (tenant, workflow, version, is_active, updated_ms)
       VALUES (:tenant, :workflow, :version, 1, :now_ms)
       ON CONFLICT (tenant, workflow) DO UPDATE SET version = excluded.version, is_active = 1, updated_ms = excluded.updated_ms"""
)
SET_ACTIVE = Sql(
    """UPDATE workflow SET is_active = :is_active, updated_ms = :now_ms
       WHERE tenant = :tenant AND workflow = :workflow"""
)
FIND = Sql(f"SELECT {_ROW} FROM {_JOIN} AND v.version = w.version WHERE {_OWNER}", WorkflowRow)
FIND_VERSION = Sql(
    f"SELECT {_ROW} FROM {_JOIN} AND v.version = :version WHERE {_OWNER}", WorkflowRow
)
PAGE = Sql(
    f"""SELECT {_ROW} FROM {_JOIN} AND v.version = w.version
        WHERE w.tenant = :tenant AND w.workflow > :after ORDER BY w.workflow LIMIT :n""",
    WorkflowRow,
)
