"""Timelines: the activities of all streams that somebody follows, newest first.

What is followed is written out by jobs (`writing`), as far as that is worth it: up to how far is known at each moment, and what is not written
is merged on reading, from the newest down, so that only those streams are read that have something on the page. So a timeline has what
was answered, the moment that it was answered, whether it is written out by then or never will be.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta, Struct

from clarion.clock import Clock, as_datetime
from clarion.errors import ServerError, TooMany
from clarion.features.activity.activity import Told, told_of
from clarion.features.activity.given import PAGE, begin_of
from clarion.features.activity.log import NEWEST_MS
from clarion.features.activity.news import News, Notice
from clarion.features.activity.streams import DAY_MS
from clarion.features.activity.viewing import MaySee, everything
from clarion.jobs import Queue
from clarion.settings import Limits
from clarion.storage import Store
from clarion.storage import activity as rows
from clarion.storage import follows as sql
from clarion.storage import timelines as written
from clarion.telemetry import get_logger, limit_exceeded

_log = get_logger(__name__)

FOLLOWS_PAGE: Final = 1_000
KEPT: Final = 300
"""Activities of a timeline that are written out, and of a stream when somebody begins to follow it; further ones are merged on reading."""
FILL_JOB: Final = "timelines.fill"

Place = tuple[int, str]


class Found(Struct, frozen=True):
    """An activity of a timeline as it is stored."""

    stream: str
    id: str
    published_ms: int
    foreign_id: str
    body: str
    updated_ms: int
    reactions: str

    @property
    def place(self) -> Place:
        """Where it stands."""
        return self.published_ms, self.id


class Follow(Struct, frozen=True):
    """A stream that somebody follows, and since when."""

    stream: str
    since: datetime


class FollowPage(Struct, frozen=True):
    """What somebody follows, in the order of the streams' names."""

    items: list[Follow]
    more: Annotated[bool, Meta(description="There are further ones, behind the last one's name")]


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
        queue: Takes the jobs that fill timelines.
        news: Tells whoever keeps timelines true.
        limits: `activity_follows`.
        clock: For when somebody began to follow.
    """

    def __init__(
        self, store: Store, queue: Queue, news: News, limits: Limits, clock: Clock
    ) -> None:
        self._store = store
        self._queue = queue
        self._news = news
        self._limits = limits
        self._clock = clock

    # ── following ──
    async def follow(self, tenant: str, user: str, stream: str) -> Follow:
        """Follow a stream; following it already changes nothing. Whether they may read it is asked at the door, and again on reading.

        Raises:
            TooMany: The user follows `limits.activity_follows` streams.
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        of = {"tenant": tenant, "usr": user}
        there = await self._store.fetch(sql.FIND, **of, stream=stream)
        if there:
            return _follow(there[0])
        now_ms = self._clock.now_ms()
        async with self._store.transaction() as tx:
            await tx.execute(sql.HOLD, **of)
            there = await tx.fetch(sql.FIND, **of, stream=stream)
            if there:
                return _follow(there[0])
            who = (await tx.fetch(sql.FOLLOWER, **of))[0]
            self._check_room(user, who.follows)
            await tx.execute(sql.ADD, **of, stream=stream, now_ms=now_ms)
            await tx.execute(sql.FOLLOWED, tenant=tenant, stream=stream)
            past = await tx.fetch(
                rows.BELOW,
                tenant=tenant,
                stream=stream,
                before_ms=NEWEST_MS,
                before_id="",
                n=KEPT + 1,
            )
            floor_ms, wants_ms = who.floor_ms, who.wants_ms
            if len(past) > KEPT:
                floor_ms = max(floor_ms, past[-1].published_ms)
                wants_ms = max(wants_ms, past[-1].published_ms)
            copies = [
                written.Copy(tenant, user, row.published_ms, row.id, stream)
                for row in past
                if row.published_ms > wants_ms
            ]
            if copies:
                await tx.apply(written.COPY, copies)
            await tx.execute(sql.COUNT, **of, more=1, floor_ms=floor_ms, wants_ms=wants_ms)
        await self._news.tell(Notice(tenant, user=user))
        return Follow(stream, as_datetime(now_ms))

    async def unfollow(self, tenant: str, user: str, stream: str) -> None:
        """Follow a stream no longer; not following it changes nothing.

        Raises:
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        of = {"tenant": tenant, "usr": user}
        async with self._store.transaction() as tx:
            await tx.execute(sql.HOLD, **of)
            if not await tx.execute(sql.REMOVE, **of, stream=stream):
                return
            who = (await tx.fetch(sql.FOLLOWER, **of))[0]
            await tx.execute(sql.COUNT, **of, more=-1, floor_ms=who.floor_ms, wants_ms=who.wants_ms)
            await tx.execute(sql.UNFOLLOWED, tenant=tenant, stream=stream)
            await tx.execute(written.FORGET_STREAM, **of, stream=stream)
        await self._news.tell(Notice(tenant, user=user))

    async def follows(
        self, tenant: str, user: str, after: str = "", limit: int = 100
    ) -> FollowPage:
        """What a user follows, behind a stream's name."""
        found = await self._store.fetch(
            sql.FOLLOWS, tenant=tenant, usr=user, after=after, n=min(limit, FOLLOWS_PAGE) + 1
        )
        return FollowPage([_follow(row) for row in found[:limit]], len(found) > limit)

    async def followed(self, tenant: str, user: str) -> dict[str, str]:
        """All streams that a user follows, and who may read each."""
        found = await self._store.fetch(written.FOLLOWED, tenant=tenant, usr=user)
        return {each.stream: each.readers for each in found}

    # ── reading ──
    async def page(
        self,
        tenant: str,
        user: str,
        cursor: str | None = None,
        limit: int = PAGE,
        *,
        may_see: MaySee = everything,
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
        before = begin_of(cursor, limit)
        found = await self.newest(tenant, user, limit + 1, before, may_see)
        more = len(found) > limit
        last = found[limit - 1] if more else None
        return Timeline(
            [told_of(each.stream, each.id, each) for each in found[:limit]],
            f"{last.published_ms}.{last.id}" if last else None,
        )

    async def newest(
        self,
        tenant: str,
        user: str,
        most: int,
        before: Place = (NEWEST_MS, ""),
        may_see: MaySee = everything,
    ) -> list[Found]:
        """The newest `most` activities below a place, of all streams."""
        # Before the rows: a stream that is not behind now has all in them.
        behind = await self._store.fetch(
            written.BEHIND, tenant=tenant, usr=user, before_ms=before[0]
        )
        floor_ms, found = await self._written(tenant, user, most, before, may_see)
        if behind and floor_ms < sql.NEVER_MS:
            merged = await self._merge(tenant, behind, before, most, may_see)
            found = _together(found, [each for each in merged if each.published_ms > floor_ms])
        if len(found) < most and floor_ms >= 0:
            below = min(before, (floor_ms + 1, ""))
            found = found + await self.merged(tenant, user, most - len(found), below, may_see)
        return found[:most]

    async def merged(
        self,
        tenant: str,
        user: str,
        most: int,
        before: Place = (NEWEST_MS, ""),
        may_see: MaySee = everything,
    ) -> list[Found]:
        """The same from the streams alone, whatever is written out."""
        sources = await self._store.fetch(
            written.SOURCES, tenant=tenant, usr=user, before_ms=before[0]
        )
        return await self._merge(tenant, sources, before, most, may_see)

    async def _written(
        self, tenant: str, user: str, most: int, before: Place, may_see: MaySee
    ) -> tuple[int, list[Found]]:
        """The floor, and at most `most` rows above it. Who has not looked for a day gets their timeline filled anew."""
        found: list[Found] = []
        floor_ms, is_first = -1, before == (NEWEST_MS, "")
        while len(found) < most:
            some = await self._store.fetch(
                written.PAGE,
                tenant=tenant,
                usr=user,
                before_ms=before[0],
                before_id=before[1],
                n=most,
            )
            if not some:
                return -1, []  # nobody who has ever followed anything
            if is_first and self._clock.now_ms() - some[0].read_ms >= DAY_MS:
                await self._fill(tenant, user)
            is_first = False
            floor_ms = max(floor_ms, some[0].floor_ms)
            there = [
                (_found(row, row.stream), may_see(row.stream, row.readers))
                for row in some
                if row.stream is not None
            ]
            found += (each for each, is_seen in there if is_seen)
            if len(there) < most:
                break
            before = there[-1][0].place
        return floor_ms, found

    async def _fill(self, tenant: str, user: str) -> None:
        job = self._queue.job(FILL_JOB, {"user": user}, tenant=tenant, id=f"timeline:{user}")
        try:
            await self._queue.enqueue(job)
        except ServerError as exc:
            # Reading goes on without it: what is not written is merged.
            _log.warning("a timeline will not be filled", error=exc.code)

    async def _merge(
        self,
        tenant: str,
        sources: Sequence[written.Source],
        before: Place,
        most: int,
        may_see: MaySee,
    ) -> list[Found]:
        """The newest `most` activities below a place, of some streams.

        The streams come in the order of their newest activity there: once `most` are found, a stream that begins below them has nothing to
        give, nor have those behind it. So at most `most` streams are read, however many are followed (and those that begin in one millisecond).
        """
        found: list[Found] = []
        for newest_ms, stream, readers in _newest_first(sources):
            if len(found) >= most and found[-1].published_ms > newest_ms:
                break
            if not may_see(stream, readers):
                continue
            some = await self._store.fetch(
                rows.BELOW,
                tenant=tenant,
                stream=stream,
                before_ms=before[0],
                before_id=before[1],
                n=most,
            )
            found = _together(found, [_found(row, stream) for row in some])[:most]
        return found

    def _check_room(self, user: str, count: int) -> None:
        most = self._limits.activity_follows
        if count >= most:
            limit_exceeded.labels("activity_follows").inc()
            raise TooMany(f"{user} follows {count} streams (limits.activity_follows)", limit=most)


def _newest_first(sources: Sequence[written.Source]) -> list[tuple[int, str, str]]:
    there = [
        (each.newest_ms, each.stream, each.readers)
        for each in sources
        if each.newest_ms is not None
    ]
    return sorted(there, reverse=True)


def _together(one: Sequence[Found], other: Sequence[Found]) -> list[Found]:
    """Both, each activity once, newest first."""
    there = {(each.place, each.stream): each for each in (*one, *other)}
    return [there[key] for key in sorted(there, reverse=True)]


def _found(row: rows.ActivityRow | written.ToldRow, stream: str) -> Found:
    return Found(
        stream,
        row.id,
        row.published_ms,
        row.foreign_id,
        row.body,
        row.updated_ms,
        row.reactions,
    )


def _follow(row: sql.FollowRow) -> Follow:
    return Follow(row.stream, as_datetime(row.since_ms))
