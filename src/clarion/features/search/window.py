"""What a subscriber sees of a standing query: the first `limit` matches in their order, and how many there are in all.

    state  {items: [{id, data, version, offset}], more, counts: {total}}
    event  entered, changed, moved: {id, item, at} · left: {id} · counted: {}, each with `more` and `counts` as they are then

Whoever applies the events to the state has the state of today: take `id` away if it is there, put `item` at the place `at`, keep the first `limit`.
Somewhat more matches are kept than are seen, so that one can follow where one leaves. Nothing here waits, asks a database or knows who subscribes.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from clarion.features.search.order import Place
from clarion.features.search.shelf import Shown

SPARE: Final = 20
"""Matches that are kept beyond those that are seen."""

Event = tuple[Literal["entered", "changed", "moved", "left", "counted"], dict[str, Any]]


class Row(Struct, frozen=True):
    """A match: where it stands, and what is shown of it."""

    place: Place
    id: str
    shown: Shown


class Window:
    """The window of one query.

    Args:
        limit: Matches that are seen.
        rows: The first matches in their order, at least as many as are seen if there are so many.
        total: How many there are.
    """

    def __init__(self, limit: int, rows: Sequence[Row], total: int) -> None:
        self.limit = limit
        self.total = total
        # Invariant: these are the first matches, all if there are no more than `limit`.
        self._rows = list(rows)

    @property
    def seen(self) -> list[Row]:
        """What a subscriber sees."""
        return self._rows[: self.limit]

    @property
    def size(self) -> int:
        """Bytes of that."""
        return sum(row.shown.size for row in self.seen)

    @property
    def state(self) -> dict[str, Any]:
        """The state as subscribers get it."""
        return {"items": [row.shown.item for row in self.seen], **self._counts()}

    def apply(self, id: str, was: Place | None, now: Row | None) -> list[Event] | None:
        """A document has changed; returns what subscribers are told, or None: the window must be fetched anew, it knows too little.

        Args:
            id: Which.
            was: Where it stood among the matches; None: it was none.
            now: The match that it is; None: it is none.
        """
        before = self.seen
        is_whole = len(self._rows) >= self.total
        total = self.total
        self.total += (now is not None) - (was is not None)
        if was is not None:
            at = bisect_left(self._rows, was, key=_place)
            if at < len(self._rows) and self._rows[at].id == id:
                del self._rows[at]
        if now is not None and (is_whole or (self._rows and now.place < self._rows[-1].place)):
            insort(self._rows, now, key=_place)
        del self._rows[self.limit + SPARE :]
        if len(self._rows) < min(self.limit, self.total):
            return None
        return self._told(before, id, was_total=total)

    def replace(
        self, rows: Sequence[Row], total: int, told: Sequence[Row], told_total: int
    ) -> list[Event]:
        """Take what was fetched anew; returns what subscribers are told who know `told`."""
        self._rows, self.total = list(rows), total
        return self._told(told, None, was_total=told_total)

    def _told(self, before: Sequence[Row], id: str | None, *, was_total: int) -> list[Event]:
        counts = self._counts()
        events: list[Event] = [
            (name, {**facts, **counts})  # type: ignore[misc]
            for name, facts in _difference(before, self.seen, self.limit, id)
        ]
        if not events and was_total != self.total:
            events.append(("counted", counts))
        return events

    def _counts(self) -> dict[str, Any]:
        return {"more": self.total > self.limit, "counts": {"total": self.total}}


def _difference(
    before: Sequence[Row], after: Sequence[Row], limit: int, id: str | None
) -> Iterable[tuple[str, dict[str, Any]]]:
    """The steps from one window to another, where it is known which document has changed."""
    wanted = {row.id for row in after}
    there = [row for row in before if row.id in wanted]
    for row in before:
        if row.id not in wanted:
            yield "left", {"id": row.id}
    if id in wanted and (moved := _move(there, after, id)) is not None:
        yield moved
    for at, row in enumerate(after):
        if at < len(there) and there[at].id == row.id:
            if there[at].shown.item != row.shown.item:
                yield "changed", _item(row, at)
            continue
        name = "entered" if all(each.id != row.id for each in there) else "moved"
        yield name, _item(row, at)
        there = [each for each in there if each.id != row.id]
        there.insert(at, row)
        del there[limit:]


def _move(
    there: list[Row], after: Sequence[Row], id: str | None
) -> tuple[str, dict[str, Any]] | None:
    """Move the document that has changed first: the others then need not step aside one by one."""
    old = next((at for at, row in enumerate(there) if row.id == id), None)
    new = next(at for at, row in enumerate(after) if row.id == id)
    if old is None or old == new or new >= len(there):
        return None
    del there[old]
    there.insert(new, after[new])
    return "moved", _item(after[new], new)


def _item(row: Row, at: int) -> dict[str, Any]:
    return {"id": row.id, "item": row.shown.item, "at": at}


def _place(row: Row) -> Place:
    return row.place
