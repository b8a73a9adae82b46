"""Jobs: work that must be done once at least, at a time, whoever is alive then. Also the one lease of every such table.

A table takes part in leasing by six columns: `run_ms` (when the row is due: its time, or the end of the lease of who claimed it;
NULL: never), `token` (grows with each claim and each settlement), `lease_by`, `attempts`, `priority`, and the key `(tenant, id)`;
and by an index `(priority, tenant, run_ms, id) WHERE run_ms IS NOT NULL`, led by its lane if it has lanes. An expired
lease needs no sweeper: its row is simply due again. Who settles a row must show the newest token, so a worker that was
given up for dead cannot undo what its successor did.
"""

from typing import Final

import msgspec

from clarion.storage.store import Procedure, R, Sql

PRIORITIES: Final = ("critical", "high", "normal", "low")
"""What is more urgent goes first. A row has the index of its own."""
NORMAL: Final = PRIORITIES.index("normal")
LOW: Final = PRIORITIES.index("low")
PATIENCE: Final = 4
"""Deaths of a process, from which on what it had in hand has to wait."""


class NewJob(msgspec.Struct, frozen=True, array_like=True):
    """A job to be written; one with an id that exists changes nothing."""

    tenant: str
    id: str
    kind: str
    payload: str
    run_ms: int
    max_attempts: int
    created_ms: int


class ClaimedJob(msgspec.Struct, frozen=True):
    """A job as its claimer gets it; `attempts` counts this one."""

    tenant: str
    id: str
    kind: str
    payload: str
    token: int
    attempts: int
    max_attempts: int
    created_ms: int


class StoredJob(msgspec.Struct, frozen=True):
    """A job as a person sees it; `run_ms` None: a dead letter."""

    tenant: str
    id: str
    kind: str
    payload: str
    run_ms: int | None
    lease_by: str | None
    attempts: int
    max_attempts: int
    error: str | None
    created_ms: int


class Held(msgspec.Struct, frozen=True, array_like=True):
    """Names a claimed row; `until_ms` is the end of the lease that is asked for."""

    tenant: str
    id: str
    token: int
    until_ms: int = 0


class Settlement(msgspec.Struct, frozen=True, array_like=True):
    """How a claimed row goes on: due again at `run_ms`, or never (None)."""

    tenant: str
    id: str
    token: int
    run_ms: int | None
    attempts: int
    error: str | None


class StillHeld(msgspec.Struct, frozen=True):
    """The caller's n-th row is still its own."""

    n: int


class Waiting(msgspec.Struct, frozen=True):
    """A tenant has rows of this priority; the first is due at `run_ms`."""

    priority: int
    tenant: str
    run_ms: int


# ── any table that takes part in leasing; `table` and `columns` are names from our own code, never input (S608) ──
def claim(
    table: str,
    columns: str,
    result: type[R],
    *,
    lane: str = "",
    more: str = "",
    counted: int | None = None,
) -> Sql[R]:
    """Take due rows of `:tenant` and `:priority`, oldest first: parameters `:now`, `:until` (end of the lease), `:node`, `:limit`; with a column as `lane`, of `:lane`.

    Run it in a transaction; concurrent claims never get the same row. `jobs.turns.take` says whose. `more` is told beside the columns.
    With `counted`, this claim is no attempt of a row that has had so many.
    """
    returning = ", ".join(f"{table}.{name.strip()}" for name in columns.split(","))
    returning += f", {more}" if more else ""
    of_lane = f"{lane} = :lane AND " if lane else ""
    one = "1" if counted is None else f"CASE WHEN attempts < {counted} THEN 1 ELSE 0 END"
    # A CTE, because PostgreSQL may run an IN (… LIMIT n) more than once, and would lock more than n.
    return Sql(
        f"""WITH due AS (SELECT tenant, id FROM {table}
              WHERE {of_lane}priority = :priority AND tenant = :tenant AND run_ms <= :now
              ORDER BY run_ms, id LIMIT :limit {{skip_locked}})
            UPDATE {table} SET run_ms = :until, lease_by = :node, token = token + 1, attempts = attempts + {one}
            FROM due WHERE {table}.tenant = due.tenant AND {table}.id = due.id
            RETURNING {returning}""",
        result,
    )


def extend(table: str) -> Procedure:
    """Hold rows longer; answers which of them are still the caller's."""
    mine = f"{table}.tenant = r.tenant AND {table}.id = r.id AND {table}.token = r.token"
    # Of two extensions of one lease the last counts, joined or not.
    last = "row_number() OVER (PARTITION BY r.tenant, r.id, r.token ORDER BY r.n DESC) AS k"
    return Procedure(
        f"extend_{table}_lease",
        Held,
        (
            Sql(
                f"""UPDATE {table} SET run_ms = s.until_ms
                    FROM (SELECT r.tenant, r.id, r.token, r.until_ms, {last} FROM {{rows r}}) AS s
                    WHERE s.k = 1 AND {table}.tenant = s.tenant AND {table}.id = s.id AND {table}.token = s.token"""
            ),
            Sql(f"SELECT r.n FROM {{rows r}} JOIN {table} ON {mine} ORDER BY r.n", StillHeld),
        ),
    )


def settle(table: str) -> Procedure:
    """Give rows back: to be run later, or never. Rows that are no longer the caller's stay as they are."""
    # Of two settlements with one token the first counts, joined or not: after it the token has moved on.
    first = "row_number() OVER (PARTITION BY r.tenant, r.id, r.token ORDER BY r.n) AS k"
    return Procedure(
        f"settle_{table}",
        Settlement,
        (
            Sql(
                f"""UPDATE {table} SET run_ms = s.run_ms, attempts = s.attempts, error = s.error, lease_by = NULL, token = s.token + 1
                    FROM (SELECT r.tenant, r.id, r.token, r.run_ms, r.attempts, r.error, {first} FROM {{rows r}}) AS s
                    WHERE s.k = 1 AND {table}.tenant = s.tenant AND {table}.id = s.id AND {table}.token = s.token"""
            ),
        ),
    )


def waiting(table: str, *, lane: str = "") -> Sql[Waiting]:
    """Which tenants have rows of which priority, and when the first of each is due; with a column as `lane`, of those of `:lane`."""
    of_lane = f"{lane} = :lane AND " if lane else ""
    levels = " UNION ALL ".join(f"SELECT {n} AS priority" for n in range(len(PRIORITIES)))
    # From one tenant to the next by the index: neither engine does that for DISTINCT, which would read what waits, all of it.
    return Sql(
        f"""WITH RECURSIVE line(priority, tenant) AS (
              SELECT level.priority, (SELECT min(t.tenant) FROM {table} t
                WHERE {of_lane}t.priority = level.priority AND t.run_ms IS NOT NULL)
              FROM ({levels}) AS level
              UNION ALL
              SELECT line.priority, (SELECT min(t.tenant) FROM {table} t
                WHERE {of_lane}t.priority = line.priority AND t.tenant > line.tenant AND t.run_ms IS NOT NULL)
              FROM line WHERE line.tenant IS NOT NULL)
            SELECT line.priority, line.tenant, (SELECT min(t.run_ms) FROM {table} t
              WHERE {of_lane}t.priority = line.priority AND t.tenant = line.tenant AND t.run_ms IS NOT NULL)
            FROM line WHERE line.tenant IS NOT NULL""",
        Waiting,
    )


def release(table: str, *, backs_off: bool = False) -> Sql[None]:
    """Let what is claimed be due now: for a process that is alone, whose former self was killed with it.

    With `backs_off`, what was in hand at `PATIENCE` deaths in a row is due after the cube of their number (s), as if it had failed:
    a process that dies again and again within a minute, for whatever reason, uses up the attempts of nothing that it had in hand.
    """
    # After twelve, which is the most that anything has, it stays at half an hour: what is periodic is never given up.
    late = "CASE WHEN attempts > 12 THEN 1728000 ELSE attempts * attempts * attempts * 1000 END"
    wait = f" + CASE WHEN attempts < {PATIENCE} THEN 0 ELSE {late} END" if backs_off else ""
    return Sql(
        f"UPDATE {table} SET run_ms = :now{wait}, lease_by = NULL, token = token + 1 WHERE lease_by IS NOT NULL AND run_ms > :now"
    )


# ── the job table ──
_COLUMNS = "tenant, id, kind, payload, run_ms, max_attempts, created_ms"


def enqueue_from(source: str, columns: str = _COLUMNS) -> Sql:
    """A step for the procedure of another aggregate, so that its job is written with its rows.

    Args:
        source: `SELECT tenant, id, kind, payload, run_ms, max_attempts, created_ms FROM {rows r} … WHERE …`
            (the WHERE is needed, `WHERE true` at least).
        columns: What it selects, where that is more.
    """
    return Sql(f"INSERT INTO job ({columns}) {source} ON CONFLICT (tenant, id) DO NOTHING")


ENQUEUE = Procedure(
    "enqueue_job",
    NewJob,
    (
        enqueue_from(
            "SELECT tenant, id, kind, payload, run_ms, max_attempts, created_ms FROM {rows r} WHERE true"
        ),
    ),
)
CLAIM = claim(
    "job", "tenant, id, kind, payload, token, attempts, max_attempts, created_ms", ClaimedJob
)
EXTEND = extend("job")
SETTLE = settle("job")
WAITING = waiting("job")
RELEASE = release("job", backs_off=True)
FINISH = Procedure(
    "finish_job",
    Held,
    (
        Sql("""DELETE FROM job WHERE (tenant, id, token) IN
               (SELECT r.tenant, r.id, r.token FROM {rows r})"""),
    ),
)
FINISH_ONE = Sql("DELETE FROM job WHERE tenant = :tenant AND id = :id AND token = :token")
SET_PRIORITY = Sql(
    "UPDATE job SET priority = :priority WHERE tenant = :tenant AND id = :id AND token = :token"
)
# A procedure's cursor moves with what it wrote; only its holder moves it. It has come on, so what killed its former holders was not the job: its attempts begin anew.
SAVE_PAYLOAD = Sql(
    "UPDATE job SET payload = :payload, attempts = 0 WHERE tenant = :tenant AND id = :id AND token = :token"
)

_STORED = "tenant, id, kind, payload, run_ms, lease_by, attempts, max_attempts, error, created_ms"
JOB = Sql(f"SELECT {_STORED} FROM job WHERE tenant = :tenant AND id = :id", StoredJob)
DEAD = Sql(
    f"""SELECT {_STORED} FROM job WHERE tenant = :tenant AND run_ms IS NULL
        ORDER BY created_ms, id LIMIT :limit""",
    StoredJob,
)
REPLAY = Sql(
    """UPDATE job SET run_ms = :now, attempts = 0, token = token + 1
       WHERE tenant = :tenant AND id = :id AND run_ms IS NULL"""
)
DISCARD = Sql("DELETE FROM job WHERE tenant = :tenant AND id = :id AND run_ms IS NULL")
