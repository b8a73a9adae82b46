"""Planning by who has accepted: soon, under the lease of the trigger's job. If the process dies, a worker plans on when that ends."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from clarion.errors import ClarionError
from clarion.jobs.queue import MAX_ATTEMPTS, Job, Queue
from clarion.notifications.at_once import IN_LINE, TOGETHER, is_small
from clarion.notifications.planning import Planner
from clarion.storage import triggers as sql
from clarion.telemetry import get_logger, spawn

_log = get_logger(__name__)

PLANNING: Final = 32  # triggers, or lines of small ones, at a time
JOB: Final = sql.JOB


class Soon:
    """Plans what was accepted here.

    Args:
        planner: Does it.
        queue: Takes back what is a worker's.
    """

    def __init__(self, planner: Planner, queue: Queue) -> None:
        self._planner, self._queue = planner, queue
        self._planning: dict[asyncio.Task[None], None] = {}
        self._lines: dict[tuple[str, str], list[sql.NewTrigger]] = {}

    def has_time_for(self, row: sql.NewTrigger) -> bool:
        """More than can be planned at a time is left to the worker, which takes no more than it can do."""
        line = self._lines.get((row.tenant, row.workflow)) if is_small(row) else None
        return len(self._planning) < PLANNING if line is None else len(line) < IN_LINE

    def plan(self, row: sql.NewTrigger) -> None:
        """Plan one whose job this process has under a lease."""
        if not is_small(row):
            self._spawn(self._plan_first(row))
            return
        # Those of a workflow that come while one is planned are planned together after it: what slows one workflow down slows no other.
        name = (row.tenant, row.workflow)
        if (line := self._lines.get(name)) is not None:
            line.append(row)
            return
        self._lines[name] = [row]
        self._spawn(self._plan_line(name))

    def _spawn(self, planning: Coroutine[Any, Any, None]) -> None:
        task = spawn(planning, name="plan-trigger")
        self._planning[task] = None
        task.add_done_callback(self._planning.pop)

    async def _plan_line(self, name: tuple[str, str]) -> None:
        line = self._lines[name]
        try:
            while line:
                rows = line[:TOGETHER]
                del line[: len(rows)]
                if not await self._planner.together(rows):
                    for row in rows:
                        await self._plan_first(row)
        except ClarionError as exc:
            # Nothing is lost: the leases end, and a worker plans them.
            _log.warning("triggers could not be planned yet", workflow=name[1], code=exc.code)
        finally:
            del self._lines[name]

    async def _plan_first(self, row: sql.NewTrigger) -> None:
        job = Job(row.tenant, row.id, JOB, b"{}", 0, 1, MAX_ATTEMPTS, row.at_ms)
        try:
            if await self._planner.slice(job):
                # The rest is a worker's, who holds the lease for as long as it takes.
                await self._queue.put_off(job, 0.0, attempts=0)
                self._queue.notify()
        except ClarionError as exc:
            # Nothing is lost: the lease ends, and a worker plans it.
            _log.warning("trigger could not be planned yet", trigger=job.id, code=exc.code)

    async def settled(self) -> None:
        """Wait until all of it is planned."""
        while self._planning:
            await asyncio.wait(tuple(self._planning))
