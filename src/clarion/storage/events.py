"""Events: what people did, with exact counts, and the runs that waited for it.

One procedure writes a batch: the rows, the counts of their minutes, what each person did how often, and the wake-up of every run
that waits for one of them. All of it is one commit, so that counts are right whenever the process dies.
"""

from msgspec import Struct

from clarion.storage.store import Procedure, Sql


class NewEvent(Struct, frozen=True, array_like=True):
    """An event; one with an id that exists changes nothing. `wait_key`: what runs wait for that wait for this."""

    tenant: str
    id: str
    usr: str
    name: str
    properties: str
    at_ms: int
    received_ms: int
    call: int
    wait_key: str


class Taken(Struct, frozen=True):
    """Whether the caller's n-th event is new, and whether somebody waits for it."""

    n: int
    is_new: int
    is_awaited: int


class Of(Struct, frozen=True, array_like=True):
    """Asks for what somebody did: of one name, received since, happened since; the newest `most` of it."""

    tenant: str
    usr: str
    name: str
    received_ms: int
    at_ms: int
    most: int


class Did(Struct, frozen=True):
    """One event of those that the caller's n-th question found, the newest first."""

    n: int
    id: str
    properties: str
    at_ms: int


class Counted(Struct, frozen=True):
    """How many events the caller's n-th question found, and when they were."""

    n: int
    count: int
    first_ms: int | None
    last_ms: int | None


class Named(Struct, frozen=True, array_like=True):
    """Names an event."""

    tenant: str
    id: str


class WaitKey(Struct, frozen=True, array_like=True):
    """What runs wait for."""

    tenant: str
    wait_key: str
    now_ms: int


class MinuteRow(Struct, frozen=True):
    """How many events of a name a minute had, or how many people."""

    minute_ms: int
    count: int


class Number(Struct, frozen=True):
    """How many."""

    count: int


class NameRow(Struct, frozen=True):
    """A name of events, how many there were, and of how many people."""

    name: str
    count: int


class EventRow(Struct, frozen=True):
    """An event as it is kept."""

    id: str
    usr: str
    name: str
    properties: str
    at_ms: int
    received_ms: int


class Name(Struct, frozen=True):
    """A name of events that are counted."""

    tenant: str
    name: str


class Tenant(Struct, frozen=True):
    """A tenant; None: there are no more."""

    tenant: str | None


MINUTE_MS = 60_000
# A value, not a join: PostgreSQL would read all events where they are not many times as many as the rows.
_CALL = "(SELECT e.call FROM event e WHERE e.tenant = r.tenant AND e.id = r.id)"
_NEW = f"{{rows r}} WHERE r.call = {_CALL}"


def _wake(at: str) -> Sql[None]:
    """Let the runs look that wait for what the rows' `wait_key` names, unless somebody carries them on just now, who will look."""
    # CROSS JOIN: SQLite keeps to the order, row by row into the index of what is waited for, which most of the time has nothing.
    # MATERIALIZED: PostgreSQL, before it has statistics, would do all of it again for every run.
    return Sql(
        f"""WITH due AS MATERIALIZED (SELECT w.tenant, w.id, min(r.{at}) AS at_ms FROM {{rows r}} CROSS JOIN run w
              WHERE w.tenant = r.tenant AND w.wait_key = r.wait_key AND w.wait_key <> ''
              GROUP BY w.tenant, w.id ORDER BY w.tenant, w.id)
            UPDATE run SET run_ms = due.at_ms FROM due WHERE run.tenant = due.tenant AND run.id = due.id
              AND run.status = 'running' AND run.lease_by IS NULL AND run.run_ms > due.at_ms"""
    )


# Inserts that may wait for another run's row lock go in the order of their keys: no two runs can wait for each other.
TRACK = Procedure(
    "track_event",
    NewEvent,
    (
        Sql("""INSERT INTO event (tenant, id, usr, name, properties, at_ms, received_ms, call)
            SELECT r.tenant, r.id, r.usr, r.name, r.properties, r.at_ms, r.received_ms, r.call
            FROM {rows r} WHERE true ORDER BY r.tenant, r.id, r.n ON CONFLICT DO NOTHING"""),
        Sql(f"""INSERT INTO event_minute (tenant, name, minute_ms, count)
            SELECT r.tenant, r.name, r.at_ms - r.at_ms % {MINUTE_MS} AS minute_ms, count(*) FROM {_NEW}
            GROUP BY r.tenant, r.name, r.at_ms - r.at_ms % {MINUTE_MS} ORDER BY 1, 2, 3
            ON CONFLICT (tenant, name, minute_ms) DO UPDATE SET count = event_minute.count + excluded.count"""),
        Sql(f"""INSERT INTO event_person (tenant, usr, name, times, first_ms, last_ms)
            SELECT r.tenant, r.usr, r.name, count(*), min(r.at_ms), max(r.at_ms) FROM {_NEW} AND r.usr <> ''
            GROUP BY r.tenant, r.usr, r.name ORDER BY 1, 2, 3
            ON CONFLICT (tenant, usr, name) DO UPDATE SET times = event_person.times + excluded.times,
              first_ms = CASE WHEN excluded.first_ms < event_person.first_ms THEN excluded.first_ms ELSE event_person.first_ms END,
              last_ms = CASE WHEN excluded.last_ms > event_person.last_ms THEN excluded.last_ms ELSE event_person.last_ms END"""),
        _wake("received_ms"),
        Sql(
            # LIMIT: or PostgreSQL would hash all that wait, instead of looking each up.
            f"""SELECT r.n, CASE WHEN r.call = {_CALL} THEN 1 ELSE 0 END,
                 coalesce((SELECT 1 FROM run WHERE run.tenant = r.tenant AND run.wait_key = r.wait_key AND run.wait_key <> '' LIMIT 1), 0)
               FROM {{rows r}} ORDER BY r.n""",
            Taken,
        ),
    ),
)
# Again after the commit: a run whose wait was being committed meanwhile was not to be seen. (SQLite has one writer.)
WAKE = Procedure(
    "wake_for_event",
    WaitKey,
    (_wake("now_ms"),),
)
_ASKED = """e.tenant = r.tenant AND e.usr = r.usr AND e.usr <> '' AND e.name = r.name AND e.received_ms >= r.received_ms
    AND e.at_ms >= r.at_ms"""
FIND = Procedure(
    "find_events",
    Of,
    (
        Sql(
            f"""SELECT f.n, f.id, f.properties, f.at_ms FROM (SELECT r.n, r.most, e.id, e.properties, e.at_ms,
                  row_number() OVER (PARTITION BY r.n ORDER BY e.received_ms DESC, e.id DESC) AS k
                FROM {{rows r}} CROSS JOIN event e WHERE {_ASKED}) AS f WHERE f.k <= f.most ORDER BY f.n, f.k""",
            Did,
        ),
    ),
)
COUNT = Procedure(
    "count_events",
    Of,
    (
        Sql(
            f"""SELECT r.n, count(e.id), min(e.at_ms), max(e.at_ms)
                FROM {{rows r}} LEFT JOIN event e ON {_ASKED} GROUP BY r.n ORDER BY r.n""",
            Counted,
        ),
    ),
)

# ── numbers ──
_SINCE = "tenant = :tenant AND name = :name AND minute_ms >= :since"
MINUTES = Sql(
    f"SELECT minute_ms, count FROM event_minute WHERE {_SINCE} ORDER BY minute_ms LIMIT 10000",
    MinuteRow,
)
TOTAL = Sql(f"SELECT CAST(coalesce(sum(count), 0) AS BIGINT) FROM event_minute WHERE {_SINCE}", Number)  # fmt: skip
PEOPLE = Sql(
    "SELECT count(*) FROM event_person WHERE tenant = :tenant AND name = :name AND last_ms >= :since",
    Number,
    within_s=5.0,
)
PEOPLE_BY_MINUTE = Sql(
    f"""SELECT at_ms - at_ms % {MINUTE_MS}, count(DISTINCT usr) FROM event
        WHERE tenant = :tenant AND name = :name AND at_ms >= :since AND usr <> ''
        GROUP BY at_ms - at_ms % {MINUTE_MS} ORDER BY 1""",
    MinuteRow,
    within_s=5.0,
)
NAMES = Sql(
    """SELECT name, CAST(sum(count) AS BIGINT) FROM event_minute WHERE tenant = :tenant AND name > :after
       GROUP BY name ORDER BY name LIMIT :n""",
    NameRow,
)


# ── export, and being forgotten ──
_BEHIND = "(received_ms > :after_ms OR (received_ms = :after_ms AND id > :after_id))"
_SHOWN = "SELECT id, usr, name, properties, at_ms, received_ms FROM event"
EXPORT = Sql(
    f"""{_SHOWN} WHERE tenant = :tenant AND received_ms >= :after_ms AND {_BEHIND}
        ORDER BY received_ms, id LIMIT :n""",
    EventRow,
)
# By an index that has all it asks for: of a whole row SQLite would think the tenant's range cheaper, and read it all.
_OF = (
    "(tenant, id) IN (SELECT x.tenant, x.id FROM event x WHERE x.tenant = :tenant AND x.usr = :usr)"
)
EXPORT_OF = Sql(
    f"{_SHOWN} WHERE {_OF} AND {_BEHIND} ORDER BY +received_ms, id LIMIT :n",
    EventRow,
)
FORGET_EVENTS = Procedure(
    "forget_event",
    Named,
    (Sql("DELETE FROM event WHERE (tenant, id) IN (SELECT r.tenant, r.id FROM {rows r})"),),
)
# Of a person nothing stays but numbers that name nobody.
FORGET_EVENTS_OF = Sql(f"DELETE FROM event WHERE {_OF}")
FORGET_PERSON = Sql("DELETE FROM event_person WHERE tenant = :tenant AND usr = :usr")

# Tenants that have events, one after the other.
NEXT_TENANT = Sql("SELECT min(tenant) FROM event WHERE tenant > :after", Tenant)
PURGE_EVENTS = Sql(
    """DELETE FROM event WHERE (tenant, id) IN (SELECT tenant, id FROM event
         WHERE tenant = :tenant AND received_ms < :before ORDER BY received_ms LIMIT :n)"""
)
# Names that are counted, one after the other: of each what is old is one range of an index. Neither has an index by age alone.
NEXT_NAME = Sql(
    """SELECT tenant, name FROM event_minute WHERE (tenant, name) > (:tenant, :name) ORDER BY tenant, name LIMIT 1""",
    Name,
)
PURGE_PEOPLE = Sql(
    """DELETE FROM event_person WHERE (tenant, usr, name) IN (SELECT tenant, usr, name FROM event_person
         WHERE tenant = :tenant AND name = :name AND last_ms < :before ORDER BY last_ms LIMIT :n)"""
)
PURGE_MINUTES = Sql(
    """DELETE FROM event_minute WHERE (tenant, name, minute_ms) IN (SELECT tenant, name, minute_ms FROM event_minute
         WHERE tenant = :tenant AND name = :name AND minute_ms < :before ORDER BY minute_ms LIMIT :n)"""
)


class Who(Struct, frozen=True):
    """Somebody."""

    usr: str


# Of some people, a JSON array of their ids.
WHO_OF = Sql(
    """SELECT p.usr FROM event_person p WHERE p.tenant = :tenant AND p.name = :event AND p.usr {in users}
       AND p.last_ms >= :since_ms AND p.times >= :times""",
    Who,
)


def who_did(name: str = ":event", since: str = ":since_ms", *, times: str = "1") -> str:
    """SQL for the ids of those who did something since a time, for audiences and filters: a SELECT with one column, `usr`.

    Args:
        name: Expression of the event's name; a parameter, never text that somebody has given.
        since: Expression of the time, ms since 1970: they did it then or later.
        times: Expression of how often at least; of all that is kept, not of the window.

    The statement also takes `:tenant`. `bought in the last 30 days` is `s.id IN ({who_did()})`: one range of an index.
    """
    return f"""SELECT p.usr FROM event_person p
        WHERE p.tenant = :tenant AND p.name = {name} AND p.last_ms >= {since} AND p.times >= {times}"""
