"""Streams of activities: adding, editing, removing, reading, and forgetting what is old.

Each change is one commit: the activity, and an entry of the stream's log. Subscribers are told after it. Adding an activity again that
has the same `foreign_id` changes it; what is so already changes nothing and leaves no trace.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import msgspec
from msgspec import UNSET

from clarion.auth.principal import Principal
from clarion.clock import Clock
from clarion.errors import Fault, Invalid, NotFound, TooLarge
from clarion.features.activity.activity import (
    Activity,
    Body,
    Edit,
    NewActivity,
    Page,
    Written,
    activity_of,
    body_of,
)
from clarion.features.activity.changes import WINDOW, data_of
from clarion.features.activity.given import (
    PAGE,
    actor_of,
    begin_of,
    body_for,
    check_owner,
    only_as,
    time_of,
    with_edit,
)
from clarion.features.activity.log import NOTHING, topic_of
from clarion.features.activity.news import News, Notice
from clarion.features.activity.viewing import Readers, readers_of
from clarion.ids import Ids
from clarion.jobs import Queue
from clarion.settings import Limits
from clarion.storage import Store, Tx, marks
from clarion.storage import activity as sql
from clarion.storage.jobs import ENQUEUE
from clarion.telemetry import limit_exceeded
from clarion.topics import TopicEngine
from clarion.topics.stream import MARK_MODULUS, Entry, Position

EXPIRED_AT_ONCE: Final = 500  # activities of one transaction
FORGET_JOB: Final = "activity.forget"  # the reactions to an activity that was removed
DAY_MS: Final = 24 * 3_600_000
SHARE: Final = 64  # of what a socket's queue takes: a window of large activities must fit into it
Decide = Callable[[Tx, sql.ActivityRow], Awaitable[sql.ActivityRow | None]]
_encode = msgspec.json.Encoder(order="deterministic").encode


class Streams:
    """Everybody's streams. A caller is whoever acts; None is the application itself. That they may is checked at the door.

    Args:
        store: Where they are.
        engine: Tells subscribers of changes.
        limits: `publication_bytes`, `egress_hard_bytes`, `activity_days`, `activity_written_followers`.
        clock: Time of changes.
        news: Tells whoever keeps timelines true.
        queue: Takes what is to be done later.
        ids: For ids, and for the marks of the logs.
    """

    def __init__(
        self,
        store: Store,
        engine: TopicEngine,
        limits: Limits,
        *,
        news: News,
        queue: Queue,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store = store
        self._engine = engine
        self._news = news
        self._queue = queue
        self._limits = limits
        self._clock = clock
        self._ids = ids

    # ── changing ──
    async def add(
        self, tenant: str, stream: str, given: NewActivity, caller: Principal | None = None
    ) -> Written:
        """Add an activity; one whose `foreign_id` is there already is changed, and keeps its id and its time.

        Users' foreign ids are names among their own, those of back ends and the application are names among all theirs.

        Raises:
            Invalid: No actor, or a time before 1970 or more than a day ahead.
            Forbidden: A user names somebody else as the actor.
            TooLarge: It has more than `limits.publication_bytes`, or a 64th of `limits.egress_hard_bytes`.
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        now_ms = self._clock.now_ms()
        actor = actor_of(given, caller)
        published_ms = now_ms if given.published is UNSET else time_of(given.published, now_ms)
        foreign_id = "" if given.foreign_id is UNSET else given.foreign_id
        owner = only_as(caller) or ""
        if foreign_id:
            there = await self._store.fetch(
                sql.FIND_FOREIGN, tenant=tenant, stream=stream, foreign_id=foreign_id, owner=owner
            )
            if there:
                published_ms = there[0].published_ms
                if self._text(body_for(given, actor, published_ms)) == there[0].body:
                    return await self._same(tenant, stream, there[0])
        body = self._text(body_for(given, actor, published_ms))
        row = sql.Addition(
            tenant,
            stream,
            self._ids.ordered(now_ms),
            foreign_id,
            owner,
            published_ms,
            body,
            self._ids.mark(),
            now_ms,
            self._limits.activity_written_followers,
            msgspec.json.encode({"stream": stream}).decode(),
        )
        added: sql.Added = (await self._store.apply(sql.ADD, [row]))[0]
        if added.followers:
            self._queue.notify()
        kept = sql.ActivityRow(
            added.id, added.published_ms, foreign_id, body, now_ms, added.reactions
        )
        entry = Entry(
            added.off,
            added.mark,
            added.prior,
            added.event,
            data_of(added.event, added.id, kept.id, kept, added.items),
            at_ms=now_ms,
        )
        return await self._written(tenant, stream, added.epoch, entry, kept)

    async def edit(
        self, tenant: str, stream: str, id: str, given: Edit, caller: Principal | None = None
    ) -> Written:
        """Say something else in an activity's place; actor, time and `foreign_id` stay.

        Raises:
            NotFound: There is none.
            Forbidden: A user is not its actor.
            TooLarge: It has more than `add` allows then.
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """

        async def edited(tx: Tx, row: sql.ActivityRow) -> sql.ActivityRow | None:
            check_owner(row, caller)
            body = self._text(with_edit(body_of(row.body), given))
            if body == row.body:
                return None
            now_ms = self._clock.now_ms()
            await tx.execute(
                sql.CHANGE, tenant=tenant, stream=stream, id=id, body=body, now_ms=now_ms
            )
            return msgspec.structs.replace(row, body=body, updated_ms=now_ms)

        return await self.restate(tenant, stream, id, edited)

    async def restate(self, tenant: str, stream: str, id: str, decide: Decide) -> Written:
        """Change what is shown of an activity, in one commit with an entry of the log.

        Args:
            tenant: Whose stream.
            stream: Its name.
            id: The activity.
            decide: Writes the change, and gives the activity as it is then; None: nothing changes.

        Raises:
            NotFound: There is none.
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        async with self._store.transaction() as tx:
            head = await self._lock(tx, tenant, stream)
            row = await _find(tx, tenant, stream, id)
            kept = await decide(tx, row)
            if kept is None:
                return _unchanged(head, row)
            entry = await self._append(tx, tenant, stream, head, "changed", id, kept, head.items)
        return await self._written(tenant, stream, head.epoch, entry, kept)

    async def remove(
        self, tenant: str, stream: str, id: str, caller: Principal | None = None
    ) -> Written:
        """Remove an activity.

        Raises:
            NotFound: There is none.
            Forbidden: A user is not its actor.
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        of: dict[str, Any] = {"tenant": tenant, "stream": stream}
        async with self._store.transaction() as tx:
            head = await self._lock(tx, tenant, stream)
            row = await _find(tx, tenant, stream, id)
            check_owner(row, caller)
            await tx.execute(sql.REMOVE, **of, id=id)
            if row.reactions:
                job = self._queue.job(FORGET_JOB, {"stream": stream, "id": id}, tenant=tenant)
                await tx.apply(ENQUEUE, [job])
            entered = await tx.fetch(
                sql.ENTERED, **of, last=WINDOW - 1, gone_ms=row.published_ms, gone_id=id
            )
            carried = entered[0] if entered else None
            entry = await self._append(
                tx, tenant, stream, head, "removed", id, carried, head.items - 1
            )
        return await self._written(tenant, stream, head.epoch, entry, row)

    # ── reading ──
    async def page(
        self, tenant: str, stream: str, cursor: str | None = None, limit: int = PAGE
    ) -> Page:
        """Activities, newest first.

        Args:
            tenant: Whose stream.
            stream: Its name.
            cursor: `next` of the page before; None: the first page.
            limit: Activities of the page, 1 to 100.

        Raises:
            Invalid: The cursor is none of ours, or the limit out of range.
        """
        before_ms, before_id = begin_of(cursor, limit)
        rows = await self._store.fetch(
            sql.PAGE,
            tenant=tenant,
            stream=stream,
            before_ms=before_ms,
            before_id=before_id,
            n=limit + 1,
        )
        if not rows:
            return Page([], None, NOTHING)
        head, shown = rows[0], rows[:limit]
        return Page(
            [activity_of(row.id, row) for row in shown if row.id is not None],
            f"{shown[-1].published_ms}.{shown[-1].id}" if len(rows) > limit else None,
            Position(head.epoch, head.top, head.head_mark),
        )

    async def get(self, tenant: str, stream: str, id: str) -> Activity:
        """An activity.

        Raises:
            NotFound: There is none.
        """
        return activity_of(id, await _find(self._store, tenant, stream, id))

    async def readers(self, tenant: str, stream: str) -> Readers:
        """Who may read a stream, besides those whose token grants it."""
        found = await self._store.fetch(marks.READERS, tenant=tenant, stream=stream, usr="")
        return readers_of(found[0].readers if found else "")

    async def set_readers(self, tenant: str, stream: str, readers: Readers) -> None:
        """Say who may read a stream. Whoever may no longer loses it: at once on reading, with the next position check where they are subscribed.

        Raises:
            StorageFull, Unavailable, OutcomeUnknown: Of the store.
        """
        text = _encode(readers).decode() if readers != Readers() else ""
        async with self._store.transaction() as tx:
            await tx.execute(marks.SET_READERS, tenant=tenant, stream=stream, readers=text)
        await self._news.tell(Notice(tenant, stream))

    # ── housekeeping ──
    async def purge(self) -> AsyncIterator[int]:
        """Remove activities that are older than `limits.activity_days`, a slice of one stream at a time. See `jobs.purging.Slices`."""
        days = self._limits.activity_days
        if not days:
            return
        before = self._clock.now_ms() - days * DAY_MS
        while old := await self._store.fetch(sql.OLD, before=before):
            yield await self._expire(old[0].tenant, old[0].stream, before)

    def trim(self) -> AsyncIterator[int]:
        """Remove what the logs need not keep: beyond `limits.activity_log_size` entries, or `limits.activity_log_days`. See `jobs.purging.Slices`."""
        before = self._clock.now_ms() - self._limits.activity_log_days * DAY_MS
        keep = self._limits.activity_log_size
        return sql.LOGS.trim(self._store, keep=keep, before_ms=before)

    async def _expire(self, tenant: str, stream: str, before: int) -> int:
        of: dict[str, Any] = {"tenant": tenant, "stream": stream}
        async with self._store.transaction() as tx:
            head = await self._lock(tx, tenant, stream)
            bounds = await tx.fetch(sql.BOUND, **of, before=before, n=EXPIRED_AT_ONCE)
            if not bounds:
                return 0  # another node was quicker
            upto = bounds[0]
            gone = await tx.execute(
                sql.REMOVE_UPTO, **of, upto_ms=upto.published_ms, upto_id=upto.id
            )
            row = sql.ActivityRow("", upto.published_ms, "", "", 0)
            entry = await self._append(
                tx, tenant, stream, head, "expired", upto.id, row, head.items - gone
            )
        await self._engine.announce(topic_of(tenant, stream), head.epoch, [entry])
        await self._news.tell(Notice(tenant, stream))
        return gone

    # ── parts ──
    def _text(self, body: Body) -> str:
        name, most = "publication_bytes", self._limits.publication_bytes
        if most > (share := self._limits.egress_hard_bytes // SHARE):
            name, most = "egress_hard_bytes", share
        try:
            data = _encode(body)
        except (TypeError, ValueError, RecursionError) as exc:
            raise Invalid(
                f"the activity is not JSON: {exc}", faults=[Fault("", "not JSON")]
            ) from exc
        if len(data) > most:
            limit_exceeded.labels(name).inc()
            raise TooLarge(
                f"an activity has at most {most} bytes (limits.{name})",
                limit=most,
                size=len(data),
            )
        return data.decode()

    async def _lock(self, tx: Tx, tenant: str, stream: str) -> sql.Head:
        heads = await tx.fetch(sql.LOCK, tenant=tenant, stream=stream)
        if not heads:
            raise _unknown()
        return heads[0]

    async def _append(
        self,
        tx: Tx,
        tenant: str,
        stream: str,
        head: sql.Head,
        event: sql.Event,
        id: str,
        carried: sql.ActivityRow | None,
        items: int,
    ) -> Entry:
        offset, mark = head.top + 1, (head.mark + self._ids.mark()) % MARK_MODULUS
        kept = carried or sql.ActivityRow("", 0, "", "", 0)
        of: dict[str, Any] = {"tenant": tenant, "stream": stream, "off": offset, "mark": mark}
        now_ms = self._clock.now_ms()
        await tx.execute(
            sql.APPEND,
            **of,
            prior=head.mark,
            event=event,
            id=id,
            carried=kept.id,
            published_ms=kept.published_ms,
            foreign_id=kept.foreign_id,
            body=kept.body,
            updated_ms=kept.updated_ms,
            reactions=kept.reactions,
            items=items,
            now_ms=now_ms,
        )
        await tx.execute(sql.RAISE, **of, items=items)
        data = data_of(event, id, kept.id, kept, items)
        return Entry(offset, mark, head.mark, event, data, at_ms=now_ms)

    async def _same(self, tenant: str, stream: str, row: sql.ActivityRow) -> Written:
        head = (await self._store.fetch(sql.HEAD, tenant=tenant, stream=stream))[0]
        return _unchanged(head, row)

    async def _written(
        self, tenant: str, stream: str, epoch: str, entry: Entry, row: sql.ActivityRow
    ) -> Written:
        await self._engine.announce(topic_of(tenant, stream), epoch, [entry])
        await self._news.tell(Notice(tenant, stream, row.id))
        return Written(
            activity=activity_of(row.id, row),
            event=entry.event,  # type: ignore[arg-type]  # one of ours
            epoch=epoch,
            offset=entry.offset,
            mark=entry.mark,
        )


def _unchanged(head: sql.Head, row: sql.ActivityRow) -> Written:
    return Written(
        activity=activity_of(row.id, row),
        event="changed",
        epoch=head.epoch,
        offset=head.top,
        mark=head.mark,
        dropped="same",
    )


async def _find(where: Store | Tx, tenant: str, stream: str, id: str) -> sql.ActivityRow:
    found = await where.fetch(sql.FIND, tenant=tenant, stream=stream, id=id)
    if not found:
        raise _unknown()
    return found[0]


def _unknown() -> NotFound:
    return NotFound("there is no such activity in this stream")
