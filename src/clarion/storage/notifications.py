"""Accepting notifications: one set-based write, from the idempotency key to the offset in each recipient's log.

A row is one recipient of one call; the calls of many callers are joined into one run. What a call is refused for is found
inside: its key may have been used before, or a recipient may be unknown. Then its notification is not inserted, and every
later step joins on "the notification is there", so that nothing of a refused call is written.

Calls of one run are as good as concurrent. If one of them describes a subscriber whom another only names, the other may be
neither accepted nor have an unknown recipient in its answer: it asks again. A call that names somebody unknown may hear instead
that its key was used with another body, by another call of the run. Apart from that, running `a + b` equals running `a`, then
`b`.
"""

from msgspec import Struct

from clarion.storage.store import Procedure, Sql
from clarion.storage.subscribers import describe

ROUTE = "notifications.send"  # the scope of these keys; other calls keep theirs beside them
FIRST_EPOCH = "0"  # of a log that was never lost


class Acceptance(Struct, frozen=True):
    """One recipient of one call. What belongs to the call as a whole stands in its first row, '' elsewhere."""

    tenant: str
    caller: str
    notification: str
    is_first: int
    usr: str
    message: str
    mark: int
    """Random 32 bits that this change adds to the mark of the recipient's log."""
    at_ms: int
    idem_key: str = ""
    digest: str = ""
    answer: str = ""
    recipients: int = 0
    title: str = ""
    body: str = ""
    data: str = ""
    action_url: str = ""
    is_described: int = 0
    """1: the subscriber is described here; the columns below hold what is known, '' where nothing is said."""
    name: str = ""
    email: str = ""
    phone: str = ""
    locale: str = ""
    time_zone: str = ""
    attributes: str = ""
    is_wanted: int = 1
    """0: the recipient does not want it: they become known, and get no message."""
    category: str = ""
    expires_ms: int | None = None
    actions: str = ""
    tags: str = ""


class Outcome(Struct, frozen=True):
    """What became of one row.

    `digest` and `answer` are those kept with the key, in the call's first row; `offset` and what follows are None where the
    call was refused, or the recipient does not want it.
    """

    n: int
    is_accepted: int
    is_known: int
    digest: str | None
    answer: str | None
    offset: int | None
    epoch: str
    mark: int
    prior: int
    unread: int
    unseen: int


_UNKNOWN = """SELECT x.notification FROM {rows x} LEFT JOIN subscriber s ON s.tenant = x.tenant AND s.id = x.usr
    WHERE x.is_described = 0 AND s.id IS NULL"""
_KEY = f"""k.tenant = r.tenant AND k.caller = r.caller AND k.route = '{ROUTE}' AND k.idem_key = r.idem_key"""
_ACCEPTED = "{rows r} JOIN notification a ON a.tenant = r.tenant AND a.id = r.notification"
_WANTED = f"{_ACCEPTED} AND r.is_wanted = 1"
_HEAD = "JOIN inbox_head h ON h.tenant = r.tenant AND h.usr = r.usr"
_MODULUS = 1 << 32
# Found first: without statistics PostgreSQL would join all that somebody's log has to all of their messages.
PLACED = """WITH placed AS MATERIALIZED (SELECT r.*, (SELECT m.seq FROM message m
    WHERE m.tenant = r.tenant AND m.usr = r.usr AND m.id = r.message) AS seq FROM {rows r})"""
"""The input rows as `placed`, with where the message of each stands in the log of its inbox."""


def inbox_steps(source: str) -> tuple[Sql[None], ...]:
    """Put messages into inboxes: steps for a procedure whose rows name `tenant, usr, message, notification, mark, at_ms`.

    Args:
        source: The FROM clause, with the rows as `r`.
    """
    # The row lock on the head is what orders concurrent runs; below it the new entries are numbered.
    return (
        Sql(f"""INSERT INTO inbox_head (tenant, usr, epoch, top, mark, unread, unseen)
            SELECT r.tenant, r.usr, '{FIRST_EPOCH}', count(*), sum(r.mark) % {_MODULUS}, count(*), count(*)
            FROM {source} WHERE true GROUP BY r.tenant, r.usr ORDER BY r.tenant, r.usr
            ON CONFLICT (tenant, usr) DO UPDATE SET top = inbox_head.top + excluded.top,
              mark = (inbox_head.mark + excluded.mark) % {_MODULUS}, unread = inbox_head.unread + excluded.unread,
              unseen = inbox_head.unseen + excluded.unseen"""),
        Sql(f"""INSERT INTO message (tenant, usr, seq, id, notification, created_ms)
            SELECT r.tenant, r.usr, h.top - count(*) OVER u + row_number() OVER (u ORDER BY r.n),
              r.message, r.notification, r.at_ms
            FROM {source} {_HEAD} WINDOW u AS (PARTITION BY r.tenant, r.usr)"""),
        Sql(
            f"""INSERT INTO inbox_change (tenant, usr, off, mark, prior, event, carries, data, unread, unseen, at_ms)
            SELECT c.tenant, c.usr, c.off, (c.sum_to % {_MODULUS} + {_MODULUS}) % {_MODULUS},
              ((c.sum_to - c.mark) % {_MODULUS} + {_MODULUS}) % {_MODULUS}, 'added', c.message, '', c.unread, c.unseen,
              c.at_ms
            FROM (SELECT r.tenant, r.usr, r.mark, r.message, r.at_ms,
                    h.top - count(*) OVER u + row_number() OVER (u ORDER BY r.n) AS off,
                    h.unread - count(*) OVER u + row_number() OVER (u ORDER BY r.n) AS unread,
                    h.unseen - count(*) OVER u + row_number() OVER (u ORDER BY r.n) AS unseen,
                    h.mark - sum(r.mark) OVER u + sum(r.mark) OVER (u ORDER BY r.n) AS sum_to
                  FROM {source} {_HEAD} WINDOW u AS (PARTITION BY r.tenant, r.usr)) AS c""",
            is_beside=True,
        ),
    )


# Each insert that may wait for another run's row lock goes in the order of its key: no two runs can wait for each other.
ACCEPT = Procedure(
    "accept_notification",
    Acceptance,
    (
        Sql(f"""INSERT INTO idempotency (tenant, caller, route, idem_key, digest, subject, answer, created_ms)
            SELECT r.tenant, r.caller, '{ROUTE}', r.idem_key, r.digest, r.notification, r.answer, r.at_ms
            FROM {{rows r}} WHERE r.is_first = 1 AND r.idem_key <> '' AND r.notification NOT IN ({_UNKNOWN})
            ORDER BY r.tenant, r.caller, r.idem_key, r.n ON CONFLICT DO NOTHING"""),
        Sql(f"""INSERT INTO notification (tenant, id, sender, title, body, data, action_url, recipients, created_ms, category, expires_ms, actions, tags)
            SELECT r.tenant, r.notification, r.caller, r.title, r.body, r.data, r.action_url, r.recipients, r.at_ms, r.category, r.expires_ms, r.actions, r.tags
            FROM {{rows r}} LEFT JOIN idempotency k ON {_KEY}
            WHERE r.is_first = 1
              AND (k.subject = r.notification OR (r.idem_key = '' AND r.notification NOT IN ({_UNKNOWN})))"""),
        describe(f"{_ACCEPTED} WHERE r.is_described = 1"),
        *inbox_steps(_WANTED),
        # Of each call one row, or the calls of a run would not leave what they leave one by one.
        Sql(f"""INSERT INTO stat_change (tenant, hour_ms, what, workflow, channel, provider, category, status, bucket, count)
            SELECT r.tenant, min(r.at_ms) - min(r.at_ms) % 3600000, 'message', '', 'inbox', '', a.category, x.status, 0, count(*)
            FROM {_WANTED} CROSS JOIN (SELECT 'sent' AS status UNION ALL SELECT 'delivered') AS x
            GROUP BY r.tenant, r.notification, a.category, x.status ORDER BY min(r.n), x.status"""),
        Sql(
            f"""{PLACED} SELECT r.n, CASE WHEN a.id IS NULL THEN 0 ELSE 1 END, CASE WHEN r.is_described = 0 AND s.id IS NULL THEN 0 ELSE 1 END,
              k.digest, k.answer, c.off, h.epoch, c.mark, c.prior, c.unread, c.unseen
            FROM placed r LEFT JOIN notification a ON a.tenant = r.tenant AND a.id = r.notification
            LEFT JOIN subscriber s ON s.tenant = r.tenant AND s.id = r.usr
            LEFT JOIN idempotency k ON {_KEY} AND r.is_first = 1
            LEFT JOIN inbox_head h ON h.tenant = r.tenant AND h.usr = r.usr
            LEFT JOIN inbox_change c ON c.tenant = r.tenant AND c.usr = r.usr AND c.off = r.seq""",
            Outcome,
        ),
    ),
)

# Housekeeping, for all tenants alike; a slice at a time, so that nobody waits long behind it.
FORGET_KEYS = Sql(
    """DELETE FROM idempotency WHERE (tenant, caller, route, idem_key) IN
       (SELECT tenant, caller, route, idem_key FROM idempotency WHERE created_ms < :before ORDER BY created_ms LIMIT :n)"""
)
