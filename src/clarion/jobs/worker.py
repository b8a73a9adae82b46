"""The worker: claims due jobs, runs their handlers, settles them.

It wakes when something is enqueued here, when the next job is due, and now and then (another node may have enqueued). A handler that
raises is tried again with backoff; one whose error says `retry = "never"` is a dead letter at once. Closing lets what runs come
to an end for a while, then hands the rest back, so that another node need not wait for the lease to end.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from clarion.clock import Clock
from clarion.errors import ClarionError, UsageError
from clarion.ids import Ids
from clarion.jobs.loop import POLL_S, Loop
from clarion.jobs.queue import LEASE_S, Job, Queue, backoff_s
from clarion.telemetry import Tasks, get_logger, jobs, spawn

_log = get_logger(__name__)

CONCURRENCY = 16  # handlers at a time
TIMEOUT_S = 300.0  # for one run of a handler
UNKNOWN_S = 60.0  # until a job whose kind nobody here knows is looked at again
GRACE_S = 10.0  # for handlers that run when the worker is closed
STOP_S = 5.0  # then, for those that were cancelled: one that does not stop is left behind, its lease ends by itself

Handler = Callable[[Job], Awaitable[object]]
"""Does a job; what it returns is ignored. May run twice for one job: it must be repeatable."""


class _Kind(msgspec.Struct, frozen=True):
    handler: Handler
    timeout_s: float
    every_s: float | None  # periodic: never done, never dead


class Worker:
    """Runs jobs of one queue in this process. Register kinds, then `start`; `close` at the end."""

    def __init__(
        self,
        queue: Queue,
        clock: Clock,
        ids: Ids,
        *,
        concurrency: int = CONCURRENCY,
        lease_s: float = LEASE_S,
        poll_s: float = POLL_S,
    ) -> None:
        # Fixed at creation
        self._queue, self._clock, self._ids = queue, clock, ids
        self._concurrency, self._lease_s, self._poll_s = concurrency, lease_s, poll_s
        # Fixed at start
        self._kinds: dict[str, _Kind] = {}
        # Changes while open. Invariant: a job is in _running <=> its handler has not ended.
        self._running: dict[asyncio.Task[None], Job] = {}
        self._claiming = Loop("jobs-claim", self._claim, ids, poll_s=poll_s)
        self._tasks = Tasks()

    def handle(self, kind: str, handler: Handler, *, timeout_s: float = TIMEOUT_S) -> None:
        """Run `handler` for jobs of this kind.

        Raises:
            UsageError: The kind has a handler.
        """
        self._add(kind, _Kind(handler, timeout_s, None))

    def every(
        self, seconds: float, kind: str, handler: Handler, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Run `handler` about every so many seconds, on one node at a time, first after the start.

        It is one job with the id `every:<kind>`: any number of nodes, and restarts, leave it one. A failure is tried again
        with backoff, at the latest after `seconds`.
        """
        self._add(kind, _Kind(handler, timeout_s, seconds))

    async def start(self) -> None:
        """Begin to claim."""
        periodic = [
            self._queue.job(name, id=f"every:{name}")
            for name, kind in self._kinds.items()
            if kind.every_s is not None
        ]
        if periodic:
            await self._queue.enqueue(*periodic)
        self._queue.listen(self.wake)
        self._claiming.start()
        self._tasks.spawn_forever(self._extend_forever, name="jobs-extend")

    def wake(self) -> None:
        """Look for due jobs now."""
        self._claiming.wake()

    async def close(self, *, grace_s: float = GRACE_S) -> None:
        """Claim no more, wait for the handlers that run, hand back what is not done by then."""
        self._queue.unlisten(self.wake)
        # It may be in the middle of a claim, whose jobs must not be forgotten.
        await self._claiming.close()
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=grace_s)
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=STOP_S)
        for job in self._running.values():
            _log.error("handler does not stop", kind=job.kind, job=job.id)
        await self._tasks.close()

    def _add(self, name: str, kind: _Kind) -> None:
        if name in self._kinds:
            raise UsageError(f"jobs of kind {name} have a handler")
        self._kinds[name] = kind

    # ── the loops ──
    async def _claim(self) -> float:
        """Claim as many as may run; returns how long to wait before the next look (s)."""
        free = self._concurrency - len(self._running)
        if free <= 0:
            return self._poll_s  # the end of a handler wakes us
        due_ms = await self._queue.next_due_ms()  # looking costs no write
        if due_ms is None:
            return self._poll_s
        if (wait_ms := due_ms - self._clock.now_ms()) > 0:
            return min(self._poll_s, wait_ms / 1000)
        claimed = await self._queue.claim(free, lease_s=self._lease_s)
        for job in claimed:
            task = spawn(self._run(job), name=f"job-{job.kind}")
            self._running[task] = job
            task.add_done_callback(self._ended)
        # Nothing although something was due: other nodes have just taken it.
        return 0.0 if claimed else self._ids.uniform(0.01, 0.1)

    async def _extend_forever(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            held = dict(self._running)
            try:
                lost = await self._queue.extend(tuple(held.values()), lease_s=self._lease_s)
            except ClarionError as exc:
                _log.warning("leases cannot be extended", code=exc.code)
                continue
            for task, job in held.items():
                if job in lost and not task.done():
                    _log.warning("lease lost, handler stopped", kind=job.kind, job=job.id)
                    task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task)
        self._claiming.wake()

    # ── one job ──
    async def _run(self, job: Job) -> None:
        kind = self._kinds.get(job.kind)
        result = "unknown" if kind is None else "failed"
        try:
            if kind is None:
                await self._keep_unknown(job)
                return
            result = await self._run_kind(job, kind)
        except ClarionError as exc:
            # The settlement did not reach the store: the lease will end, and the job will run again.
            _log.warning("job could not be settled", kind=job.kind, job=job.id, code=exc.code)
        finally:
            jobs.labels(job.kind if kind else "unknown", result).inc()

    async def _run_kind(self, job: Job, kind: _Kind) -> str:
        if job.attempt > job.max_attempts and kind.every_s is None:
            # Its last attempts ended without a word: it takes its workers with it.
            await self._queue.fail(job, "the worker died each time it ran", is_final=True)
            return "dead"
        try:
            async with asyncio.timeout(kind.timeout_s):
                await kind.handler(job)
        except asyncio.CancelledError as exc:
            if (me := asyncio.current_task()) is not None and me.cancelling():
                await self._queue.put_off(job, 0.0, attempts=job.attempt - 1)
                return "handed_back"
            # Something that it waited for was cancelled, not the job.
            return await self._failed(job, kind, exc)
        except Exception as exc:  # noqa: BLE001  a handler's failure is the job's, whatever it is
            return await self._failed(job, kind, exc)
        if kind.every_s is None:
            await self._queue.finish(job)
        else:
            await self._queue.put_off(job, kind.every_s, attempts=0)
        return "done"

    async def _failed(self, job: Job, kind: _Kind, exc: BaseException) -> str:
        is_ours = isinstance(exc, ClarionError)
        _log.warning(
            "job failed",
            kind=job.kind,
            job=job.id,
            attempt=job.attempt,
            error=type(exc).__name__,
            exc_info=None if is_ours else exc,
        )
        error = f"{type(exc).__name__}: {exc}"
        if kind.every_s is not None:
            wait_s = min(kind.every_s, backoff_s(job.attempt, self._ids))
            await self._queue.put_off(job, wait_s, error=error, attempts=job.attempt)
            return "failed"
        is_dead = await self._queue.fail(
            job,
            error,
            retry_after_s=exc.retry_after_s if isinstance(exc, ClarionError) else None,
            is_final=isinstance(exc, ClarionError) and exc.retry == "never",
        )
        return "dead" if is_dead else "failed"

    async def _keep_unknown(self, job: Job) -> None:
        # A newer node may know it, or a person must see it: it waits, and this look is no attempt.
        _log.warning("nobody here knows jobs of this kind", kind=job.kind, job=job.id)
        error = f"no handler for jobs of kind {job.kind}"
        await self._queue.put_off(job, UNKNOWN_S, error=error, attempts=job.attempt - 1)
