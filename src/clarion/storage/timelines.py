"""Timelines written out: rows that name the activities of what a user follows, and what is known of their completeness.

above the floor   the rows, and the streams that are behind (`written < top`), which are read themselves
up to the floor   all streams that are followed are read
"""

from typing import Final

from msgspec import Struct

from clarion.storage.follows import NEVER_MS
from clarion.storage.store import Procedure, Sql


class Source(Struct, frozen=True):
    """A stream that is followed, and the time of its newest activity up to the one asked about (ms); None: it has none."""

    stream: str
    readers: str
    newest_ms: int | None


class ToldRow(Struct, frozen=True):
    """The floor, and one activity above it; `stream` and what follows are None in the only row of an empty page."""

    floor_ms: int
    read_ms: int
    stream: str | None
    readers: str
    id: str
    published_ms: int
    foreign_id: str
    body: str
    updated_ms: int
    reactions: str


class Followed(Struct, frozen=True):
    """A stream that is followed, and who may read it."""

    stream: str
    readers: str


class Behind(Struct, frozen=True):
    """How far a stream is written out."""

    top: int
    written: int
    followers: int


class News(Struct, frozen=True):
    """An entry of a stream's log that is to be written out, if it says `added`."""

    off: int
    event: str
    id: str
    published_ms: int


class Last(Struct, frozen=True):
    """The last follower of a slice; None: there are no more."""

    usr: str | None


class Share(Struct, frozen=True, array_like=True):
    """One activity for a slice of a stream's followers."""

    tenant: str
    stream: str
    id: str
    published_ms: int
    after: str
    last: str


class Copy(Struct, frozen=True, array_like=True):
    """One activity for one user."""

    tenant: str
    usr: str
    published_ms: int
    id: str
    stream: str


class Progress(Struct, frozen=True, array_like=True):
    """A stream is written out up to an offset."""

    tenant: str
    stream: str
    upto: int


class Away(Struct, frozen=True):
    """A user who has not looked for a long time."""

    tenant: str
    usr: str


_OF = "tenant = :tenant AND usr = :usr"
_STREAM = "tenant = :tenant AND stream = :stream"
_NEWEST = """(SELECT MAX(a.published_ms) FROM activity a
  WHERE a.tenant = f.tenant AND a.stream = f.stream AND a.published_ms <= CAST(:before_ms AS BIGINT))"""

# ── reading ──

# One look into the key of each stream.
SOURCES = Sql(
    f"""SELECT f.stream, s.readers, {_NEWEST} FROM activity_follow f
        JOIN activity_stream s ON s.tenant = f.tenant AND s.stream = f.stream
        WHERE f.tenant = :tenant AND f.usr = :usr""",
    Source,
)
FOLLOWED = Sql(
    """SELECT f.stream, s.readers FROM activity_follow f
       JOIN activity_stream s ON s.tenant = f.tenant AND s.stream = f.stream
       WHERE f.tenant = :tenant AND f.usr = :usr""",
    Followed,
)
BEHIND = Sql(
    f"""SELECT f.stream, s.readers, {_NEWEST} FROM activity_stream s
        JOIN activity_follow f ON f.tenant = s.tenant AND f.stream = s.stream AND f.usr = :usr
        WHERE s.tenant = :tenant AND s.followers > 0 AND s.written < s.top""",
    Source,
)
PAGE = Sql(
    f"""SELECT u.floor_ms, u.read_ms, p.* FROM activity_follower u LEFT JOIN (
          SELECT t.stream, s.readers, t.id, t.published_ms, a.foreign_id, a.body, a.updated_ms, a.reactions FROM activity_timeline t
          JOIN activity_stream s ON s.tenant = t.tenant AND s.stream = t.stream
          JOIN activity_follow f ON f.tenant = t.tenant AND f.usr = t.usr AND f.stream = t.stream
          JOIN activity a ON a.tenant = t.tenant AND a.stream = t.stream AND a.published_ms = t.published_ms AND a.id = t.id
          WHERE t.{_OF.replace(" AND ", " AND t.")} AND (t.published_ms, t.id) < (:before_ms, :before_id)
            AND t.published_ms > (SELECT floor_ms FROM activity_follower WHERE {_OF})
          ORDER BY t.published_ms DESC, t.id DESC LIMIT :n) AS p ON true
        WHERE u.{_OF.replace(" AND ", " AND u.")} ORDER BY p.published_ms DESC, p.id DESC""",
    ToldRow,
)

# ── writing out, a stream's news to its followers ──

STREAM = Sql(f"SELECT top, written, followers FROM activity_stream WHERE {_STREAM}", Behind)
NEWS = Sql(
    f"SELECT off, event, id, published_ms FROM activity_change WHERE {_STREAM} AND off > :after ORDER BY off LIMIT :n",
    News,
)
SLICE = Sql(
    f"""SELECT MAX(s.usr) FROM (SELECT usr FROM activity_follow WHERE {_STREAM} AND usr > :after
          ORDER BY usr LIMIT :n) AS s""",
    Last,
)
WRITE = Procedure(
    "write_timelines",
    Share,
    (
        Sql("""INSERT INTO activity_timeline (tenant, usr, published_ms, id, stream)
            SELECT f.tenant, f.usr, r.published_ms, r.id, r.stream FROM {rows r}
            JOIN activity_follow f ON f.tenant = r.tenant AND f.stream = r.stream AND f.usr > r.after AND f.usr <= r.last
            JOIN activity_follower u ON u.tenant = f.tenant AND u.usr = f.usr
            WHERE r.published_ms > u.wants_ms
            ON CONFLICT (tenant, usr, published_ms, id, stream) DO NOTHING"""),
    ),
)
# Who adds holds the stream's row meanwhile: either the job sees what was added, or a new one is written with it.
WRITTEN = Procedure(
    "timelines_written",
    Progress,
    (
        Sql("""UPDATE activity_stream SET written = g.upto
            FROM (SELECT r.tenant, r.stream, MAX(r.upto) AS upto FROM {rows r} GROUP BY r.tenant, r.stream) AS g
            WHERE activity_stream.tenant = g.tenant AND activity_stream.stream = g.stream AND activity_stream.written < g.upto"""),
    ),
)

# Who follows the stream gets their timeline filled anew.
FORGET_SLICE = Sql(
    f"""UPDATE activity_follower SET floor_ms = {NEVER_MS}, wants_ms = {NEVER_MS}, read_ms = 0, version = version + 1
        WHERE tenant = :tenant AND usr IN (SELECT f.usr FROM activity_follow f
          WHERE f.tenant = :tenant AND f.stream = :stream AND f.usr > :after AND f.usr <= :last)"""
)

# ── one user's timeline ──

COPY = Procedure(
    "copy_to_timeline",
    Copy,
    (
        Sql("""INSERT INTO activity_timeline (tenant, usr, published_ms, id, stream)
            SELECT r.tenant, r.usr, r.published_ms, r.id, r.stream FROM {rows r} WHERE true
            ON CONFLICT (tenant, usr, published_ms, id, stream) DO NOTHING"""),
    ),
)
WANT_ALL = Sql(f"UPDATE activity_follower SET wants_ms = -1, read_ms = :now_ms WHERE {_OF}")
FILLED = Sql(
    f"UPDATE activity_follower SET floor_ms = :floor_ms, wants_ms = :floor_ms WHERE {_OF} AND version = :version"
)
CLEAN = Sql(
    f"""DELETE FROM activity_timeline WHERE {_OF} AND (published_ms <= :floor_ms OR NOT EXISTS (SELECT 1 FROM activity a
          WHERE a.tenant = activity_timeline.tenant AND a.stream = activity_timeline.stream
            AND a.published_ms = activity_timeline.published_ms AND a.id = activity_timeline.id))"""
)
FORGET_STREAM = Sql(f"DELETE FROM activity_timeline WHERE {_OF} AND stream = :stream")

# ── housekeeping, over all tenants ──

AWAY: Final = Sql(
    f"""SELECT tenant, usr FROM activity_follower WHERE read_ms < :before AND wants_ms < {NEVER_MS}
        ORDER BY read_ms LIMIT :n""",
    Away,
)
GONE = Sql(
    f"UPDATE activity_follower SET floor_ms = {NEVER_MS}, wants_ms = {NEVER_MS}, version = version + 1 WHERE {_OF}"
)
FORGET = Sql(f"DELETE FROM activity_timeline WHERE {_OF}")
