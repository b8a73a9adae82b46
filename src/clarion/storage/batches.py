"""Digests: what is collected of a recipient's runs. That only one is open for a step and key is the database's to keep."""

from msgspec import Struct

from clarion.storage.jobs import NORMAL, claim, release, waiting
from clarion.storage.store import Procedure, Sql
from clarion.storage.triggers import BEGAN


class Collected(Struct, frozen=True, array_like=True):
    """A run that comes to a digest.

    `batch` is the id if it opens one. It closes at `closes_ms`; each that joins a sliding one puts that off to its own, at most to
    `max_ms`. `leads` 1 or 2: whoever opens it goes on at once and is not in it; `first_ms` is when it closes if nobody follows, and
    with 2 it is open for its window from when somebody does.
    """

    tenant: str
    run: str
    batch: str
    workflow: str
    step: str
    usr: str
    batch_key: str
    leads: int
    first_ms: int
    closes_ms: int
    max_ms: int
    is_sliding: int
    size_max: int
    now_ms: int
    priority: int = NORMAL


class Place(Struct, frozen=True):
    """Where a run is now: in the batch, or ahead of it."""

    n: int
    batch: str
    is_lead: int


class ClaimedBatch(Struct, frozen=True):
    """A batch whose time has come."""

    tenant: str
    id: str
    workflow: str
    step: str
    usr: str
    token: int
    attempts: int


class OpenBatch(Struct, frozen=True):
    """A batch that is open."""

    id: str
    step: str
    batch_key: str
    size: int
    opened_ms: int
    run_ms: int


class Item(Struct, frozen=True):
    """A run of a batch that was not called off meanwhile, and what it was triggered with."""

    run: str
    n: int
    version: int
    state: str
    token: int
    trigger_id: str
    payload: str
    actor: str
    triggered_ms: int
    created_ms: int


class Count(Struct, frozen=True):
    """How many runs of a batch were not called off."""

    count: int


_OPEN = """b.tenant = r.tenant AND b.workflow = r.workflow AND b.step = r.step AND b.usr = r.usr
    AND b.batch_key = r.batch_key AND b.state = 'open'"""
_GROUP = "PARTITION BY r.tenant, r.workflow, r.step, r.usr, r.batch_key"

COLLECT = Procedure(
    "collect_run",
    Collected,
    (
        # The first of those that find none opens one.
        Sql(f"""INSERT INTO batch (tenant, id, workflow, step, usr, batch_key, state, lead, size, opened_ms, max_ms, run_ms, priority)
            SELECT f.tenant, f.batch, f.workflow, f.step, f.usr, f.batch_key, 'open',
              CASE f.leads WHEN 0 THEN '' ELSE f.run END, 0, f.now_ms, f.max_ms,
              CASE f.leads WHEN 0 THEN f.closes_ms ELSE f.first_ms END, f.priority
            FROM (SELECT r.*, row_number() OVER ({_GROUP} ORDER BY r.n) AS k FROM {{rows r}}) AS f
            WHERE f.k = 1 ORDER BY f.tenant, f.workflow, f.step, f.usr, f.batch_key
            ON CONFLICT (tenant, workflow, step, usr, batch_key) WHERE state = 'open' DO NOTHING"""),
        # Everybody but the one that leads is in it. A batch that closes at this moment is closed under its row's lock: wait for it.
        Sql(f"""UPDATE batch SET lease_by = batch.lease_by FROM {{rows r}}
            WHERE {_OPEN.replace("b.", "batch.")}"""),
        Sql(f"""INSERT INTO batch_item (tenant, batch, n, run, at_ms)
            SELECT r.tenant, b.id, b.size + row_number() OVER ({_GROUP} ORDER BY r.n), r.run, r.now_ms
            FROM {{rows r}} JOIN batch b ON {_OPEN} WHERE b.lead <> r.run ON CONFLICT DO NOTHING"""),
        Sql(f"""UPDATE batch SET size = s.size, run_ms = CASE WHEN s.size >= s.size_max THEN s.now_ms
                WHEN batch.size = 0 AND s.leads = 2 THEN s.first_closes_ms
                WHEN s.is_sliding = 1 AND s.closes_ms < batch.max_ms THEN s.closes_ms
                WHEN s.is_sliding = 1 THEN batch.max_ms ELSE batch.run_ms END
            FROM (SELECT b.tenant, b.id, max(r.size_max) AS size_max, max(r.now_ms) AS now_ms, max(r.closes_ms) AS closes_ms, min(r.closes_ms) AS first_closes_ms, max(r.leads) AS leads,
                    max(r.is_sliding) AS is_sliding,
                    (SELECT count(*) FROM batch_item i WHERE i.tenant = b.tenant AND i.batch = b.id) AS size
                  FROM {{rows r}} JOIN batch b ON {_OPEN} GROUP BY b.tenant, b.id) AS s
            WHERE batch.tenant = s.tenant AND batch.id = s.id AND s.size > batch.size"""),
        Sql(
            f"""SELECT r.n, b.id, CASE WHEN b.lead = r.run THEN 1 ELSE 0 END FROM {{rows r}} JOIN batch b ON {_OPEN}""",
            Place,
        ),
    ),
)
OPEN_OF = Sql(
    """SELECT id, step, batch_key, size, opened_ms, run_ms FROM batch
       WHERE tenant = :tenant AND workflow = :workflow AND usr = :usr AND state = 'open' AND id > :after ORDER BY id LIMIT :most""",
    OpenBatch,
)
# Nobody who joins puts it off again: `max_ms` is the last time of one that slides.
CLOSE_NOW = Sql(
    """UPDATE batch SET run_ms = CASE WHEN run_ms > :now_ms THEN :now_ms ELSE run_ms END,
         max_ms = CASE WHEN max_ms > :now_ms THEN :now_ms ELSE max_ms END
       WHERE tenant = :tenant AND id = :id AND state = 'open'"""
)
CLAIM = claim("batch", "tenant, id, workflow, step, usr, token, attempts", ClaimedBatch)
WAITING = waiting("batch")
RELEASE = release("batch")
# In the transaction that lets one run go on for all.
CLOSE = Sql(
    """UPDATE batch SET state = 'closed', run_ms = NULL, lease_by = NULL, token = token + 1
       WHERE tenant = :tenant AND id = :id AND token = :token AND state = 'open'"""
)
ITEMS = Sql(
    f"""SELECT run.id, i.n, run.version, run.state, run.token, run.trigger_id, t.payload, t.actor, {BEGAN}, run.created_ms
       FROM batch_item i JOIN run ON run.tenant = i.tenant AND run.id = i.run AND run.status = 'collected'
       JOIN trigger_call t ON t.tenant = run.tenant AND t.id = run.trigger_id
       WHERE i.tenant = :tenant AND i.batch = :batch ORDER BY i.n""",
    Item,
)
COUNT = Sql(
    """SELECT count(*) FROM batch_item i JOIN run ON run.tenant = i.tenant AND run.id = i.run AND run.status = 'collected'
       WHERE i.tenant = :tenant AND i.batch = :batch""",
    Count,
)


class Hit(Struct, frozen=True, array_like=True):
    """A run that comes to a throttle; if it is the first of a window, that ends at `ends_ms`."""

    tenant: str
    throttle: str
    ends_ms: int
    now_ms: int


class Hits(Struct, frozen=True):
    """How many came to it in this window, the caller's n-th included, and when it ends."""

    n: int
    hits: int
    ends_ms: int


HIT = Procedure(
    "hit_throttle",
    Hit,
    (
        Sql("""INSERT INTO throttle (tenant, throttle, began_ms, ends_ms, hits)
            SELECT r.tenant, r.throttle, min(r.now_ms), min(r.ends_ms), count(*) FROM {rows r} WHERE true
            GROUP BY r.tenant, r.throttle ORDER BY r.tenant, r.throttle
            ON CONFLICT (tenant, throttle) DO UPDATE SET
              hits = CASE WHEN throttle.ends_ms <= excluded.began_ms THEN 0 ELSE throttle.hits END + excluded.hits,
              began_ms = CASE WHEN throttle.ends_ms <= excluded.began_ms THEN excluded.began_ms ELSE throttle.began_ms END,
              ends_ms = CASE WHEN throttle.ends_ms <= excluded.began_ms THEN excluded.ends_ms ELSE throttle.ends_ms END"""),
        Sql(
            """SELECT r.n, t.hits - count(*) OVER w + row_number() OVER (w ORDER BY r.n), t.ends_ms
               FROM {rows r} JOIN throttle t ON t.tenant = r.tenant AND t.throttle = r.throttle
               WINDOW w AS (PARTITION BY r.tenant, r.throttle)""",
            Hits,
        ),
    ),
)


class Unhit(Struct, frozen=True, array_like=True):
    """Names a throttle that was hit for nothing."""

    tenant: str
    throttle: str


UNHIT = Procedure(
    "unhit_throttle",
    Unhit,
    (
        Sql("""UPDATE throttle SET hits = throttle.hits - u.hits
            FROM (SELECT r.tenant, r.throttle, count(*) AS hits FROM {rows r} GROUP BY r.tenant, r.throttle) AS u
            WHERE throttle.tenant = u.tenant AND throttle.throttle = u.throttle"""),
    ),
)
