"""`clarion import` and `clarion export subscribers`: people as lines, in and out."""

import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, Parameter
from rich.console import Console

from clarion.cli.following import BrokenOff, CtrlC, follow, told
from clarion.cli.remote import URL, Url, connected, safe
from clarion.client import ApiError, Client, Job, bulk_calls
from clarion.errors import ServerError, UsageError
from clarion.ids import Ids

PIECE_BYTES: Final = 64 * 1024
ANSWER_S: Final = 120.0  # all lines are on disk before the answer
_MEDIA: Final = {
    ".csv": "text/csv",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
}

export = App(name="export", help="What the server knows, as lines.")

ApiKey = Annotated[str | None, Parameter(help=r"An API key with subscribers:\*. $CLARION_KEY")]


def import_(
    file: Path,
    /,
    *,
    audience: str | None = None,
    idempotency_key: str | None = None,
    detach: Annotated[bool, Parameter(negative="")] = False,
    url: Url = URL,
    key: ApiKey = None,
) -> None:
    """Take in subscribers from a file, and tell each line that is not taken; Ctrl-C takes no more.

    Args:
        file: A table (.csv) or a subscriber on each line (.ndjson, .jsonl).
        audience: They are put into this audience, too.
        idempotency_key: Makes the same command, given again within a day, the same import.
        detach: Do not wait for its end.
    """
    media = _MEDIA.get(file.suffix.lower())
    if media is None:
        raise UsageError(safe(f"{file}: a file .csv, .ndjson or .jsonl is expected"))
    if not file.is_file():
        raise UsageError(safe(f"there is no file {file}"))
    with connected(url, key, timeout_s=ANSWER_S) as client, CtrlC() as ctrl_c:
        pieces = partial(_pieces, file, ctrl_c)
        try:
            job = client.call(
                bulk_calls.import_(media, pieces, audience, idempotency_key or Ids().token())
            )
        except BrokenOff:
            print("called off: nobody was imported", file=sys.stderr)
            sys.exit(130)
        _follow(client, ctrl_c, file, job, is_detached=detach)


@export.command
def subscribers(
    *,
    filter: str | None = None,
    audience: str | None = None,
    format: str = "ndjson",
    url: Url = URL,
    key: ApiKey = None,
) -> None:
    """Print all subscribers, in the form that an import takes.

    Args:
        filter: Only whom this condition lets through, such as 'recipient.locale == "de"'.
        audience: Only the people of this audience.
        format: ndjson or csv.
    """
    with connected(url, key, timeout_s=ANSWER_S) as client:
        for piece in client.stream(bulk_calls.export(filter, audience, format)):
            _print(piece)


def _print(piece: bytes) -> None:
    try:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except OSError as exc:
        # What is left in the buffer would fail again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise UsageError(f"the output cannot be written: {exc.strerror}") from exc


def _pieces(file: Path, ctrl_c: CtrlC) -> Iterator[bytes]:
    try:
        with file.open("rb") as opened:
            while piece := opened.read(PIECE_BYTES):
                if ctrl_c.is_pressed:
                    raise BrokenOff
                yield piece
    except OSError as exc:
        raise UsageError(safe(f"{file} cannot be read: {exc.strerror}")) from exc


def _follow(client: Client, ctrl_c: CtrlC, file: Path, job: Job, *, is_detached: bool) -> None:
    say: Any = partial(Console(highlight=False, soft_wrap=True).print, markup=False)
    say(f"accepted: import {job.id}")
    if is_detached and not ctrl_c.is_pressed:
        return
    find = partial(client.find_import, job.id)
    try:
        job = follow(find, list, ctrl_c, Console(stderr=True, highlight=False))
        if not job.is_over:
            job = client.cancel_import(job.id)
        for fault in _faults(client, job):
            print(safe(f"{file}:{fault['line']}: {fault['reason']}"), file=sys.stderr)
    except ApiError as exc:
        raise ServerError(f"{safe(exc.message)}; import {job.id} was accepted") from exc
    say(f"{job.state}: {told(job)}")
    if job.state == "cancelled":
        sys.exit(130)
    if job.state != "done" or job.failed:
        sys.exit(1)


def _faults(client: Client, job: Job) -> list[dict[str, Any]]:
    if not job.failed:
        return []
    return list(client.import_failures(job.id))
