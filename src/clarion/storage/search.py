"""Collections of documents to be searched: their definitions, their documents, and the log of what changed in them.

Every change is a transaction that begins with `LOCK`: whoever holds a collection is alone in it, so that its log has one order. What is written
there is written in sets. Only words differ between the engines: SQLite keeps them in a table of FTS5, PostgreSQL in an index over `search_text`.
How documents are asked for is in `search_questions`.
"""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from clarion.storage.store import Procedure, Sql

Engine = Literal["sqlite", "postgresql"]

NUMBERS: Final = 1 << 40
"""Documents' numbers of one collection."""


class CollectionRow(Struct, frozen=True):
    """A collection; `fields` and `facets` are texts of JSON."""

    collection: int
    name: str
    fields: str
    facets: str
    top: int
    documents: int
    next: int
    created_ms: int


class Number(Struct, frozen=True):
    """One number."""

    number: int


class Numbered(Struct, frozen=True):
    """The number of the caller's n-th document."""

    n: int
    doc: int


class Key(Struct, frozen=True, array_like=True):
    """Names a document."""

    tenant: str
    collection: int
    id: str


class Found(Struct, frozen=True):
    """The caller's n-th document."""

    n: int
    doc: int
    data: str
    access: str
    version: int
    off: int
    changed_ms: int


class NewDocument(Struct, frozen=True, array_like=True):
    """A document as it is from now on."""

    tenant: str
    collection: int
    id: str
    doc: int
    data: str
    access: str
    version: int
    off: int
    changed_ms: int


class Doc(Struct, frozen=True, array_like=True):
    """A document by its number."""

    tenant: str
    doc: int


class NewValue(Struct, frozen=True, array_like=True):
    """A value of a field."""

    tenant: str
    collection: int
    field: str
    txt: str
    num: float
    doc: int


class NewText(Struct, frozen=True, array_like=True):
    """The words of a document."""

    tenant: str
    collection: int
    doc: int
    words: str


class NewChange(Struct, frozen=True, array_like=True):
    """An entry of the log."""

    tenant: str
    collection: int
    off: int
    id: str
    before: str | None
    access_before: str | None
    data: str | None
    access: str | None
    version: int
    at_ms: int


class ChangeRow(Struct, frozen=True):
    """Where the log stands, and one entry; `off` and what follows are None where there is nothing newer."""

    top: int
    off: int | None
    id: str
    before: str | None
    access_before: str | None
    data: str | None
    access: str | None
    version: int
    at_ms: int


class Gone(Struct, frozen=True):
    """A collection whose documents are to be removed."""

    tenant: str
    collection: int


class Whose(Struct, frozen=True):
    """A collection of whichever tenant, and where its log stands."""

    tenant: str
    collection: int
    top: int


# ── collections ──

_COLUMNS = "collection, name, fields, facets, top, documents, next, created_ms"
_NAMED = "tenant = :tenant AND name = :name AND deleted_ms IS NULL"

FIND_COLLECTION = Sql(f"SELECT {_COLUMNS} FROM search_collection WHERE {_NAMED}", CollectionRow)
LOCK = Sql(f"SELECT {_COLUMNS} FROM search_collection WHERE {_NAMED} {{for_update}}", CollectionRow)
COLLECTIONS = Sql(
    f"""SELECT {_COLUMNS} FROM search_collection
        WHERE tenant = :tenant AND deleted_ms IS NULL AND name > :after ORDER BY name LIMIT :n""",
    CollectionRow,
)
COUNT_COLLECTIONS = Sql(
    "SELECT COUNT(*) FROM search_collection WHERE tenant = :tenant AND deleted_ms IS NULL", Number
)
# Numbers go over all tenants: FTS5 knows none.
ADD_COLLECTION = Sql(
    """INSERT INTO search_collection
         (tenant, collection, name, fields, facets, top, documents, next, created_ms, deleted_ms)
       SELECT :tenant, COALESCE(MAX(collection), 0) + 1, :name, :fields, :facets, 0, 0, 0, CAST(:now_ms AS BIGINT), NULL
       FROM search_collection"""
)
CHANGE_COLLECTION = Sql(f"UPDATE search_collection SET facets = :facets WHERE {_NAMED}")
HIDE_COLLECTION = Sql(f"UPDATE search_collection SET deleted_ms = :now_ms WHERE {_NAMED}")

# ── documents ──

FIND = Procedure(
    "find_search_documents",
    Key,
    (
        Sql(
            """SELECT r.n, d.doc, d.data, d.access, d.version, d.off, d.changed_ms
               FROM {rows r} JOIN search_document d
                 ON d.tenant = r.tenant AND d.collection = r.collection AND d.id = r.id ORDER BY r.n""",
            Found,
        ),
    ),
)
GET = Sql(
    """SELECT 1, d.doc, d.data, d.access, d.version, d.off, d.changed_ms FROM search_document d
       WHERE d.tenant = :tenant AND d.collection = :collection AND d.id = :id""",
    Found,
)
PUT = Procedure(
    "put_search_documents",
    NewDocument,
    (
        Sql("""INSERT INTO search_document (tenant, collection, id, doc, data, access, version, off, changed_ms)
               SELECT r.tenant, r.collection, r.id, r.doc, r.data, r.access, r.version, r.off, r.changed_ms
               FROM {rows r} WHERE true
               ON CONFLICT (tenant, collection, id) DO UPDATE SET doc = excluded.doc, data = excluded.data, access = excluded.access,
                 version = excluded.version, off = excluded.off, changed_ms = excluded.changed_ms"""),
    ),
)
REMOVE = Procedure(
    "remove_search_documents",
    Key,
    (
        Sql("""DELETE FROM search_document
               WHERE (tenant, collection, id) IN (SELECT r.tenant, r.collection, r.id FROM {rows r})"""),
    ),
)
_FORGET = (
    Sql("DELETE FROM search_value WHERE (tenant, doc) IN (SELECT r.tenant, r.doc FROM {rows r})"),
    Sql("DELETE FROM search_text WHERE (tenant, doc) IN (SELECT r.tenant, r.doc FROM {rows r})"),
)
# What a document is found by.
FORGET: Mapping[Engine, Procedure] = {
    "sqlite": Procedure(
        "forget_search_documents",
        Doc,
        (*_FORGET, Sql("DELETE FROM search_words WHERE rowid IN (SELECT r.doc FROM {rows r})")),
    ),
    "postgresql": Procedure("forget_search_documents", Doc, _FORGET),
}
ADD_VALUES = Procedure(
    "add_search_values",
    NewValue,
    (
        Sql("""INSERT INTO search_value (tenant, collection, field, txt, num, doc)
               SELECT r.tenant, r.collection, r.field, r.txt, r.num, r.doc FROM {rows r}"""),
    ),
)
_ADD_TEXT = Sql("""INSERT INTO search_text (tenant, collection, doc, words)
                   SELECT r.tenant, r.collection, r.doc, r.words FROM {rows r}""")
ADD_TEXTS: Mapping[Engine, Procedure] = {
    "sqlite": Procedure(
        "add_search_texts",
        NewText,
        (
            _ADD_TEXT,
            Sql("INSERT INTO search_words (rowid, words) SELECT r.doc, r.words FROM {rows r}"),
        ),
    ),
    "postgresql": Procedure("add_search_texts", NewText, (_ADD_TEXT,)),
}

# ── the log ──

APPEND = Procedure(
    "append_search_changes",
    NewChange,
    (
        Sql("""INSERT INTO search_change (tenant, collection, off, id, before, access_before, data, access, version, at_ms)
               SELECT r.tenant, r.collection, r.off, r.id, r.before, r.access_before, r.data, r.access, r.version, r.at_ms
               FROM {rows r}"""),
    ),
)
RAISE = Sql(
    """UPDATE search_collection SET top = :top, documents = :documents, next = :next
       WHERE tenant = :tenant AND collection = :collection"""
)
CHANGES = Sql(
    """SELECT h.top, c.off, c.id, c.before, c.access_before, c.data, c.access, c.version, c.at_ms
       FROM search_collection h LEFT JOIN search_change c
         ON c.tenant = h.tenant AND c.collection = h.collection AND c.off > :after
       WHERE h.tenant = :tenant AND h.collection = :collection AND h.deleted_ms IS NULL
       ORDER BY c.off LIMIT :n""",
    ChangeRow,
)

# ── housekeeping: slices, over all tenants ──

NEXT_SLICE = Sql(
    """SELECT tenant, collection, top FROM search_collection
       WHERE collection > :after ORDER BY collection LIMIT :n""",
    Whose,
)
# A range of the log at a time: of these, what is beyond the newest `keep` or older than `before`.
TRIM = Sql(
    """DELETE FROM search_change WHERE tenant = :tenant AND collection = :collection
         AND off <= (SELECT MIN(c.off) FROM search_change c
                     WHERE c.tenant = :tenant AND c.collection = :collection) + CAST(:slice AS BIGINT)
         AND (off <= :upto OR at_ms < :before)"""
)
DELETED = Sql(
    "SELECT tenant, collection FROM search_collection WHERE deleted_ms IS NOT NULL LIMIT :n", Gone
)
SOME_OF_DELETED = Sql(
    "SELECT tenant, collection, id FROM search_document WHERE tenant = :tenant AND collection = :collection LIMIT :n",
    Key,
)
NUMBERS_OF = Procedure(
    "number_search_documents",
    Key,
    (
        Sql(
            """SELECT r.n, d.doc FROM {rows r} JOIN search_document d
                 ON d.tenant = r.tenant AND d.collection = r.collection AND d.id = r.id""",
            Numbered,
        ),
    ),
)
FORGET_CHANGES = Sql(
    "DELETE FROM search_change WHERE tenant = :tenant AND collection = :collection"
)
# The highest number stays: the next collection's must be a new one.
REMOVE_COLLECTION = Sql(
    """DELETE FROM search_collection WHERE tenant = :tenant AND collection = :collection AND deleted_ms IS NOT NULL
       AND collection < (SELECT MAX(c.collection) FROM search_collection c)"""
)
