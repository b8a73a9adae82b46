"""Pages of several tables: the newest rows first, behind a cursor that says of each table where it goes on.

A page looks through so many rows of a table at most (`SCAN`), so it may be short, or empty, and still have a `next`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from clarion.errors import Fault, Invalid
from clarion.storage import sight as sql
from clarion.storage.store import Param, Store

T = TypeVar("T")
SCAN: Final = 10_000  # rows that one page looks through at most
CURSOR: Final = r"[mitr][0-9]{1,15}\.([0-9a-f]{2}){0,100}\.([0-9a-f]{2}){0,512}"
"""One table's part of a cursor: which, when, and the hex of the ids behind which it goes on."""


class Page(Struct, Generic[T], frozen=True):
    """What was found, the newest first; `next` is the cursor of what follows, null where nothing does."""

    items: list[T]
    next: str | None


class Source(Struct, frozen=True):
    """One table that is looked through, and from where. `name`: its letter in cursors."""

    name: str
    search: sql.Search
    show: Callable[[Any], Any]
    given: Mapping[str, Param]
    place: sql.Place


def behind(cursor: str, sources: Sequence[Source]) -> list[Source]:
    """Those of the tables that a cursor goes on with, from its places; '': all of them, as they are.

    Raises:
        Invalid: The cursor is not one of ours.
    """
    if not cursor:
        return list(sources)
    places = _places(cursor)
    return [
        msgspec.structs.replace(source, place=places[source.name])
        for source in sources
        if source.name in places
    ]


async def page_of(store: Store, sources: Sequence[Source], since_ms: int, limit: int) -> Page[Any]:
    """The newest rows of several tables, merged.

    Args:
        store: Where they are.
        sources: The tables; none: an empty page, the last one.
        since_ms: Older ones are not looked for.
        limit: Of the page.
    """
    found: list[tuple[Source, Any]] = []
    ahead: dict[str, sql.Place] = {}
    # What one table has not looked through yet may be newer than what another has found.
    floor = -1
    for source in sources:
        begin = source.place
        asked: dict[str, Param] = {
            **source.given,
            "at": begin.at_ms,
            "id": begin.id,
            "usr_after": begin.usr,
            "scan": SCAN,
        }
        rows = await store.fetch(source.search.page, **asked, n=limit + 1)
        found += [(source, row) for row in rows[:limit]]
        if len(rows) > limit:
            floor = max(floor, rows[limit - 1].created_ms)
            ahead[source.name] = _place(rows[limit - 1])
            continue
        for end in await store.fetch(source.search.end, **asked, last=SCAN - 1):
            if end.at_ms >= since_ms:
                floor = max(floor, end.at_ms)
                ahead[source.name] = end
    shown = sorted(
        ((source, row) for source, row in found if row.created_ms >= floor),
        key=lambda each: each[1].created_ms,
        reverse=True,
    )[:limit]
    rest = {
        source.name: place
        for source in sources
        if (place := _go_on(source, shown, found, ahead.get(source.name))) is not None
    }
    return Page([source.show(row) for source, row in shown], _cursor(rest) if rest else None)


def _go_on(
    source: Source,
    shown: Sequence[tuple[Source, Any]],
    found: Sequence[tuple[Source, Any]],
    ahead: sql.Place | None,
) -> sql.Place | None:
    """From where a table is looked through for the next page; None: there is nothing more."""
    mine = [row for each, row in shown if each is source]
    if len(mine) < sum(each is source for each, _ in found):
        return _place(mine[-1]) if mine else source.place
    return ahead


def _places(cursor: str) -> dict[str, sql.Place]:
    if not re.fullmatch(f"{CURSOR}(_{CURSOR})?", cursor):
        raise Invalid(
            "the cursor is not one that a page has given", faults=[Fault("?after", "unknown")]
        )
    places: dict[str, sql.Place] = {}
    for part in cursor.split("_"):
        at, id, usr = part[1:].split(".")
        places[part[0]] = sql.Place(int(at), _text(id), _text(usr))
    return places


def _cursor(places: Mapping[str, sql.Place]) -> str:
    return "_".join(
        f"{name}{place.at_ms}.{place.id.encode().hex()}.{place.usr.encode().hex()}"
        for name, place in places.items()
    )


def _text(hexed: str) -> str:
    return bytes.fromhex(hexed).decode(errors="replace").replace("\0", "")


def _place(row: Any) -> sql.Place:
    return sql.Place(row.created_ms, row.id, getattr(row, "usr", ""))
