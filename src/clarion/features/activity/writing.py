"""Writing timelines out, in the background and in slices: what was added to a stream to its followers, and a user's whole timeline.

Nothing here is needed for a timeline to be right: what is not written, or not yet, is merged on reading. Doing it twice changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import Conflict
from clarion.features.activity.streams import DAY_MS
from clarion.features.activity.timelines import FILL_JOB, KEPT, Timelines
from clarion.jobs import Job, Worker
from clarion.settings import Limits
from clarion.storage import Store
from clarion.storage import follows as users
from clarion.storage import timelines as sql
from clarion.storage.activity import WRITE_JOB

SLICE: Final = 1_000  # rows of one commit
PAUSE_S: Final = 0.005  # between two commits of a job: others write, too
NEWS: Final = 100  # entries of a log that are written out together
FILL_TRIES: Final = 5
AWAY_AT_ONCE: Final = 100


class _Stream(Struct, frozen=True):
    stream: str


class _User(Struct, frozen=True):
    user: str


class Writer:
    """Writes timelines out.

    Args:
        store: Where they are.
        timelines: Merges what is written.
        limits: `activity_written_followers`, `activity_away_days`.
        clock: Says who is away.
    """

    def __init__(self, store: Store, timelines: Timelines, limits: Limits, clock: Clock) -> None:
        self._store = store
        self._timelines = timelines
        self._limits = limits
        self._clock = clock

    def install(self, worker: Worker) -> None:
        """Let a worker run the jobs."""
        worker.handle(WRITE_JOB, self._run_write)
        worker.handle(FILL_JOB, self._run_fill)

    async def _run_write(self, job: Job) -> None:
        await self.write(job.tenant, job.read(_Stream).stream)

    async def _run_fill(self, job: Job) -> None:
        await self.fill(job.tenant, job.read(_User).user)

    async def write(self, tenant: str, stream: str) -> None:
        """Write out what was added to a stream, until there is nothing more."""
        while True:
            found = await self._store.fetch(sql.STREAM, tenant=tenant, stream=stream)
            if not found or found[0].written >= found[0].top:
                return
            if not 0 < found[0].followers <= self._limits.activity_written_followers:
                return
            upto, news = await self._news(tenant, stream, found[0])
            await self._share(tenant, stream, news)
            await self._store.apply(sql.WRITTEN, [sql.Progress(tenant, stream, upto)])

    async def fill(self, tenant: str, user: str) -> None:
        """Write out the newest activities of all that a user follows; what is older is merged on reading.

        Raises:
            Conflict: They follow and unfollow without an end.
        """
        of = {"tenant": tenant, "usr": user}
        for _ in range(FILL_TRIES):
            # From here on all that is added is written for them, so that nothing is lost between the reading and the end.
            async with self._store.transaction() as tx:
                if not await tx.execute(sql.WANT_ALL, **of, now_ms=self._clock.now_ms()):
                    return
            who = (await self._store.fetch(users.FOLLOWER, **of))[0]
            found = await self._timelines.merged(tenant, user, KEPT + 1)
            floor_ms = found[-1].published_ms if len(found) > KEPT else -1
            copies = [
                sql.Copy(tenant, user, each.published_ms, each.id, each.stream)
                for each in found
                if each.published_ms > floor_ms
            ]
            async with self._store.transaction() as tx:
                done = await tx.execute(sql.FILLED, **of, floor_ms=floor_ms, version=who.version)
                if done and copies:
                    await tx.apply(sql.COPY, copies)
                if done:
                    await tx.execute(sql.CLEAN, **of, floor_ms=floor_ms)
                    return
        raise Conflict(f"{user} has begun or ceased to follow streams meanwhile")

    async def forget_away(self) -> AsyncIterator[int]:
        """Write no more for users who have not looked for `limits.activity_away_days`. See `jobs.purging.Slices`."""
        before = self._clock.now_ms() - self._limits.activity_away_days * DAY_MS
        while some := await self._store.fetch(sql.AWAY, before=before, n=AWAY_AT_ONCE):
            for each in some:
                of = {"tenant": each.tenant, "usr": each.usr}
                async with self._store.transaction() as tx:
                    await tx.execute(sql.GONE, **of)
                    gone = await tx.execute(sql.FORGET, **of)
                yield gone

    async def _news(
        self, tenant: str, stream: str, at: sql.Behind
    ) -> tuple[int, list[sql.News] | None]:
        """What was added behind what is written, and up to which offset that is; None: the log has forgotten some of it."""
        news = await self._store.fetch(
            sql.NEWS, tenant=tenant, stream=stream, after=at.written, n=NEWS
        )
        if news and news[0].off == at.written + 1:
            return news[-1].off, [each for each in news if each.event == "added"]
        return at.top, None

    async def _share(self, tenant: str, stream: str, news: list[sql.News] | None) -> None:
        """Write what is new into the timelines of all followers; what is not known any more makes them be filled anew."""
        if news == []:
            return
        of = {"tenant": tenant, "stream": stream}
        after, followers = "", max(1, SLICE // len(news or [None]))
        while True:
            [last] = await self._store.fetch(sql.SLICE, **of, after=after, n=followers)
            if last.usr is None:
                return
            if news is None:
                async with self._store.transaction() as tx:
                    await tx.execute(sql.FORGET_SLICE, **of, after=after, last=last.usr)
            else:
                shares = [
                    sql.Share(tenant, stream, each.id, each.published_ms, after, last.usr)
                    for each in news
                ]
                await self._store.apply(sql.WRITE, shares)
            after = last.usr
            await asyncio.sleep(PAUSE_S)
