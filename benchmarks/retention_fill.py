"""A database as it is after a hundred days of notifications, made in minutes: sets of rows, in the order of time.

Every other message is one person's own, with a trigger and a content of its own; the others came by sends to 10,000 people who share one.
A fifth of all went by email, too, with a run, its records, the attempt, and what was told of it. Some people get far more than others.
"""

from typing import Final

import asyncpg

DAYS: Final = 100
DAY_MS: Final = 86_400_000
KEPT: Final = 88  # days that nothing is old enough for to be removed
PAGE: Final = 60  # messages that everybody has who is asked for a page

# $1: messages, $2: people, $3: when the first one was made (ms), $4: how long after it the last one was.
_MADE = """CREATE TEMP TABLE made AS
    SELECT i, 'user' || floor($2 * power(random(), 2))::int AS usr, lpad(i::text, 26, '0') AS id, random() AS luck,
      $3 + (CASE WHEN i % 2 = 0 THEN i / 2000 * 2000 ELSE i END * ($4 / $1::float8))::bigint AS at_ms
    FROM generate_series(1, $1) AS i"""
_ALIKE = "i % 2 = 0"
_CONTENT = f"CASE WHEN {_ALIKE} THEN 'slice' || lpad((i / 2000)::text, 21, '0') ELSE id END"
_MAILED = "i % 10 IN (1, 6)"  # one of them came alone, one by a send
_READ = "CASE WHEN luck < 0.7 THEN at_ms + 60000 END"
_BODY = (
    "'Somebody has commented on what you wrote, in thread number ' || i || ': have a look at it.'"
)
_STEPS: Final = {
    "subscriber": """SELECT 'default' AS tenant, 'user' || i AS id, 'Somebody' AS name, 'user' || i || '@example.com' AS email,
        'en' AS locale, 'Europe/Berlin' AS time_zone, '{"plan": "pro"}' AS attributes, $3 AS created_ms, $3 AS updated_ms
        FROM generate_series(0, $2 - 1) AS i""",
    "notification": f"""SELECT 'default' AS tenant, {_CONTENT} AS id, 'workflow:one' AS sender, 'Comment ' || min(i) AS title,
        'Somebody has commented on what you wrote: have a look at it.' AS body, '{{"thread": 17}}' AS data,
        'https://example.com/threads/17' AS action_url, CASE WHEN min(i) % 2 = 0 THEN 0 ELSE 1 END AS recipients, min(at_ms) AS created_ms,
        min(CASE WHEN {_ALIKE} THEN 'send' || i / 20000 ELSE id END) AS trigger_id, 'one' AS workflow, '' AS category
        FROM made GROUP BY 2 ORDER BY min(i)""",
    "message": f"""SELECT 'default' AS tenant, usr, row_number() OVER (PARTITION BY usr ORDER BY i) AS seq, id,
        {_CONTENT} AS notification, at_ms AS created_ms, {_READ} AS read_ms, {_READ} AS seen_ms,
        CASE WHEN luck < 0.1 THEN at_ms + 90000 END AS archived_ms FROM made ORDER BY i""",
    "inbox_head": """SELECT tenant, usr, '0' AS epoch, max(seq) AS top, 1 AS mark,
        count(*) FILTER (WHERE read_ms IS NULL AND archived_ms IS NULL) AS unread,
        count(*) FILTER (WHERE read_ms IS NULL AND archived_ms IS NULL) AS unseen FROM message GROUP BY 1, 2""",
    "inbox_change": f"""SELECT tenant, usr, seq AS off, 1 AS mark, 0 AS prior, 'added' AS event, id AS carries, '' AS data, 1 AS unread,
        1 AS unseen, created_ms AS at_ms FROM message WHERE created_ms > $3 + $4 - {7 * DAY_MS} ORDER BY created_ms""",
    "trigger_call": f"""SELECT 'default' AS tenant, id, 'one' AS workflow, 1 AS version, 'key:app' AS caller, '' AS actor,
        '{{"n": ' || i || '}}' AS payload, '{{"users":["' || usr || '"]}}' AS asked, '' AS cancel_key, 'planned' AS state,
        1 AS total, at_ms AS created_ms, '' AS upto, '' AS hold FROM made WHERE NOT {_ALIKE} ORDER BY i""",
    "run": f"""SELECT 'default' AS tenant, 'r' || id AS id, id AS trigger_id, usr, 'one' AS workflow, 1 AS version, '{{}}' AS state,
        'done' AS status, '' AS wait_key, NULL::bigint AS run_ms, at_ms AS created_ms FROM made WHERE {_MAILED} ORDER BY i""",
    "run_record": f"""SELECT 'default' AS tenant, 'r' || id AS run, n, 'step' || n AS step, 'sent' AS outcome, '' AS why,
        '{{"subscriber": "known"}}' AS read, at_ms + n AS at_ms FROM made, generate_series(1, 2) AS n WHERE {_MAILED} ORDER BY i, n""",
    "outgoing": f"""SELECT 'default' AS tenant, id || '.0' AS id, id AS message, 'r' || id AS run, id AS trigger_id, 'one' AS workflow,
        '' AS category, 'mail' AS step, usr, 'email' AS channel, usr || '@example.com' AS address,
        '{{"subject":"Comment","text":' || to_json({_BODY}) || '}}' AS content, 'smtp' AS provider, '<' || id || '@example.com>' AS provider_id,
        CASE WHEN luck < 0.001 THEN 'failed' ELSE 'sent' END AS status, CASE WHEN luck < 0.001 THEN 30 ELSE 10 END AS rank,
        '' AS cause, NULL::bigint AS run_ms, 1 AS attempts, at_ms AS created_ms, at_ms + 900 AS sent_ms FROM made WHERE {_MAILED} ORDER BY i""",
    "attempt": """SELECT tenant, id AS message, 1 AS n, 0 AS part, provider, status AS outcome, '250 OK' AS answer, sent_ms AS at_ms, 40 AS took_ms
        FROM outgoing ORDER BY created_ms""",
    "message_event": """SELECT tenant, id AS message, 'opened' AS kind, sent_ms AS first_ms, sent_ms AS last_ms, 1 AS count, '' AS detail
        FROM outgoing WHERE status = 'sent' ORDER BY created_ms""",
    "idempotency": f"""SELECT 'default' AS tenant, 'key:app' AS caller, 'triggers' AS route, id AS idem_key, 'x' AS digest, id AS subject,
        '{{}}' AS answer, at_ms AS created_ms FROM made WHERE NOT {_ALIKE} AND at_ms > $3 + $4 - {DAY_MS} ORDER BY i""",
    "stat_hour": """SELECT 'default' AS tenant, at_ms - at_ms % 3600000 AS hour_ms, 'message' AS what, 'one' AS workflow, 'inbox' AS channel,
        '' AS provider, '' AS category, 'sent' AS status, (luck * 20)::int AS bucket, count(*) AS count
        FROM made GROUP BY at_ms - at_ms % 3600000, (luck * 20)::int""",
}


async def fill(url: str, messages: int, people: int, now_ms: int) -> list[str]:
    """Make them; returns those people who have a page of messages, the ones with the fewest first.

    Args:
        url: A database with our tables.
        messages: How many, of inboxes; beside these a fifth as many went by email.
        people: Who got them.
        now_ms: When the last one was made.
    """
    db = await asyncpg.connect(url)
    try:
        await db.execute("SET work_mem = '256MB'; SET maintenance_work_mem = '1GB'; SET jit = off")
        # What messages do to numbers is filled in as well.
        await db.execute("SET session_replication_role = replica")
        given = (messages, people, now_ms - DAYS * DAY_MS, DAYS * DAY_MS)
        await db.execute(_with(_MADE, given))
        await db.execute("ANALYZE made")
        for table, rows in _STEPS.items():
            await _into(db, table, rows, given)
        await db.execute("DROP TABLE made")
        await db.execute("VACUUM ANALYZE")
        await db.execute("CHECKPOINT")
        found = await db.fetch(
            """SELECT usr FROM message WHERE archived_ms IS NULL AND created_ms > $2 GROUP BY usr
               HAVING count(*) >= $1 ORDER BY count(*), usr""",
            PAGE,
            now_ms - KEPT * DAY_MS,
        )
    finally:
        await db.close()
    return [row["usr"] for row in found]


async def _into(
    db: "asyncpg.Connection[asyncpg.Record]", table: str, rows: str, given: tuple[int, ...]
) -> None:
    """Fill a table without its indexes, which are made afterwards."""
    indexes = await db.fetch(
        """SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS made FROM pg_index i
           WHERE i.indrelid = $1::regclass AND NOT i.indisprimary""",
        table,
    )
    key = await db.fetchrow(
        "SELECT conname AS name, pg_get_constraintdef(oid) AS made FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'p'",
        table,
    )
    assert key is not None, "each table has a key"
    for index in indexes:
        await db.execute(f"DROP INDEX {index['name']}")
    await db.execute(f"ALTER TABLE {table} DROP CONSTRAINT {key['name']}")
    rows = _with(rows, given)
    columns = [each.name for each in (await db.prepare(rows)).get_attributes()]
    await db.execute(f"INSERT INTO {table} ({', '.join(columns)}) {rows}")
    await db.execute(f"ALTER TABLE {table} ADD CONSTRAINT {key['name']} {key['made']}")
    for index in indexes:
        await db.execute(index["made"])


def _with(text: str, given: tuple[int, ...]) -> str:
    """A statement of ours with its numbers in their places."""
    for n, value in enumerate(given, 1):
        text = text.replace(f"${n}", f"{value}::bigint")
    return text
