"""Erasing a person: at once they are nobody any longer, then all that is theirs goes slice by slice.

A table of another aggregate that keeps something by user is one line here. `presence_visibility` has none: an account outlives the
subscriber, and without its row everybody could see what it has hidden.
"""

from typing import Final

from clarion.storage.events import FORGET_EVENTS
from clarion.storage.run_retention import FORGET_OUTGOING, FORGET_RUNS, Old
from clarion.storage.store import Procedure, Sql

_THEIRS = "tenant = :tenant AND usr = :usr"

# In one transaction with the subscriber's own row: what waits for them ends, and nobody can reach them any longer.
AT_ONCE: Final = (
    Sql(f"DELETE FROM address WHERE {_THEIRS}"),
    Sql(f"DELETE FROM audience_member WHERE {_THEIRS}"),
    Sql(f"DELETE FROM trigger_recipient WHERE {_THEIRS}"),
    Sql(f"DELETE FROM preference WHERE {_THEIRS}"),
    Sql(f"DELETE FROM event_person WHERE {_THEIRS}"),
    Sql("DELETE FROM presence_contact WHERE tenant = :tenant AND (id = :usr OR contact = :usr)"),
    Sql(
        f"""UPDATE run SET status = 'cancelled', run_ms = NULL, wait_key = '', lease_by = NULL, token = token + 1
            WHERE {_THEIRS} AND status IN ('running', 'collected')"""
    ),
    Sql(
        f"""UPDATE outgoing SET status = 'cancelled', rank = 100, cause = 'the subscriber was deleted', run_ms = NULL, token = token + 1,
              ended_ms = :now_ms WHERE {_THEIRS} AND status = 'queued' AND lease_by IS NULL"""
    ),
)


def _slice(table: str, key: str, time: str) -> Sql[None]:
    """Whatever of a table was theirs then: they may have come back since."""
    return Sql(
        f"""DELETE FROM {table} WHERE (tenant, usr, {key}) IN
            (SELECT tenant, usr, {key} FROM {table} WHERE {_THEIRS} AND {time} <= :at_ms LIMIT :n)"""
    )


SLICES: Final = (
    # What was written for them alone; what others were told as well is theirs, too.
    Sql(
        """DELETE FROM notification WHERE (tenant, id) IN
            (SELECT n.tenant, n.id FROM message m JOIN notification n ON n.tenant = m.tenant AND n.id = m.notification
             WHERE m.tenant = :tenant AND m.usr = :usr AND m.created_ms <= :at_ms AND n.recipients = 1 LIMIT :n)"""
    ),
    _slice("message", "seq", "created_ms"),
    _slice("inbox_change", "off", "at_ms"),
)
BY_ID: Final[tuple[tuple[Sql[Old], Procedure], ...]] = (
    (
        Sql(
            f"SELECT tenant, id FROM run WHERE {_THEIRS} AND created_ms <= :at_ms LIMIT :n",
            Old,
        ),
        FORGET_RUNS,
    ),
    (
        Sql(
            f"SELECT tenant, id FROM outgoing WHERE {_THEIRS} AND created_ms <= :at_ms LIMIT :n",
            Old,
        ),
        FORGET_OUTGOING,
    ),
    (
        # Numbers that name nobody stay.
        Sql(
            f"SELECT tenant, id FROM event WHERE {_THEIRS} AND +received_ms <= :at_ms LIMIT :n",
            Old,
        ),
        FORGET_EVENTS,
    ),
)
# What is one row, or few.
AT_LAST: Final = (
    # A change that was on its way when they were erased.
    Sql(f"DELETE FROM preference WHERE {_THEIRS} AND updated_ms <= :at_ms"),
    Sql(f"DELETE FROM batch WHERE {_THEIRS} AND opened_ms <= :at_ms"),
    Sql(
        """DELETE FROM inbox_head WHERE tenant = :tenant AND usr = :usr AND NOT EXISTS
           (SELECT 1 FROM message m WHERE m.tenant = :tenant AND m.usr = :usr)"""
    ),
    Sql(f"DELETE FROM event_person WHERE {_THEIRS} AND last_ms <= :at_ms"),
    Sql(f"DELETE FROM capture WHERE {_THEIRS} AND at_ms <= :at_ms"),
    Sql("DELETE FROM presence_seen WHERE tenant = :tenant AND id = :usr AND seen_ms <= :at_ms"),
)
