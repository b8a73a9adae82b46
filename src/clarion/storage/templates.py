"""Templates in versions that never change, and which of them is the current one."""

from msgspec import Struct

from clarion.storage.store import Sql


class Revision(Struct, frozen=True):
    """How often a tenant's templates have changed."""

    revision: int


class Head(Struct, frozen=True):
    """The current version of a template."""

    template: str
    version: int


class Top(Struct, frozen=True):
    """The highest version that there is, or was before it was deleted; None: none."""

    version: int | None


class TemplateRow(Struct, frozen=True):
    """One version of a template."""

    template: str
    version: int
    definition: str
    author: str
    created_ms: int


class VersionRow(Struct, frozen=True):
    """That there is a version, by whom, and since when."""

    version: int
    author: str
    created_ms: int


class DefinitionRow(Struct, frozen=True):
    """A workflow as it is now."""

    workflow: str
    definition: str


_ROW = "v.template, v.version, v.definition, v.author, v.created_ms"
_CURRENT = (
    "template t JOIN template_version v"
    " ON v.tenant = t.tenant AND v.template = t.template AND v.version = t.version"
)

REVISION = Sql("SELECT revision FROM template_book WHERE tenant = :tenant", Revision)
HEADS = Sql("SELECT template, version FROM template WHERE tenant = :tenant", Head)
FIND = Sql(
    f"SELECT {_ROW} FROM {_CURRENT} WHERE t.tenant = :tenant AND t.template = :template",
    TemplateRow,
)
FIND_VERSION = Sql(
    f"""SELECT {_ROW} FROM template_version v
        WHERE v.tenant = :tenant AND v.template = :template AND v.version = :version""",
    TemplateRow,
)
PAGE = Sql(
    f"""SELECT {_ROW} FROM {_CURRENT} WHERE t.tenant = :tenant AND t.template > :after
        ORDER BY t.template LIMIT :n""",
    TemplateRow,
)
VERSIONS = Sql(
    """SELECT version, author, created_ms FROM template_version
       WHERE tenant = :tenant AND template = :template AND version < :before
       ORDER BY version DESC LIMIT :n""",
    VersionRow,
)
TOP = Sql(
    "SELECT max(version) FROM template_version WHERE tenant = :tenant AND template = :template", Top
)
OPEN_BOOK = Sql(
    """INSERT INTO template_book (tenant, revision) VALUES (:tenant, 0)
       ON CONFLICT (tenant) DO NOTHING"""
)
# Of those who have checked a change against a revision one comes first; the others look again.
TURN_PAGE = Sql(
    """UPDATE template_book SET revision = revision + 1
       WHERE tenant = :tenant AND revision = :revision"""
)
ADD_VERSION = Sql(
    """INSERT INTO template_version (tenant, template, version, definition, digest, author, created_ms)
       VALUES (:tenant, :template, :version, :definition, :digest, :author, :now_ms)"""
)
SET_CURRENT = Sql(
    """INSERT INTO template (tenant, template, version, updated_ms)
       VALUES (:tenant, :template, :version, :now_ms)
       ON CONFLICT (tenant, template) DO UPDATE SET version = excluded.version, updated_ms = excluded.updated_ms"""
)
DELETE = Sql("DELETE FROM template WHERE tenant = :tenant AND template = :template")
# Workflows, as they are now, in whose text this occurs; which of them use the template, their reader says.
WORKFLOWS = Sql(
    """SELECT w.workflow, v.definition FROM workflow w JOIN workflow_version v
       ON v.tenant = w.tenant AND v.workflow = w.workflow AND v.version = w.version
       WHERE w.tenant = :tenant AND w.is_active = 1 AND v.definition LIKE :words ORDER BY w.workflow""",
    DefinitionRow,
)
