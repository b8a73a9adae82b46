"""Who of many recipients wants a message in their inbox that no workflow sends."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from clarion.clock import Clock
from clarion.notifications.facts import recipient_facts
from clarion.notifications.preferences.book import Book
from clarion.notifications.preferences.document import Cap
from clarion.notifications.preferences.evaluate import (
    INBOX,
    NONE,
    Asked,
    cap_key,
    decide,
    span_ms,
)
from clarion.notifications.recipients import Named, columns_of
from clarion.storage import batches as batch_sql
from clarion.storage import subscribers as people_sql
from clarion.storage.store import Store, Tx


class Answered(Struct, frozen=True):
    """Users who do not want it, and those for whom it has to be counted at these caps first."""

    unwanted: frozenset[str] = frozenset()
    capped: Mapping[str, tuple[Cap, ...]] = {}


EVERYBODY: Final = Answered()


class Wanted:
    """Asks preferences about messages of the short way.

    Args:
        store: Where subscribers are.
        book: Knows what people want.
        clock: The time.
    """

    def __init__(self, store: Store, book: Book, clock: Clock) -> None:
        self._store, self._book, self._clock = store, book, clock

    async def ask(
        self, tenant: str, category: str, data: Mapping[str, Any] | None, people: Sequence[Named]
    ) -> Answered:
        """Who wants it. Its `data` is what conditions and muted threads know as `payload`."""
        found, others = await self._book.of(tenant, [person.id for person in people])
        if not found and others is NONE:
            return EVERYBODY
        known = await self._known(tenant, people)
        unwanted: list[str] = []
        capped: dict[str, tuple[Cap, ...]] = {}
        now_ms = self._clock.now_ms()
        for person in people:
            facts = {
                "payload": data or {},
                "recipient": known.get(person.id) or {"id": person.id},
                "actor": None,
                "workflow": {"key": "", "category": category},
            }
            said = decide(
                Asked("", category, INBOX, facts=facts), found.get(person.id, others), now_ms
            )
            if said.verdict == "skip":
                unwanted.append(person.id)
            elif said.verdict == "count":
                capped[person.id] = said.caps
        return Answered(frozenset(unwanted), capped)

    async def count(
        self, tx: Tx, tenant: str, capped: Mapping[str, tuple[Cap, ...]]
    ) -> frozenset[str]:
        """Count it in at the caps; returns for whom it is over one of them."""
        now_ms = self._clock.now_ms()
        asked = [(user, cap) for user, caps in capped.items() for cap in caps]
        rows = [
            batch_sql.Hit(tenant, f"{user}:{cap_key(cap)}", now_ms + span_ms(cap), now_ms)
            for user, cap in asked
        ]
        hits: list[batch_sql.Hits] = await tx.apply(batch_sql.HIT, rows)
        return frozenset(
            asked[hit.n - 1][0] for hit in hits if hit.hits > asked[hit.n - 1][1].limit
        )

    async def uncount(self, tx: Tx, tenant: str, capped: Mapping[str, tuple[Cap, ...]]) -> None:
        """Take back what was counted for a call that is not accepted."""
        rows = [
            batch_sql.Unhit(tenant, f"{user}:{cap_key(cap)}")
            for user, caps in capped.items()
            for cap in caps
        ]
        await tx.apply(batch_sql.UNHIT, rows)

    async def _known(self, tenant: str, people: Sequence[Named]) -> dict[str, dict[str, Any]]:
        named = [people_sql.Named(tenant, person.id) for person in people]
        rows: list[people_sql.Known] = await self._store.apply(people_sql.KNOWN, named)
        known = {row.id: row for row in rows}
        for person in people:
            # What is described now holds already.
            if said := {name: text for name, text in columns_of(person.described).items() if text}:
                before = known.get(person.id) or people_sql.Known(0, person.id)
                known[person.id] = msgspec.structs.replace(before, **said)
        return {id: recipient_facts(id, row) for id, row in known.items()}
