"""Inboxes: pages, single messages, and the log of what changed.

Each read is one statement, so that a page, its count and its position belong together. A change begins with `LOCK`: whoever
holds a user's head is alone in that inbox.
"""

from msgspec import Struct

from clarion.storage.inbox_rows import ChangeRow, Filter, Head, MessageRow, PageRow
from clarion.storage.logs import Logs
from clarion.storage.store import Procedure, Sql


class UserTop(Struct, frozen=True):
    """The newest position of one of the inboxes that were asked for."""

    usr: str
    epoch: str
    top: int
    mark: int


class Whose(Struct, frozen=True, array_like=True):
    """Asks for the newest unread messages of a user, so many at most."""

    tenant: str
    usr: str
    most: int


class UnreadRow(Struct, frozen=True):
    """One of the unread messages of the caller's n-th user, newest first, with their number; `id` None: there is none."""

    n: int
    unread: int
    id: str | None
    title: str | None
    body: str | None
    action_url: str | None
    created_ms: int | None


class Left(Struct, frozen=True):
    """How many are unread, and how many of these nobody has seen."""

    unread: int
    unseen: int


class DueRow(Struct, frozen=True):
    """A message that is put off until `snooze_ms`."""

    tenant: str
    usr: str
    id: str
    snooze_ms: int


class Edge(Struct, frozen=True):
    """A message that enters the window of the newest ones because another leaves it."""

    id: str


class ExpiringRow(Struct, frozen=True):
    """What messages say until `expires_ms`."""

    tenant: str
    id: str
    created_ms: int
    expires_ms: int


class HasRow(Struct, frozen=True):
    """Somebody who has a message."""

    usr: str
    id: str


_SAYS = "m.seq, m.id, m.notification, n.title, n.body, n.data, n.action_url, m.created_ms, n.category, m.replace_key, n.expires_ms, n.actions, n.tags"
_DONE = "m.read_ms, m.archived_ms, m.seen_ms, m.pinned_ms, m.snooze_ms, m.clicked_ms, m.done, m.done_ms, m.put_off_ms, m.back_ms"
_HERE = "m.archived_ms IS NULL AND m.snooze_ms IS NULL"
_UNREAD = f"m.read_ms IS NULL AND {_HERE}"
_MESSAGE = "message m JOIN notification n ON n.tenant = m.tenant AND n.id = m.notification"
_OWNER = "tenant = :tenant AND usr = :usr"
# '' asks for neither. Not LIKE: that is blind to case on SQLite, and has its own idea of `_`.
_ABOUT = """(CAST(:category AS TEXT) = '' OR n.category = CAST(:category AS TEXT)) AND (CAST(:tag AS TEXT) = ''
  OR replace(n.tags, ' ' || CAST(:tag AS TEXT) || ' ', '') <> n.tags)"""

# ── reading ──


def _page(condition: str) -> Sql[PageRow]:
    return Sql(
        f"""SELECT h.epoch, h.top, h.mark, h.unread, h.unseen, p.* FROM inbox_head h LEFT JOIN (
              SELECT {_SAYS}, {_DONE} FROM {_MESSAGE}
              WHERE m.tenant = :tenant AND m.usr = :usr AND m.seq < :before AND {condition} AND {_ABOUT}
              ORDER BY m.seq DESC LIMIT :n) AS p ON true
            WHERE h.tenant = :tenant AND h.usr = :usr ORDER BY p.seq DESC""",
        PageRow,
    )


# No row at all: nobody has ever sent this user anything.
PAGES: dict[Filter, Sql[PageRow]] = {
    "all": _page(_HERE),
    "unread": _page(_UNREAD),
    "pinned": _page(f"m.pinned_ms IS NOT NULL AND {_HERE}"),
    "snoozed": _page("m.snooze_ms IS NOT NULL"),
    "archived": _page("m.archived_ms IS NOT NULL"),
}

FIND = Sql(
    f"""SELECT {_SAYS}, {_DONE} FROM {_MESSAGE}
        WHERE m.tenant = :tenant AND m.usr = :usr AND m.id = :id""",
    MessageRow,
)

CHANGES = Sql(
    f"""SELECT h.epoch, h.top, h.mark, c.off, c.mark, c.prior, c.event, c.carries, c.data, c.unread, c.unseen, {_SAYS}
        FROM inbox_head h
        LEFT JOIN inbox_change c ON c.tenant = h.tenant AND c.usr = h.usr AND c.off > :after
        LEFT JOIN message m ON m.tenant = c.tenant AND m.usr = c.usr AND m.id = c.carries
        LEFT JOIN notification n ON n.tenant = m.tenant AND n.id = m.notification
        WHERE h.tenant = :tenant AND h.usr = :usr ORDER BY c.off LIMIT :n""",
    ChangeRow,
)

TOPS_AT_ONCE = 100
# Read like every page: a fixed number of names, the unused ones ''.
TOPS = Sql(
    f"""SELECT usr, epoch, top, mark FROM inbox_head WHERE tenant = :tenant
        AND usr IN ({", ".join(f":usr_{i}" for i in range(TOPS_AT_ONCE))})""",
    UserTop,
)

# For decisions about many at once; who was never sent anything has no row.
UNREAD = Procedure(
    "unread_messages",
    Whose,
    (
        Sql(
            f"""SELECT r.n, h.unread, u.id, n.title, n.body, n.action_url, u.created_ms
               FROM {{rows r}} JOIN inbox_head h ON h.tenant = r.tenant AND h.usr = r.usr
               LEFT JOIN (SELECT x.n, m.tenant, m.seq, m.id, m.notification, m.created_ms,
                   row_number() OVER (PARTITION BY x.n ORDER BY m.seq DESC) AS k
                 FROM {{rows x}} JOIN message m ON m.tenant = x.tenant AND m.usr = x.usr
                   AND {_UNREAD}) AS u ON u.n = r.n AND u.k <= r.most
               LEFT JOIN notification n ON n.tenant = u.tenant AND n.id = u.notification
               ORDER BY r.n, u.seq DESC""",
            UnreadRow,
        ),
    ),
)

# ── changing: one transaction, LOCK first ──

LOCK = Sql(
    f"SELECT epoch, top, mark, unread, unseen FROM inbox_head WHERE {_OWNER} {{for_update}}", Head
)

# Of a user whom nobody has sent anything yet.
ADD_HEAD = Sql(
    """INSERT INTO inbox_head (tenant, usr, epoch, top, mark, unread) VALUES (:tenant, :usr, :epoch, 0, 0, 0)
       ON CONFLICT DO NOTHING"""
)

MARK = Sql(
    f"""UPDATE message SET seq = :place, read_ms = :read_ms, archived_ms = :archived_ms, seen_ms = :seen_ms,
          pinned_ms = :pinned_ms, snooze_ms = :snooze_ms, clicked_ms = :clicked_ms,
          done = :done, done_ms = :done_ms, put_off_ms = :put_off_ms, back_ms = :back_ms
        WHERE {_OWNER} AND seq = :seq"""
)
_THESE = f"{_OWNER} AND seq <= :upto AND archived_ms IS NULL AND snooze_ms IS NULL"
READ_ALL = Sql(
    f"""UPDATE message SET read_ms = :now_ms, seen_ms = coalesce(seen_ms, CAST(:now_ms AS BIGINT))
        WHERE {_THESE} AND read_ms IS NULL"""
)
SEE_ALL = Sql(
    f"UPDATE message SET seen_ms = :now_ms WHERE {_THESE} AND read_ms IS NULL AND seen_ms IS NULL"
)
ARCHIVE_ALL = Sql(f"UPDATE message SET archived_ms = :now_ms WHERE {_THESE}")
_SAYS_SO = f"""EXISTS (SELECT 1 FROM notification n WHERE n.tenant = message.tenant AND n.id = message.notification
            AND {_ABOUT})"""
READ_SOME = Sql(
    f"""UPDATE message SET read_ms = :now_ms, seen_ms = coalesce(seen_ms, CAST(:now_ms AS BIGINT))
        WHERE {_THESE} AND read_ms IS NULL AND {_SAYS_SO}"""
)
SEE_SOME = Sql(
    f"""UPDATE message SET seen_ms = :now_ms
        WHERE {_THESE} AND read_ms IS NULL AND seen_ms IS NULL AND {_SAYS_SO}"""
)
LEFT = Sql(
    f"""SELECT count(*), coalesce(sum(CASE WHEN m.seen_ms IS NULL THEN 1 ELSE 0 END), 0)
        FROM message m WHERE {_OWNER} AND {_UNREAD}""",
    Left,
)

# The last message of the window as it is now, if it lies below the one that has just left the window.
ENTERED = Sql(
    """SELECT w.id FROM (SELECT m.id, m.seq FROM message m
         WHERE m.tenant = :tenant AND m.usr = :usr AND m.archived_ms IS NULL AND m.snooze_ms IS NULL
         ORDER BY m.seq DESC LIMIT 1 OFFSET :last) AS w WHERE w.seq < :gone""",
    Edge,
)

# No row at all: nobody has ever sent this user anything.
COUNTS = Sql(
    f"""SELECT h.epoch, h.top, h.mark, p.unread, p.unseen FROM inbox_head h CROSS JOIN (
          SELECT count(*) AS unread, coalesce(sum(CASE WHEN m.seen_ms IS NULL THEN 1 ELSE 0 END), 0) AS unseen
          FROM {_MESSAGE} WHERE m.tenant = :tenant AND m.usr = :usr AND {_UNREAD} AND {_ABOUT}) AS p
        WHERE h.tenant = :tenant AND h.usr = :usr""",
    Head,
)

# Those of an inbox that a later one of their key takes the place of; one, unless that is just being written.
EARLIER = Sql(
    f"SELECT id FROM message WHERE {_OWNER} AND replace_key = :key AND replace_key <> '' AND id <> :id",
    Edge,
)
KEEP_KEY = Sql(f"UPDATE message SET replace_key = :key WHERE {_OWNER} AND id = :id")

APPEND = Sql(
    """INSERT INTO inbox_change (tenant, usr, off, mark, prior, event, carries, data, unread, unseen, at_ms)
       VALUES (:tenant, :usr, :off, :mark, :prior, :event, :carries, :data, :unread, :unseen, :now_ms)"""
)
RAISE = Sql(
    f"UPDATE inbox_head SET top = :off, mark = :mark, unread = :unread, unseen = :unseen WHERE {_OWNER}"
)

LOGS = Logs("inbox_change", "inbox_head", "usr")

# Everybody's, those that come back first in front.
PUT_OFF = Sql(
    """SELECT tenant, usr, id, snooze_ms FROM message WHERE snooze_ms IS NOT NULL
       ORDER BY snooze_ms, tenant, usr, seq LIMIT :n""",
    DueRow,
)
EXPIRING = Sql(
    """SELECT tenant, id, created_ms, expires_ms FROM notification WHERE expires_ms IS NOT NULL
       ORDER BY expires_ms LIMIT :n""",
    ExpiringRow,
)
# Whoever is told the same is told it at one time, which has an index.
WHO_HAS = Sql(
    """SELECT usr, id FROM message WHERE tenant = :tenant AND created_ms = :created_ms AND notification = :id
       ORDER BY usr LIMIT :n""",
    HasRow,
)
FORGET_EXPIRED = Sql(
    """DELETE FROM notification WHERE tenant = :tenant AND id = :id AND NOT EXISTS (SELECT 1 FROM message m
         WHERE m.tenant = notification.tenant AND m.created_ms = notification.created_ms
           AND m.notification = notification.id)"""
)
