"""Reactions to activities. Each change is a transaction that begins with `activity.LOCK`, and brings the counters with it."""

from msgspec import Struct

from clarion.storage.store import Sql


class OwnRow(Struct, frozen=True):
    """One of a user's reactions."""

    stream: str
    id: str
    kind: str
    at_ms: int


class ReactionRow(Struct, frozen=True):
    """A user's reaction; `at_ms` since 1970."""

    usr: str
    at_ms: int


_ONE = "tenant = :tenant AND stream = :stream AND id = :id"

ADD = Sql(
    """INSERT INTO activity_reaction (tenant, stream, id, kind, usr, published_ms, at_ms)
       VALUES (:tenant, :stream, :id, :kind, :usr, :published_ms, :now_ms)
       ON CONFLICT (tenant, stream, id, kind, usr) DO NOTHING"""
)
REMOVE = Sql(f"DELETE FROM activity_reaction WHERE {_ONE} AND kind = :kind AND usr = :usr")
COUNTED = Sql(f"UPDATE activity SET reactions = :reactions WHERE {_ONE}")
OF_KIND = Sql(
    f"""SELECT usr, at_ms FROM activity_reaction WHERE {_ONE} AND kind = :kind AND usr > :after
        ORDER BY usr LIMIT :n""",
    ReactionRow,
)
OF_USER = Sql(
    """SELECT stream, id, kind, at_ms FROM activity_reaction
       WHERE tenant = :tenant AND usr = :usr AND at_ms <= :at_ms AND (stream, id, kind) > (:stream, :id, :kind)
       ORDER BY stream, id, kind LIMIT :n""",
    OwnRow,
)
FORGET = Sql(
    f"""DELETE FROM activity_reaction WHERE (tenant, stream, id, kind, usr) IN
          (SELECT tenant, stream, id, kind, usr FROM activity_reaction WHERE {_ONE} LIMIT :n)"""
)
FORGET_OLD = Sql(
    """DELETE FROM activity_reaction WHERE (tenant, stream, id, kind, usr) IN
         (SELECT tenant, stream, id, kind, usr FROM activity_reaction WHERE published_ms < :before LIMIT :n)"""
)
