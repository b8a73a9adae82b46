"""CSV as lines of JSON, row by row: RFC 4180 with a head, whose names are the members. Pure.

    id,name,attributes.plan,attributes
    ann,Ann,pro,"{""seats"": 3}"

A cell is a text, and an empty one says nothing. `attributes.plan` is the member `plan` of `attributes`, `attributes` itself is JSON. A
quoted cell may have line ends in it; the row has the number of its first line.

A text that spreadsheets would calculate (`=1+1`) stands behind a `'`: exports write it there, imports take it away again.
"""

import csv
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from clarion.errors import Fault, Invalid

COLUMNS: Final = 100
ROW_CHARS: Final = 64 * 1024  # over all of its lines
_JSON: Final = "attributes"
# What begins so is a formula to spreadsheets, except for figures and telephone numbers.
_CALCULATED: Final = re.compile(r"'*[=+\-@\t\r]")
_FIGURE: Final = re.compile(r"[+-][0-9][0-9 .]*")


class Line(msgspec.Struct, frozen=True, array_like=True):
    """A line of an import: its number, and JSON; or what is wrong with it."""

    number: int
    text: str
    wrong: str = ""


def quoted(text: str) -> str:
    """A text as it stands in a cell: what people have called themselves is no formula on the machine of who opens the table."""
    is_formula = _CALCULATED.match(text) is not None and _FIGURE.fullmatch(text) is None
    return f"'{text}" if is_formula else text


async def rows(lines: AsyncIterator[tuple[int, str]]) -> AsyncGenerator[Line, None]:
    """The rows behind the head.

    Args:
        lines: Numbers and texts.

    Raises:
        Invalid: There is no head, or a name stands twice in it.
    """
    names: list[str] | None = None
    held, first = "", 0
    async for number, text in lines:
        if not (held or text.strip()):
            continue
        held, first = (f"{held}\n{text}", first) if held else (text, number)
        if held.count('"') % 2 and len(held) <= ROW_CHARS:
            continue  # a quoted cell goes on
        if names is None:
            names = _head(held)
        else:
            yield _row(first, held, names)
        held = ""
    if held:
        yield Line(first, "", "a quoted cell has no end")
    if names is None:
        raise Invalid("there is no head: the first line has the names of the columns")


def _head(text: str) -> list[str]:
    names = [name.strip() for name in _cells(text) or ()]
    wrong = ""
    if not 1 <= len(names) <= COLUMNS:
        wrong = f"1 to {COLUMNS} columns"
    elif len(set(names)) < len(names) or "" in names:
        wrong = "each column has a name of its own"
    elif "id" not in names:
        wrong = "one column is `id`"
    if wrong:
        raise Invalid(f"the head is not right: {wrong}", faults=[Fault("/1", wrong)])
    return names


def _row(number: int, text: str, names: Sequence[str]) -> Line:
    cells = _cells(text)
    if cells is None or len(cells) != len(names):
        found = "no CSV" if cells is None else f"{len(cells)} cells"
        return Line(number, "", f"{found}, the head has {len(names)}")
    value: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    for name, cell in zip(names, cells, strict=True):
        if not cell:
            continue
        if cell[0] == "'" and _CALCULATED.match(cell):
            cell = cell[1:]  # see `quoted`
        if name == _JSON:
            try:
                attributes |= msgspec.json.decode(cell, type=dict[str, Any])
            except msgspec.DecodeError as exc:
                return Line(number, "", f"attributes: {exc}")
        elif name.startswith(f"{_JSON}."):
            attributes[name.removeprefix(f"{_JSON}.")] = cell
        else:
            value[name] = cell
    if attributes:
        value[_JSON] = attributes
    return Line(number, msgspec.json.encode(value).decode())


def _cells(text: str) -> list[str] | None:
    try:
        [cells] = csv.reader([text], strict=True)
    except (csv.Error, ValueError):
        return None
    return cells
