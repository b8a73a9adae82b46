"""The worker, on the simulator's disk in the loop's own time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from clarion.clock import LoopClock
from clarion.errors import Invalid, NotFound, RateLimited, Unavailable, UsageError
from clarion.ids import Ids
from clarion.jobs import Job, Queue, Worker
from clarion.storage import Store
from clarion.telemetry import REGISTRY, spawn
from tests.jobs.stores import memory_store

__all__ = ["memory_store"]


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async for store in memory_store.__wrapped__(None):  # type: ignore[attr-defined]
        yield store


@pytest.fixture
def queue(store: Store) -> Queue:
    return Queue(store, LoopClock(), Ids.seeded(1), node="n1")


class Workers:
    """Makes workers, and closes them at the end."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._made: list[Worker] = []

    def make(self, *, concurrency: int = 4, lease_s: float = 30.0, poll_s: float = 5.0) -> Worker:
        worker = Worker(
            self._queue,
            LoopClock(),
            Ids.seeded(2),
            concurrency=concurrency,
            lease_s=lease_s,
            poll_s=poll_s,
        )
        self._made.append(worker)
        return worker

    async def close(self) -> None:
        for worker in self._made:
            await worker.close(grace_s=0)


@pytest.fixture
async def workers(queue: Queue) -> AsyncIterator[Workers]:
    workers = Workers(queue)
    yield workers
    await workers.close()


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    """Look until it is so; the test's own limit is 10 s."""
    async with asyncio.timeout(10):
        while not await check():  # noqa: ASYNC110  the store has no event for it
            await asyncio.sleep(0.005)


async def is_gone(queue: Queue, id: str) -> bool:
    try:
        await queue.get("default", id)
    except NotFound:
        return True
    return False


def counted(kind: str, result: str) -> float:
    return REGISTRY.get_sample_value("clarion_jobs_total", {"kind": kind, "result": result}) or 0


async def test_a_job_is_run_as_soon_as_it_is_enqueued(queue: Queue, workers: Workers) -> None:
    """An idle worker is woken; the job is gone when its handler has returned, and counted."""
    worker, seen = workers.make(poll_s=60), asyncio.Queue[Job]()
    worker.handle("greet", seen.put)
    await worker.start()
    before = counted("greet", "done")
    await queue.enqueue(queue.job("greet", {"name": "Ann"}, id="j"))
    job = await seen.get()
    assert job.read() == {"name": "Ann"}
    await until(lambda: is_gone(queue, "j"))
    await worker.close()
    assert counted("greet", "done") == before + 1


async def test_a_job_is_run_when_it_is_due(queue: Queue, workers: Workers) -> None:
    """A job for later wakes the worker by itself, long before the next poll."""
    worker, seen = workers.make(poll_s=60), asyncio.Queue[Job]()
    worker.handle("later", seen.put)
    await worker.start()
    clock = LoopClock()
    run_ms = clock.now_ms() + 80
    await queue.enqueue(queue.job("later", run_ms=run_ms))
    await seen.get()
    assert clock.now_ms() >= run_ms


async def test_no_more_run_at_a_time_than_allowed(queue: Queue, workers: Workers) -> None:
    """With a concurrency of 3, 12 jobs run three by three, and all of them."""
    worker = workers.make(concurrency=3)
    running, most, ended = 0, 0, asyncio.Queue[str]()

    async def work(job: Job) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1
        await ended.put(job.id)

    worker.handle("work", work)
    await queue.enqueue(*(queue.job("work") for _ in range(12)))
    await worker.start()
    assert len({await ended.get() for _ in range(12)}) == 12
    assert most == 3


async def test_a_failure_is_tried_again(queue: Queue, workers: Workers) -> None:
    """A handler that raises runs again; where the error says after how long, that long after."""
    worker, attempts = workers.make(), asyncio.Queue[int]()

    async def work(job: Job) -> None:
        await attempts.put(job.attempt)
        if job.attempt == 1:
            raise RateLimited(retry_after_s=0.01)

    worker.handle("flaky", work)
    await worker.start()
    await queue.enqueue(queue.job("flaky", id="j"))
    assert [await attempts.get(), await attempts.get()] == [1, 2]
    await until(lambda: is_gone(queue, "j"))


@pytest.mark.parametrize("error", [Invalid("no such template"), ValueError("boom")])
async def test_what_cannot_be_helped_becomes_a_dead_letter(
    queue: Queue, workers: Workers, error: Exception
) -> None:
    """An error that says never, or the last attempt: kept with its reason for a person."""
    worker = workers.make()

    async def work(job: Job) -> None:
        raise error

    worker.handle("hopeless", work)
    await worker.start()
    before = counted("hopeless", "dead")
    attempts = 5 if isinstance(error, Invalid) else 1
    await queue.enqueue(queue.job("hopeless", id="j", max_attempts=attempts))

    async def is_dead() -> bool:
        return bool(await queue.dead("default"))

    await until(is_dead)
    [letter] = await queue.dead("default")
    assert (letter.attempts, letter.error) == (1, f"{type(error).__name__}: {error}")
    await worker.close()
    assert counted("hopeless", "dead") == before + 1


async def test_a_job_that_kills_its_workers_is_not_run_for_ever(
    queue: Queue, workers: Workers
) -> None:
    """Attempts count when they begin: after the last lease that ended without a word the job is a dead letter."""
    await queue.enqueue(queue.job("killer", id="j", max_attempts=1))
    assert len(await queue.claim(1, lease_s=0)) == 1  # and its worker dies
    worker, ran = workers.make(), asyncio.Event()

    async def work(job: Job) -> None:
        ran.set()

    worker.handle("killer", work)
    await worker.start()

    async def is_dead() -> bool:
        return bool(await queue.dead("default"))

    await until(is_dead)
    assert not ran.is_set()


async def test_a_job_of_unknown_kind_is_kept_and_shown(queue: Queue, workers: Workers) -> None:
    """Nobody here knows it: it waits with the reason, and its attempts are not used up."""
    await queue.enqueue(queue.job("from_the_future", id="j"))
    worker = workers.make()
    await worker.start()

    async def is_put_off() -> bool:
        return (await queue.get("default", "j")).error is not None

    await until(is_put_off)
    stored = await queue.get("default", "j")
    assert (stored.attempts, stored.lease_by) == (0, None)
    assert stored.run_ms is not None
    assert stored.run_ms > LoopClock().now_ms()
    assert "from_the_future" in (stored.error or "")


async def test_a_run_that_takes_too_long_is_stopped(queue: Queue, workers: Workers) -> None:
    """A handler that hangs fails by its time-out, and does not hold its place for ever."""
    worker = workers.make()

    async def hang(job: Job) -> None:
        await asyncio.Event().wait()

    worker.handle("hang", hang, timeout_s=0.02)
    await worker.start()
    await queue.enqueue(queue.job("hang", id="j", max_attempts=1))

    async def is_dead() -> bool:
        return bool(await queue.dead("default"))

    await until(is_dead)
    assert "TimeoutError" in ((await queue.dead("default"))[0].error or "")


async def test_something_cancelled_inside_a_handler_is_a_failure(
    queue: Queue, workers: Workers
) -> None:
    """A handler that waits for a thing that others cancel has failed; it is not handed back at once, for ever."""
    worker = workers.make()

    async def work(job: Job) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    worker.handle("odd", work)
    await worker.start()
    await queue.enqueue(queue.job("odd", max_attempts=1))

    async def is_dead() -> bool:
        return bool(await queue.dead("default"))

    await until(is_dead)


async def test_long_work_keeps_its_lease(queue: Queue, workers: Workers) -> None:
    """A handler that runs for several leases runs once."""
    first, second = workers.make(lease_s=0.15, poll_s=0.02), workers.make(lease_s=0.15, poll_s=0.02)
    runs, go_on = asyncio.Queue[int](), asyncio.Event()

    async def work(job: Job) -> None:
        await runs.put(job.attempt)
        await go_on.wait()

    for worker in (first, second):
        worker.handle("long", work)
        await worker.start()
    await queue.enqueue(queue.job("long", id="j"))
    assert await runs.get() == 1
    await asyncio.sleep(0.5)
    go_on.set()
    await until(lambda: is_gone(queue, "j"))
    assert runs.empty()


async def test_a_lost_lease_stops_the_handler(queue: Queue, store: Store, workers: Workers) -> None:
    """Somebody else has the job: the old handler is cancelled instead of doing it twice."""
    worker, started, stopped = (
        workers.make(lease_s=0.1, poll_s=60),
        asyncio.Event(),
        asyncio.Event(),
    )

    async def work(job: Job) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    worker.handle("long", work)
    await worker.start()
    await queue.enqueue(queue.job("long", id="j"))
    await started.wait()
    # As if this node had been paused for the length of its lease: another claims the job.
    rival = Queue(store, _Ahead(), Ids.seeded(9), node="n2")
    assert [job.id for job in await rival.claim(1, lease_s=600)] == ["j"]
    await asyncio.wait_for(stopped.wait(), 10)
    assert (await queue.get("default", "j")).lease_by == "n2"


async def test_a_handler_that_has_finished_its_job_itself_is_left_alone(
    queue: Queue, store: Store, workers: Workers
) -> None:
    """What it does after its transaction, such as telling others, is not cut off where leases are extended meanwhile."""
    worker, ended = workers.make(lease_s=0.1, poll_s=60), asyncio.Event()

    async def work(job: Job) -> None:
        async with store.transaction() as tx:
            await queue.finish_within(tx, job)
        await asyncio.sleep(0.3)
        ended.set()

    worker.handle("own", work)
    await worker.start()
    await queue.enqueue(queue.job("own", id="j"))
    await asyncio.wait_for(ended.wait(), 10)


class _Ahead(LoopClock):
    def now_ms(self) -> int:
        return super().now_ms() + 60_000


async def test_a_periodic_job_runs_again_and_again(queue: Queue, workers: Workers) -> None:
    """Two nodes, one job: it is put off each time, survives failures, and never dies."""
    ran = asyncio.Queue[str]()
    failures = iter([True, False, True])

    async def purge(job: Job) -> None:
        await ran.put(job.id)
        if next(failures, False):
            raise ValueError

    for _ in range(2):
        worker = workers.make(poll_s=0.05)
        worker.every(0.03, "purge", purge)
        await worker.start()
    assert {await ran.get() for _ in range(5)} == {"every:purge"}
    assert await queue.dead("default") == []


async def test_closing_waits_then_hands_back(queue: Queue, workers: Workers) -> None:
    """What ends within the grace is finished; the rest is due again at once, as if it had not been begun."""
    worker, go_on, started = workers.make(), asyncio.Event(), asyncio.Queue[str]()

    async def work(job: Job) -> None:
        await started.put(job.id)
        if job.id == "quick":
            await go_on.wait()
        else:
            await asyncio.Event().wait()

    worker.handle("work", work)
    await worker.start()
    await queue.enqueue(queue.job("work", id="quick"), queue.job("work", id="endless"))
    assert {await started.get(), await started.get()} == {"quick", "endless"}
    closing = spawn(worker.close(grace_s=0.1), name="closing")
    await asyncio.sleep(0)
    go_on.set()
    await closing
    assert await is_gone(queue, "quick")
    [job] = await queue.claim(10)
    assert (job.id, job.attempt) == ("endless", 1)


async def test_a_handler_that_does_not_stop_is_left_behind(
    queue: Queue, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that swallows its cancelling cannot hold up the end of the process; its lease ends by itself."""
    monkeypatch.setattr("clarion.jobs.worker.STOP_S", 0.01)
    worker, started, end = workers.make(), asyncio.Event(), asyncio.Event()

    async def work(job: Job) -> None:
        started.set()
        while not end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await end.wait()

    worker.handle("stubborn", work)
    await worker.start()
    await queue.enqueue(queue.job("stubborn", id="j"))
    await started.wait()
    async with asyncio.timeout(5):
        await worker.close(grace_s=0)
    assert (await queue.get("default", "j")).lease_by == "n1"
    end.set()
    await until(lambda: is_gone(queue, "j"))


async def test_what_is_done_is_not_handed_back(
    queue: Queue, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed between the end of a handler and the answer of the store: the job is forgotten, not run again."""
    worker, finishing = workers.make(), asyncio.Event()
    handed_back: list[str] = []

    async def finish(job: Job) -> None:
        finishing.set()
        await asyncio.Event().wait()

    async def put_off(job: Job, *_: object, **__: object) -> None:
        handed_back.append(job.id)

    monkeypatch.setattr(queue, "finish", finish)
    monkeypatch.setattr(queue, "put_off", put_off)

    async def work(job: Job) -> None:
        pass

    worker.handle("quick", work)
    await worker.start()
    await queue.enqueue(queue.job("quick", id="j"))
    await finishing.wait()
    await worker.close(grace_s=0)
    assert handed_back == []


async def test_a_store_that_is_away_stops_nothing(
    queue: Queue, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store cannot be reached the worker waits and looks again; jobs run when it is back."""
    worker, seen, looked = (
        workers.make(poll_s=0.01, lease_s=0.03),
        asyncio.Queue[Job](),
        asyncio.Event(),
    )
    worker.handle("greet", seen.put)
    real = {name: getattr(queue, name) for name in ("next_due_ms", "finish")}

    def away(*_: object, **__: object) -> object:
        looked.set()
        raise Unavailable

    for name in real:
        monkeypatch.setattr(queue, name, away)
    await worker.start()
    await looked.wait()
    monkeypatch.setattr(queue, "next_due_ms", real["next_due_ms"])
    await queue.enqueue(queue.job("greet", id="j"))
    assert (await seen.get()).attempt == 1
    # Its end could not be stored: the lease ends, it runs once more.
    assert (await seen.get()).attempt == 2
    monkeypatch.setattr(queue, "finish", real["finish"])
    await until(lambda: is_gone(queue, "j"))


def test_a_kind_has_one_handler(queue: Queue, workers: Workers) -> None:
    """Two handlers for one kind: one of them would never run."""
    worker = workers.make()

    async def work(job: Job) -> None:
        pass

    worker.handle("k", work)
    with pytest.raises(UsageError):
        worker.every(1, "k", work)
