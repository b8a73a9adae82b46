"""Streams of activities: adding, pages, single activities, and the log of what changed.

Adding is a set-based write, so that the calls of many are joined. Any other change is a transaction that begins with `LOCK`: whoever holds
a stream's row is alone in it, so that its log has one order. Each read is one statement: a page and its position belong together.
"""

from typing import Final, Literal

from msgspec import Struct

from clarion.storage.jobs import enqueue_from
from clarion.storage.logs import Logs
from clarion.storage.store import Procedure, Sql

FIRST_EPOCH: Final = "0"
"""Of a log that was never lost."""
Event = Literal["added", "changed", "removed", "expired"]
_MODULUS: Final = 1 << 32
WRITE_JOB: Final = "timelines.write"
"""The kind of the jobs that write what was added into timelines."""


class Head(Struct, frozen=True):
    """The newest position of a stream's log, and how many activities it has."""

    epoch: str
    top: int
    mark: int
    items: int


class ActivityRow(Struct, frozen=True):
    """An activity; times are ms since 1970, `body` is the text of a JSON object."""

    id: str
    published_ms: int
    foreign_id: str
    body: str
    updated_ms: int
    reactions: str = ""


class PageRow(Struct, frozen=True):
    """The head, and one activity of the page; `id` and what follows are None in the only row of an empty page."""

    epoch: str
    top: int
    head_mark: int
    items: int
    id: str | None
    published_ms: int
    foreign_id: str
    body: str
    updated_ms: int
    reactions: str


class ChangeRow(Struct, frozen=True):
    """The head, and one entry of the log; `off` and what follows are None where there is nothing newer."""

    epoch: str
    top: int
    top_mark: int
    off: int | None
    mark: int
    prior: int
    event: Event
    id: str
    carried: str
    published_ms: int
    foreign_id: str
    body: str
    updated_ms: int
    reactions: str
    items: int
    at_ms: int


class StreamTop(Struct, frozen=True):
    """The newest position of one of the streams that were asked for."""

    stream: str
    epoch: str
    top: int
    mark: int


class Whose(Struct, frozen=True):
    """Names a stream."""

    tenant: str
    stream: str


class Bound(Struct, frozen=True):
    """A place in a stream."""

    published_ms: int
    id: str


class Addition(Struct, frozen=True, array_like=True):
    """One activity that somebody adds, or says anew."""

    tenant: str
    stream: str
    id: str
    """Its id if it is a new one."""
    foreign_id: str
    owner: str
    """Who has given the foreign id: a user; '': the application."""
    published_ms: int
    body: str
    mark: int
    """Random 32 bits that this change adds to the mark of the log."""
    at_ms: int
    most: int = 0
    """Followers up to which a job writes it into their timelines."""
    job: str = ""
    """What that job is given."""


class Added(Struct, frozen=True):
    """What became of an addition: its entry in the log. `id` and `published_ms` are the former ones of what was there."""

    n: int
    epoch: str
    off: int
    mark: int
    prior: int
    event: Event
    id: str
    published_ms: int
    items: int
    followers: int
    reactions: str


_OF = "tenant = :tenant AND stream = :stream"
_SAYS = "id, published_ms, foreign_id, body, updated_ms, reactions"
_SAME_STREAM = "{0}.tenant = r.tenant AND {0}.stream = r.stream"
_HEAD = f"JOIN activity_stream h ON {_SAME_STREAM.format('h')}"
# The literal lets the partial index be used.
_THERE = f"""LEFT JOIN activity f ON {_SAME_STREAM.format("f")}
    AND f.foreign_id = r.foreign_id AND f.owner = r.owner AND f.foreign_id <> ''"""
_IS_NEW = "CASE WHEN r.foreign_id = '' OR f.id = r.id THEN 1 ELSE 0 END"
_OFFSET = "h.top - count(*) OVER u + row_number() OVER (u ORDER BY r.n)"
_U = "WINDOW u AS (PARTITION BY r.tenant, r.stream)"
# What has a foreign id is one activity with all that have the same, the rest is each its own.
_ONE = "PARTITION BY r.tenant, r.stream, r.owner, CASE r.foreign_id WHEN '' THEN r.id ELSE '=' || r.foreign_id END"

# ── adding ──

# Of several additions of one activity in a run the first gives it id and time, the last what it says.
ADD = Procedure(
    "add_activity",
    Addition,
    (
        # The row lock on the head is what orders concurrent runs; in the order of the key, so that no two wait for each other.
        Sql(f"""INSERT INTO activity_stream (tenant, stream, epoch, top, mark, items)
            SELECT r.tenant, r.stream, '{FIRST_EPOCH}', count(*), sum(r.mark) % {_MODULUS}, 0
            FROM {{rows r}} WHERE true GROUP BY r.tenant, r.stream ORDER BY r.tenant, r.stream
            ON CONFLICT (tenant, stream) DO UPDATE SET top = activity_stream.top + excluded.top,
              mark = (activity_stream.mark + excluded.mark) % {_MODULUS}"""),
        Sql(f"""INSERT INTO activity (tenant, stream, published_ms, id, foreign_id, owner, body, updated_ms)
            SELECT o.tenant, o.stream, o.published_ms, o.id, o.foreign_id, o.owner, o.body, o.at_ms
            FROM (SELECT r.tenant, r.stream, r.foreign_id, r.owner, r.body, r.at_ms,
                    first_value(r.id) OVER ({_ONE} ORDER BY r.n) AS id,
                    first_value(r.published_ms) OVER ({_ONE} ORDER BY r.n) AS published_ms,
                    row_number() OVER ({_ONE} ORDER BY r.n DESC) AS nth
                  FROM {{rows r}}) AS o
            WHERE o.nth = 1
            ON CONFLICT (tenant, stream, foreign_id, owner) WHERE foreign_id <> ''
              DO UPDATE SET body = excluded.body, updated_ms = excluded.updated_ms"""),
        Sql("""UPDATE activity_stream SET items = activity_stream.items + g.items
            FROM (SELECT r.tenant, r.stream, count(*) AS items FROM {rows r}
                  JOIN activity a ON a.tenant = r.tenant AND a.stream = r.stream AND a.id = r.id
                  GROUP BY r.tenant, r.stream) AS g
            WHERE activity_stream.tenant = g.tenant AND activity_stream.stream = g.stream"""),
        Sql(f"""INSERT INTO activity_change (tenant, stream, off, mark, prior, event, id, carried, published_ms, foreign_id,
              body, updated_ms, reactions, items, at_ms)
            SELECT c.tenant, c.stream, c.off, (c.sum_to % {_MODULUS} + {_MODULUS}) % {_MODULUS},
              ((c.sum_to - c.mark) % {_MODULUS} + {_MODULUS}) % {_MODULUS},
              CASE c.is_new WHEN 1 THEN 'added' ELSE 'changed' END, c.id, c.id, c.published_ms, c.foreign_id,
              c.body, c.at_ms, c.reactions, c.items, c.at_ms
            FROM (SELECT r.tenant, r.stream, r.mark, r.foreign_id, r.body, r.at_ms, {_IS_NEW} AS is_new,
                    COALESCE(f.reactions, '') AS reactions, COALESCE(f.id, r.id) AS id, COALESCE(f.published_ms, r.published_ms) AS published_ms, {_OFFSET} AS off,
                    h.items - sum({_IS_NEW}) OVER u + sum({_IS_NEW}) OVER (u ORDER BY r.n) AS items,
                    h.mark - sum(r.mark) OVER u + sum(r.mark) OVER (u ORDER BY r.n) AS sum_to
                  FROM {{rows r}} {_HEAD} {_THERE} {_U}) AS c"""),
        # One job for all that is added until the stream is written out: its id has how far it is.
        enqueue_from(f"""SELECT h.tenant, 'timelines:' || CAST(h.written AS TEXT) || ':' || h.stream, '{WRITE_JOB}', MIN(r.job),
              MIN(r.at_ms), 12, MIN(r.at_ms)
            FROM {{rows r}} {_HEAD} WHERE h.followers > 0 AND h.followers <= r.most GROUP BY h.tenant, h.stream, h.written"""),
        Sql(
            f"""SELECT w.n, w.epoch, c.off, c.mark, c.prior, c.event, c.id, c.published_ms, c.items, w.followers, c.reactions
            FROM (SELECT r.n, r.tenant, r.stream, h.epoch, h.followers, {_OFFSET} AS off FROM {{rows r}} {_HEAD} {_U}) AS w
            JOIN activity_change c ON c.tenant = w.tenant AND c.stream = w.stream AND c.off = w.off""",
            Added,
        ),
    ),
)

# ── reading ──

# No row at all: nobody has ever written to this stream.
PAGE = Sql(
    f"""SELECT h.epoch, h.top, h.mark, h.items, p.* FROM activity_stream h LEFT JOIN (
          SELECT {_SAYS} FROM activity WHERE {_OF} AND (published_ms, id) < (:before_ms, :before_id)
          ORDER BY published_ms DESC, id DESC LIMIT :n) AS p ON true
        WHERE h.tenant = :tenant AND h.stream = :stream ORDER BY p.published_ms DESC, p.id DESC""",
    PageRow,
)
BELOW = Sql(
    f"""SELECT {_SAYS} FROM activity WHERE {_OF} AND (published_ms, id) < (:before_ms, :before_id)
        ORDER BY published_ms DESC, id DESC LIMIT :n""",
    ActivityRow,
)
FIND = Sql(f"SELECT {_SAYS} FROM activity WHERE {_OF} AND id = :id", ActivityRow)
FIND_FOREIGN = Sql(
    f"""SELECT {_SAYS} FROM activity
        WHERE {_OF} AND foreign_id = :foreign_id AND owner = :owner AND foreign_id <> ''""",
    ActivityRow,
)
HEAD = Sql(f"SELECT epoch, top, mark, items FROM activity_stream WHERE {_OF}", Head)
CHANGES = Sql(
    """SELECT h.epoch, h.top, h.mark, c.off, c.mark, c.prior, c.event, c.id, c.carried, c.published_ms, c.foreign_id,
         c.body, c.updated_ms, c.reactions, c.items, c.at_ms
       FROM activity_stream h
       LEFT JOIN activity_change c ON c.tenant = h.tenant AND c.stream = h.stream AND c.off > :after
       WHERE h.tenant = :tenant AND h.stream = :stream ORDER BY c.off LIMIT :n""",
    ChangeRow,
)
TOPS_AT_ONCE: Final = 100
# Read like every page: a fixed number of names, the unused ones ''.
TOPS = Sql(
    f"""SELECT stream, epoch, top, mark FROM activity_stream WHERE tenant = :tenant
        AND stream IN ({", ".join(f":stream_{i}" for i in range(TOPS_AT_ONCE))})""",
    StreamTop,
)

# ── changing: one transaction, LOCK first ──

LOCK = Sql(f"SELECT epoch, top, mark, items FROM activity_stream WHERE {_OF} {{for_update}}", Head)
CHANGE = Sql(f"UPDATE activity SET body = :body, updated_ms = :now_ms WHERE {_OF} AND id = :id")
REMOVE = Sql(f"DELETE FROM activity WHERE {_OF} AND id = :id")
# The last activity of the window as it is now, if it lies below what has just left the window.
ENTERED = Sql(
    f"""SELECT {_SAYS} FROM (SELECT {_SAYS} FROM activity WHERE {_OF}
          ORDER BY published_ms DESC, id DESC LIMIT 1 OFFSET :last) AS w
        WHERE (w.published_ms, w.id) < (:gone_ms, :gone_id)""",
    ActivityRow,
)
APPEND = Sql(
    """INSERT INTO activity_change (tenant, stream, off, mark, prior, event, id, carried, published_ms, foreign_id, body,
         updated_ms, reactions, items, at_ms)
       VALUES (:tenant, :stream, :off, :mark, :prior, :event, :id, :carried, :published_ms, :foreign_id, :body,
         :updated_ms, :reactions, :items, :now_ms)"""
)
# Of what changes no timeline there is nothing to write out.
RAISE = Sql(
    f"""UPDATE activity_stream SET top = CAST(:off AS BIGINT), mark = :mark, items = :items,
          written = CASE written WHEN top THEN CAST(:off AS BIGINT) ELSE written END WHERE {_OF}"""
)

# ── housekeeping, over all tenants ──

OLD = Sql(
    "SELECT tenant, stream FROM activity WHERE published_ms < :before ORDER BY published_ms LIMIT 1",
    Whose,
)
# The n-th of those that are too old, or the last.
BOUND = Sql(
    f"""SELECT o.published_ms, o.id FROM (SELECT published_ms, id FROM activity WHERE {_OF} AND published_ms < :before
          ORDER BY published_ms, id LIMIT :n) AS o ORDER BY o.published_ms DESC, o.id DESC LIMIT 1""",
    Bound,
)
REMOVE_UPTO = Sql(
    f"DELETE FROM activity WHERE {_OF} AND (published_ms, id) <= (:upto_ms, :upto_id)"
)
LOGS = Logs("activity_change", "activity_stream", "stream")
