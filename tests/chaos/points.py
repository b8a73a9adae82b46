"""Named points at which a server dies, or stands still: run in its place as `python -m tests.chaos.points serve`.

`CLARION_CRASH_AT=handed:57` says where, and at the how-manieth pass; `CHAOS_BY=STOP` stops it instead of killing it;
`CHAOS_LEASE_S=1` makes leases short, so that a test need not wait for them.
"""

import functools
import os
import signal
from collections.abc import Callable
from typing import Any, Final

from clarion.cli import main
from clarion.notifications import digests, lanes, runs, triggering
from clarion.notifications.lanes import Lane
from clarion.notifications.planning import Planner
from clarion.notifications.runs import Runs
from clarion.notifications.schedules.firing import Firing
from clarion.notifications.soon import Soon
from clarion.notifications.writing import Writer

POINTS: Final[dict[str, tuple[type, str, bool]]] = {
    # name: class, method, whether it is after it (else before)
    "accepted": (Soon, "plan", False),
    "slice-read": (Runs, "carry", False),
    "written": (Writer, "write", True),
    "committed": (Runs, "_look_once_more", False),
    "planned": (Planner, "slice", True),
    "runs-claimed": (Runs, "load", False),
    "message-claimed": (Lane, "_attempt", False),
    "handed": (Lane, "_settle", False),
    "settled": (Lane, "_wake", False),
}
"""In the order in which a send comes to them; each says what has just been done. What is `written` is not committed yet."""
OTHERS: Final[dict[str, tuple[type, str, bool]]] = {
    "schedules-claimed": (Firing, "_fire", False),
}
"""That no send comes to."""


def plant(at: str, how: signal.Signals) -> None:
    """Let this process die at a point: `name:pass`."""
    name, _, wanted = at.partition(":")
    owner, method, is_after = (POINTS | OTHERS)[name]
    left = int(wanted)

    def reached() -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), how)

    setattr(owner, method, _around(getattr(owner, method), reached, is_after=is_after))


def _around(real: Callable[..., Any], reached: Callable[[], None], *, is_after: bool) -> Any:
    if not is_after:

        @functools.wraps(real)
        def before(*args: Any, **more: Any) -> Any:
            reached()
            return real(*args, **more)

        return before

    @functools.wraps(real)
    async def after(*args: Any, **more: Any) -> Any:
        out = await real(*args, **more)
        reached()
        return out

    return after


def shorten(lease_s: float) -> None:
    """Let leases end soon."""
    for module in (runs, digests, triggering, lanes):
        setattr(module, "LEASE_S", lease_s)  # noqa: B010  constants are Final for everybody else
    Lane._timeout_s = property(lambda self: lease_s / 2)  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    if at := os.environ.get("CLARION_CRASH_AT"):
        plant(at, signal.Signals["SIG" + os.environ.get("CHAOS_BY", "KILL")])
    if lease := os.environ.get("CHAOS_LEASE_S"):
        shorten(float(lease))
    main()
