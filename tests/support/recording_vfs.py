"""A layer between SQLite and its files which writes down what is written and synced, and the disks that a power cut may leave of it.

A sync makes durable what was written to that file before; of what came after it each sector may be there or not, in any order.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import apsw
from msgspec import Struct

from clarion.ids import Ids

SECTOR: Final = 512  # bytes that a disk writes whole

Files = dict[str, bytearray]
"""Contents by name."""


class Event(Struct, frozen=True):
    """What happened to a file, or in the program: `acked`, whose `name` is what was answered."""

    kind: Literal["write", "truncate", "sync", "delete", "acked"]
    name: str
    at: int = 0
    data: bytes = b""


class RecordingVfs(apsw.VFS):
    """SQLite's own, used for every file that is opened as long as it is the default.

    Attributes:
        events: In their order.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self._base = apsw.vfs_names()[0]
        super().__init__("recording", base=self._base, makedefault=True)

    def close(self) -> None:
        """Record nothing any more."""
        apsw.set_default_vfs(self._base)
        self.unregister()

    def xOpen(self, name: Any, flags: list[int]) -> "_File":
        return _File(self, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:
        super().xDelete(name, sync)
        self.note("delete", name)

    def note(self, kind: Any, name: str, at: int = 0, data: bytes = b"") -> None:
        """Write something down."""
        self.events.append(Event(kind, Path(name).name, at, data))

    def files(self) -> Files:
        """What is there now."""
        return {each.name: bytearray(each.read_bytes()) for each in self.folder.glob("clarion.db*")}


class _File(apsw.VFSFile):
    def __init__(self, vfs: RecordingVfs, name: Any, flags: list[int]) -> None:
        self._vfs = vfs
        self._name = name if isinstance(name, str) else name.filename()
        super().__init__("unix" if vfs is None else vfs._base, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._vfs.note("write", self._name, offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._vfs.note("truncate", self._name, size)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._vfs.note("sync", self._name)


class Cut(Struct, frozen=True):
    """The power is gone: what is on the disk then, and what had been answered."""

    files: Mapping[str, bytes]
    acked: list[str]
    how: str


def cuts(start: Files, events: Iterable[Event], ids: Ids, *, deaf: str = "") -> Iterator[Cut]:
    """Each disk that may be left by a cut just before and just after each sync.

    Args:
        start: What was durable before the first event.
        events: What was done.
        ids: Chooses what of the unsynced is there.
        deaf: End of the names of files whose syncs do nothing: a disk that lies.
    """
    durable = {name: bytearray(data) for name, data in start.items()}
    pending: list[Event] = []
    acked: list[str] = []
    for event in events:
        if event.kind == "acked":
            acked.append(event.name)
            continue
        if event.kind != "sync":
            pending.append(event)
            continue
        yield from _left(durable, pending, acked, ids)
        if not (deaf and event.name.endswith(deaf)):
            _apply(durable, [each for each in pending if each.name == event.name])
            pending = [each for each in pending if each.name != event.name]
    yield from _left(durable, pending, acked, ids)


def _left(durable: Files, pending: list[Event], acked: list[str], ids: Ids) -> Iterator[Cut]:
    torn = [part for each in pending for part in _sectors(each) if ids.uniform(0, 1) < 0.5]
    torn.sort(key=lambda _: ids.uniform(0, 1))
    for how, some in (("nothing", []), ("all", pending), ("torn", torn)):
        files = {name: bytearray(data) for name, data in durable.items()}
        _apply(files, some)
        yield Cut({name: bytes(data) for name, data in files.items()}, list(acked), how)


def _sectors(event: Event) -> list[Event]:
    if event.kind != "write":
        return [event]
    return [
        Event("write", event.name, event.at + at, event.data[at : at + SECTOR])
        for at in range(0, len(event.data), SECTOR)
    ]


def _apply(files: Files, events: Iterable[Event]) -> None:
    for event in events:
        if event.kind == "delete":
            files.pop(event.name, None)
            continue
        data = files.setdefault(event.name, bytearray())
        if event.kind == "truncate":
            del data[event.at :]
        else:
            data.extend(bytes(max(0, event.at - len(data))))
            data[event.at : event.at + len(event.data)] = event.data
