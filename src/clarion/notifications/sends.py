"""A trigger that takes long, while it goes on: how far it is, paused and resumed, and what failed, by reason and one by one.

Paused, nothing more of it begins: no recipient is planned, no run goes on, no message is handed over. What is in a provider's hands
arrives, and what has to be tried again waits. Resumed, all that became due meanwhile is due at once.
"""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Final

from msgspec import Struct

from clarion.clock import Clock, as_datetime
from clarion.errors import Conflict, NotFound
from clarion.jobs.queue import Queue
from clarion.notifications.progress import Job, Rates, State, is_given_up
from clarion.storage import sends as sql
from clarion.storage import triggers as trigger_sql
from clarion.storage.jobs import ENQUEUE
from clarion.storage.store import Store

PAUSED: Final = "paused"
SLICE: Final = 500  # failures that are read at a time
REASONS: Final = 100  # that a report tells


class Failures(Struct, frozen=True):
    """So many failed for this reason; `channel` is null where no message came to be."""

    channel: str | None
    status: str
    reason: str
    count: int


class Report(Struct, frozen=True):
    """What has become of a send: recipients, runs by their status, messages of each channel by theirs, and why some failed.

    What came into inboxes is `delivered`, whatever has become of it there since. Of the reasons the hundred most frequent are told, the most frequent first.
    """

    id: str
    workflow: str
    version: int
    state: State
    recipients: int
    done: int
    failed: int
    runs: dict[str, int]
    messages: dict[str, dict[str, int]]
    reasons: list[Failures]
    created_at: datetime


class Failure(Struct, frozen=True):
    """One that failed: a message, or a step that made none (`channel` null)."""

    user: str
    channel: str | None
    step: str
    address: str | None
    status: str
    reason: str
    attempts: int
    at: datetime


class Sends:
    """Triggers as they go on.

    Args:
        store: Where they are.
        queue: Plans on what is resumed.
        clock: The time.
    """

    scope = "workflows:read"

    def __init__(self, store: Store, queue: Queue, *, clock: Clock) -> None:
        self._store, self._queue, self._clock = store, queue, clock
        self._rates = Rates(clock)
        self.on_resumed = _nothing
        """Called when runs and messages may be due."""

    async def find(self, tenant: str, id: str) -> Job:
        """How far it has come.

        Raises:
            NotFound: There is no such trigger.
        """
        row, standing = await self._row(tenant, id), await self._standing(tenant, id)
        state = await self._state(tenant, row, standing)
        is_planned = row.state != "planning"
        total = row.total if is_planned else row.expected and max(row.expected, row.total)
        job = Job(
            row.id,
            "send",
            state,
            total,
            row.total - standing.open,
            standing.failed,
            0.0,
            None,
            as_datetime(row.created_ms),
        )
        return self._rates.told(job, (self._clock.now_ms() - row.created_ms) / 1000)

    async def pause(self, tenant: str, id: str) -> Job:
        """Let nothing more of it begin until it is resumed; paused already, it stays so.

        Raises:
            NotFound: There is no such trigger.
            Conflict: It is over.
        """
        job = await self.find(tenant, id)
        if job.state == "done":
            raise Conflict(f"trigger {id} is over")
        async with self._store.transaction() as tx:
            held = await tx.fetch(trigger_sql.HOLD, tenant=tenant, id=id)
            if not held:
                raise _missing(id)
            if held[0].state == "cancelled":
                raise Conflict(f"trigger {id} was called off")
            await tx.execute(trigger_sql.SET_HOLD, tenant=tenant, id=id, hold=PAUSED)
            await tx.execute(sql.PARK, tenant=tenant, id=id)
        return await self.find(tenant, id)

    async def resume(self, tenant: str, id: str) -> Job:
        """Let it go on; what is not paused goes on anyway.

        Raises:
            NotFound: There is no such trigger.
        """
        now_ms = self._clock.now_ms()
        async with self._store.transaction() as tx:
            held = await tx.fetch(trigger_sql.HOLD, tenant=tenant, id=id)
            if not held:
                raise _missing(id)
            if held[0].hold == PAUSED:
                await tx.execute(trigger_sql.SET_HOLD, tenant=tenant, id=id, hold="")
                await tx.execute(sql.WAKE_MESSAGES, tenant=tenant, id=id, now_ms=now_ms)
                await tx.execute(sql.WAKE_RUNS, tenant=tenant, id=id, now_ms=now_ms)
                if held[0].state == "planning":
                    job = self._queue.job(trigger_sql.JOB, {}, tenant=tenant, id=id)
                    await tx.apply(ENQUEUE, [job])
        self._queue.notify()
        self.on_resumed()
        return await self.find(tenant, id)

    async def report(self, tenant: str, id: str) -> Report:
        """What has become of it so far.

        Raises:
            NotFound: There is no such trigger.
        """
        row, standing = await self._row(tenant, id), await self._standing(tenant, id)
        runs = await self._store.fetch(trigger_sql.COUNTS, tenant=tenant, id=id)
        messages: dict[str, dict[str, int]] = {}
        for each in await self._store.fetch(sql.MESSAGES, tenant=tenant, id=id):
            messages.setdefault(each.channel, {})[each.status] = each.count
        reasons = await self._store.fetch(sql.REASONS, tenant=tenant, id=id, n=REASONS)
        return Report(
            row.id,
            row.workflow,
            row.version,
            await self._state(tenant, row, standing),
            row.total,
            row.total - standing.open,
            standing.failed,
            {each.status: each.count for each in runs},
            messages,
            [
                Failures(each.channel or None, each.status, each.reason, each.count)
                for each in reasons
            ],
            as_datetime(row.created_ms),
        )

    async def failures(self, tenant: str, id: str) -> AsyncGenerator[Failure, None]:
        """All that failed, one by one: messages by their status, then runs by their recipients.

        Raises:
            NotFound: There is no such trigger.
        """
        await self._row(tenant, id)
        for status in sql.LOST:
            after = ""
            while rows := await self._store.fetch(
                sql.FAILED_MESSAGES, tenant=tenant, id=id, status=status, after=after, n=SLICE
            ):
                for row in rows:
                    yield Failure(
                        row.usr,
                        row.channel,
                        row.step,
                        row.address,
                        row.status,
                        row.reason,
                        row.attempts,
                        as_datetime(row.at_ms),
                    )
                after = rows[-1].id
        after = ""
        while runs := await self._store.fetch(
            sql.FAILED_RUNS, tenant=tenant, id=id, after=after, n=SLICE
        ):
            for run in runs:
                yield Failure(
                    run.usr, None, run.step, None, "failed", run.reason, 0, as_datetime(run.at_ms)
                )
            after = runs[-1].usr

    async def _row(self, tenant: str, id: str) -> trigger_sql.TriggerRow:
        for row in await self._store.fetch(trigger_sql.FIND, tenant=tenant, id=id):
            return row
        raise _missing(id)

    async def _standing(self, tenant: str, id: str) -> sql.Standing:
        [standing] = await self._store.fetch(sql.STANDING, tenant=tenant, id=id)
        return standing

    async def _state(
        self, tenant: str, row: trigger_sql.TriggerRow, standing: sql.Standing
    ) -> State:
        if row.state in ("cancelled", "failed"):
            return "cancelled" if row.state == "cancelled" else "failed"
        # What was in hand when it was paused may have been all that was left.
        if row.hold == PAUSED and (row.state == "planning" or standing.open):
            return "paused"
        if row.state == "planning":
            if not await is_given_up(self._store, tenant, row.id):
                return "running"
            row = await self._row(tenant, row.id)  # it may have been planned meanwhile, or paused
            return "failed" if row.state == "planning" and not row.hold else "running"
        return "running" if standing.open else "done"


def _missing(id: str) -> NotFound:
    return NotFound(f"there is no trigger {id}")


def _nothing() -> None:
    """Nobody listens yet."""
