"""What takes long, over HTTP, without any I/O: bodies of lines, and how far a job is."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from clarion.client.calls import Call, Recipient, place, query
from clarion.client.workflow_calls import Triggered

# A chunk for each line would be refused as an attack.
LINES: Final = 500
PIECE_BYTES: Final = 64 * 1024  # of a file
NDJSON: Final = {"content-type": "application/x-ndjson"}
_LINES: Final = {"accept": "application/x-ndjson"}


class Job(msgspec.Struct, frozen=True):
    """How far a send or an import is: `done` recipients or lines have come to an end, of which `failed` went wrong.

    `state`: running, paused, done, cancelled, failed. `total`: None while nobody knows it. `rate` is per second, `eta_s`: seconds left.
    """

    id: str
    kind: str
    state: str
    total: int | None
    done: int
    failed: int
    rate: float
    eta_s: int | None
    created_at: str

    @property
    def is_over(self) -> bool:
        """Nothing more happens to it."""
        return self.state in ("done", "cancelled", "failed")


class Failures(msgspec.Struct, frozen=True):
    """So many failed for this reason; `channel`: None where no message came to be."""

    channel: str | None
    status: str
    reason: str
    count: int


class Report(msgspec.Struct, frozen=True):
    """What has become of a trigger so far."""

    id: str
    workflow: str
    version: int
    state: str
    recipients: int
    done: int
    failed: int
    runs: dict[str, int]
    messages: dict[str, dict[str, int]]
    reasons: list[Failures]
    created_at: str


def trigger_lines(
    workflow: str,
    trigger: Mapping[str, Any],
    lines: Callable[[], Iterable[bytes]],
    idempotency_key: str,
) -> Call[Triggered]:
    """`POST /v1/workflows/{workflow}/triggers`: the trigger, then `lines()`, each a recipient in JSON with its line feed."""

    def content() -> Iterator[bytes]:
        yield from pieces(itertools.chain([msgspec.json.encode(trigger) + b"\n"], lines()))

    path = f"/v1/{place('workflows', workflow)}/triggers"
    headers = {**NDJSON, "Idempotency-Key": idempotency_key}
    return Call("POST", path, Triggered, headers=headers, content=content)


def recipients(given: Iterable[Recipient]) -> Iterator[bytes]:
    """Recipients as lines."""
    for each in given:
        yield msgspec.json.encode(each) + b"\n"


def pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Some hundred lines at a time."""
    each = iter(lines)
    while some := list(itertools.islice(each, LINES)):
        yield b"".join(some)


def progress(trigger: str) -> Call[Job]:
    """`GET /v1/triggers/{id}/progress`."""
    return Call("GET", f"/v1/{place('triggers', trigger)}/progress", Job)


def pause(trigger: str) -> Call[Job]:
    """`POST /v1/triggers/{id}/pause`."""
    return Call("POST", f"/v1/{place('triggers', trigger)}/pause", Job)


def resume(trigger: str) -> Call[Job]:
    """`POST /v1/triggers/{id}/resume`."""
    return Call("POST", f"/v1/{place('triggers', trigger)}/resume", Job)


def report(trigger: str) -> Call[Report]:
    """`GET /v1/triggers/{id}/report`."""
    return Call("GET", f"/v1/{place('triggers', trigger)}/report", Report)


def failures(trigger: str) -> Call[bytes]:
    """`GET /v1/triggers/{id}/failures`, to be streamed."""
    return Call("GET", f"/v1/{place('triggers', trigger)}/failures", bytes, headers=_LINES)


def imported(given: Sequence[Recipient] | Path) -> tuple[str, Callable[[], Iterator[bytes]]]:
    """The media type of what is to be imported, and its pieces."""
    if isinstance(given, str):
        raise TypeError("given is a list of recipients, or a Path")
    if not isinstance(given, Path):
        return NDJSON["content-type"], lambda: pieces(recipients(given))

    def read() -> Iterator[bytes]:
        with given.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece

    return "text/csv" if given.suffix.lower() == ".csv" else NDJSON["content-type"], read


def import_(
    media: str,
    content: Callable[[], Iterator[bytes]],
    audience: str | None,
    idempotency_key: str,
) -> Call[Job]:
    """`POST /v1/imports`."""
    headers = {"content-type": media, "Idempotency-Key": idempotency_key}
    return Call(
        "POST", f"/v1/imports{query(audience=audience)}", Job, headers=headers, content=content
    )


def find_import(id: str) -> Call[Job]:
    """`GET /v1/imports/{id}`."""
    return Call("GET", f"/v1/{place('imports', id)}", Job)


def cancel_import(id: str) -> Call[Job]:
    """`DELETE /v1/imports/{id}`."""
    return Call("DELETE", f"/v1/{place('imports', id)}", Job)


def import_failures(id: str) -> Call[bytes]:
    """`GET /v1/imports/{id}/failures`, to be streamed."""
    return Call("GET", f"/v1/{place('imports', id)}/failures", bytes, headers=_LINES)


def export(filter: str | None, audience: str | None, format: str) -> Call[bytes]:
    """`GET /v1/exports/subscribers`, to be streamed."""
    asked = query(filter=filter, audience=audience, format=format)
    headers = {"accept": "text/csv"} if format == "csv" else _LINES
    return Call("GET", f"/v1/exports/subscribers{asked}", bytes, headers=headers)
