"""Audiences: named sets of people. Who was put in, who is in an audience inside, and whom a filter describes."""

from msgspec import Struct

from clarion.storage.store import Procedure, Sql


class AudienceRow(Struct, frozen=True):
    """An audience; `filter` '' for none, `did` a text of JSON, '' for nothing."""

    audience: str
    name: str
    filter: str
    created_ms: int
    updated_ms: int
    did: str


class Child(Struct, frozen=True):
    """An audience inside another."""

    child: str


class Part(Struct, frozen=True):
    """An audience itself, or one inside, at whatever depth."""

    audience: str
    filter: str
    did: str


class Membership(Struct, frozen=True, array_like=True):
    """Somebody to be put in, or taken out."""

    tenant: str
    audience: str
    usr: str
    at_ms: int


class Taken(Struct, frozen=True):
    """The caller's n-th is a subscriber, and is in the audience."""

    n: int


class Member(Struct, frozen=True):
    """Somebody who was put in."""

    usr: str
    added_ms: int


class Size(Struct, frozen=True):
    """How many were put in."""

    count: int


_ROW = "audience, name, filter, created_ms, updated_ms, did"
_THIS = "tenant = :tenant AND audience = :audience"

FIND = Sql(f"SELECT {_ROW} FROM audience WHERE {_THIS}", AudienceRow)
PAGE = Sql(
    f"SELECT {_ROW} FROM audience WHERE tenant = :tenant AND audience > :after ORDER BY audience LIMIT :n",
    AudienceRow,
)
# All at once: what is inside what is decided by one at a time.
LOCK = Sql(
    f"SELECT {_ROW} FROM audience WHERE tenant = :tenant ORDER BY audience {{for_update}}",
    AudienceRow,
)
PUT = Sql(
    """INSERT INTO audience (tenant, audience, name, filter, did, created_ms, updated_ms)
       VALUES (:tenant, :audience, :name, :filter, :did, :now_ms, :now_ms)
       ON CONFLICT (tenant, audience) DO UPDATE SET name = excluded.name, filter = excluded.filter, did = excluded.did, updated_ms = excluded.updated_ms"""
)
ADD_CHILD = Sql(
    "INSERT INTO audience_child (tenant, audience, child) VALUES (:tenant, :audience, :child) ON CONFLICT DO NOTHING"
)
REMOVE_CHILDREN = Sql(f"DELETE FROM audience_child WHERE {_THIS}")
CHILDREN = Sql(f"SELECT child FROM audience_child WHERE {_THIS} ORDER BY child", Child)
PARENTS = Sql(
    "SELECT audience FROM audience_child WHERE tenant = :tenant AND child = :audience ORDER BY audience",
    Child,
)
PARTS = Sql(
    """WITH RECURSIVE t(audience) AS (SELECT CAST(:audience AS TEXT)
         UNION SELECT c.child FROM t JOIN audience_child c ON c.tenant = :tenant AND c.audience = t.audience)
       SELECT a.audience, a.filter, a.did FROM t JOIN audience a ON a.tenant = :tenant AND a.audience = t.audience ORDER BY a.audience""",
    Part,
)
DELETE = Sql(f"DELETE FROM audience WHERE {_THIS}")
# Of one that was deleted: who is put in after it was made anew stays.
REMOVE_MEMBERS = Sql(
    f"""DELETE FROM audience_member WHERE {_THIS} AND NOT EXISTS (SELECT 1 FROM audience WHERE {_THIS}) AND usr IN
        (SELECT usr FROM audience_member WHERE {_THIS} ORDER BY usr LIMIT :n)"""
)
# Whom a deletion that broke off has left.
EMPTY = Sql(f"DELETE FROM audience_member WHERE {_THIS}")
COUNT = Sql(f"SELECT count(*) FROM audience_member WHERE {_THIS}", Size)
MEMBERS = Sql(
    f"SELECT usr, added_ms FROM audience_member WHERE {_THIS} AND usr > :after ORDER BY usr LIMIT :n",
    Member,
)

ADD_MEMBERS = Procedure(
    "add_audience_member",
    Membership,
    (
        Sql("""INSERT INTO audience_member (tenant, audience, usr, added_ms)
            SELECT DISTINCT r.tenant, r.audience, r.usr, first_value(r.at_ms) OVER (PARTITION BY r.tenant, r.audience, r.usr ORDER BY r.n)
            FROM {rows r} JOIN subscriber s ON s.tenant = r.tenant AND s.id = r.usr
            JOIN audience a ON a.tenant = r.tenant AND a.audience = r.audience
            WHERE true ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING"""),
        Sql(
            """SELECT r.n FROM {rows r} JOIN audience_member m
               ON m.tenant = r.tenant AND m.audience = r.audience AND m.usr = r.usr""",
            Taken,
        ),
    ),
)
TAKE_OUT = Procedure(
    "remove_audience_member",
    Membership,
    (
        Sql("""DELETE FROM audience_member WHERE (tenant, audience, usr) IN
            (SELECT r.tenant, r.audience, r.usr FROM {rows r})"""),
    ),
)
