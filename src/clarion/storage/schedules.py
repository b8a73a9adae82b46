"""Schedules and their occurrences. A schedule that is due is claimed under a lease, as a job is; who settles it shows the newest token.

An occurrence is written with the trigger that it makes, in one transaction, under a name that no other of its schedule has: however
many processes come to it, and however often clocks are set back, it triggers once.
"""

from functools import lru_cache

from msgspec import Struct

from clarion.storage.jobs import claim, release, waiting
from clarion.storage.store import Sql


class ScheduleRow(Struct, frozen=True):
    """A schedule as it stands."""

    id: str
    definition: str
    rule: str
    state: str
    why: str
    revision: int
    author: str
    next_ms: int | None
    since_ms: int
    last_key: str
    created_ms: int
    updated_ms: int


class ClaimedSchedule(Struct, frozen=True):
    """A schedule that is due, as its claimer gets it."""

    tenant: str
    id: str
    definition: str
    rule: str
    next_ms: int | None
    last_key: str
    token: int
    attempts: int


class Misreckoned(Struct, frozen=True):
    """A schedule whose next occurrence is to be reckoned anew."""

    tenant: str
    id: str
    rule: str
    since_ms: int
    last_key: str
    token: int


class OccurrenceRow(Struct, frozen=True):
    """What became of an occurrence."""

    id: str
    key: str
    due_ms: int
    missed_ms: int
    outcome: str
    trigger_id: str
    why: str
    at_ms: int


class Count(Struct, frozen=True):
    """How many."""

    count: int


_OWNER = "tenant = :tenant AND id = :id"
_ROW = "id, definition, rule, state, why, revision, author, next_ms, since_ms, last_key, created_ms, updated_ms"

CLAIM = claim(
    "schedule",
    "tenant, id, definition, rule, next_ms, last_key, token, attempts",
    ClaimedSchedule,
)
WAITING = waiting("schedule")
RELEASE = release("schedule")

FIND = Sql(f"SELECT {_ROW} FROM schedule WHERE {_OWNER}", ScheduleRow)
HOLD = Sql(f"SELECT {_ROW} FROM schedule WHERE {_OWNER} {{for_update}}", ScheduleRow)
COUNT = Sql(
    "SELECT count(*) FROM schedule WHERE tenant = :tenant AND state IN ('active', 'paused')", Count
)
# Whoever has claimed it holds an older token from here on: what it is about to do, it does not do.
_ANEW = "token = schedule.token + 1, lease_by = NULL, attempts = 0"
PUT = Sql(
    f"""INSERT INTO schedule (tenant, id, workflow, definition, rule, state, why, revision, author, next_ms, since_ms, last_key,
          zone_data, run_ms, created_ms, updated_ms)
        VALUES (:tenant, :id, :workflow, :definition, :rule, :state, '', :revision, :author, :next_ms, :since_ms, :last_key,
          :zone_data, :run_ms, :now_ms, :now_ms)
        ON CONFLICT (tenant, id) DO UPDATE SET workflow = excluded.workflow, definition = excluded.definition, rule = excluded.rule,
          state = excluded.state, why = CASE WHEN excluded.state = schedule.state THEN schedule.why ELSE '' END,
          revision = excluded.revision, author = excluded.author, next_ms = excluded.next_ms, since_ms = excluded.since_ms,
          last_key = excluded.last_key, zone_data = excluded.zone_data, run_ms = excluded.run_ms,
          updated_ms = excluded.updated_ms, {_ANEW}"""
)
SET_STATE = Sql(
    f"""UPDATE schedule SET state = :state, why = '', next_ms = :next_ms, run_ms = :next_ms, since_ms = :since_ms,
          zone_data = :zone_data, revision = revision + 1, updated_ms = :now_ms, {_ANEW} WHERE {_OWNER}"""
)
# After an occurrence. Its holder alone: with another token nothing is touched.
SETTLE = Sql(
    f"""UPDATE schedule SET state = :state, why = :why, revision = revision + :changed, next_ms = :next_ms, run_ms = :next_ms,
          since_ms = :since_ms, last_key = :last_key, zone_data = :zone_data, {_ANEW} WHERE {_OWNER} AND token = :token"""
)
ADD_OCCURRENCE = Sql(
    """INSERT INTO occurrence (tenant, schedule, id, key, due_ms, missed_ms, outcome, trigger_id, why, at_ms)
       VALUES (:tenant, :schedule, :id, :key, :due_ms, :missed_ms, :outcome, :trigger_id, :why, :now_ms) ON CONFLICT DO NOTHING"""
)
OCCURRENCES = Sql(
    """SELECT id, key, due_ms, missed_ms, outcome, trigger_id, why, at_ms FROM occurrence
       WHERE tenant = :tenant AND schedule = :schedule AND id < :before ORDER BY id DESC LIMIT :n""",
    OccurrenceRow,
)
# Reckoned by other zone data; or by a clock that has been set back since. Nobody has them in hand.
MISRECKONED = Sql(
    """SELECT tenant, id, rule, since_ms, last_key, token FROM schedule
       WHERE state = 'active' AND lease_by IS NULL AND (zone_data <> :zone_data OR since_ms > :until_ms)
         AND (tenant, id) > (:tenant, :id) ORDER BY tenant, id LIMIT :n""",
    Misreckoned,
)
RECKON = Sql(
    f"""UPDATE schedule SET next_ms = :next_ms, run_ms = :next_ms, since_ms = :since_ms, zone_data = :zone_data, {_ANEW}
        WHERE {_OWNER} AND token = :token AND lease_by IS NULL AND state = 'active'"""
)
FORGET_OCCURRENCES = Sql(
    """DELETE FROM occurrence WHERE (tenant, schedule, id) IN (SELECT tenant, schedule, id FROM occurrence
         WHERE at_ms < :before ORDER BY at_ms LIMIT :n)"""
)
FORGET_SCHEDULES = Sql(
    """DELETE FROM schedule WHERE (tenant, id) IN (SELECT s.tenant, s.id FROM schedule s
         WHERE s.state IN ('ended', 'cancelled') AND s.updated_ms < :before
           AND NOT EXISTS (SELECT 1 FROM occurrence o WHERE o.tenant = s.tenant AND o.schedule = s.id)
         ORDER BY s.updated_ms LIMIT :n)"""
)


@lru_cache(4)
def page(*, of_workflow: bool, of_state: bool) -> Sql[ScheduleRow]:
    """Schedules behind `:after`; parameters `:tenant`, `:n`, and `:workflow`, `:state` where they are asked for."""
    where = "tenant = :tenant AND id > :after"
    where += " AND workflow = :workflow" if of_workflow else ""
    where += " AND state = :state" if of_state else ""
    return Sql(f"SELECT {_ROW} FROM schedule WHERE {where} ORDER BY id LIMIT :n", ScheduleRow)
