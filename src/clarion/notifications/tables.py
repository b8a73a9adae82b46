"""CSV as lines of JSON, row by row: RFC 4180 with a head, whose names are the members. Pure.

    id,name,attributes.plan,attributes
    ann,Ann,pro,"{""seats"": 3}"

A cell is a text, and an empty one says nothing. `attributes.plan` is the member `plan` of `attributes`, `attributes` itself is JSON. A
quoted cell may have line ends in it; the row has the number of its first line. A quote that does not begin a cell is a text like any other.

A text that spreadsheets would calculate (`=1+1`) stands behind a `'`: exports write it there, imports take it away again.
"""

import csv
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from clarion.errors import Fault, Invalid
from clarion.notifications.recipients import Recipient

COLUMNS: Final = 100
ROW_CHARS: Final = 64 * 1024  # over all of its lines
_JSON: Final = "attributes"
_KNOWN: Final = Recipient.__struct_fields__
# What begins so is a formula to spreadsheets, except for figures and telephone numbers.
_CALCULATED: Final = re.compile(r"'*[=+\-@\t\r]")
_FIGURE: Final = re.compile(r"[+-][0-9][0-9 .]*")
# A quoted cell, and the quote that ends it; '': it goes on in the next line.
_QUOTED: Final = re.compile(r'(?:^|,)"[^"]*+(?:""[^"]*+)*+("?)')


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
    held: list[str] = []
    first = chars = 0
    is_open = False
    async for number, text in lines:
        if not (held or text.strip()):
            continue
        first = first if held else number
        held.append(text)
        chars += len(text) + 1
        is_open = _goes_on(text, is_open)
        if is_open and chars <= ROW_CHARS:
            continue
        if names is None:
            names = _head("\n".join(held))
        else:
            yield _row(first, held, names)
        held, chars, is_open = [], 0, False
    if names is None:
        raise Invalid("there is no head: the first line has the names of the columns")
    if held:
        yield _row(first, held, names)


def _goes_on(text: str, is_open: bool) -> bool:
    """Whether the last cell of a line is quoted and goes on in the next, as one of the line before may have."""
    if '"' not in text:
        return is_open
    cells = _QUOTED.findall(f'"{text}' if is_open else text)
    return bool(cells) and not cells[-1]


def _head(text: str) -> list[str]:
    names = [name.strip() for name in _cells(text) or ()]
    strange = [each for each in names if each not in _KNOWN and not each.startswith(f"{_JSON}.")]
    wrong = ""
    if not 1 <= len(names) <= COLUMNS:
        wrong = f"1 to {COLUMNS} columns, with commas between them"
    elif len(set(names)) < len(names) or not {"", f"{_JSON}."}.isdisjoint(names):
        wrong = "each column has a name of its own"
    elif "id" not in names:
        wrong = "one column is `id`, and commas stand between them"
    elif strange:
        wrong = f"{strange[0][:64]!r} is none of {', '.join(_KNOWN)} and {_JSON}.<name>"
    if wrong:
        raise Invalid(f"the head is not right: {wrong}", faults=[Fault("/1", wrong)])
    return names


def _row(number: int, lines: Sequence[str], names: Sequence[str]) -> Line:
    cells = _cells("\n".join(lines))
    if cells is None or len(cells) != len(names):
        found = "no CSV" if cells is None else f"{len(cells)} cells"
        # Whoever forgot the end of a quoted cell has to know what else was taken for a part of it.
        more = f"; all up to line {number + len(lines) - 1} is one row, by its quotes" if len(lines) > 1 else ""  # fmt: skip
        return Line(number, "", f"{found}, the head has {len(names)}{more}")
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
            except (msgspec.DecodeError, RecursionError) as exc:
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
