"""Runs: each recipient's way through a workflow, leased as jobs are, with a record of every step.

Whoever settles a run must show the newest token: what a worker writes that was given up for dead is not written at all, because
the transaction asks first which of its runs are still its own.
"""

from typing import Final

from msgspec import Struct

from clarion.storage.jobs import NORMAL, Held, claim, release, waiting
from clarion.storage.store import Procedure, Sql
from clarion.storage.triggers import BEGAN

SUSPECT: Final = 6
"""Attempts of a run, more than any failure takes, from which on it is carried alone."""


class NewRun(Struct, frozen=True, array_like=True):
    """A run to be written; one with an id that exists changes nothing."""

    tenant: str
    id: str
    trigger_id: str
    usr: str
    workflow: str
    version: int
    state: str
    status: str
    wait_key: str
    run_ms: int | None
    created_ms: int
    priority: int = NORMAL


class ClaimedRun(Struct, frozen=True):
    """A run as its claimer gets it."""

    tenant: str
    id: str
    token: int
    attempts: int


class LoadedRun(Struct, frozen=True):
    """A claimed run with all that its workflow may ask about: its trigger, and its recipient (None: deleted meanwhile)."""

    n: int
    trigger_id: str
    usr: str
    workflow: str
    version: int
    state: str
    status: str
    created_ms: int
    payload: str
    actor: str
    triggered_ms: int
    subscriber: str | None
    name: str
    email: str
    phone: str
    locale: str
    time_zone: str
    attributes: str
    priority: int
    hold: str
    """Of its trigger."""


class RunSettlement(Struct, frozen=True, array_like=True):
    """How a claimed run goes on."""

    tenant: str
    id: str
    token: int
    state: str
    status: str
    wait_key: str
    run_ms: int | None
    attempts: int
    error: str | None


class Mine(Struct, frozen=True):
    """The caller's n-th run was still its own."""

    n: int


class NewRecord(Struct, frozen=True, array_like=True):
    """What became of a step; numbered after those that the run has."""

    tenant: str
    run: str
    step: str
    outcome: str
    why: str
    read: str
    at_ms: int


class RecordRow(Struct, frozen=True):
    """One record."""

    n: int
    step: str
    outcome: str
    why: str
    read: str
    at_ms: int


class RunRow(Struct, frozen=True):
    """A run as a person sees it."""

    id: str
    trigger_id: str
    usr: str
    workflow: str
    version: int
    state: str
    status: str
    run_ms: int | None
    error: str | None
    created_ms: int


class Waiting(Struct, frozen=True):
    """Names a run that waits."""

    id: str


class Named(Struct, frozen=True, array_like=True):
    """Names a message of a user."""

    tenant: str
    usr: str
    id: str


class MessageState(Struct, frozen=True):
    """What became of a message: of the inbox (`status` ''), or of another channel, there a row for each address."""

    n: int
    status: str
    seen_ms: int | None
    read_ms: int | None
    archived_ms: int | None
    clicked_ms: int | None
    sent_ms: int | None
    delivered_ms: int | None
    ended_ms: int | None


ADD_RUNS = Procedure(
    "add_run",
    NewRun,
    (
        Sql("""INSERT INTO run (tenant, id, trigger_id, usr, workflow, version, state, status, wait_key, run_ms, created_ms, priority)
            SELECT tenant, id, trigger_id, usr, workflow, version, state, status, wait_key, run_ms, created_ms, priority
            FROM {rows r} WHERE true ON CONFLICT DO NOTHING"""),
    ),
    is_blind=True,
)
# Of those that are claimed together nobody can say which has taken the process with it, so from some number on only claims of one count.
CLAIM = claim("run", "tenant, id, token, attempts", ClaimedRun, counted=SUSPECT)
CLAIM_ALONE = claim("run", "tenant, id, token, attempts", ClaimedRun)
PUT_BACK = Sql(
    "UPDATE run SET run_ms = :now_ms, lease_by = NULL, token = token + 1 WHERE tenant = :tenant AND id = :id AND token = :token"
)
WAITING_RUNS = waiting("run")
RELEASE = release("run")
LOAD = Procedure(
    "load_run",
    Held,
    (
        Sql(
            f"""SELECT r.n, run.trigger_id, run.usr, run.workflow, run.version, run.state, run.status, run.created_ms,
              t.payload, t.actor, {BEGAN}, s.id, coalesce(s.name, ''), coalesce(s.email, ''), coalesce(s.phone, ''),
              coalesce(s.locale, ''), coalesce(s.time_zone, ''), coalesce(s.attributes, ''), run.priority, t.hold
            FROM {{rows r}} JOIN run ON run.tenant = r.tenant AND run.id = r.id
            JOIN trigger_call t ON t.tenant = run.tenant AND t.id = run.trigger_id
            LEFT JOIN subscriber s ON s.tenant = run.tenant AND s.id = run.usr""",
            LoadedRun,
        ),
    ),
)
# In the transaction that writes what came of the runs: whose lease was lost, or whose trigger was called off, is not among them.
HOLD = Procedure(
    "hold_run",
    Held,
    (
        # Nobody else claims, settles or cancels them before the end of the transaction.
        Sql("""UPDATE run SET lease_by = run.lease_by FROM {rows r}
            WHERE run.tenant = r.tenant AND run.id = r.id AND run.token = r.token"""),
        Sql(
            """SELECT r.n FROM {rows r}
               JOIN run ON run.tenant = r.tenant AND run.id = r.id AND run.token = r.token ORDER BY r.n""",
            Mine,
        ),
    ),
)
SETTLE = Procedure(
    "settle_run",
    RunSettlement,
    (
        # Of two settlements with one token the first counts: after it the token has moved on, and nobody holds the lease.
        Sql("""UPDATE run SET state = s.state, status = s.status, wait_key = s.wait_key, run_ms = s.run_ms,
              attempts = s.attempts, error = s.error, lease_by = NULL, token = s.token + 1
            FROM (SELECT r.*, row_number() OVER (PARTITION BY r.tenant, r.id, r.token ORDER BY r.n) AS k FROM {rows r}) AS s
            WHERE s.k = 1 AND run.tenant = s.tenant AND run.id = s.id AND run.token = s.token"""),
    ),
)
ADD_RECORDS = Procedure(
    "add_run_record",
    NewRecord,
    (
        Sql("""INSERT INTO run_record (tenant, run, n, step, outcome, why, read, at_ms)
            SELECT r.tenant, r.run, coalesce(h.top, 0) + row_number() OVER (PARTITION BY r.tenant, r.run ORDER BY r.n),
              r.step, r.outcome, r.why, r.read, r.at_ms
            FROM {rows r} LEFT JOIN (SELECT p.tenant, p.run, max(p.n) AS top FROM run_record p
              WHERE (p.tenant, p.run) IN (SELECT x.tenant, x.run FROM {rows x}) GROUP BY p.tenant, p.run) AS h
            ON h.tenant = r.tenant AND h.run = r.run"""),
    ),
)
MESSAGE_STATES = Procedure(
    "message_states",
    Named,
    (
        Sql(
            """SELECT r.n, '', m.seen_ms, m.read_ms, m.archived_ms, m.clicked_ms, m.created_ms, m.created_ms, m.created_ms
               FROM {rows r} JOIN message m ON m.tenant = r.tenant AND m.usr = r.usr AND m.id = r.id
               UNION ALL
               SELECT r.n, o.status, o.seen_ms, o.read_ms, CAST(NULL AS BIGINT), o.clicked_ms, o.sent_ms, o.delivered_ms, o.ended_ms
               FROM {rows r} JOIN outgoing o ON o.tenant = r.tenant AND o.message = r.id""",
            MessageState,
        ),
    ),
)
# Somebody did what runs were waiting for.
WAKE = Sql(
    """UPDATE run SET run_ms = :now_ms WHERE tenant = :tenant AND wait_key = :wait_key AND wait_key <> ''
       AND status = 'running' AND (run_ms IS NULL OR run_ms > :now_ms) AND lease_by IS NULL"""
)
# Runs of a user that wait for something; few have any, and looking costs no write.
WAITING = Sql(
    "SELECT id FROM run WHERE tenant = :tenant AND usr = :usr AND wait_key <> '' LIMIT 1", Waiting
)
# The user has read or put away messages: those who wait for one look again.
WAKE_USER = Sql(
    """UPDATE run SET run_ms = :now_ms WHERE tenant = :tenant AND usr = :usr AND wait_key <> ''
       AND status = 'running' AND run_ms > :now_ms AND lease_by IS NULL"""
)
CANCEL_OF_TRIGGER = Sql(
    """UPDATE run SET status = 'cancelled', run_ms = NULL, wait_key = '', lease_by = NULL, token = token + 1
       WHERE tenant = :tenant AND trigger_id = :id AND status IN ('running', 'collected')"""
)

_ROW = "id, trigger_id, usr, workflow, version, state, status, run_ms, error, created_ms"
FIND = Sql(f"SELECT {_ROW} FROM run WHERE tenant = :tenant AND id = :id", RunRow)
OF_TRIGGER = Sql(
    f"""SELECT {_ROW} FROM run WHERE tenant = :tenant AND trigger_id = :trigger_id AND usr > :after
        ORDER BY usr LIMIT :n""",
    RunRow,
)
OF_USER = Sql(
    f"SELECT {_ROW} FROM run WHERE tenant = :tenant AND usr = :usr AND id > :after ORDER BY id LIMIT :n",
    RunRow,
)
RECORDS = Sql(
    """SELECT n, step, outcome, why, read, at_ms FROM run_record
       WHERE tenant = :tenant AND run = :run ORDER BY n""",
    RecordRow,
)
