"""What must be true of the rows at the end, whatever happened."""

from itertools import pairwise

import msgspec

from clarion.storage import Sql, Store
from clarion.topics.kinds import Read


class Notified(msgspec.Struct, frozen=True):
    """A stored notification."""

    id: str
    title: str


class Got(msgspec.Struct, frozen=True):
    """A stored message: who got which notification."""

    notification: str
    usr: str


NOTIFICATIONS = Sql(
    "SELECT id, title FROM notification WHERE tenant = :tenant ORDER BY id", Notified
)
MESSAGES = Sql(
    "SELECT notification, usr FROM message WHERE tenant = :tenant ORDER BY notification, usr", Got
)


def check_chain(read: Read) -> None:
    """What a log keeps counts up to its top without a gap, and each mark follows from the one before."""
    top, kept = read.top, read.entries
    assert [entry.offset for entry in kept] == list(
        range(top.offset - len(kept) + 1, top.offset + 1)
    )
    for before, entry in pairwise(kept):
        assert entry.prior == before.mark, f"the log breaks at {entry}"
    assert not kept or kept[-1].mark == top.mark, "the head is not the top"
    # Where the beginning is still there, it begins with nothing.
    assert not kept or kept[0].offset > 1 or kept[0].prior == 0


async def check_notifications(store: Store, sent: dict[str, list[str]]) -> dict[str, str]:
    """Each title was stored once, and each of its recipients has one message of it.

    Args:
        store: Where to look.
        sent: Recipients by title; the titles differ.

    Returns:
        Title by the notification's id.
    """
    stored = await store.fetch(NOTIFICATIONS, tenant="default")
    titles = sorted(row.title for row in stored)
    assert titles == sorted(sent), f"sent {sorted(sent)}, stored {titles}"
    by_id = {row.id: row.title for row in stored}
    got = [(row.notification, row.usr) for row in await store.fetch(MESSAGES, tenant="default")]
    due = sorted((id, user) for id, title in by_id.items() for user in sent[title])
    assert got == due, f"messages that are not one each: {set(due).symmetric_difference(got)}"
    return by_id
