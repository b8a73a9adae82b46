"""What the queue promises on every engine. Inherit `QueueConformance` and give a `store` fixture with Clarion's own migrations."""

import asyncio

import msgspec
import pytest

from clarion.clock import ManualClock
from clarion.errors import Conflict, NotFound
from clarion.ids import Ids
from clarion.jobs.queue import Queue
from clarion.storage import Procedure, Store
from clarion.storage.jobs import ENQUEUE, PRIORITIES, enqueue_from

HIGH, LOW = PRIORITIES.index("high"), PRIORITIES.index("low")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queue(store: Store, clock: ManualClock) -> Queue:
    return Queue(store, clock, Ids.seeded(1), node="n1")


@pytest.fixture
def other(store: Store, clock: ManualClock) -> Queue:
    """Another node's queue on the same store."""
    return Queue(store, clock, Ids.seeded(2), node="n2")


class Order(msgspec.Struct, frozen=True, array_like=True):
    tenant: str
    id: str
    at_ms: int


PLACE_ORDER = Procedure(
    "place_order",
    Order,
    (
        enqueue_from(
            "SELECT r.tenant, 'order:' || r.id, 'order', '{}', r.at_ms, 3, r.at_ms FROM {rows r} WHERE true"
        ),
    ),
)


class QueueConformance:
    async def test_a_job_runs_when_it_is_due_and_is_forgotten_when_done(
        self, queue: Queue, clock: ManualClock
    ) -> None:
        """Not claimed before its time, claimed once, gone after finish."""
        later = clock.now_ms() + 5_000
        await queue.enqueue(queue.job("mail", {"to": "ann"}, run_ms=later, id="j"))
        assert await queue.claim(10) == []
        assert await queue.next_due_ms() == later
        clock.advance(5)
        [job] = await queue.claim(10)
        assert (job.id, job.kind, job.read(), job.attempt, job.tenant) == (
            "j",
            "mail",
            {"to": "ann"},
            1,
            "default",
        )
        assert await queue.claim(10) == []
        await queue.finish(job)
        assert await queue.next_due_ms() is None
        with pytest.raises(NotFound):
            await queue.get("default", "j")

    async def test_an_id_makes_enqueueing_repeatable(self, queue: Queue) -> None:
        """The same id twice is one job, with the first payload; another tenant's id is another job."""
        await queue.enqueue(queue.job("mail", 1, id="j"), queue.job("mail", 2, id="j"))
        await queue.enqueue(
            queue.job("mail", 3, id="j"), queue.job("mail", 4, id="j", tenant="acme")
        )
        found = await queue.claim(10)
        assert sorted((job.tenant, job.read(int)) for job in found) == [("acme", 4), ("default", 1)]

    async def test_oldest_first_and_no_more_than_asked(
        self, queue: Queue, clock: ManualClock
    ) -> None:
        """A batch holds at most the limit, those that wait longest."""
        now = clock.now_ms()
        await queue.enqueue(*(queue.job("k", i, run_ms=now - i) for i in range(10)))
        first = await queue.claim(4)
        assert sorted(job.read(int) for job in first) == [6, 7, 8, 9]
        assert len(await queue.claim(100)) == 6

    async def test_tenants_take_turns_and_what_is_urgent_goes_first(
        self, queue: Queue, store: Store
    ) -> None:
        """A thousand older jobs of one tenant keep nobody waiting; of one tenant's jobs those of a higher priority are next."""
        await queue.enqueue(
            *(queue.job("bulk", tenant="a", run_ms=n) for n in range(300)),
            *(queue.job("k", n, tenant="b") for n in range(3)),
        )
        first = await queue.claim(10)
        assert sum(job.tenant == "b" for job in first) == 3
        assert len(first) == 10
        [later, sooner, *rest] = await queue.claim(12)
        async with store.transaction() as tx:
            await queue.set_priority_within(tx, later, LOW)
            await queue.set_priority_within(tx, sooner, HIGH)
        for job in (later, sooner):
            await queue.put_off(job, 0.0, attempts=0)
        [next_one] = await queue.claim(1)
        assert next_one.id == sooner.id
        [normal] = await queue.claim(1)
        assert normal.id != later.id
        others = await queue.claim(1_000)
        assert later.id in {job.id for job in others}
        assert len(first) + len(rest) + 2 + len(others) == 303

    async def test_no_two_workers_get_the_same_job(self, queue: Queue, other: Queue) -> None:
        """20 concurrent claims of two nodes share 100 jobs without an overlap, and leave none."""
        await queue.enqueue(*(queue.job("k", i) for i in range(100)))
        batches = await asyncio.gather(*((queue, other)[i % 2].claim(5) for i in range(20)))
        claimed = [job.id for batch in batches for job in batch]
        assert len(claimed) == len(set(claimed))
        while batch := await queue.claim(50):
            claimed += [job.id for job in batch]
        assert len(set(claimed)) == len(claimed) == 100

    async def test_a_lease_that_ends_gives_the_job_to_another(
        self, queue: Queue, other: Queue, clock: ManualClock
    ) -> None:
        """A worker that falls silent loses the job; what it says later is fenced off by the token."""
        await queue.enqueue(queue.job("k", id="j"))
        [lost] = await queue.claim(1, lease_s=30)
        clock.advance(29.9)
        assert await other.claim(1) == []
        clock.advance(0.1)
        [job] = await other.claim(1, lease_s=30)
        assert (job.attempt, job.token > lost.token) == (2, True)
        assert (await queue.get("default", "j")).lease_by == "n2"
        await queue.finish(lost)
        await queue.fail(lost, "late")
        assert await queue.extend([lost, job]) == [lost]
        stored = await queue.get("default", "j")
        assert (stored.error, stored.attempts, stored.lease_by) == (None, 2, "n2")
        await other.finish(job)
        with pytest.raises(NotFound):
            await queue.get("default", "j")

    async def test_who_is_alone_goes_on_at_once(self, queue: Queue, other: Queue) -> None:
        """What a former process had is due now, and whatever that one still says of it counts for nothing."""
        await queue.enqueue(queue.job("k", id="j"))
        [lost] = await queue.claim(1, lease_s=30)
        assert await other.claim(1) == []
        await other.release()
        [job] = await other.claim(1)
        await queue.finish(lost)
        assert (await other.get("default", "j")).lease_by == "n2"
        assert job.attempt == 2

    async def test_a_lease_can_be_extended(
        self, queue: Queue, other: Queue, clock: ManualClock
    ) -> None:
        """Who says in time that it still works keeps the job."""
        await queue.enqueue(queue.job("k"))
        [job] = await queue.claim(1, lease_s=30)
        clock.advance(20)
        assert await queue.extend([job], lease_s=30) == []
        clock.advance(20)
        assert await other.claim(1) == []

    async def test_failures_back_off_then_leave_a_dead_letter(
        self, queue: Queue, clock: ManualClock
    ) -> None:
        """Each failure waits up to twice as long; after the last the letter is kept with its reason, and can be replayed."""
        await queue.enqueue(queue.job("k", id="j", max_attempts=3))
        for attempt in (1, 2, 3):
            [job] = await queue.claim(1)
            assert job.attempt == attempt
            assert await queue.fail(job, f"boom {attempt}") is (attempt == 3)
            due = await queue.next_due_ms()
            assert (due is None) == (attempt == 3)
            if due is not None:
                assert 0 <= due - clock.now_ms() <= 1000 * 2**attempt
            clock.advance(2**attempt)
        assert await queue.claim(1) == []
        [letter] = await queue.dead("default")
        assert (letter.id, letter.error, letter.attempts, letter.run_ms) == ("j", "boom 3", 3, None)
        await queue.replay("default", "j")
        [job] = await queue.claim(1)
        assert job.attempt == 1
        with pytest.raises(NotFound):
            await queue.replay("default", "j")
        await queue.fail(job, "hopeless", is_final=True)
        await queue.discard("default", "j")
        assert await queue.dead("default") == []
        with pytest.raises(NotFound):
            await queue.discard("default", "j")

    async def test_a_peer_may_say_when_to_come_again(
        self, queue: Queue, clock: ManualClock
    ) -> None:
        """retry_after replaces the backoff; a long error is cut."""
        await queue.enqueue(queue.job("k", id="j"))
        [job] = await queue.claim(1)
        await queue.fail(job, "x" * 5_000, retry_after_s=120)
        assert await queue.next_due_ms() == clock.now_ms() + 120_000
        assert len((await queue.get("default", "j")).error or "") == 1_000

    async def test_no_reason_is_too_odd_to_be_kept(self, queue: Queue) -> None:
        """What a handler died of is somebody else's text: a NUL or half a character in it doesn't keep it from being settled."""
        await queue.enqueue(queue.job("mail", id="j"))
        [job] = await queue.claim(1)
        assert await queue.fail(job, "no \0 such \ud83d thing", is_final=True)
        [letter] = await queue.dead("default")
        assert letter.error == "no \ufffd such ? thing"

    async def test_the_first_settlement_counts(self, queue: Queue, clock: ManualClock) -> None:
        """Two settlements under one token, even joined into one run: the second changes nothing."""
        await queue.enqueue(queue.job("k", id="j"))
        [job] = await queue.claim(1)
        await asyncio.gather(
            queue.fail(job, "first", retry_after_s=10), queue.fail(job, "second", retry_after_s=20)
        )
        stored = await queue.get("default", "j")
        assert (stored.error, stored.run_ms) == ("first", clock.now_ms() + 10_000)

    async def test_work_and_its_end_are_one_transaction(
        self, queue: Queue, other: Queue, store: Store, clock: ManualClock
    ) -> None:
        """What a job writes with its finish, or its cursor, is stored only by the holder of the lease."""
        await queue.enqueue(queue.job("bulk", {"after": ""}, id="j"))
        [lost] = await queue.claim(1)
        clock.advance(60)
        [job] = await other.claim(1)
        for ending in (
            queue.finish_within,
            lambda tx, job: queue.save_within(tx, job, {"after": "m"}),
        ):
            with pytest.raises(Conflict):  # noqa: PT012
                async with store.transaction() as tx:
                    await tx.apply(ENQUEUE, [queue.job("effect", id="e")])
                    await ending(tx, lost)
        with pytest.raises(NotFound):
            await queue.get("default", "e")
        async with store.transaction() as tx:
            await tx.apply(ENQUEUE, [queue.job("effect", id="e1")])
            await other.save_within(tx, job, {"after": "m"})
        stored = await queue.get("default", "j")
        assert (stored.payload, stored.attempts) == ('{"after":"m"}', 0)
        async with store.transaction() as tx:
            await tx.apply(ENQUEUE, [queue.job("effect", id="e2")])
            await other.finish_within(tx, job)
        assert [job.id for job in await queue.claim(10)] == ["e1", "e2"]

    async def test_another_aggregates_procedure_can_enqueue(
        self, queue: Queue, store: Store, clock: ManualClock
    ) -> None:
        """A job is written in the run that writes the rows it belongs to."""
        now = clock.now_ms()
        await asyncio.gather(
            *(store.apply(PLACE_ORDER, [Order("t", str(i), now)]) for i in range(5))
        )
        assert sorted(job.id for job in await queue.claim(10)) == [f"order:{i}" for i in range(5)]

    async def test_a_job_needs_a_kind_and_an_attempt(self, queue: Queue) -> None:
        """What could never run is refused, and takes no neighbour with it."""
        good = queue.enqueue(queue.job("k", id="good"))
        bad = (queue.enqueue(queue.job("")), queue.enqueue(queue.job("k", max_attempts=0)))
        outcomes = await asyncio.gather(good, *bad, return_exceptions=True)
        assert [type(o) for o in outcomes] == [type(None), Conflict, Conflict]

    async def test_listeners_hear_of_new_jobs(self, queue: Queue) -> None:
        """A worker of this process need not wait for its next look."""
        heard: list[int] = []

        def listener() -> None:
            heard.append(1)

        queue.listen(listener)
        await queue.enqueue(queue.job("k"))
        queue.unlisten(listener)
        await queue.enqueue(queue.job("k"))
        assert heard == [1]
