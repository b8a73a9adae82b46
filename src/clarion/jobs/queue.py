"""The queue of durable work: enqueue, claim under a lease, settle.

A job that was enqueued is on disk. It runs at least once: who claims it holds a lease, and if that ends without a word, the next
worker gets it. The last attempt that fails leaves a dead letter for a person to see and replay. All times are the node's Clock.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from clarion.clock import Clock
from clarion.errors import Conflict, NotFound
from clarion.ids import Ids
from clarion.jobs.turns import Turns, first_ms, take
from clarion.storage import Sql, Store, Tx
from clarion.storage.jobs import (
    CLAIM,
    DEAD,
    DISCARD,
    ENQUEUE,
    EXTEND,
    FINISH,
    FINISH_ONE,
    JOB,
    RELEASE,
    REPLAY,
    SAVE_PAYLOAD,
    SET_PRIORITY,
    SETTLE,
    WAITING,
    ClaimedJob,
    Held,
    NewJob,
    Settlement,
    StillHeld,
    StoredJob,
)

LEASE_S = 30.0
MAX_ATTEMPTS = 12  # with the backoff below: about two hours
BACKOFF_S, BACKOFF_CAP_S = 1.0, 3600.0
ERROR_CHARS = 1_000  # of what a job is said to have died of

_encode = msgspec.json.Encoder().encode


class Job(msgspec.Struct, frozen=True):
    """A claimed job. `attempt` counts from 1; `token` fences: it is newer than that of any former holder."""

    tenant: str
    id: str
    kind: str
    payload: bytes
    token: int
    attempt: int
    max_attempts: int
    created_ms: int

    def read(self, kind: type[Any] = dict) -> Any:
        """The payload as `kind`; raises `msgspec.ValidationError` if it is something else."""
        return msgspec.json.decode(self.payload, type=kind)


def backoff_s(attempt: int, ids: Ids) -> float:
    """Seconds until the next attempt: exponential with full jitter, so that what failed together does not return together."""
    return ids.uniform(0.0, min(BACKOFF_CAP_S, BACKOFF_S * 2.0 ** min(attempt, 30)))


class Queue:
    """Jobs in the store.

    Args:
        store: Where they are kept.
        clock: Says what is due.
        ids: For ids and jitter.
        node: Names this process in the leases it holds.
    """

    def __init__(self, store: Store, clock: Clock, ids: Ids, *, node: str) -> None:
        self._store, self._clock, self._ids, self._node = store, clock, ids, node
        self._listeners: dict[Callable[[], None], None] = {}
        self._turns = Turns()

    # ── those who want work done ──
    def job(
        self,
        kind: str,
        payload: object = None,
        *,
        tenant: str = "default",
        id: str | None = None,
        run_ms: int | None = None,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> NewJob:
        """A row for `tx.apply(ENQUEUE, [row])`, or for another aggregate's procedure; call `notify` after its commit.

        Args:
            kind: Names the handler.
            payload: Anything that JSON can say.
            tenant: Whose work it is.
            id: Makes enqueueing repeatable: while a job with this id exists, another changes nothing. None: a new one.
            run_ms: Not before this time. None: now.
            max_attempts: After so many failures it is a dead letter.
        """
        now_ms = self._clock.now_ms()
        return NewJob(
            tenant,
            id or self._ids.ordered(now_ms),
            kind,
            _encode(payload).decode(),
            now_ms if run_ms is None else run_ms,
            max_attempts,
            now_ms,
        )

    async def enqueue(self, *rows: NewJob) -> None:
        """Write jobs; returns when they are on disk."""
        await self._store.apply(ENQUEUE, rows)
        self.notify()

    def notify(self) -> None:
        """Wake the workers of this process: there is something new."""
        for listener in tuple(self._listeners):
            listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Be told when there may be something new."""
        self._listeners[listener] = None

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Be told no more."""
        self._listeners.pop(listener, None)

    # ── workers ──
    async def claim(self, limit: int, *, lease_s: float = LEASE_S) -> list[Job]:
        """Take up to `limit` due jobs; nobody else gets them until the lease ends.

        Tenants take turns, of a tenant's what is urgent goes first, and of equals the oldest.
        """
        found = await take(
            self._store,
            self._turns,
            await self._store.fetch(WAITING),
            CLAIM,
            now_ms=self._clock.now_ms(),
            lease_s=lease_s,
            node=self._node,
            limit=limit,
        )
        return [_job(row) for row in sorted(found, key=lambda row: (row.created_ms, row.id))]

    async def extend(self, jobs: Sequence[Job], *, lease_s: float = LEASE_S) -> list[Job]:
        """Hold jobs longer; returns those whose lease was lost: their work must stop.

        One that is there no longer is done. Its handler, which may have finished it within its own transaction, is coming to its end.
        """
        until_ms = self._clock.now_ms() + int(lease_s * 1000)
        rows = [Held(job.tenant, job.id, job.token, until_ms) for job in jobs]
        held: list[StillHeld] = await self._store.apply(EXTEND, rows)
        mine = {row.n for row in held}
        lost = [job for n, job in enumerate(jobs, 1) if n not in mine]
        return [job for job in lost if await self._store.fetch(JOB, tenant=job.tenant, id=job.id)]

    async def finish(self, job: Job) -> None:
        """It is done: forget it. Nothing happens if the lease was lost meanwhile."""
        await self._store.apply(FINISH, [Held(job.tenant, job.id, job.token)])

    async def finish_within(self, tx: Tx, job: Job) -> None:
        """The same in the transaction that holds what the job wrote: both happen, or neither.

        Raises:
            Conflict: The lease was lost: somebody else does this job now.
        """
        if not await tx.execute(FINISH_ONE, tenant=job.tenant, id=job.id, token=job.token):
            raise _lost(job)

    async def save_within(self, tx: Tx, job: Job, payload: object) -> None:
        """Change the payload (a cursor) in the transaction that holds what was done up to there. Its attempts begin anew.

        Raises:
            Conflict: The lease was lost: somebody else does this job now.
        """
        text = _encode(payload).decode()
        if not await tx.execute(
            SAVE_PAYLOAD, tenant=job.tenant, id=job.id, token=job.token, payload=text
        ):
            raise _lost(job)

    async def set_priority_within(self, tx: Tx, job: Job, priority: int) -> None:
        """Let its next claims go with those of another priority (`storage.jobs.PRIORITIES`)."""
        await tx.execute(
            SET_PRIORITY, tenant=job.tenant, id=job.id, token=job.token, priority=priority
        )

    async def fail(
        self,
        job: Job,
        error: str,
        *,
        retry_after_s: float | None = None,
        is_final: bool = False,
    ) -> bool:
        """It did not work: try again later, or keep it as a dead letter.

        Args:
            job: As it was claimed.
            error: For a person; cut after 1,000 characters.
            retry_after_s: Seconds until the next attempt, where somebody said so. None: backoff.
            is_final: Trying again cannot help.

        Returns:
            Whether it is dead.
        """
        is_dead = is_final or job.attempt >= job.max_attempts
        wait_s = backoff_s(job.attempt, self._ids) if retry_after_s is None else retry_after_s
        run_ms = None if is_dead else self._clock.now_ms() + int(wait_s * 1000)
        await self._settle(job, run_ms, job.attempt, error)
        return is_dead

    async def put_off(
        self, job: Job, seconds: float, *, error: str | None = None, attempts: int
    ) -> None:
        """Give it back, due in some seconds, with `attempts` as its count: for periodic jobs, and for those not begun."""
        await self._settle(job, self._clock.now_ms() + int(seconds * 1000), attempts, error)

    async def next_due_ms(self) -> int | None:
        """When the next job is due, or a lease ends; None: there is nothing."""
        return first_ms(await self._store.fetch(WAITING))

    async def release(self, *others: Sql[None]) -> None:
        """Let what a former process had in its hands be done at once, instead of when its leases end.

        Only for a process that is alone with the store: what others hold would be done twice.

        Args:
            others: The same of other tables (`storage.jobs.release`).
        """
        async with self._store.transaction() as tx:
            for statement in (RELEASE, *others):
                await tx.execute(statement, now=self._clock.now_ms())

    # ── people ──
    async def get(self, tenant: str, id: str) -> StoredJob:
        """One job as it stands.

        Raises:
            NotFound: It is done, or never was.
        """
        for row in await self._store.fetch(JOB, tenant=tenant, id=id):
            return row
        raise NotFound(f"there is no job {id}")

    async def dead(self, tenant: str, *, limit: int = 100) -> list[StoredJob]:
        """Dead letters, oldest first."""
        return await self._store.fetch(DEAD, tenant=tenant, limit=limit)

    async def replay(self, tenant: str, id: str) -> None:
        """Let a dead letter run again, with all its attempts.

        Raises:
            NotFound: There is no such dead letter.
        """
        async with self._store.transaction() as tx:
            count = await tx.execute(REPLAY, tenant=tenant, id=id, now=self._clock.now_ms())
        if not count:
            raise NotFound(f"there is no dead letter {id}")
        self.notify()

    async def discard(self, tenant: str, id: str) -> None:
        """Delete a dead letter.

        Raises:
            NotFound: There is no such dead letter.
        """
        async with self._store.transaction() as tx:
            count = await tx.execute(DISCARD, tenant=tenant, id=id)
        if not count:
            raise NotFound(f"there is no dead letter {id}")

    async def _settle(self, job: Job, run_ms: int | None, attempts: int, error: str | None) -> None:
        # Somebody else's words: whatever is in them must not keep the job from being settled.
        text = error and error[:ERROR_CHARS].replace("\0", "�").encode(errors="replace").decode()
        row = Settlement(job.tenant, job.id, job.token, run_ms, attempts, text)
        await self._store.apply(SETTLE, [row])


def _job(row: ClaimedJob) -> Job:
    return Job(
        row.tenant,
        row.id,
        row.kind,
        row.payload.encode(),
        row.token,
        row.attempts,
        row.max_attempts,
        row.created_ms,
    )


def _lost(job: Job) -> Conflict:
    return Conflict(f"the lease of job {job.id} ({job.kind}) was lost")
