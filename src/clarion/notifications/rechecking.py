"""Rechecking: a message that waited is not sent to somebody who has turned it off meanwhile, nor in what have become quiet hours.

It waits for a retry, for a provider that takes no more, or for its turn in a bulk send; quiet hours may begin before it is handed over.
"""

from typing import Final

import msgspec

from clarion.clock import Clock
from clarion.notifications.channels import NotYet
from clarion.notifications.deciding import asked_of
from clarion.notifications.preferences.book import Book
from clarion.notifications.preferences.evaluate import decide, has_quiet
from clarion.notifications.supposing import Suppose
from clarion.notifications.workflows.moves import State
from clarion.storage import runs as run_sql
from clarion.storage import triggers as sql
from clarion.storage.outgoing import ClaimedOutgoing
from clarion.storage.store import Store

WAITED_MS: Final = 60_000  # what is handed over sooner was asked about just now
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
        """Why a message is not wanted any more; '' if it is. Caps are not asked again: it was counted when it was made.

        Raises:
            NotYet: It has become quiet while it waited.
        """
        if not await self._is_worth_asking(row):
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
        # Of a digest, what all have brought is asked about.
        for run in await self._store.fetch(run_sql.FIND, tenant=row.tenant, id=row.run):
            going.state = msgspec.json.decode(run.state, type=State)
        now_ms = self._clock.now_ms()
        said = decide(asked_of(going, row.channel, None), going.wishes, now_ms)
        if said.verdict == "defer":
            raise NotYet((said.until_ms - now_ms) / 1000, said.why)
        return f"turned off meanwhile: {said.why}" if said.verdict == "skip" else ""

    async def _is_worth_asking(self, row: ClaimedOutgoing) -> bool:
        """Whether a document has changed since the message was made, or it has waited and there are quiet hours."""
        if await self._book.has_changed(row.tenant, row.usr, row.created_ms - SKEW_MS):
            return True
        if self._clock.now_ms() - row.created_ms < WAITED_MS:
            return False
        found, others = await self._book.of(row.tenant, [row.usr])
        return has_quiet(found.get(row.usr, others))
