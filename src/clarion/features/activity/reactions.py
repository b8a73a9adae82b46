"""Reactions: how users answer to activities, `like`, each of them once in each way. The counters are part of the activity, so that open pages see them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from clarion.clock import Clock, as_datetime
from clarion.errors import TooMany
from clarion.features.activity.activity import Written, counts_of
from clarion.features.activity.streams import DAY_MS, FORGET_JOB, Streams
from clarion.jobs import Job, Worker
from clarion.settings import Limits
from clarion.storage import Store, Tx
from clarion.storage import reactions as sql
from clarion.storage.activity import ActivityRow
from clarion.storage.slices import in_slices
from clarion.telemetry import limit_exceeded

FORGOTTEN_AT_ONCE: Final = 500
PAUSE_S: Final = 0.005  # between two commits of a job: others write, too
_encode = msgspec.json.Encoder(order="sorted").encode


class Reaction(Struct, frozen=True):
    """A user's reaction, and since when."""

    user: str
    at: datetime


class ReactionPage(Struct, frozen=True):
    """Who reacts in one way, in the order of their ids."""

    items: list[Reaction]
    more: Annotated[bool, Meta(description="There are further ones, behind the last one's id")]


class _Activity(Struct, frozen=True):
    stream: str
    id: str


class Reactions:
    """Everybody's reactions. That somebody may is checked at the door.

    Args:
        store: Where they are.
        streams: Has the activities.
        limits: `activity_reactions`, `activity_days`.
        clock: Time of reactions.
    """

    def __init__(self, store: Store, streams: Streams, limits: Limits, clock: Clock) -> None:
        self._store = store
        self._streams = streams
        self._limits = limits
        self._clock = clock

    def install(self, worker: Worker) -> None:
        """Let a worker forget what was removed."""
        worker.handle(FORGET_JOB, self._forget)

    async def add(self, tenant: str, stream: str, id: str, kind: str, user: str) -> Written:
        """React to an activity; reacting so already changes nothing.

        Raises:
            NotFound: There is no such activity.
            TooMany: There are `limits.activity_reactions` ways already.
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        of = {"tenant": tenant, "stream": stream, "id": id}

        async def added(tx: Tx, row: ActivityRow) -> ActivityRow | None:
            counts, most = counts_of(row.reactions), self._limits.activity_reactions
            if kind not in counts and len(counts) >= most:
                limit_exceeded.labels("activity_reactions").inc()
                raise TooMany(
                    f"this activity has {most} kinds of reactions (limits.activity_reactions)",
                    limit=most,
                )
            times = {"published_ms": row.published_ms, "now_ms": self._clock.now_ms()}
            if not await tx.execute(sql.ADD, **of, kind=kind, usr=user, **times):
                return None
            return await _count(tx, of, row, {**counts, kind: counts.get(kind, 0) + 1})

        return await self._streams.restate(tenant, stream, id, added)

    async def remove(self, tenant: str, stream: str, id: str, kind: str, user: str) -> Written:
        """Take a reaction back; one that is not there changes nothing.

        Raises:
            NotFound: There is no such activity.
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        of = {"tenant": tenant, "stream": stream, "id": id}

        async def removed(tx: Tx, row: ActivityRow) -> ActivityRow | None:
            if not await tx.execute(sql.REMOVE, **of, kind=kind, usr=user):
                return None
            counts = counts_of(row.reactions)
            return await _count(tx, of, row, {**counts, kind: counts[kind] - 1})

        return await self._streams.restate(tenant, stream, id, removed)

    async def page(
        self, tenant: str, stream: str, id: str, kind: str, after: str = "", limit: int = 100
    ) -> ReactionPage:
        """Who reacts in one way, behind a user's id.

        Raises:
            NotFound: There is no such activity.
        """
        await self._streams.get(tenant, stream, id)
        found = await self._store.fetch(
            sql.OF_KIND, tenant=tenant, stream=stream, id=id, kind=kind, after=after, n=limit + 1
        )
        items = [Reaction(row.usr, as_datetime(row.at_ms)) for row in found[:limit]]
        return ReactionPage(items, len(found) > limit)

    async def purge(self) -> AsyncIterator[int]:
        """Remove reactions to activities that are older than `limits.activity_days`. See `jobs.purging.Slices`."""
        days = self._limits.activity_days
        if not days:
            return
        before = self._clock.now_ms() - days * DAY_MS
        async for count in in_slices(self._store, sql.FORGET_OLD, FORGOTTEN_AT_ONCE, before=before):
            yield count

    async def _forget(self, job: Job) -> None:
        which = job.read(_Activity)
        of = {"tenant": job.tenant, "stream": which.stream, "id": which.id}
        async for _ in in_slices(self._store, sql.FORGET, FORGOTTEN_AT_ONCE, **of):
            await asyncio.sleep(PAUSE_S)


async def _count(
    tx: Tx, of: dict[str, str], row: ActivityRow, counts: dict[str, int]
) -> ActivityRow:
    there = {kind: count for kind, count in counts.items() if count}
    text = _encode(there).decode() if there else ""
    await tx.execute(sql.COUNTED, **of, reactions=text)
    return msgspec.structs.replace(row, reactions=text)
