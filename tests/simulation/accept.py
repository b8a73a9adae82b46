"""Scenario `accept`: what was accepted is there, once, and what was enqueued is done, whenever the node dies.

Callers post notifications with an Idempotency-Key and enqueue jobs, and repeat each call until it is answered; some are repeated
afterwards, too. The node crashes again and again. Two workers run the jobs; the line from one of them to the store may stall for
longer than its lease, so that the other one takes over. Oracles, after a time of quiet:

- every accepted notification is stored, each title once; every recipient has exactly one message of it
- a repeated call is given the first answer
- every job was done, none is left, and no run was committed after another worker had begun with a newer fencing token
- the logs of the inboxes have no gap

A fourth of the seeds are calm: there a job runs once, and once more for each time that its provider refused.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

from clarion.errors import Unavailable
from clarion.jobs import Job, Queue, Worker
from clarion.notifications.log import InboxLog, topic_of
from clarion.storage import Procedure, Sql, Store, Tx
from tests.simulation.node import Node
from tests.simulation.oracles import check_chain, check_notifications
from tests.simulation.world import QUIET_S, World
from tests.support.simulation import SimLoop

USERS = ("ann", "bob", "cid")
CALLERS = ("app0", "app1", "app2")
CALLS = 8  # of each caller
LEASE_S, POLL_S = 2.0, 1.0
STALL_S = 6.0  # at most: longer than a lease
WORK_S = 4.0  # at most: longer than a lease, which must be extended
# A provider refuses so often at the most; then no backoff is longer than the quiet.
REFUSALS = 3


class Line:
    """A store at the end of a line that may stall."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.engine: Literal["sqlite", "postgresql"] = store.engine
        self.stalled_until = 0.0

    async def apply(self, procedure: Procedure, rows: Sequence[Any]) -> list[Any]:
        """As the store does, later."""
        await self._wait()
        return await self._store.apply(procedure, rows)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """As the store does, later."""
        await self._wait()
        async with self._store.transaction() as tx:
            yield tx

    async def fetch(self, sql: Sql[Any], **params: Any) -> list[Any]:
        """As the store does, later."""
        await self._wait()
        return await self._store.fetch(sql, **params)

    async def ping(self) -> None:
        """As the store does."""
        await self._store.ping()

    async def close(self) -> None:
        """The line ends with its node."""

    async def _wait(self) -> None:
        await asyncio.sleep(max(0.0, self.stalled_until - asyncio.get_running_loop().time()))


class Works:
    """Makes the workers of each life of the node, and knows what became of every job."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop, self._rng = loop, loop.rng
        self._lines: list[Line] = []
        self.begun: dict[tuple[str, int], list[int]] = {}
        """Tokens of the runs of a job, by its id and when it was made: an id may come again once its job is done."""
        self.refused: dict[tuple[str, int], int] = {}
        self.done: dict[str, None] = {}
        """Ids of the jobs whose end was at least asked for."""
        self.broken: list[str] = []

    def make(self, node: Node) -> list[Worker]:
        """Two workers, each with a line of its own."""
        self._lines = [Line(node.store), Line(node.store)]
        return [self._worker(node, n, line) for n, line in enumerate(self._lines)]

    def stall(self) -> None:
        """Let one of the lines stall."""
        if self._lines:
            seconds = self._rng.uniform(0, STALL_S)
            self._loop.note("line stalls for", round(seconds, 3))
            self._rng.choice(self._lines).stalled_until = self._loop.time() + seconds

    def check_calm(self) -> None:
        """Where nothing went wrong, nothing was done twice."""
        for key, runs in self.begun.items():
            due = 1 + self.refused.get(key, 0)
            assert len(runs) == due, (
                f"job {key[0]} ran {len(runs)} times without trouble, not {due}"
            )

    def _worker(self, node: Node, n: int, line: Line) -> Worker:
        queue = Queue(line, node.clock, self._loop.ids(), node=f"worker{n}")
        worker = Worker(queue, node.clock, self._loop.ids(), lease_s=LEASE_S, poll_s=POLL_S)
        worker.handle("work", functools.partial(self._run, line, queue))
        return worker

    async def _run(self, line: Line, queue: Queue, job: Job) -> None:
        key = job.id, job.created_ms
        runs = self.begun.setdefault(key, [])
        if runs and job.token <= runs[-1]:
            self.broken.append(f"job {job.id} began with token {job.token} after {runs}")
        runs.append(job.token)
        await asyncio.sleep(self._rng.uniform(0, WORK_S))
        if len(runs) <= REFUSALS and self._rng.random() < 0.2:
            self.refused[key] = self.refused.get(key, 0) + 1
            raise Unavailable("the provider is away")
        self.done[job.id] = None
        async with line.transaction() as tx:
            await queue.finish_within(tx, job)
        if runs[-1] > job.token:
            self.broken.append(f"job {job.id} was finished with token {job.token}, begun {runs}")


class Caller:
    """A back end that repeats each call until it is answered."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name
        self.sent: dict[str, list[str]] = {}
        self.accepted: dict[str, str] = {}
        """Title by the notification's id that was answered."""
        self.enqueued: list[str] = []

    async def main(self) -> None:
        """Make all calls."""
        rng = self._world.rng
        for n in range(CALLS):
            await asyncio.sleep(rng.uniform(0, 1.0))
            if rng.random() < 0.6:
                await self._send(f"{self._name}-{n}", rng.sample(USERS, rng.randint(1, len(USERS))))
            else:
                await self._enqueue(f"{self._name}-{n}")

    async def _send(self, title: str, users: list[str]) -> None:
        self.sent[title] = users
        body = {"recipients": [{"id": user} for user in users], "title": title}
        send = functools.partial(self._world.call, self._name, "send", body, kind="key", key=title)
        answer = await send()
        if "id" not in answer:
            self._world.blame(f"{title} was answered {answer}")
            return
        self.accepted[answer["id"]] = title
        if self._world.rng.random() < 0.3 and (again := await send()) != answer:
            self._world.blame(f"{title} was answered {answer}, then {again}")

    async def _enqueue(self, id: str) -> None:
        await self._world.call(self._name, "enqueue", {}, kind="key", key=id)
        self.enqueued.append(id)


async def accept(loop: SimLoop) -> None:
    """One run."""
    is_calm = loop.rng.random() < 0.25
    works = Works(loop)
    with World(loop, workers=works.make) as world:
        world.start()
        callers = [Caller(world, name) for name in CALLERS]
        tasks = [
            world.network.start(name, caller.main)
            for name, caller in zip(CALLERS, callers, strict=True)
        ]
        if not is_calm:
            await world.trouble(CALLERS, loop.rng.randint(3, 12), more=works.stall)
        await asyncio.gather(*tasks)
        await asyncio.sleep(QUIET_S)
        world.stop()
        world.assert_blameless()
        assert not works.broken, works.broken[0]
        await _check(world, callers, works)
        if is_calm:
            works.check_calm()


async def _check(world: World, callers: list[Caller], works: Works) -> None:
    store = world.opened()
    sent = {title: users for caller in callers for title, users in caller.sent.items()}
    stored = await check_notifications(store, sent)
    for caller in callers:
        for id, title in caller.accepted.items():
            assert stored.get(id) == title, f"{title} was accepted as {id}, stored are {stored}"
    for user in USERS:
        check_chain(await InboxLog(store).read(topic_of("default", user), 0, 1_000_000))
    lost = [id for caller in callers for id in caller.enqueued if id not in works.done]
    assert not lost, f"enqueued, and never done: {lost}"
    left = await Queue(store, world.clock, world.loop.ids(), node="").next_due_ms()
    assert left is None, "there are jobs left"
    await store.close()
