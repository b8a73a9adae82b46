"""One message for many inboxes, set by set: what is the same for all is said once, and each statement writes a row for each of them.

To be run in this order in one transaction, with the parameters `:tenant, :users` (JSON; each once), `:message` (the id that it has in each
inbox), `:notification`, `:mark` and `:now_ms`. The row lock on the heads is what orders concurrent writers.
"""

from msgspec import Struct

from clarion.storage.notifications import FIRST_EPOCH, PLACED
from clarion.storage.store import Procedure, Sql

_MODULUS = 1 << 32
_HEADS = "inbox_head h WHERE h.tenant = :tenant AND h.usr {in users}"

RAISE_HEADS = Sql(
    f"""INSERT INTO inbox_head (tenant, usr, epoch, top, mark, unread, unseen)
        SELECT :tenant, u.value, '{FIRST_EPOCH}', 1, CAST(:mark AS BIGINT), 1, 1 FROM {{texts u users}} WHERE true ORDER BY u.value
        ON CONFLICT (tenant, usr) DO UPDATE SET top = inbox_head.top + 1,
          mark = (inbox_head.mark + excluded.mark) % {_MODULUS}, unread = inbox_head.unread + 1, unseen = inbox_head.unseen + 1"""
)
ADD_MESSAGES = Sql(
    f"""INSERT INTO message (tenant, usr, seq, id, notification, created_ms)
        SELECT h.tenant, h.usr, h.top, :message, :notification, CAST(:now_ms AS BIGINT) FROM {_HEADS}"""
)
ADD_CHANGES = Sql(
    f"""INSERT INTO inbox_change (tenant, usr, off, mark, prior, event, carries, data, unread, unseen, at_ms)
        SELECT h.tenant, h.usr, h.top, h.mark, (h.mark - CAST(:mark AS BIGINT) + {_MODULUS}) % {_MODULUS}, 'added', :message, '',
          h.unread, h.unseen, CAST(:now_ms AS BIGINT) FROM {_HEADS}"""
)


class Told(Struct, frozen=True, array_like=True):
    """Asks whether somebody has the message."""

    tenant: str
    usr: str
    message: str


class ToldAt(Struct, frozen=True):
    """The caller's n-th has it: where it stands in the log of the inbox."""

    n: int
    usr: str
    offset: int
    epoch: str
    mark: int
    prior: int
    unread: int
    unseen: int


TOLD = Procedure(
    "told_in_bulk",
    Told,
    (
        Sql(
            f"""{PLACED} SELECT r.n, r.usr, c.off, h.epoch, c.mark, c.prior, c.unread, c.unseen FROM placed r
               JOIN inbox_head h ON h.tenant = r.tenant AND h.usr = r.usr
               JOIN inbox_change c ON c.tenant = r.tenant AND c.usr = r.usr AND c.off = r.seq""",
            ToldAt,
        ),
    ),
)
