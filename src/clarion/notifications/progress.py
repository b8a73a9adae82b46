"""How far something has come that takes long: a bulk send, an import. One form for both, over HTTP and on the topic `job:<id>`.

The topic costs nothing while nobody looks: the process of whoever is subscribed reads the numbers twice a second at most, and no more
often than so that it spends a twentieth of its time with that, and publishes what has changed.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, Protocol

import msgspec
from msgspec import Struct

from clarion.auth.principal import Principal
from clarion.auth.rights import holds
from clarion.clock import Clock
from clarion.errors import ClarionError, NotFound
from clarion.storage.jobs import JOB
from clarion.storage.store import Store
from clarion.telemetry import get_logger, spawn
from clarion.topics import Ask, Topic, Topics

_log = get_logger(__name__)

KIND: Final = "job"
KEY: Final = "progress"  # the one item of the topic
EVERY_S: Final = 0.5
SHARE: Final = 20  # it waits so many times as long as reading took
KEPT_S: Final = 3_600  # what can be recovered of a topic
WINDOW_S: Final = 10.0  # a rate is that of the last seconds
RATES: Final = 1_000  # jobs of which one is remembered

State = Literal["running", "paused", "done", "cancelled", "failed"]


class Job(Struct, frozen=True):
    """How far it has come. `done` counts recipients or lines with which it has come to an end, `failed` those of them with which it went wrong.

    `total` is null while nobody knows it. `rate` is per second, of the last seconds; `eta_s`: how long it takes from now at that rate, null
    where that cannot be said.
    """

    id: str
    kind: Literal["send", "import"]
    state: State
    total: int | None
    done: int
    failed: int
    rate: float
    eta_s: int | None
    created_at: datetime


class Source(Protocol):
    """Something that knows jobs of one kind."""

    scope: str
    """What a credential needs to look."""

    async def find(self, tenant: str, id: str) -> Job:
        """One of them; raises `NotFound`."""
        ...


async def is_given_up(store: Store, tenant: str, id: str) -> bool:
    """Whether nobody carries a job on: who did has died too often, or a person has dropped it. Then a person has to look."""
    jobs = await store.fetch(JOB, tenant=tenant, id=id)
    return not jobs or jobs[0].run_ms is None


class Rates:
    """How fast jobs go, by what was read of them before.

    Args:
        clock: Monotonic time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Id → when (monotonic s) and how many were done then: the reading that the next ones are compared with, and a newer one.
        self._read: dict[str, tuple[tuple[float, int], tuple[float, int]]] = {}

    def told(self, job: Job, age_s: float) -> Job:
        """A job with its rate; of one that is read for the first time the average of its age."""
        now = (self._clock.monotonic(), job.done)
        old, new = self._read.pop(job.id, (now, now))
        if now[0] - new[0] >= WINDOW_S:
            old, new = new, now
        if job.state == "running":
            self._read[job.id] = (old, new)
            if len(self._read) > RATES:
                del self._read[next(iter(self._read))]
        span_s, count = now[0] - old[0], now[1] - old[1]
        if span_s < EVERY_S / 2:
            span_s, count = age_s, job.done
        rate = count / span_s if span_s > 0 and job.state == "running" else 0.0
        eta_s = None
        if rate > 0 and job.total is not None:
            eta_s = round(max(0, job.total - job.done) / rate)
        return msgspec.structs.replace(job, rate=round(rate, 1), eta_s=eta_s)


class Progress:
    """Tells on topics how jobs go.

    Args:
        topics: Where.
        sources: What knows them.
        clock: Monotonic time.
    """

    def __init__(self, topics: Topics, *sources: Source, clock: Clock) -> None:
        self._sources, self._clock = sources, clock
        self._watching: dict[Topic, asyncio.Task[None]] = {}
        self._topics = topics
        topics.add(
            KIND,
            "map",
            rights={"subscribe": Ask(self._may)},
            log_age_s=KEPT_S,
            keys=1,
            open=self._open,
            watched=self._watched,
        )

    async def close(self) -> None:
        """Look no more."""
        for task in list(self._watching.values()):
            task.cancel()
        if self._watching:
            await asyncio.wait(list(self._watching.values()))

    async def find(self, tenant: str, id: str) -> tuple[Source, Job]:
        """A job, and who knows it.

        Raises:
            NotFound: There is none.
        """
        for source in self._sources:
            try:
                return source, await source.find(tenant, id)
            except NotFound:
                continue
        raise NotFound(f"there is no job {id}")

    async def _may(self, principal: Principal, _action: str, topic: Topic) -> bool:
        try:
            source, _ = await self.find(topic.tenant, topic.name)
        except NotFound:
            return False
        return holds(principal.scopes, source.scope)

    async def _open(
        self, topic: Topic, _principal: Principal | None, _params: Mapping[str, Any]
    ) -> Topic:
        await self._tell(topic)
        return topic

    def _watched(self, topic: Topic, is_watched: bool) -> None:
        task = self._watching.pop(topic, None)
        if task is not None:
            task.cancel()
        if is_watched:
            self._watching[topic] = spawn(self._watch(topic), name="progress of a job")

    async def _watch(self, topic: Topic) -> None:
        wait_s = EVERY_S
        while True:
            await asyncio.sleep(wait_s)
            began = self._clock.monotonic()
            try:
                if await self._tell(topic):
                    return
            except ClarionError as exc:
                _log.warning("progress not told", job=topic.name, code=exc.code)
            wait_s = max(EVERY_S, SHARE * (self._clock.monotonic() - began))

    async def _tell(self, topic: Topic) -> bool:
        """Publish how it is; returns whether that is the end of it."""
        _, job = await self.find(topic.tenant, topic.name)
        handle = self._topics.of(topic.wire, topic.tenant)
        plain = msgspec.to_builtins(job)
        item = await handle.get(KEY)
        if item is None or item.data != plain:
            await handle.set(KEY, plain)
        return job.state in ("done", "cancelled", "failed")
