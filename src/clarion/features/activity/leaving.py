"""What a user has left behind: what they follow, how they react, how far they have read. Told to them, and taken away when they are erased.

What they did themselves, activities, belongs to the streams, and stays until the application removes it.
"""

from collections.abc import AsyncIterator
from typing import Any, Final

from clarion.clock import as_datetime
from clarion.errors import NotFound
from clarion.features.activity.reactions import Reactions
from clarion.features.activity.timelines import Timelines
from clarion.storage import Param, Store
from clarion.storage import follows as follow_sql
from clarion.storage import marks as mark_sql
from clarion.storage import reactions as reaction_sql
from clarion.storage import timelines as timeline_sql
from clarion.storage.slices import in_slices, total

SLICE: Final = 500
_EVER: Final = 2**53 - 1


class Leaving:
    """What users leave.

    Args:
        store: Where it is.
        timelines: Have what they follow.
        reactions: Have how they react.
    """

    def __init__(self, store: Store, timelines: Timelines, reactions: Reactions) -> None:
        self._store, self._timelines, self._reactions = store, timelines, reactions

    async def erase(self, tenant: str, user: str, at_ms: int) -> None:
        """Take away what was theirs at a time (ms since 1970): they may have come back since. Begun again it goes on with what is left.

        Raises:
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        async for follow in self._follows(tenant, user):
            if follow.since_ms <= at_ms:
                await self._timelines.unfollow(tenant, user, follow.stream)
        async for row in self._reactions_of(tenant, user, at_ms):
            try:
                await self._reactions.remove(tenant, row.stream, row.id, row.kind, user)
            except NotFound:
                continue  # the activity is gone, and a job takes its reactions
        await total(in_slices(self._store, mark_sql.FORGET, SLICE, tenant=tenant, usr=user))
        async with self._store.transaction() as tx:
            if await tx.execute(follow_sql.FORGET, tenant=tenant, usr=user):
                await tx.execute(timeline_sql.FORGET, tenant=tenant, usr=user)

    async def tell(self, tenant: str, user: str) -> AsyncIterator[dict[str, Any]]:
        """What they follow and how they react, one thing at a time."""
        async for follow in self._follows(tenant, user):
            since = as_datetime(follow.since_ms).isoformat()
            yield {"kind": "follow", "stream": follow.stream, "since": since}
        async for row in self._reactions_of(tenant, user, _EVER):
            at = as_datetime(row.at_ms).isoformat()
            about = {"stream": row.stream, "activity": row.id, "reaction": row.kind, "at": at}
            yield {"kind": "reaction", **about}

    async def _follows(self, tenant: str, user: str) -> AsyncIterator[follow_sql.FollowRow]:
        after = ""
        while rows := await self._store.fetch(
            follow_sql.FOLLOWS, tenant=tenant, usr=user, after=after, n=SLICE
        ):
            for row in rows:
                yield row
            after = rows[-1].stream

    async def _reactions_of(
        self, tenant: str, user: str, at_ms: int
    ) -> AsyncIterator[reaction_sql.OwnRow]:
        of: dict[str, Param] = {"tenant": tenant, "usr": user, "at_ms": at_ms, "n": SLICE}
        stream = id = kind = ""
        while rows := await self._store.fetch(
            reaction_sql.OF_USER, **of, stream=stream, id=id, kind=kind
        ):
            for row in rows:
                yield row
            stream, id, kind = rows[-1].stream, rows[-1].id, rows[-1].kind
