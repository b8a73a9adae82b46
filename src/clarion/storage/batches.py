"""Digests: what is collected of a recipient's runs. That only one is open for a step and key is the database's to keep."""

from msgspec import Struct

from clarion.storage.jobs import NORMAL, claim, release, waiting
from clarion.storage.store import Procedure, Sql
from clarion.storage.triggers import BEGAN


class Batch(Struct, frozen=True, array_like=True):
    """A batch as it is kept. `state` closed: nobody joins it any more; `run_ms` says when it goes on, None: it has.

    `lead` is the run that opened it and went on at once, '' for none. One that slides is put off to `max_ms` at most.
    """

    tenant: str
    id: str
    workflow: str
    step: str
    usr: str
    batch_key: str
    state: str
    lead: str
    size: int
    opened_ms: int
    max_ms: int
    run_ms: int
    priority: int = NORMAL


class Opened(Struct, frozen=True):
    """The batch that is open for the caller's n-th."""

    n: int
    id: str
    lead: str
    size: int
    opened_ms: int
    max_ms: int
    run_ms: int
    priority: int


class NewItem(Struct, frozen=True, array_like=True):
    """A run that is the n-th of a batch (`place`, from 1)."""

    tenant: str
    batch: str
    place: int
    run: str
    at_ms: int


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


_COLUMNS = ", ".join(Batch.__struct_fields__)
_LAST = "row_number() OVER (PARTITION BY r.tenant, r.id ORDER BY r.n DESC) AS k"
# Of those that find none open the first opens one. From here to the end of the transaction it is the caller's: whoever else comes
# to it waits, and so does who would close it.
OPEN = Procedure(
    "open_batch",
    Batch,
    (
        Sql(f"""INSERT INTO batch ({_COLUMNS})
            SELECT {_COLUMNS} FROM (SELECT r.*, row_number() OVER (
                PARTITION BY r.tenant, r.workflow, r.step, r.usr, r.batch_key ORDER BY r.n) AS k FROM {{rows r}}) AS f
            WHERE f.k = 1 ORDER BY f.tenant, f.workflow, f.step, f.usr, f.batch_key
            ON CONFLICT (tenant, workflow, step, usr, batch_key) WHERE state = 'open' DO UPDATE SET lease_by = batch.lease_by"""),
        Sql(
            """SELECT r.n, b.id, b.lead, b.size, b.opened_ms, b.max_ms, b.run_ms, b.priority
               FROM {rows r} JOIN batch b ON b.tenant = r.tenant AND b.workflow = r.workflow AND b.step = r.step
                 AND b.usr = r.usr AND b.batch_key = r.batch_key AND b.state = 'open' ORDER BY r.n""",
            Opened,
        ),
    ),
)
# Those that were opened, as they are now; then those that follow on one that is full.
KEEP = Procedure(
    "keep_batch",
    Batch,
    (
        Sql(f"""UPDATE batch SET state = s.state, lead = s.lead, size = s.size, max_ms = s.max_ms, run_ms = s.run_ms
            FROM (SELECT r.*, {_LAST} FROM {{rows r}}) AS s
            WHERE s.k = 1 AND batch.tenant = s.tenant AND batch.id = s.id"""),
        Sql(f"""INSERT INTO batch ({_COLUMNS})
            SELECT {_COLUMNS} FROM (SELECT r.*, {_LAST} FROM {{rows r}}) AS s WHERE s.k = 1 ON CONFLICT (tenant, id) DO NOTHING"""),
    ),
)
ADD_ITEMS = Procedure(
    "add_batch_item",
    NewItem,
    (
        Sql("""INSERT INTO batch_item (tenant, batch, n, run, at_ms)
            SELECT r.tenant, r.batch, r.place, r.run, r.at_ms FROM {rows r}"""),
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
       WHERE tenant = :tenant AND id = :id AND token = :token AND run_ms IS NOT NULL"""
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
