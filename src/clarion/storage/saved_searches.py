"""Saved searches, and how far each collection's have come in its log of changes."""

from msgspec import Struct

from clarion.storage.store import Sql


class SavedRow(Struct, frozen=True):
    """A saved search; texts of JSON, `access` None: it sees everything."""

    name: str
    query: str
    access: str | None
    hands: str
    since: int
    created_ms: int


class NamingRow(Struct, frozen=True):
    """A saved search that may name somebody."""

    collection: int
    collection_name: str
    name: str


class WatchedRow(Struct, frozen=True):
    """A collection that has saved searches."""

    tenant: str
    collection: int
    name: str


class HeadRow(Struct, frozen=True):
    """Up to which change everything was handed on, and how often what is looked for was changed."""

    off: int
    revision: int


class Count(Struct, frozen=True):
    """One number."""

    number: int


_WHERE = "tenant = :tenant AND collection = :collection"
_COLUMNS = "name, query, access, hands, since, created_ms"

PUT = Sql(
    """INSERT INTO search_saved (tenant, collection, name, query, access, hands, since, created_ms)
       VALUES (:tenant, :collection, :name, :query, :access, :hands, :since, :now_ms)
       ON CONFLICT (tenant, collection, name) DO UPDATE
         SET query = excluded.query, access = excluded.access, hands = excluded.hands, since = excluded.since"""
)
REMOVE = Sql(f"DELETE FROM search_saved WHERE {_WHERE} AND name = :name")
FIND = Sql(f"SELECT {_COLUMNS} FROM search_saved WHERE {_WHERE} AND name = :name", SavedRow)
PAGE = Sql(
    f"SELECT {_COLUMNS} FROM search_saved WHERE {_WHERE} AND name > :after ORDER BY name LIMIT :n",
    SavedRow,
)
# The pattern finds too many rather than too few: whoever asks looks at what it says.
NAMING = Sql(
    """SELECT s.collection, c.name, s.name FROM search_saved s
       JOIN search_collection c ON c.tenant = s.tenant AND c.collection = s.collection AND c.deleted_ms IS NULL
       WHERE s.tenant = :tenant AND s.hands LIKE :pattern AND (s.collection, s.name) > (:collection, :name)
       ORDER BY s.collection, s.name LIMIT :n""",
    NamingRow,
)
ASK = Sql(f"UPDATE search_saved SET hands = :hands WHERE {_WHERE} AND name = :name")
COUNT = Sql(f"SELECT COUNT(*) FROM search_saved WHERE {_WHERE}", Count)
BEGIN = Sql(
    """INSERT INTO search_saved_head (tenant, collection, off, revision) VALUES (:tenant, :collection, :off, 1)
       ON CONFLICT (tenant, collection) DO UPDATE SET revision = search_saved_head.revision + 1"""
)
HEAD = Sql(f"SELECT off, revision FROM search_saved_head WHERE {_WHERE}", HeadRow)
RAISE = Sql(f"UPDATE search_saved_head SET off = :off WHERE {_WHERE} AND off < :off")
REVISE = Sql(f"UPDATE search_saved_head SET revision = revision + 1 WHERE {_WHERE}")
END = Sql(f"DELETE FROM search_saved_head WHERE {_WHERE}")
FORGET = Sql(f"DELETE FROM search_saved WHERE {_WHERE}")

# At the start, over all tenants.
WATCHED = Sql(
    """SELECT h.tenant, h.collection, c.name FROM search_saved_head h
       JOIN search_collection c ON c.tenant = h.tenant AND c.collection = h.collection AND c.deleted_ms IS NULL
       WHERE h.collection > :after ORDER BY h.collection LIMIT :n""",
    WatchedRow,
)
