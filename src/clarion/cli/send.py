"""`clarion send`: a workflow for one, some or a hundred thousand, with a bar, and called off half-way by Ctrl-C.

Nothing is accepted before all recipients were read by the server and found right, and a key of idempotency makes the retries of a call
one send. Ctrl-C while they travel breaks the body off, so that nobody gets it; while the answer is awaited it is noted, and what the
answer names is called off.
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter
from rich.console import Console

from clarion.cli.following import BrokenOff, CtrlC, follow, told
from clarion.cli.remote import URL, Url, connected, safe
from clarion.client import (
    ApiError,
    Cancelled,
    Client,
    Report,
    Triggered,
    bulk_calls,
    calls,
    workflow_calls,
)
from clarion.errors import ServerError, UsageError
from clarion.ids import Ids

LINE_BYTES: Final = 1 << 20  # more than any server takes
ANSWER_S: Final = 120.0  # a hundred thousand are judged before the answer

Many = Annotated[list[str] | None, Parameter(negative="")]
Flag = Annotated[bool, Parameter(negative="")]


def send(
    workflow: str,
    /,
    *,
    to: Many = None,
    audience: Many = None,
    filter: str | None = None,
    everyone: Flag = False,
    recipients: Path | None = None,
    exclude: Many = None,
    exclude_audience: Many = None,
    payload: str = "{}",
    at: str | None = None,
    zone: str | None = None,
    priority: str | None = None,
    idempotency_key: str | None = None,
    detach: Flag = False,
    url: Url = URL,
    key: Annotated[
        str | None,
        Parameter(help="An API key with notifications:send and workflows:read. $CLARION_KEY"),
    ] = None,
) -> None:
    """Run a workflow for people, and show how far it is; Ctrl-C calls off what has not happened.

    Args:
        workflow: Its key.
        to: The id of somebody who gets it. May be repeated.
        audience: An audience. May be repeated.
        filter: A condition over subscribers, such as 'recipient.locale == "de"'.
        everyone: All subscribers.
        recipients: A file of NDJSON: on each line an id in quotes, or an object with an id.
        exclude: The id of somebody who does not get it. May be repeated.
        exclude_audience: An audience that does not get it. May be repeated.
        payload: A JSON object for the templates.
        at: Not now but then, such as 2026-12-24T18:00.
        zone: The time zone of --at, or recipient for everybody's own.
        priority: critical, high, normal or low.
        idempotency_key: Makes the same command, given again within a day, the same send.
        detach: Do not wait for its end.
    """
    if not (to or audience or filter or everyone or recipients):
        raise UsageError(
            "nobody is named: give --to, --audience, --filter, --recipients or --everyone"
        )
    wish = {
        "payload": _payload(payload),
        "audiences": audience,
        "filter": filter,
        "everyone": everyone,
        "exclude": exclude,
        "exclude_audiences": exclude_audience,
        "at": at,
        "zone": zone,
        "priority": priority,
    }
    wish = {name: value for name, value in wish.items() if value not in (None, False, [])}
    if recipients:
        _check(recipients)
    with connected(url, key, timeout_s=ANSWER_S) as client, CtrlC() as ctrl_c:
        if not detach:
            _look(client, workflow)
        accepted = _send(client, ctrl_c, workflow, to or [], recipients, wish, idempotency_key)
        _follow(client, ctrl_c, accepted, is_detached=detach)


def _payload(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as exc:
        raise UsageError(f"--payload: a JSON object is expected: {exc}") from exc


def _check(path: Path) -> None:
    """Every line is JSON that can be a recipient: the server's own rules come later."""
    if not path.is_file():
        raise UsageError(safe(f"--recipients: there is no file {path}"))
    count = 0
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        count += 1
        try:
            found = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise UsageError(safe(f"{path}:{number}: not JSON: {exc}")) from exc
        if not isinstance(found, str | dict):
            raise UsageError(safe(f'{path}:{number}: "id" or {{"id": …}} is expected'))
    if not count:
        raise UsageError(safe(f"--recipients: nobody stands in {path}"))


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LINE_BYTES + 1):
                number += 1
                if len(line) > LINE_BYTES:
                    raise UsageError(safe(f"{path}:{number}: longer than {LINE_BYTES:,} bytes"))
                yield line if line.endswith(b"\n") else line + b"\n"
    except OSError as exc:
        raise UsageError(safe(f"--recipients: {path} cannot be read: {exc.strerror}")) from exc


def _look(client: Client, workflow: str) -> None:
    """Whether what comes can be watched: who may not is told before anything is sent."""
    try:
        client.call(calls.Call("GET", f"/v1/{calls.place('workflows', workflow)}", dict))
    except ApiError as exc:
        if exc.status == 403:
            raise ServerError(f"nothing was sent: {exc.message}; or give --detach") from exc
        raise


def _send(
    client: Client,
    ctrl_c: CtrlC,
    workflow: str,
    to: list[str],
    path: Path | None,
    wish: dict[str, Any],
    key: str | None,
) -> Triggered:
    key = key or Ids().token()
    if path is None:
        return client.call(workflow_calls.trigger(workflow, to, idempotency_key=key, **wish))
    lines = partial(_sent, ctrl_c, to, path)
    try:
        return client.call(bulk_calls.trigger_lines(workflow, wish, lines, key))
    except BrokenOff:
        print("called off: nothing was sent", file=sys.stderr)
        sys.exit(130)
    except ApiError as exc:
        faults = exc.problem.get("errors") or []
        for fault in faults:
            print(_placed(fault, path, 1 + len(to)), file=sys.stderr)
        if faults:
            raise UsageError("nothing was sent: see above") from exc
        raise


def _sent(ctrl_c: CtrlC, to: list[str], path: Path) -> Iterator[bytes]:
    yield from bulk_calls.recipients(to)
    for line in _lines(path):
        if ctrl_c.is_pressed:
            raise BrokenOff  # a body without an end: nothing of it is accepted
        yield line


def _placed(fault: dict[str, Any], path: Path, before: int) -> str:
    """A fault by its line in the file: the server counts those that came before it, too."""
    pointer, detail = str(fault.get("pointer")), str(fault.get("detail"))
    number, _, rest = pointer.removeprefix("/").partition("/")
    if number.isdecimal() and int(number) > before:
        return safe(f"{path}:{int(number) - before}: {detail}" + (f" (/{rest})" if rest else ""))
    return safe(f"{detail} ({pointer})")


def _follow(client: Client, ctrl_c: CtrlC, accepted: Triggered, *, is_detached: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    say = partial(console.print, markup=False)
    trigger = accepted.id
    say(f"accepted {accepted.workflow}, version {accepted.version}: trigger {trigger}")
    try:
        if ctrl_c.is_pressed:
            say(_called_off(client.cancel_trigger(trigger)))
            sys.exit(130)
        if accepted.start_at is not None:
            say(f"it begins at {accepted.start_at}")
        if accepted.start_at is not None or is_detached:
            return
        find, reasons = partial(client.progress, trigger), partial(_reasons, client, trigger)
        job = follow(find, reasons, ctrl_c, Console(stderr=True, highlight=False))
        if not job.is_over:
            cancelled = client.cancel_trigger(trigger)
            say(_called_off(cancelled, client.report(trigger), job.total))
            sys.exit(130)
        say("\n".join([f"{job.state}: {told(job)}", *(reasons() if job.failed else [])]))
    except ApiError as exc:
        raise ServerError(f"{safe(exc.message)}; trigger {trigger} was accepted") from exc
    if job.state != "done" or job.failed:
        sys.exit(1)


def _reasons(client: Client, trigger: str) -> list[str]:
    found = client.report(trigger).reasons
    where = [f"{each.channel}: " if each.channel else "" for each in found]
    return [
        safe(f"  {each.count:,} × {at}{each.reason or each.status}")
        for each, at in zip(found, where, strict=True)
    ]


def _called_off(
    cancelled: Cancelled, report: Report | None = None, total: int | None = None
) -> str:
    """How many were done with before; who has several messages that were called off is counted for each."""
    if not cancelled.triggers:
        return "over already: nothing was called off"
    text = "called off"
    if report is not None:
        ended = report.recipients - report.failed - cancelled.runs - cancelled.messages
        text += f": done with {max(0, ended):,} of {'?' if total is None else format(total, ',')}"
        text += f", {report.failed:,} failed" if report.failed else ""
    if cancelled.runs or cancelled.messages:
        text += f"\n  not finished: {cancelled.runs:,} runs, {cancelled.messages:,} messages"
    return text
