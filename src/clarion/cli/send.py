"""`clarion send`: a workflow for one, some or a hundred thousand, with a bar, and called off half-way by Ctrl-C.

Nothing is accepted before all recipients were read by the server and found right, and a key of idempotency makes the retries of a call
one send. Ctrl-C while they travel breaks the body off, so that nobody gets it; while the answer is awaited it is noted, and what the
answer names is called off.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter
from rich.console import Console

from clarion.cli.following import BrokenOff, CtrlC
from clarion.cli.recipients import Recipients, opened
from clarion.cli.remote import URL, Url, connected, safe
from clarion.cli.triggers import called_off, is_well, outcome, watched
from clarion.client import ApiError, Client, Triggered, bulk_calls, calls, workflow_calls
from clarion.errors import ServerError, UsageError
from clarion.ids import Ids

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
    recipients: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    format: str | None = None,
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
        recipients: A file of NDJSON: on each line an id in quotes, or an object with an id; or a table (.csv); or -, the standard input.
        format: Of the recipients, where the file's name does not say it: ndjson or csv.
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
    with ExitStack() as stack:
        people = stack.enter_context(opened(recipients, format)) if recipients else None
        client = stack.enter_context(connected(url, key, timeout_s=ANSWER_S))
        ctrl_c = stack.enter_context(CtrlC())
        if not detach:
            _look(client, workflow)
        accepted = _send(client, ctrl_c, workflow, to or [], people, wish, idempotency_key)
        _follow(client, ctrl_c, accepted, is_detached=detach)


def _payload(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as exc:
        raise UsageError(f"--payload: a JSON object is expected: {exc}") from exc


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
    people: Recipients | None,
    wish: dict[str, Any],
    key: str | None,
) -> Triggered:
    key = key or Ids().token()
    if people is None:
        return client.call(workflow_calls.trigger(workflow, to, idempotency_key=key, **wish))
    lines = partial(_sent, ctrl_c, to, people)
    try:
        return client.call(bulk_calls.trigger_lines(workflow, wish, lines, key))
    except BrokenOff:
        print("called off: nothing was sent", file=sys.stderr)
        sys.exit(130)
    except ApiError as exc:
        faults = exc.problem.get("errors") or []
        for fault in faults:
            print(_placed(fault, people, 1 + len(to)), file=sys.stderr)
        if faults:
            raise UsageError("nothing was sent: see above") from exc
        raise


def _sent(ctrl_c: CtrlC, to: list[str], people: Recipients) -> Iterator[bytes]:
    yield from bulk_calls.recipients(to)
    for line in people:
        if ctrl_c.is_pressed:
            raise BrokenOff  # a body without an end: nothing of it is accepted
        yield line


def _placed(fault: dict[str, Any], people: Recipients, before: int) -> str:
    """A fault by its line in the file: the server counts those that came before it, too."""
    pointer, detail = str(fault.get("pointer")), str(fault.get("detail"))
    number, _, rest = pointer.removeprefix("/").partition("/")
    if number.isdecimal() and int(number) > before:
        at = people.place(int(number) - before)
        return safe(f"{at}: {detail}" + (f" (/{rest})" if rest else ""))
    return safe(f"{detail} ({pointer})")


def _follow(client: Client, ctrl_c: CtrlC, accepted: Triggered, *, is_detached: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    say = partial(console.print, markup=False)
    trigger = accepted.id
    say(f"accepted {accepted.workflow}, version {accepted.version}: trigger {trigger}")
    try:
        if ctrl_c.is_pressed:
            say(called_off(client.cancel_trigger(trigger)))
            sys.exit(130)
        if accepted.start_at is not None:
            say(f"it begins at {accepted.start_at}")
        if accepted.start_at is not None or is_detached:
            return
        job = watched(client, trigger, ctrl_c)
        if not job.is_over:
            cancelled = client.cancel_trigger(trigger)
            say(called_off(cancelled, client.report(trigger), job.total))
            sys.exit(130)
        say(outcome(client, job))
    except ApiError as exc:
        raise ServerError(f"{safe(exc.message)}; trigger {trigger} was accepted") from exc
    if not is_well(job):
        sys.exit(1)
