"""Follows: which streams of activities somebody's timeline is made of, and where each of these begins below a cursor."""

from msgspec import Struct

from clarion.storage.store import Sql


class Count(Struct, frozen=True):
    """How many streams a user follows."""

    follows: int


class FollowRow(Struct, frozen=True):
    """A stream that is followed, and since when (ms since 1970)."""

    stream: str
    since_ms: int


class Source(Struct, frozen=True):
    """A stream that is followed, and the time of its newest activity up to the one asked about (ms); None: it has none."""

    stream: str
    newest_ms: int | None


_OF = "tenant = :tenant AND usr = :usr"

# ── changing: one transaction, HOLD first ──

HOLD = Sql(
    """INSERT INTO activity_follower (tenant, usr, follows) VALUES (:tenant, :usr, 0)
       ON CONFLICT (tenant, usr) DO UPDATE SET follows = activity_follower.follows"""
)
COUNT = Sql(f"SELECT follows FROM activity_follower WHERE {_OF}", Count)
FIND = Sql(
    f"SELECT stream, since_ms FROM activity_follow WHERE {_OF} AND stream = :stream", FollowRow
)
ADD = Sql(
    """INSERT INTO activity_follow (tenant, usr, stream, since_ms)
       VALUES (:tenant, :usr, :stream, :now_ms)"""
)
REMOVE = Sql(f"DELETE FROM activity_follow WHERE {_OF} AND stream = :stream")
SET_COUNT = Sql(f"UPDATE activity_follower SET follows = :follows WHERE {_OF}")

# ── reading ──

FOLLOWS = Sql(
    f"""SELECT stream, since_ms FROM activity_follow WHERE {_OF} AND stream > :after
        ORDER BY stream LIMIT :n""",
    FollowRow,
)
# One look into the key of each stream.
SOURCES = Sql(
    """SELECT f.stream, (SELECT MAX(a.published_ms) FROM activity a
         WHERE a.tenant = f.tenant AND a.stream = f.stream AND a.published_ms <= CAST(:before_ms AS BIGINT))
       FROM activity_follow f WHERE f.tenant = :tenant AND f.usr = :usr""",
    Source,
)
