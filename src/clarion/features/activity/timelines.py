"""Timelines: the activities of all streams that somebody follows, merged on reading.

Nothing is written for a follower, so adding to a stream costs the same however many follow it, a stream that is followed is there with all
its past, and one that is followed no longer is gone. Reading merges the streams from the newest down and touches only those that have
something on the page.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta, Struct

from clarion.clock import Clock, as_datetime
from clarion.errors import Fault, Invalid, TooMany
from clarion.features.activity.activity import Activity, activity_of
from clarion.features.activity.log import NEWEST_MS
from clarion.features.activity.streams import PAGE, PAGE_MAX, place_of
from clarion.settings import Limits
from clarion.storage import Store
from clarion.storage import activity as rows
from clarion.storage import follows as sql
from clarion.telemetry import limit_exceeded

FOLLOWS_PAGE: Final = 1_000


class Follow(Struct, frozen=True):
    """A stream that somebody follows, and since when."""

    stream: str
    since: datetime


class FollowPage(Struct, frozen=True):
    """What somebody follows, in the order of the streams' names."""

    items: list[Follow]
    more: Annotated[bool, Meta(description="There are further ones, behind the last one's name")]


class Told(Struct, frozen=True):
    """An activity of a timeline, and the stream that it is in."""

    stream: str
    activity: Activity


class Timeline(Struct, frozen=True):
    """Activities of all that somebody follows, newest first."""

    items: list[Told]
    next: Annotated[
        str | None, Meta(description="`cursor` of the page behind; null on the last one")
    ]


class Timelines:
    """What users follow, and what they get to see by it.

    Args:
        store: Where it is.
        limits: `activity_follows`.
        clock: For when somebody began to follow.
    """

    def __init__(self, store: Store, limits: Limits, clock: Clock) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock

    async def follow(self, tenant: str, user: str, stream: str) -> Follow:
        """Follow a stream; following it already changes nothing. Whether they may read it is asked at the door, and again on reading.

        Raises:
            TooMany: The user follows `limits.activity_follows` streams.
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        there = await self._store.fetch(sql.FIND, tenant=tenant, usr=user, stream=stream)
        if there:
            return _follow(there[0])
        async with self._store.transaction() as tx:
            await tx.execute(sql.HOLD, tenant=tenant, usr=user)
            there = await tx.fetch(sql.FIND, tenant=tenant, usr=user, stream=stream)
            if there:
                return _follow(there[0])
            count = (await tx.fetch(sql.COUNT, tenant=tenant, usr=user))[0].follows
            if count >= self._limits.activity_follows:
                limit_exceeded.labels("activity_follows").inc()
                raise TooMany(
                    f"{user} follows {count} streams (limits.activity_follows)",
                    limit=self._limits.activity_follows,
                )
            now_ms = self._clock.now_ms()
            await tx.execute(sql.ADD, tenant=tenant, usr=user, stream=stream, now_ms=now_ms)
            await tx.execute(sql.SET_COUNT, tenant=tenant, usr=user, follows=count + 1)
        return Follow(stream, as_datetime(now_ms))

    async def unfollow(self, tenant: str, user: str, stream: str) -> None:
        """Follow a stream no longer; not following it changes nothing.

        Raises:
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        async with self._store.transaction() as tx:
            await tx.execute(sql.HOLD, tenant=tenant, usr=user)
            gone = await tx.execute(sql.REMOVE, tenant=tenant, usr=user, stream=stream)
            if gone:
                count = (await tx.fetch(sql.COUNT, tenant=tenant, usr=user))[0].follows
                await tx.execute(sql.SET_COUNT, tenant=tenant, usr=user, follows=count - 1)

    async def follows(
        self, tenant: str, user: str, after: str = "", limit: int = 100
    ) -> FollowPage:
        """What a user follows, behind a stream's name."""
        found = await self._store.fetch(
            sql.FOLLOWS, tenant=tenant, usr=user, after=after, n=min(limit, FOLLOWS_PAGE) + 1
        )
        return FollowPage([_follow(row) for row in found[:limit]], len(found) > limit)

    async def page(
        self,
        tenant: str,
        user: str,
        cursor: str | None = None,
        limit: int = PAGE,
        *,
        may_see: Callable[[str], bool] = lambda stream: True,
    ) -> Timeline:
        """Activities of all streams that a user follows, newest first.

        Args:
            tenant: Whose user.
            user: Who follows.
            cursor: `next` of the page before; None: the first page.
            limit: Activities of the page, 1 to 100.
            may_see: Whether they may read a stream now; those that they may not are left out.

        Raises:
            Invalid: The cursor is none of ours, or the limit out of range.
        """
        if not 1 <= limit <= PAGE_MAX:
            raise Invalid(faults=[Fault("?limit", f"1 to {PAGE_MAX}")])
        before = (NEWEST_MS, "") if cursor is None else place_of(cursor)
        found = await self._merge(tenant, user, before, limit + 1, may_see)
        items = [Told(stream, activity_of(row.id, row)) for stream, row in found[:limit]]
        more = len(found) > limit
        last = found[limit - 1][1] if more else None
        return Timeline(items, f"{last.published_ms}.{last.id}" if last else None)

    async def _merge(
        self,
        tenant: str,
        user: str,
        before: tuple[int, str],
        most: int,
        may_see: Callable[[str], bool],
    ) -> list[tuple[str, rows.ActivityRow]]:
        """The newest `most` activities below a place, of all streams.

        The streams come in the order of their newest activity there: once `most` are found, a stream that begins below them has nothing to
        give, nor have those behind it. So at most `most` streams are read, however many are followed (and those that begin in one millisecond).
        """
        sources = await self._store.fetch(sql.SOURCES, tenant=tenant, usr=user, before_ms=before[0])
        found: list[tuple[str, rows.ActivityRow]] = []
        for newest_ms, stream in _newest_first(sources):
            if len(found) >= most and found[-1][1].published_ms > newest_ms:
                break
            if not may_see(stream):
                continue
            some = await self._store.fetch(
                rows.BELOW,
                tenant=tenant,
                stream=stream,
                before_ms=before[0],
                before_id=before[1],
                n=most,
            )
            found += ((stream, row) for row in some)
            found.sort(key=_place, reverse=True)
            del found[most:]
        return found


def _newest_first(sources: Sequence[sql.Source]) -> list[tuple[int, str]]:
    there = [(each.newest_ms, each.stream) for each in sources if each.newest_ms is not None]
    return sorted(there, reverse=True)


def _place(told: tuple[str, rows.ActivityRow]) -> tuple[int, str]:
    return told[1].published_ms, told[1].id


def _follow(row: sql.FollowRow) -> Follow:
    return Follow(row.stream, as_datetime(row.since_ms))
