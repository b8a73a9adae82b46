"""Follows: which streams of activities somebody's timeline is made of. Each change is a transaction that begins with `HOLD`."""

from typing import Final

from msgspec import Struct

from clarion.storage.activity import FIRST_EPOCH
from clarion.storage.store import Sql

NEVER_MS: Final = 2**53 - 1
"""The floor of a timeline that is not written out."""


class Follower(Struct, frozen=True):
    """A user: how many streams they follow, and how far their timeline is written out (see the migration)."""

    follows: int
    floor_ms: int
    wants_ms: int
    read_ms: int
    version: int


class FollowRow(Struct, frozen=True):
    """A stream that is followed, and since when (ms since 1970)."""

    stream: str
    since_ms: int


_OF = "tenant = :tenant AND usr = :usr"

# ── changing ──

HOLD = Sql(
    """INSERT INTO activity_follower (tenant, usr, follows) VALUES (:tenant, :usr, 0)
       ON CONFLICT (tenant, usr) DO UPDATE SET follows = activity_follower.follows"""
)
FOLLOWER = Sql(
    f"SELECT follows, floor_ms, wants_ms, read_ms, version FROM activity_follower WHERE {_OF}",
    Follower,
)
FIND = Sql(
    f"SELECT stream, since_ms FROM activity_follow WHERE {_OF} AND stream = :stream", FollowRow
)
ADD = Sql(
    """INSERT INTO activity_follow (tenant, usr, stream, since_ms)
       VALUES (:tenant, :usr, :stream, :now_ms)"""
)
REMOVE = Sql(f"DELETE FROM activity_follow WHERE {_OF} AND stream = :stream")
COUNT = Sql(
    f"""UPDATE activity_follower SET follows = follows + :more, version = version + 1, floor_ms = :floor_ms, wants_ms = :wants_ms
        WHERE {_OF}"""
)
# Whoever holds the stream's row keeps activities from being added: what is copied and what is written out later is all there is.
# Nobody followed it: there was nothing to write out.
FOLLOWED = Sql(
    f"""INSERT INTO activity_stream (tenant, stream, epoch, top, mark, items, followers)
        VALUES (:tenant, :stream, '{FIRST_EPOCH}', 0, 0, 0, 1)
        ON CONFLICT (tenant, stream) DO UPDATE SET followers = activity_stream.followers + 1,
          written = CASE activity_stream.followers WHEN 0 THEN activity_stream.top ELSE activity_stream.written END"""
)
UNFOLLOWED = Sql(
    """UPDATE activity_stream SET followers = followers - 1 WHERE tenant = :tenant AND stream = :stream"""
)

# Nobody any more; whoever has begun to follow something again stays.
FORGET = Sql(f"DELETE FROM activity_follower WHERE {_OF} AND follows = 0")

# ── reading ──

FOLLOWS = Sql(
    f"""SELECT stream, since_ms FROM activity_follow WHERE {_OF} AND stream > :after
        ORDER BY stream LIMIT :n""",
    FollowRow,
)
