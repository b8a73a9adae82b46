"""A job that takes long, watched from a terminal: a bar, and Ctrl-C as a wish instead of an end."""

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from clarion.client import Job
from clarion.clock import SystemClock, pause

EVERY_S: Final = 0.5
SHARE: Final = (
    20  # it waits so many times as long as the server took: looking must not slow what is looked at
)
SHOWN: Final = 8  # reasons under the bar
_STEP_S: Final = 0.1  # Ctrl-C is seen after so long


class BrokenOff(Exception):
    """Ctrl-C while a body travels: it gets no end, so that nothing of it is accepted."""


class CtrlC:
    """While it is open, the first Ctrl-C is only noted; the second ends the process as ever."""

    def __init__(self) -> None:
        self.is_pressed = False

    def _press(self, _signal: int, _frame: FrameType | None) -> None:
        if self.is_pressed:
            raise KeyboardInterrupt
        self.is_pressed = True

    def __enter__(self) -> Self:
        self._before: Any = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._before)


def follow(
    find: Callable[[], Job],
    reasons: Callable[[], list[str]],
    ctrl_c: CtrlC,
    console: Console,
) -> Job:
    """Show how far a job is until it is over, or Ctrl-C is pressed; returns how it was then.

    Args:
        find: Asks for it.
        reasons: Asks why some failed; a line for each reason.
        ctrl_c: Ends the watching.
        console: Where the bar is drawn, if it is a terminal.
    """
    clock = SystemClock()
    bar = Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
    task = bar.add_task("", total=None, told="")
    failed, lines = 0, ""
    with Live(console=console, transient=True, auto_refresh=False) as live:
        while True:
            began = clock.monotonic()
            job = find()
            if console.is_terminal:
                if job.failed != failed:
                    failed, lines = job.failed, "\n".join(reasons()[:SHOWN])
                bar.update(
                    task, description=job.state, total=job.total, completed=job.done, told=told(job)
                )
                live.update(Group(bar, Text(lines, "red")), refresh=True)
            if job.is_over or ctrl_c.is_pressed:
                return job
            until = clock.monotonic() + max(EVERY_S, SHARE * (clock.monotonic() - began))
            while clock.monotonic() < until and not ctrl_c.is_pressed:
                pause(_STEP_S)


def told(job: Job) -> str:
    """`31,000/100,000  4,120/s  17 s left  12 failed`; of what is over, no rate: nothing comes any more."""
    total = "?" if job.total is None else f"{job.total:,}"
    parts = [f"{job.done:,}/{total}"]
    if not job.is_over:
        parts.append(f"{job.rate:,.0f}/s")
    if job.eta_s is not None:
        parts.append(f"{job.eta_s:,} s left")
    if job.failed:
        parts.append(f"{job.failed:,} failed")
    return "  ".join(parts)
