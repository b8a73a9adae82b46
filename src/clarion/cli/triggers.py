"""`clarion triggers`: sends that are on their way already, watched, paused, resumed or called off."""

import sys
from functools import partial
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console

from clarion.cli.following import CtrlC, follow, told
from clarion.cli.remote import URL, Url, connected, safe
from clarion.client import Cancelled, Client, Job, Report

app = App(name="triggers", help="Sends that are on their way: watch, pause, resume or cancel them.")

Key = Annotated[
    str | None,
    Parameter(help="An API key with workflows:read, and notifications:send to change it. $CLARION_KEY"),
]  # fmt: skip

_console = Console(highlight=False, soft_wrap=True)
_say = partial(_console.print, markup=False)


@app.command
def watch(trigger: str, /, *, url: Url = URL, key: Key = None) -> None:
    """Show how far one is, until it is over; Ctrl-C ends the watching alone.

    Args:
        trigger: Its id, as `clarion send` says it.
    """
    with connected(url, key) as client, CtrlC() as ctrl_c:
        job = watched(client, trigger, ctrl_c)
        _say(outcome(client, job))
    if not job.is_over:
        sys.exit(130)
    if not is_well(job):
        sys.exit(1)


@app.command
def pause(trigger: str, /, *, url: Url = URL, key: Key = None) -> None:
    """Let nothing more of one begin, until it is resumed; what is under way comes to its end.

    Args:
        trigger: Its id, as `clarion send` says it.
    """
    with connected(url, key) as client:
        _say(outcome(client, client.pause_trigger(trigger)))


@app.command
def resume(trigger: str, /, *, url: Url = URL, key: Key = None) -> None:
    """Let one go on that was paused.

    Args:
        trigger: Its id, as `clarion send` says it.
    """
    with connected(url, key) as client:
        _say(outcome(client, client.resume_trigger(trigger)))


@app.command
def cancel(trigger: str, /, *, url: Url = URL, key: Key = None) -> None:
    """Call off what of one has not happened.

    Args:
        trigger: Its id, as `clarion send` says it.
    """
    with connected(url, key) as client:
        job = client.progress(trigger)
        cancelled = Cancelled(0, 0, 0) if job.is_over else client.cancel_trigger(trigger)
        _say(called_off(cancelled, client.report(trigger), job.total))


# ── what `send` says, too ──
def watched(client: Client, trigger: str, ctrl_c: CtrlC) -> Job:
    """Show how far a trigger is until it is over, or Ctrl-C is pressed; returns how it was then."""
    find, reasons = partial(client.progress, trigger), partial(_reasons, client, trigger)
    return follow(find, reasons, ctrl_c, Console(stderr=True, highlight=False))


def outcome(client: Client, job: Job) -> str:
    """How it is, and why some failed."""
    reasons = _reasons(client, job.id) if job.failed else []
    return "\n".join([f"{job.state}: {told(job)}", *reasons])


def is_well(job: Job) -> bool:
    """Whether it is done, for everybody."""
    return job.state == "done" and not job.failed


def _reasons(client: Client, trigger: str) -> list[str]:
    found = client.report(trigger).reasons
    where = [f"{each.channel}: " if each.channel else "" for each in found]
    return [
        safe(f"  {each.count:,} × {at}{each.reason or each.status}")
        for each, at in zip(found, where, strict=True)
    ]


def called_off(cancelled: Cancelled, report: Report | None = None, total: int | None = None) -> str:
    """How many were done with before; who has several messages that were called off is counted for each."""
    if not cancelled.triggers:
        return "over already: nothing was called off"
    text = "called off"
    if report is not None:
        ended = report.recipients - report.failed - cancelled.runs - cancelled.messages
        text += f": done with {max(0, ended):,} of {'?' if total is None else format(total, ',')}"
        text += f", {report.failed:,} failed" if report.failed else ""
    waiting = 0 if report is None or total is None else total - report.recipients
    left = {"recipients not begun": waiting, "runs": cancelled.runs, "messages": cancelled.messages}
    if any(left.values()):
        text += "\n  not finished: " + ", ".join(f"{n:,} {what}" for what, n in left.items() if n)
    return text
