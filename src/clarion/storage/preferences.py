"""Preferences: one document for each person who has any, and one of the deployment (usr '')."""

from msgspec import Struct

from clarion.storage.store import Procedure, Sql


class PreferenceRow(Struct, frozen=True):
    """A document, JSON, and how often it was changed."""

    document: str
    revision: int


class Whose(Struct, frozen=True, array_like=True):
    """Names a person."""

    tenant: str
    usr: str


class Known(Struct, frozen=True):
    """The document of the caller's n-th person; who has none has no row."""

    n: int
    usr: str
    document: str
    revision: int


class Since(Struct, frozen=True, array_like=True):
    """Whose document may have changed since then."""

    tenant: str
    usr: str
    since_ms: int


class Changed(Struct, frozen=True):
    """The n-th document asked about was changed since."""

    n: int


class Revision(Struct, frozen=True):
    """The revision that was written."""

    revision: int


class Window(Struct, frozen=True):
    """How many have come to a throttle in its window."""

    hits: int
    ends_ms: int


_ONE = "SELECT document, revision FROM preference WHERE tenant = :tenant AND usr = :usr"
FIND = Sql(_ONE, PreferenceRow)
HOLD = Sql(f"{_ONE} {{for_update}}", PreferenceRow)
# Whether anybody of a tenant has any.
ANY = Sql("SELECT revision FROM preference WHERE tenant = :tenant LIMIT 1", Revision)
# Compare-and-set: no row comes back where it is not (any longer) of the revision that was seen, 0: not there.
PUT = Sql(
    """INSERT INTO preference (tenant, usr, document, revision, updated_ms)
       VALUES (:tenant, :usr, :document, CAST(:seen AS BIGINT) + 1, :now_ms)
       ON CONFLICT (tenant, usr) DO UPDATE SET document = excluded.document, revision = excluded.revision,
         updated_ms = excluded.updated_ms
       WHERE preference.revision = CAST(:seen AS BIGINT) RETURNING revision""",
    Revision,
)
OF = Procedure(
    "known_preferences",
    Whose,
    (
        Sql(
            """SELECT r.n, p.usr, p.document, p.revision
               FROM {rows r} JOIN preference p ON p.tenant = r.tenant AND p.usr = r.usr""",
            Known,
        ),
    ),
)
CHANGED = Procedure(
    "changed_preferences",
    Since,
    (
        Sql(
            """SELECT r.n FROM {rows r} JOIN preference p ON p.tenant = r.tenant AND p.usr = r.usr
               WHERE p.updated_ms >= r.since_ms""",
            Changed,
        ),
    ),
)
WINDOW = Sql(
    "SELECT hits, ends_ms FROM throttle WHERE tenant = :tenant AND throttle = :throttle", Window
)
