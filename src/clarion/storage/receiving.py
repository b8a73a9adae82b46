"""What comes in by a stream, until it is whole: recipients of a trigger, and lines of an import.

Its id is given before its first row. A job that is enqueued with it, due a day later, removes what a caller or a process has left
half-way; the one of an import is due at once when all of it is there.
"""

from typing import Final, Literal

from msgspec import Struct

from clarion.storage.store import Procedure, Sql
from clarion.storage.subscribers import DESCRIBED, keep_of, latest_of

_OF = "tenant = :tenant AND trigger_id = :id"
_PARTS = "tenant = :tenant AND import = :id"
_THIS = "tenant = :tenant AND id = :id"


class NewRecipient(Struct, frozen=True, array_like=True):
    """Somebody whom a trigger names on a line; `described`: 1 if more than an id stands there. '' says nothing."""

    tenant: str
    trigger_id: str
    usr: str
    line: int
    described: int
    name: str = ""
    email: str = ""
    phone: str = ""
    locale: str = ""
    time_zone: str = ""
    attributes: str = ""


class Unknown(Struct, frozen=True):
    """Somebody who is named, and whom nobody knows."""

    line: int
    usr: str


class Last(Struct, frozen=True):
    """The last of a slice; None: there is none."""

    usr: str | None


class Import(Struct, frozen=True):
    """An import as it stands."""

    id: str
    audience: str
    state: Literal["running", "done", "cancelled"]
    total: int
    done: int
    failed: int
    created_ms: int


class Part(Struct, frozen=True):
    """Some of its lines: JSON."""

    n: int
    lines: str


class NewFault(Struct, frozen=True, array_like=True):
    """A line that was not taken, and why."""

    tenant: str
    import_id: str
    line: int
    reason: str


class Fault(Struct, frozen=True):
    """The same, as it is told."""

    line: int
    reason: str


# Of several lines about one person the later says more, column by column; they keep the place of the first.
STAGE: Final = Procedure(
    "stage_recipient",
    NewRecipient,
    (
        Sql(f"""INSERT INTO trigger_recipient (tenant, trigger_id, usr, line, described, {", ".join(DESCRIBED)})
            SELECT d.tenant, d.trigger_id, d.usr, d.line, d.described, {", ".join(f"d.{column}" for column in DESCRIBED)}
            FROM (SELECT r.tenant, r.trigger_id, r.usr, {", ".join(latest_of(c, "r.tenant, r.trigger_id, r.usr") for c in DESCRIBED)},
                    min(r.line) OVER (PARTITION BY r.tenant, r.trigger_id, r.usr) AS line,
                    max(r.described) OVER (PARTITION BY r.tenant, r.trigger_id, r.usr) AS described,
                    row_number() OVER (PARTITION BY r.tenant, r.trigger_id, r.usr ORDER BY r.n DESC) AS nth
                  FROM {{rows r}} WHERE true) AS d
            WHERE d.nth = 1 ORDER BY d.tenant, d.trigger_id, d.usr
            ON CONFLICT (tenant, trigger_id, usr) DO UPDATE SET
              {", ".join(keep_of(c, "trigger_recipient") for c in DESCRIBED)},
              line = CASE WHEN excluded.line < trigger_recipient.line THEN excluded.line ELSE trigger_recipient.line END,
              described = CASE WHEN excluded.described > trigger_recipient.described THEN excluded.described
                ELSE trigger_recipient.described END"""),
    ),
)
STRANGERS: Final = Sql(
    """SELECT r.line, r.usr FROM trigger_recipient r LEFT JOIN subscriber s ON s.tenant = r.tenant AND s.id = r.usr
       WHERE r.tenant = :tenant AND r.trigger_id = :id AND r.described = 0 AND s.id IS NULL ORDER BY r.line LIMIT :n""",
    Unknown,
)
NEXT: Final = Sql(
    f"SELECT max(x.usr) FROM (SELECT usr FROM trigger_recipient WHERE {_OF} AND usr > :after ORDER BY usr LIMIT :n) AS x",
    Last,
)
DESCRIBE: Final = Sql(
    f"""INSERT INTO subscriber (tenant, id, {", ".join(DESCRIBED)}, created_ms, updated_ms)
        SELECT tenant, usr, {", ".join(DESCRIBED)}, :now_ms, :now_ms FROM trigger_recipient
        WHERE {_OF} AND described = 1 AND usr > :after AND usr <= :upto ORDER BY usr
        ON CONFLICT (tenant, id) DO UPDATE SET {", ".join(keep_of(c, "subscriber") for c in DESCRIBED)},
          updated_ms = excluded.updated_ms"""
)
DROP_RECIPIENTS: Final = Sql(
    f"""DELETE FROM trigger_recipient WHERE {_OF} AND usr IN
        (SELECT usr FROM trigger_recipient WHERE {_OF} ORDER BY usr LIMIT :n)"""
)

ADD_PART: Final = Sql(
    "INSERT INTO import_part (tenant, import, n, lines) VALUES (:tenant, :id, :n, :lines)"
)
DROP_PARTS: Final = Sql(
    f"DELETE FROM import_part WHERE {_PARTS} AND n IN (SELECT n FROM import_part WHERE {_PARTS} ORDER BY n LIMIT :n)"
)
PART: Final = Sql(f"SELECT n, lines FROM import_part WHERE {_PARTS} ORDER BY n LIMIT 1", Part)
DROP_PART: Final = Sql(f"DELETE FROM import_part WHERE {_PARTS} AND n = :n")
ADD_IMPORT: Final = Sql(
    """INSERT INTO import (tenant, id, audience, media, state, total, done, failed, created_ms)
       VALUES (:tenant, :id, :audience, :media, 'running', :total, 0, 0, :now_ms)"""
)
DUE_NOW: Final = Sql(f"UPDATE job SET run_ms = :now_ms WHERE {_THIS}")
_ROW = "id, audience, state, total, done, failed, created_ms"
FIND: Final = Sql(f"SELECT {_ROW} FROM import WHERE {_THIS}", Import)
# Whoever holds it is alone in carrying it on and calling it off.
HOLD: Final = Sql(f"SELECT {_ROW} FROM import WHERE {_THIS} {{for_update}}", Import)
GO_ON: Final = Sql(
    f"UPDATE import SET done = done + :done, failed = failed + :failed WHERE {_THIS}"
)
END: Final = Sql(f"UPDATE import SET state = :state, ended_ms = :now_ms WHERE {_THIS}")
ADD_FAULTS: Final = Procedure(
    "add_import_fault",
    NewFault,
    (
        Sql("""INSERT INTO import_fault (tenant, import, line, reason)
            SELECT tenant, import_id, line, reason FROM {rows r} WHERE true ON CONFLICT DO NOTHING"""),
    ),
)
FAULTS: Final = Sql(
    f"SELECT line, reason FROM import_fault WHERE {_PARTS} AND line > :after ORDER BY line LIMIT :n",
    Fault,
)
OLD_FAULTS: Final = Sql(
    """DELETE FROM import_fault WHERE (tenant, import, line) IN
       (SELECT f.tenant, f.import, f.line FROM import i JOIN import_fault f ON f.tenant = i.tenant AND f.import = i.id
        WHERE i.created_ms < :before AND i.state <> 'running' LIMIT :n)"""
)
OLD_IMPORTS: Final = Sql(
    """DELETE FROM import WHERE (tenant, id) IN (SELECT tenant, id FROM import
         WHERE created_ms < :before AND state <> 'running' ORDER BY created_ms LIMIT :n)"""
)
