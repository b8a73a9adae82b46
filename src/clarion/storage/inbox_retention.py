"""What inboxes keep, and no longer: the oldest messages of a tenant, set by set, with an entry in the log of each inbox that had some.

To be used in this order in one transaction: `HOLD_HEADS`, `STATES`, `FORGET`, `TELL`.
"""

from msgspec import Struct

from clarion.storage.store import Procedure, Sql


class Tenant(Struct, frozen=True):
    """One that has messages; None: there is no more."""

    tenant: str | None


class Aged(Struct, frozen=True):
    """A message that is too old."""

    usr: str
    id: str
    notification: str
    created_ms: int


class Old(Struct, frozen=True, array_like=True):
    """Names such a message, and what it says."""

    tenant: str
    usr: str
    id: str
    notification: str


class Owner(Struct, frozen=True, array_like=True):
    """Names an inbox."""

    tenant: str
    usr: str


class HeadOf(Struct, frozen=True):
    """The newest position of the caller's n-th inbox, and its numbers."""

    n: int
    epoch: str
    top: int
    mark: int
    unread: int
    unseen: int


class StateOf(Struct, frozen=True):
    """Whether the caller's n-th message is there still, neither pinned nor put off meanwhile, and counts."""

    n: int
    is_unread: int
    is_unseen: int


class Removal(Struct, frozen=True, array_like=True):
    """An entry of a log, and the numbers of its inbox from there on."""

    tenant: str
    usr: str
    off: int
    mark: int
    prior: int
    data: str
    unread: int
    unseen: int
    at_ms: int


NEXT_TENANT = Sql("SELECT min(tenant) FROM message WHERE tenant > :after", Tenant)
# Not what its owner keeps on top, or has put off; what came back from that is as old as its return. Going on from `:after`, so that
# what stays is passed once.
_GOES = "m.pinned_ms IS NULL AND m.snooze_ms IS NULL"
AGED = Sql(
    f"""SELECT m.usr, m.id, m.notification, m.created_ms FROM message m
       WHERE m.tenant = :tenant AND m.created_ms >= :after AND m.created_ms < :before
         AND {_GOES} AND (m.back_ms IS NULL OR m.back_ms < :before)
       ORDER BY m.created_ms LIMIT :n""",
    Aged,
)
# In the order in which whoever writes to many inboxes takes them, so that nobody waits in a circle.
HOLD_HEADS = Procedure(
    "hold_inbox_head",
    Owner,
    (
        Sql(
            """SELECT r.n, h.epoch, h.top, h.mark, h.unread, h.unseen FROM {rows r}
               JOIN inbox_head h ON h.tenant = r.tenant AND h.usr = r.usr ORDER BY h.tenant, h.usr {for_update}""",
            HeadOf,
        ),
    ),
)
STATES = Procedure(
    "aged_message_states",
    Old,
    (
        Sql(
            f"""SELECT r.n, CASE WHEN m.read_ms IS NULL AND m.archived_ms IS NULL AND m.snooze_ms IS NULL THEN 1 ELSE 0 END,
                 CASE WHEN m.read_ms IS NULL AND m.archived_ms IS NULL AND m.snooze_ms IS NULL AND m.seen_ms IS NULL
                   THEN 1 ELSE 0 END
               FROM {{rows r}} JOIN message m ON m.tenant = r.tenant AND m.usr = r.usr AND m.id = r.id AND {_GOES}""",
            StateOf,
        ),
    ),
)
FORGET = Procedure(
    "forget_message",
    Old,
    (
        Sql(
            "DELETE FROM message WHERE (tenant, usr, id) IN (SELECT r.tenant, r.usr, r.id FROM {rows r})"
        ),
        # All who share what is said got it at the time that it has: those who have it still are found by that.
        Sql(
            """DELETE FROM notification WHERE (tenant, id) IN (SELECT r.tenant, r.notification FROM {rows r})
               AND NOT EXISTS (SELECT 1 FROM message m WHERE m.tenant = notification.tenant
                 AND m.created_ms = notification.created_ms AND m.notification = notification.id)"""
        ),
    ),
)
TELL = Procedure(
    "tell_of_removal",
    Removal,
    (
        Sql("""INSERT INTO inbox_change (tenant, usr, off, mark, prior, event, carries, data, unread, unseen, at_ms)
            SELECT r.tenant, r.usr, r.off, r.mark, r.prior, 'removed', '', r.data, r.unread, r.unseen, r.at_ms
            FROM {rows r} WHERE true"""),
        Sql("""UPDATE inbox_head SET top = s.off, mark = s.mark, unread = s.unread, unseen = s.unseen
            FROM (SELECT r.*, row_number() OVER (PARTITION BY r.tenant, r.usr ORDER BY r.off DESC) AS k FROM {rows r}) AS s
            WHERE s.k = 1 AND inbox_head.tenant = s.tenant AND inbox_head.usr = s.usr AND s.off > inbox_head.top"""),
    ),
)
