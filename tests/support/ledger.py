"""A tiny aggregate whose procedure has state: a log with gapless offsets per book. The store's promises are tried on it."""

from pathlib import Path

import msgspec

from clarion.storage import Procedure, Sql, Store

MIGRATIONS = Path(__file__).parent.parent / "storage" / "migrations"


class Book(msgspec.Struct, frozen=True):
    tenant: str
    book: str
    top: int


class Entry(msgspec.Struct, frozen=True, array_like=True):
    tenant: str
    book: str
    id: str
    note: str = "x"
    amount: int | None = None
    weight: float | None = None


class Position(msgspec.Struct, frozen=True):
    n: int
    off: int


class Line(msgspec.Struct, frozen=True):
    book: str
    off: int
    id: str
    note: str
    amount: int | None
    weight: float | None


class Top(msgspec.Struct, frozen=True):
    top: int


APPEND = Procedure(
    "append_entry",
    Entry,
    (
        Sql("""INSERT INTO ledger_head SELECT tenant, book, count(*) FROM {rows r} WHERE true
               GROUP BY tenant, book ORDER BY tenant, book
               ON CONFLICT (tenant, book) DO UPDATE SET top = ledger_head.top + excluded.top"""),
        Sql("""INSERT INTO ledger (tenant, book, off, id, note, amount, weight)
               SELECT r.tenant, r.book, h.top - count(*) OVER (PARTITION BY r.tenant, r.book)
                      + row_number() OVER (PARTITION BY r.tenant, r.book ORDER BY r.n), r.id, r.note, r.amount, r.weight
               FROM {rows r} JOIN ledger_head h ON h.tenant = r.tenant AND h.book = r.book"""),
        Sql(
            """SELECT r.n, l.off FROM {rows r} JOIN ledger l ON l.tenant = r.tenant AND l.id = r.id ORDER BY r.n""",
            Position,
        ),
    ),
)
NOTE = Procedure(
    "note_entry",
    Entry,
    (
        Sql("""UPDATE ledger SET note = r.note FROM {rows r}
               WHERE ledger.tenant = r.tenant AND ledger.id = r.id"""),
    ),
)
OPEN = Procedure(
    "open_book",
    Book,
    (
        Sql("""INSERT INTO ledger_head (tenant, book, top) SELECT r.tenant, r.book, r.top FROM {rows r}
               WHERE true ON CONFLICT DO NOTHING"""),
    ),
    is_blind=True,
)
LINES = Sql(
    """SELECT book, off, id, note, amount, weight FROM ledger WHERE tenant = :tenant ORDER BY book, off""",
    Line,
)
TOP = Sql("SELECT top FROM ledger_head WHERE tenant = :tenant AND book = :book {for_update}", Top)
RAISE_TOP = Sql("UPDATE ledger_head SET top = :top WHERE tenant = :tenant AND book = :book")
START = Sql("INSERT INTO ledger_head (tenant, book, top) VALUES (:tenant, :book, 0)")


async def lines(store: Store, tenant: str = "t") -> list[Line]:
    return await store.fetch(LINES, tenant=tenant)


def assert_gapless(found: list[Line]) -> None:
    """Offsets of each book count from 1 without a hole."""
    books: dict[str, list[int]] = {}
    for line in found:
        books.setdefault(line.book, []).append(line.off)
    for book, offsets in books.items():
        assert offsets == list(range(1, len(offsets) + 1)), book
