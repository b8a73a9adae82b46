"""Recipients of `clarion send`: lines of a file, a table or the standard input, looked at once before anything is sent.

A send may be tried again, so what comes only once, and what has to be made lines, is put into a file of its own first.
"""

import asyncio
import shutil
import sys
from array import array
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from msgspec import Struct

from clarion.cli.remote import safe
from clarion.errors import ClarionError, UsageError

LINE_BYTES: Final = 1 << 20  # more than any server takes
STDIN: Final = Path("-")
FAULTS: Final = 20  # that are told
FORMATS: Final = ("ndjson", "csv")


class Recipients(Struct, frozen=True):
    """What can be read as often as it is sent."""

    name: str
    path: Path
    rows: Sequence[int] | None = None
    """Of a table: the line that each begins on."""

    def __iter__(self) -> Iterator[bytes]:
        return _lines(self.name, self.path)

    def place(self, number: int) -> str:
        """Where a line stands, as its owner knows it."""
        line = number if self.rows is None else self.rows[number - 1]
        return f"{self.name}:{line}"


@contextmanager
def opened(path: Path, format: str | None) -> Iterator[Recipients]:
    """Recipients that are JSON; the server's own rules come later.

    Args:
        path: A file, or `-`.
        format: `ndjson` or `csv`; None: by the file's name, and of the standard input NDJSON.

    Raises:
        UsageError: There is no such file, nobody stands in it, or a line is no recipient.
    """
    if format not in (None, *FORMATS):
        raise UsageError(f"--format: one of {', '.join(FORMATS)} is expected")
    is_table = (format or path.suffix.lower().removeprefix(".")) == "csv"
    name = "the standard input" if path == STDIN else str(path)
    with TemporaryDirectory(prefix="clarion-") as folder:
        if path == STDIN:
            path = Path(folder) / "stdin"
            with path.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        elif not path.is_file():
            raise UsageError(safe(f"--recipients: there is no file {path}"))
        found = Recipients(name, path)
        if is_table:
            found = asyncio.run(_unrolled(found, Path(folder) / "rows"))
        faults = list(islice(_wrong(found), FAULTS))
        if faults and format is None and not is_table and _has_a_head(found):
            raise UsageError(safe(f"{name} looks like a table: give --format csv"))
        _tell(faults)
        yield found


def _has_a_head(recipients: Recipients) -> bool:
    """Whether the first line is one of a table: cells with commas between them, and one of them is `id`."""
    first = next(iter(recipients), b"").strip().removeprefix(b"\xef\xbb\xbf")
    return b"id" in [cell.strip(b' "') for cell in first.split(b",")]


async def _unrolled(table: Recipients, path: Path) -> Recipients:
    from clarion.notifications.tables import rows  # half a second, which only tables need

    places = array("q")  # eight bytes a row
    faults: list[str] = []
    try:
        with path.open("wb") as file:
            async for row in rows(_numbered(table)):
                if row.wrong:
                    faults.append(f"{table.name}:{row.number}: {row.wrong}")
                    if len(faults) == FAULTS:
                        break
                places.append(row.number)
                file.write(row.text.encode() + b"\n")
    except UsageError:
        raise
    except ClarionError as exc:  # of its head
        raise UsageError(safe(f"{table.name}:1: {exc.message}")) from exc
    _tell(faults)
    return Recipients(table.name, path, places)


async def _numbered(table: Recipients) -> AsyncIterator[tuple[int, str]]:
    for number, line in enumerate(table, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as exc:
            raise UsageError(safe(f"{table.name}:{number}: not UTF-8")) from exc
        yield number, text.rstrip("\r\n")


def _tell(faults: Sequence[str]) -> None:
    """All that is wrong, up to the number that the server would tell."""
    if len(faults) == 1:
        raise UsageError(safe(faults[0]))
    for fault in faults:
        print(safe(fault), file=sys.stderr)
    if faults:
        raise UsageError("nothing was sent: see above")


def _wrong(recipients: Recipients) -> Iterator[str]:
    """Lines that are no JSON, or cannot be a recipient."""
    count = 0
    for number, line in enumerate(recipients, 1):
        if not line.strip():
            continue
        count += 1
        try:
            found = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            yield f"{recipients.place(number)}: not JSON: {exc}"
            continue
        if not isinstance(found, str | dict):
            yield f'{recipients.place(number)}: "id" or {{"id": …}} is expected'
    if not count:
        raise UsageError(safe(f"--recipients: nobody stands in {recipients.name}"))


def _lines(name: str, path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LINE_BYTES + 1):
                number += 1
                if len(line) > LINE_BYTES:
                    raise UsageError(safe(f"{name}:{number}: longer than {LINE_BYTES:,} bytes"))
                yield line if line.endswith(b"\n") else line + b"\n"
    except OSError as exc:
        raise UsageError(safe(f"--recipients: {name} cannot be read: {exc.strerror}")) from exc
