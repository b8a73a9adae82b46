"""Triggers: accepted in one set-based write, from the idempotency key to the job that finds the recipients.

A row is one call; the calls of many callers are joined into one run. Every step after the first joins on "the stored id is mine",
so that nothing of a call that repeats an earlier one is written.
"""

from msgspec import Struct

from clarion.storage.jobs import NORMAL, enqueue_from
from clarion.storage.store import Procedure, Sql

ROUTE = "triggers"  # the scope of these keys
JOB = "plan_trigger"


class NewTrigger(Struct, frozen=True):
    """One call. `asked` is the JSON of whom it names; `lease_ms`: until when the job of planning it is that of who accepted it; `start_ms`: not before. One that is written together with its runs is `planned`, for `total` people, and has no job."""

    tenant: str
    caller: str
    id: str
    workflow: str
    version: int
    actor: str
    payload: str
    asked: str
    cancel_key: str
    at_ms: int
    lease_ms: int
    max_attempts: int
    idem_key: str = ""
    digest: str = ""
    answer: str = ""
    priority: int = NORMAL
    start_ms: int = 0
    local_start: str = ""
    state: str = "planning"
    total: int = 0


class TriggerOutcome(Struct, frozen=True):
    """What became of a call; `digest` and `answer` are those kept with its key."""

    n: int
    is_accepted: int
    digest: str | None
    answer: str | None


class TriggerRow(Struct, frozen=True):
    """A trigger as it stands."""

    id: str
    workflow: str
    version: int
    caller: str
    actor: str
    payload: str
    asked: str
    cancel_key: str
    state: str
    total: int
    created_ms: int
    upto: str
    hold: str
    priority: int
    expected: int | None
    start_ms: int
    local_start: str


class Planned(Struct, frozen=True, array_like=True):
    """A trigger that was planned whole, and for how many."""

    tenant: str
    id: str
    total: int


class PlannedHere(Struct, frozen=True):
    """The caller's n-th trigger is planned by it, and by nobody else."""

    n: int


class StatusCount(Struct, frozen=True):
    """How many runs of a trigger stand so."""

    status: str
    count: int


def row_of(new: NewTrigger) -> TriggerRow:
    """A trigger as it stands when it has just been accepted."""
    return TriggerRow(
        id=new.id,
        workflow=new.workflow,
        version=new.version,
        caller=new.caller,
        actor=new.actor,
        payload=new.payload,
        asked=new.asked,
        cancel_key=new.cancel_key,
        state="planning",
        total=0,
        created_ms=new.at_ms,
        upto="",
        hold="",
        priority=new.priority,
        expected=None,
        start_ms=new.start_ms,
        local_start=new.local_start,
    )


BEGAN = "CASE WHEN t.start_ms > t.created_ms THEN t.start_ms ELSE t.created_ms END"
"""When a trigger `t` came into force."""
_KEY = f"k.tenant = r.tenant AND k.caller = r.caller AND k.route = '{ROUTE}' AND k.idem_key = r.idem_key"


def _steps(new: str, put: str) -> tuple[Sql[None], Sql[None]]:
    """Put the triggers that come from `new` into their table, and the job of planning them for those from `put`."""
    return (
        Sql(f"""INSERT INTO trigger_call (tenant, id, workflow, version, caller, actor, payload, asked, cancel_key, state, total, created_ms, priority, start_ms, local_start)
            SELECT r.tenant, r.id, r.workflow, r.version, r.caller, r.actor, r.payload, r.asked, r.cancel_key, r.state, r.total, r.at_ms, r.priority, r.start_ms, r.local_start
            FROM {new}"""),
        enqueue_from(
            f"""SELECT r.tenant, r.id, '{JOB}', '{{}}', CASE WHEN r.start_ms > r.lease_ms THEN r.start_ms ELSE r.lease_ms END, 12, r.at_ms, r.priority
                FROM {put} WHERE r.state = 'planning'""",
            "tenant, id, kind, payload, run_ms, max_attempts, created_ms, priority",
        ),
    )


# What names no key repeats nothing: there is nothing to find out.
PUT_TRIGGER = Procedure("put_trigger", NewTrigger, _steps("{rows r}", "{rows r}"), is_blind=True)
ACCEPT_TRIGGER = Procedure(
    "accept_trigger",
    NewTrigger,
    (
        Sql(f"""INSERT INTO idempotency (tenant, caller, route, idem_key, digest, subject, answer, created_ms)
            SELECT r.tenant, r.caller, '{ROUTE}', r.idem_key, r.digest, r.id, r.answer, r.at_ms
            FROM {{rows r}} WHERE r.idem_key <> ''
            ORDER BY r.tenant, r.caller, r.idem_key, r.n ON CONFLICT DO NOTHING"""),
        *_steps(
            f"{{rows r}} LEFT JOIN idempotency k ON {_KEY} WHERE r.idem_key = '' OR k.subject = r.id",
            "{rows r} JOIN trigger_call t ON t.tenant = r.tenant AND t.id = r.id",
        ),
        Sql(
            f"""SELECT r.n, CASE WHEN t.id IS NULL THEN 0 ELSE 1 END, k.digest, k.answer
                FROM {{rows r}} LEFT JOIN trigger_call t ON t.tenant = r.tenant AND t.id = r.id
                LEFT JOIN idempotency k ON {_KEY}""",
            TriggerOutcome,
        ),
    ),
)

# What its acceptor was about to plan, under a lease that no claim gave; not what waits for its time.
RELEASE = Sql(
    f"""UPDATE job SET run_ms = :now, token = token + 1 WHERE kind = '{JOB}' AND token = 0 AND run_ms > :now
          AND NOT EXISTS (SELECT 1 FROM trigger_call t WHERE t.tenant = job.tenant AND t.id = job.id AND t.start_ms > :now)"""
)

_ROW = """id, workflow, version, caller, actor, payload, asked, cancel_key, state, total, created_ms, upto, hold, priority, expected, start_ms, local_start"""
_OWNER = "tenant = :tenant AND id = :id"
FIND = Sql(f"SELECT {_ROW} FROM trigger_call WHERE {_OWNER}", TriggerRow)
# Whoever holds it is alone in planning and cancelling it.
HOLD = Sql(f"SELECT {_ROW} FROM trigger_call WHERE {_OWNER} {{for_update}}", TriggerRow)
# Those that are over are left out: there may be any number of them before the one that is meant.
_OPEN_RUN = "SELECT 1 FROM run r WHERE r.tenant = t.tenant AND r.trigger_id = t.id AND r.status IN ('running', 'collected')"
_QUEUED = "SELECT 1 FROM outgoing o WHERE o.tenant = t.tenant AND o.trigger_id = t.id AND o.status = 'queued'"
BY_CANCEL_KEY = Sql(
    f"""SELECT {_ROW} FROM trigger_call t WHERE tenant = :tenant AND cancel_key = :cancel_key AND cancel_key <> ''
        AND state <> 'cancelled' AND (state <> 'planned' OR EXISTS ({_OPEN_RUN}) OR EXISTS ({_QUEUED})) ORDER BY id LIMIT :n""",
    TriggerRow,
)
# Of triggers that their acceptor plans under the lease that no claim gave; whoever holds or cancels one has it left alone.
# A value, not a join: of jobs that come and go PostgreSQL knows too little, and would go through all of them for each row.
_UNCLAIMED = f"(SELECT j.token FROM job j WHERE j.tenant = r.tenant AND j.id = r.id AND j.kind = '{JOB}') = 0"
PLAN_WHOLE = Procedure(
    "plan_whole_trigger",
    Planned,
    (
        Sql(f"""UPDATE trigger_call SET total = r.total, state = 'planned' FROM {{rows r}}
            WHERE trigger_call.tenant = r.tenant AND trigger_call.id = r.id AND trigger_call.state = 'planning'
              AND trigger_call.hold = '' AND trigger_call.upto = '' AND {_UNCLAIMED}"""),
        Sql(
            f"""SELECT r.n FROM {{rows r}} JOIN trigger_call t ON t.tenant = r.tenant AND t.id = r.id
                WHERE t.state = 'planned' AND {_UNCLAIMED} ORDER BY r.n""",
            PlannedHere,
        ),
    ),
)
GO_ON = Sql(
    f"UPDATE trigger_call SET total = total + :count, state = :state, upto = :upto WHERE {_OWNER}"
)
EXPECT = Sql(f"UPDATE trigger_call SET expected = :expected WHERE {_OWNER}")
SET_HOLD = Sql(f"UPDATE trigger_call SET hold = :hold WHERE {_OWNER}")
CANCEL = Sql(f"UPDATE trigger_call SET state = 'cancelled' WHERE {_OWNER}")
COUNTS = Sql(
    """SELECT status, count(*) FROM run WHERE tenant = :tenant AND trigger_id = :id GROUP BY status ORDER BY status""",
    StatusCount,
)
