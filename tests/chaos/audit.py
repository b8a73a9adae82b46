"""What must be true of every row when a bulk send has come to its end; each rule returns those that break it."""

from collections.abc import Mapping

from msgspec import Struct

from clarion.storage import Store
from clarion.storage.store import Sql


class Row(Struct, frozen=True):
    """Somebody or something, and a number."""

    what: str
    n: int


RULES = {
    "has not each message of the inbox once": Sql(
        """SELECT s.id, count(m.id) FROM subscriber s LEFT JOIN message m ON m.tenant = s.tenant AND m.usr = s.id
           GROUP BY s.id HAVING count(m.id) <> :inbox OR count(DISTINCT m.id) <> :inbox""",
        Row,
    ),
    "has a hole in the log of the inbox": Sql(
        """SELECT h.usr, h.top FROM inbox_head h WHERE h.top <> (SELECT count(*) FROM inbox_change c
           WHERE c.tenant = h.tenant AND c.usr = h.usr)""",
        Row,
    ),
    "is a run that has not ended well": Sql(
        "SELECT run.usr || ' ' || run.status, coalesce(run.run_ms, 0) FROM run WHERE run.status <> 'done' OR run.run_ms IS NOT NULL",
        Row,
    ),
    "has not one run": Sql(
        """SELECT s.id, count(r.id) FROM subscriber s LEFT JOIN run r ON r.tenant = s.tenant AND r.usr = s.id
           GROUP BY s.id HAVING count(r.id) <> 1""",
        Row,
    ),
    "has not one message to be posted, sent": Sql(
        """SELECT s.id, count(o.id) FROM subscriber s
           LEFT JOIN outgoing o ON o.tenant = s.tenant AND o.usr = s.id AND o.status = 'sent' AND o.run_ms IS NULL
           GROUP BY s.id HAVING count(o.id) <> 1""",
        Row,
    ),
    "is a message that no attempt tells of": Sql(
        """SELECT o.id, o.attempts FROM outgoing o WHERE NOT EXISTS
           (SELECT 1 FROM attempt a WHERE a.tenant = o.tenant AND a.message = o.id AND a.outcome = 'sent')""",
        Row,
    ),
    "is not counted as often as it was": Sql(
        """SELECT c.what, c.n - coalesce(x.n, 0)
           FROM (SELECT 'inbox sent' AS what, count(*) AS n FROM message
             UNION ALL SELECT 'inbox delivered', count(*) FROM message
             UNION ALL SELECT 'queued', count(*) FROM outgoing
             UNION ALL SELECT 'sent', count(*) FROM outgoing WHERE sent_ms IS NOT NULL
             UNION ALL SELECT 'attempt', count(*) FROM attempt) AS c
           LEFT JOIN (SELECT CASE WHEN s.what = 'attempt' THEN s.what WHEN s.channel = 'inbox' THEN 'inbox ' || s.status
               ELSE s.status END AS what, CAST(sum(s.count) AS BIGINT) AS n
             FROM (SELECT what, channel, status, count FROM stat_hour
               UNION ALL SELECT what, channel, status, count FROM stat_change) AS s GROUP BY 1) AS x ON x.what = c.what
           WHERE c.n <> coalesce(x.n, 0)""",
        Row,
    ),
    "is a job of planning that is left": Sql(
        "SELECT id, attempts FROM job WHERE kind = 'plan_trigger'", Row
    ),
}
LEFT = Sql("SELECT 'messages', count(*) FROM outgoing WHERE run_ms IS NOT NULL", Row)
SENT = Sql("SELECT id, attempts FROM outgoing", Row)


async def audit(
    store: Store, receipts: Mapping[str, int], *, inbox: int, crashes: int, in_hand: int
) -> list[str]:
    """Everything that is wrong.

    Args:
        store: After the end.
        receipts: How often the provider got each message.
        inbox: Messages that everybody has in the inbox.
        crashes: How often a process or the database died.
        in_hand: Messages that a process may have had in the provider's hands when it died.
    """
    wrong: list[str] = []
    for rule, statement in RULES.items():
        given = {"inbox": inbox} if ":inbox" in statement.text else {}
        wrong += [f"{row.what} {rule}: {row.n}" for row in await store.fetch(statement, **given)]
    sent = {row.what for row in await store.fetch(SENT)}
    wrong += [f"{id} was never got" for id in sent - set(receipts)]
    wrong += [f"{id} is nobody's message" for id in set(receipts) - sent]
    wrong += [f"{id} was got {n} times" for id, n in receipts.items() if n > 1 + crashes]
    again = sum(n - 1 for n in receipts.values())
    if again > crashes * in_hand:
        wrong.append(f"{again} messages came again, at {crashes} crashes with {in_hand} in hand")
    return wrong
