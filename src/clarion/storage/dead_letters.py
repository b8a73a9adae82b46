"""Dead letters: what was tried for the last time, in three tables; sent again or dropped set by set, with a record of who did it.

A letter is dead once: what is sent again is due, and none until it has failed again. So a call that is repeated changes nothing twice,
and one that goes on after a crash leaves alone what has died since it began.
"""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from clarion.storage.store import Sql

Kind = Literal["message", "run", "job"]


class Group(Struct, frozen=True):
    """Dead letters that are alike. `what`: the channel of messages, the kind of jobs."""

    what: str
    provider: str
    workflow: str
    reason: str
    count: int
    first_ms: int
    last_ms: int


class DeadJob(Struct, frozen=True):
    """A job that is not tried any more."""

    id: str
    kind: str
    payload: str
    attempts: int
    error: str | None
    created_ms: int


class Act(Struct, frozen=True):
    """What a person has done to dead letters."""

    id: str
    who: str
    act: str
    asked: str
    until_ms: int
    count: int
    is_done: int


class Counted(Struct, frozen=True):
    """How many letters an act has had so far, whoever carries it on."""

    count: int


_LIKE = "(:reason = '' OR lower({0}) LIKE :like ESCAPE '!')"
_IDS = "(:ids = '' OR id {in listed})"
_DEAD: Final[Mapping[Kind, str]] = {
    "message": f"""tenant = :tenant AND status = 'failed' AND coalesce(ended_ms, created_ms) <= :until
        AND (:what = '' OR channel = :what) AND (:provider = '' OR provider = :provider)
        AND (:workflow = '' OR workflow = :workflow) AND {_LIKE.format("cause")}""",
    # One whose last step has failed has ended, and has no error: only what could not go on is dead.
    "run": f"""tenant = :tenant AND status = 'failed' AND error <> '' AND created_ms <= :until AND :what = '' AND :provider = ''
        AND (:workflow = '' OR workflow = :workflow) AND {_LIKE.format("error")}""",
    "job": f"""tenant = :tenant AND run_ms IS NULL AND created_ms <= :until AND (:what = '' OR kind = :what)
        AND :provider = '' AND :workflow = '' AND {_LIKE.format("coalesce(error, '')")}""",
}
_TABLES: Final[Mapping[Kind, str]] = {"message": "outgoing", "run": "run", "job": "job"}
_AGAIN: Final[Mapping[Kind, str]] = {
    "message": """status = 'queued', rank = 0, cause = '', error = NULL, run_ms = :now_ms, ended_ms = NULL, sent_ms = NULL,
        tried = tried + attempts, attempts = 0, token = token + 1, lease_by = NULL""",
    "run": "status = 'running', error = NULL, run_ms = :now_ms, attempts = 0, token = token + 1, lease_by = NULL",
    "job": "run_ms = :now_ms, attempts = 0, token = token + 1, lease_by = NULL",
}


def _slice(kind: Kind) -> str:
    # A CTE, because PostgreSQL may run an IN (… LIMIT n) more than once, and would take more than n.
    return f"""WITH dead AS (SELECT tenant, id FROM {_TABLES[kind]} WHERE {_DEAD[kind]} AND {_IDS}
        ORDER BY created_ms, id LIMIT :n {{skip_locked}})"""


REPLAY: Final[Mapping[Kind, Sql[None]]] = {
    kind: Sql(
        f"""{_slice(kind)} UPDATE {table} SET {_AGAIN[kind]} FROM dead
            WHERE {table}.tenant = dead.tenant AND {table}.id = dead.id"""
    )
    for kind, table in _TABLES.items()
}
DROP: Final[Mapping[Kind, Sql[None]]] = {
    "message": Sql(
        f"""{_slice("message")} UPDATE outgoing SET status = 'cancelled', rank = 100, cause = 'dropped: ' || cause FROM dead
            WHERE outgoing.tenant = dead.tenant AND outgoing.id = dead.id"""
    ),
    "run": Sql(
        f"""{_slice("run")} UPDATE run SET status = 'cancelled' FROM dead
            WHERE run.tenant = dead.tenant AND run.id = dead.id"""
    ),
    "job": Sql(
        f"{_slice('job')} DELETE FROM job WHERE (tenant, id) IN (SELECT dead.tenant, dead.id FROM dead)"
    ),
}
_GROUPS: Final[Mapping[Kind, str]] = {
    "message": "channel, provider, workflow, cause, count(*), min(created_ms), max(created_ms)",
    "run": "'', '', workflow, error, count(*), min(created_ms), max(created_ms)",
    "job": "kind, '', '', coalesce(error, ''), count(*), min(created_ms), max(created_ms)",
}
GROUPS: Final[Mapping[Kind, Sql[Group]]] = {
    kind: Sql(
        f"""SELECT {_GROUPS[kind]} FROM {table} WHERE {_DEAD[kind]} GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 4 LIMIT :n""",
        Group,
        within_s=5.0,
    )
    for kind, table in _TABLES.items()
}
JOBS = Sql(
    """SELECT id, kind, payload, attempts, error, created_ms FROM job
       WHERE tenant = :tenant AND run_ms IS NULL AND id < :before ORDER BY id DESC LIMIT :n""",
    DeadJob,
)

_ACT = "id, who, act, asked, until_ms, count, is_done"
BEGIN = Sql(
    """INSERT INTO dead_letter_act (tenant, id, who, act, asked, idem_key, until_ms, count, is_done)
       VALUES (:tenant, :id, :who, :act, :asked, :key, :until_ms, 0, 0) ON CONFLICT DO NOTHING"""
)
OF_KEY = Sql(
    f"SELECT {_ACT} FROM dead_letter_act WHERE tenant = :tenant AND who = :who AND idem_key = :key AND idem_key <> ''",
    Act,
)
GO_ON = Sql(
    """UPDATE dead_letter_act SET count = count + :count, is_done = :is_done
       WHERE tenant = :tenant AND id = :id RETURNING count""",
    Counted,
)
ACTS = Sql(
    f"SELECT {_ACT} FROM dead_letter_act WHERE tenant = :tenant AND id < :before ORDER BY id DESC LIMIT :n",
    Act,
)
FORGET_ACTS = Sql(
    """DELETE FROM dead_letter_act WHERE (tenant, id) IN
       (SELECT tenant, id FROM dead_letter_act WHERE until_ms < :before ORDER BY until_ms LIMIT :n)"""
)
