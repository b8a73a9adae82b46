"""Presence that outlives connections: when users were here, who may see that they are, and whom they know.

What is read of many users at once is a procedure: calls of many are joined.
"""

from msgspec import Struct

from clarion.storage.store import Procedure, Sql


class User(Struct, frozen=True):
    """Whose row is wanted."""

    tenant: str
    id: str


class Seen(Struct, frozen=True):
    """A user was connected, and did something last; ms since 1970."""

    tenant: str
    id: str
    seen_ms: int
    active_ms: int


class PersonRow(Struct, frozen=True):
    """What is known of a user; None: nothing. `visibility` 0: everyone, 1: contacts, 2: nobody."""

    n: int
    seen_ms: int | None
    active_ms: int | None
    visibility: int | None


class Pair(Struct, frozen=True):
    """Whether `id` knows `contact`, is asked or said."""

    tenant: str
    id: str
    contact: str


class Known(Struct, frozen=True):
    """That user knows that contact."""

    n: int
    is_known: int


class Contact(Struct, frozen=True):
    """One whom a user knows."""

    contact: str


class Number(Struct, frozen=True):
    """How many there are."""

    n: int


# Law: the latest of several times wins, in whatever order they come.
SEE = Procedure(
    "see_users",
    Seen,
    (
        Sql(
            """INSERT INTO presence_seen (tenant, id, seen_ms, active_ms)
               SELECT r.tenant, r.id, max(r.seen_ms), max(r.active_ms) FROM {rows r} WHERE true GROUP BY r.tenant, r.id
               ON CONFLICT (tenant, id) DO UPDATE SET
                 seen_ms = CASE WHEN excluded.seen_ms > presence_seen.seen_ms THEN excluded.seen_ms ELSE presence_seen.seen_ms END,
                 active_ms = CASE WHEN excluded.active_ms > presence_seen.active_ms THEN excluded.active_ms ELSE presence_seen.active_ms END"""
        ),
    ),
)

# One row for each that was asked for.
PEOPLE = Procedure(
    "find_people",
    User,
    (
        Sql(
            """SELECT r.n, s.seen_ms, s.active_ms, v.visibility FROM {rows r}
               LEFT JOIN presence_seen s ON s.tenant = r.tenant AND s.id = r.id
               LEFT JOIN presence_visibility v ON v.tenant = r.tenant AND v.id = r.id ORDER BY r.n""",
            PersonRow,
        ),
    ),
)

# Slice by slice, so that nobody waits long behind it.
PURGE = Sql(
    """DELETE FROM presence_seen WHERE (tenant, id) IN
       (SELECT tenant, id FROM presence_seen WHERE seen_ms < :before_ms ORDER BY seen_ms LIMIT :n)"""
)

CHOOSE = Sql(
    """INSERT INTO presence_visibility (tenant, id, visibility) VALUES (:tenant, :id, :visibility)
       ON CONFLICT (tenant, id) DO UPDATE SET visibility = excluded.visibility"""
)

# ── contacts ──

# One row for each of the pairs that are so.
KNOWN = Procedure(
    "find_contacts",
    Pair,
    (
        Sql(
            """SELECT r.n, 1 FROM {rows r} JOIN presence_contact c
                 ON c.tenant = r.tenant AND c.id = r.id AND c.contact = r.contact ORDER BY r.n""",
            Known,
        ),
    ),
)
ADD = Procedure(
    "add_contacts",
    Pair,
    (
        Sql(
            """INSERT INTO presence_contact (tenant, id, contact)
               SELECT r.tenant, r.id, r.contact FROM {rows r} WHERE true ON CONFLICT (tenant, id, contact) DO NOTHING"""
        ),
    ),
)
REMOVE = Procedure(
    "remove_contacts",
    Pair,
    (
        Sql(
            """DELETE FROM presence_contact
               WHERE (tenant, id, contact) IN (SELECT r.tenant, r.id, r.contact FROM {rows r})"""
        ),
    ),
)
CONTACTS = Sql(
    """SELECT contact FROM presence_contact WHERE tenant = :tenant AND id = :id AND contact > :after
       ORDER BY contact LIMIT :n""",
    Contact,
)
COUNT = Sql("SELECT COUNT(*) FROM presence_contact WHERE tenant = :tenant AND id = :id", Number)
