"""What a process that stops in good order leaves for the one that takes its place: who was there.

A single process has its rooms in memory. Its clients are told to come back, and do, within seconds; nobody who does so has left. So the rooms are
saved at the end and honoured by the next process for a while, as if every connection had broken just now.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from clarion.features.presence.room import Status
from clarion.telemetry import get_logger
from clarion.topics import Topic

_log = get_logger(__name__)

FILE: Final = "presence.json"
STALE_S: Final = 300  # who was away for longer finds empty rooms


class SavedDevice(Struct, frozen=True, array_like=True):
    """One connection."""

    name: str
    status: Status


class SavedPerson(Struct, frozen=True, array_like=True):
    """One user in one room; times are ms since 1970."""

    tenant: str
    kind: str
    room: str
    user: str
    since_ms: int
    active_ms: int
    text_until_ms: int | None
    facts: dict[str, Any]
    devices: list[SavedDevice]

    @property
    def topic(self) -> Topic:
        """The room."""
        return Topic(self.tenant, self.kind, self.room)


class Saved(Struct, frozen=True):
    """Everybody."""

    at_ms: int
    people: list[SavedPerson]


def save(folder: Path, at_ms: int, people: Iterable[SavedPerson]) -> None:
    """Write the file, or none where nobody is there. Readable by nobody else: it has what users say of themselves."""
    everybody = list(people)
    if not everybody:
        return
    path, part = folder / FILE, folder / f"{FILE}.part"
    data = msgspec.json.encode(Saved(at_ms, everybody))
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    part.replace(path)


def take(folder: Path, now_ms: int) -> list[SavedPerson]:
    """Whom the file names, which is gone then; nobody where there is none, it is old, or it is no such file."""
    path = folder / FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    path.unlink()
    try:
        saved = msgspec.json.decode(data, type=Saved)
    except msgspec.DecodeError as exc:
        _log.warning("saved presence is not readable", error=str(exc))
        return []
    if not 0 <= now_ms - saved.at_ms <= STALE_S * 1000:
        _log.info("saved presence is too old", age_s=(now_ms - saved.at_ms) // 1000)
        return []
    return saved.people
