"""Rechecking: a message that waited is not sent to somebody who has turned it off meanwhile."""

from typing import Final

import msgspec

from clarion.clock import Clock
from clarion.notifications.deciding import asked_of
from clarion.notifications.preferences.book import Book
from clarion.notifications.preferences.evaluate import decide
from clarion.notifications.supposing import Suppose
from clarion.storage import triggers as sql
from clarion.storage.outgoing import ClaimedOutgoing
from clarion.storage.store import Store

SKEW_MS: Final = (
    60_000  # by which clocks of nodes may differ; who is asked without need is only asked
)


class Recheck:
    """Asks preferences once more, before a message is handed to a provider.

    Args:
        store: Where triggers are.
        book: Knows what people want.
        suppose: Makes the message anew.
        clock: The time.
    """

    def __init__(self, store: Store, book: Book, suppose: Suppose, *, clock: Clock) -> None:
        self._store, self._book, self._suppose, self._clock = store, book, suppose, clock

    async def why_not(self, row: ClaimedOutgoing) -> str:
        """Why a message is not wanted any more; '' if it is, or nobody has said anything since it was made.

        Quiet hours and caps are not asked again: they were when it was made.
        """
        since_ms = row.created_ms - SKEW_MS
        if not await self._book.has_changed(row.tenant, row.usr, since_ms):
            return ""
        found = await self._store.fetch(sql.FIND, tenant=row.tenant, id=row.trigger_id)
        if not found:
            return ""
        [trigger] = found
        going = await self._suppose.going(
            row.tenant,
            row.usr,
            workflow=row.workflow,
            version=trigger.version,
            payload=msgspec.json.decode(trigger.payload),
            actor=trigger.actor,
        )
        said = decide(asked_of(going, row.channel, None), going.wishes, self._clock.now_ms())
        return f"turned off meanwhile: {said.why}" if said.verdict == "skip" else ""
