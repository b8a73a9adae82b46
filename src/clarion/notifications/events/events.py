"""Taking in events: what a back end says that people did, and what their own clients say.

A batch is one set-based write, joined with the batches of others: the rows, their counts and the wake-up of whoever waits for one of
them are one commit. An event is named by its id: said again, it is counted once.

Whoever has not consented is counted, and not known: of `consent: false` neither the person nor the properties are kept.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from clarion.auth.capabilities import matches
from clarion.auth.principal import Principal
from clarion.auth.rights import Self, holds
from clarion.clock import Clock, as_datetime, as_ms
from clarion.errors import Fault, Forbidden, Invalid, TooLarge
from clarion.ids import Ids
from clarion.notifications.going import event_key
from clarion.notifications.workflows.definition import EventName
from clarion.patterns import worded
from clarion.settings import Events as Settings
from clarion.storage import events as sql
from clarion.storage.slices import in_slices
from clarion.storage.store import Store, Tx
from clarion.telemetry import events_taken, limit_exceeded
from clarion.topics.arguments import check_json
from clarion.topics.kinds import Kind
from clarion.topics.publishing import Call, Publish, Published
from clarion.topics.stores.base import TopicStore

SCOPE: Final = "events:write"
AHEAD_S: Final = 300  # how far the clock of who tells may be before ours
AT_ONCE: Final = 500  # rows of a slice
_DAY_MS: Final = 86_400_000

UserId = Annotated[str, Meta(min_length=1, max_length=128)]
EventId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=worded(r"^[\x21-\x7e]+$(?!\n)", "printable ASCII characters without spaces"),
    ),
]


class Event(Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody did.

    Args:
        event: Its name, `order.paid`.
        user: Who; None: whoever calls, if a person does, else nobody in particular.
        properties: A JSON object, for conditions and templates.
        id: Makes it safe to repeat; two events with one id are one. Of a person's own client it is theirs alone.
        at: When it happened; None: now. At most 5 minutes ahead, which is taken as now.
        consent: False: it is counted, and nothing of the person is kept.
    """

    event: EventName
    user: UserId | None = None
    properties: dict[str, Any] = {}
    id: EventId | None = None
    at: Annotated[datetime, Meta(tz=True)] | None = None
    consent: bool = True


class TrackEvents(Struct, frozen=True, forbid_unknown_fields=True):
    """Events, in any order."""

    events: Annotated[list[Event], Meta(min_length=1)]


class Tracked(Struct, frozen=True):
    """How many were taken in, and how many of the others were here before. All of it is on disk."""

    taken: int
    repeated: int
    durability: str = "fsync"


class Events:
    """Everybody's events.

    Args:
        store: Where they are.
        settings: What clients may say, sizes, for how long they are kept.
        clock: The time.
        ids: Of events that have none.
    """

    def __init__(self, store: Store, settings: Settings, *, clock: Clock, ids: Ids) -> None:
        self._store, self._settings, self._clock, self._ids = store, settings, clock, ids
        self.on_awaited: Callable[[], None] = _nobody
        """Called when runs have been woken."""

    def kind(self, log: TopicStore) -> Kind:
        """The kind `events`: what a person's own client publishes on `events:<own id>` is tracked; the topic itself has no log.

        Args:
            log: Stays empty.
        """
        return Kind(
            name="events",
            rights={"subscribe": Self(), "publish": Self()},
            log=log,
            durability="durable",
            log_size=1,
            log_age_s=1,
            shape="stream",
            publish=self._publish,
        )

    async def track(self, caller: Principal, events: Sequence[Event]) -> Tracked:
        """Take in events; returns when they are on disk.

        Args:
            caller: Who tells. A person without the scope `events:write` tells of themself alone, and only of names in `events.from_clients`.
            events: 1 to `events.per_call`.

        Raises:
            Invalid: Too many, or a time that cannot be.
            TooLarge: Properties with more than `events.properties_bytes`.
            Forbidden: Of somebody else, or a name that clients may not say.
        """
        if len(events) > self._settings.per_call:
            limit_exceeded.labels("events_per_call").inc()
            raise Invalid(
                f"a call has at most {self._settings.per_call} events (events.per_call)",
                faults=[Fault("/events", f"{len(events)} events")],
            )
        is_trusted = caller.kind != "user" or holds(caller.scopes, SCOPE)
        rows = self._rows(caller, events, is_trusted=is_trusted)
        found: list[sql.Taken] = await self._store.apply(sql.TRACK, list(rows.values()))
        taken = sum(each.is_new for each in found)
        events_taken.labels("taken").inc(taken)
        events_taken.labels("repeated").inc(len(events) - taken)
        if self._store.engine == "postgresql" and any(row.wait_key for row in rows.values()):
            await self._wake(list(rows.values()))
        if any(each.is_awaited for each in found):
            self.on_awaited()
        return Tracked(taken, len(events) - taken)

    async def export(
        self, tenant: str, *, user: str = "", after: str = "", limit: int = AT_ONCE
    ) -> tuple[list[sql.EventRow], str | None]:
        """Events in the order in which they came, and the cursor of what follows; None: these were the last ones for now.

        Args:
            tenant: Whose.
            user: Only this person's; '': everybody's.
            after: Cursor of the page before; '': from the first.
            limit: Events of the page.

        Raises:
            Invalid: The cursor is none.
        """
        after_ms, _, after_id = after.partition(":") if after else ("-1", "", "")
        if not after_ms.removeprefix("-").isdecimal() or len(after_ms) > 15:
            raise Invalid(faults=[Fault("?after", "is not what a page has given")])
        whose = {"usr": user} if user else {}
        rows = await self._store.fetch(
            sql.EXPORT_OF if user else sql.EXPORT,
            tenant=tenant,
            **whose,
            after_ms=int(after_ms),
            after_id=after_id,
            n=limit + 1,
        )
        if len(rows) <= limit:
            return rows, None
        return rows[:limit], f"{rows[limit - 1].received_ms}:{rows[limit - 1].id}"

    async def forget(self, tenant: str, user: str) -> int:
        """Remove all that is known of what a person did; numbers that name nobody stay. Returns how many events there were."""
        if not user:
            return 0  # what is of nobody names nobody
        async with self._store.transaction() as tx:
            return await forget_within(tx, tenant, user)

    async def purge(self) -> AsyncIterator[int]:
        """Remove what is older than `events.keep_days`. See `jobs.purging.Slices`."""
        if not self._settings.keep_days:
            return
        before = self._clock.now_ms() - self._settings.keep_days * _DAY_MS
        [next] = await self._store.fetch(sql.NEXT_TENANT, after="")
        while next.tenant is not None:
            async for count in in_slices(
                self._store, sql.PURGE_EVENTS, AT_ONCE, tenant=next.tenant, before=before
            ):
                yield count
            [next] = await self._store.fetch(sql.NEXT_TENANT, after=next.tenant)
        tenant = name = ""
        while found := await self._store.fetch(sql.NEXT_NAME, tenant=tenant, name=name):
            tenant, name = found[0].tenant, found[0].name
            async for count in in_slices(
                self._store, sql.PURGE_PEOPLE, AT_ONCE, tenant=tenant, name=name, before=before
            ):
                yield count
            # The minute in which somebody did it last stays as long as that is known: by it the name is found.
            async for count in in_slices(
                self._store,
                sql.PURGE_MINUTES,
                AT_ONCE,
                tenant=tenant,
                name=name,
                before=before - sql.MINUTE_MS,
            ):
                yield count

    # ── taking in ──
    def _rows(
        self, caller: Principal, events: Sequence[Event], *, is_trusted: bool
    ) -> dict[str, sql.NewEvent]:
        now_ms = self._clock.now_ms()
        call = (self._ids.mark() << 20) ^ (self._ids.mark() & 0xFFFFF)
        rows: dict[str, sql.NewEvent] = {}
        for n, event in enumerate(events):
            at = f"/events/{n}"
            user = event.user
            if not is_trusted:
                self._check_own(caller, event, at)
            if caller.kind == "user" and user is None:
                user = caller.id
            id = event.id or self._ids.ordered(now_ms)
            if event.id and not is_trusted:
                # What a client calls its events is nobody else's concern: it must not take the ids of others.
                id = f"{caller.id}/{id}"
            known = user if user is not None and event.consent else ""
            row = sql.NewEvent(
                caller.tenant,
                id,
                known,
                event.event,
                self._properties(event, at) if event.consent else "",
                self._moment(event, now_ms, at),
                now_ms,
                call,
                event_key(known, event.event) if known else "",
            )
            rows.setdefault(id, row)
        return rows

    def _check_own(self, caller: Principal, event: Event, at: str) -> None:
        if event.user not in (None, caller.id):
            raise Forbidden("a person's client tells of what they did themself", scope=SCOPE)
        if not any(matches(pattern, event.event) for pattern in self._settings.from_clients):
            raise Forbidden(
                f"clients may not say {event.event!r} ({at}); those that they may are in events.from_clients",
                scope=SCOPE,
            )

    def _properties(self, event: Event, at: str) -> str:
        if not event.properties:
            return ""
        check_json(f"{at}/properties".removeprefix("/"), event.properties)
        text = msgspec.json.encode(event.properties)
        limit = self._settings.properties_bytes
        if len(text) > limit:
            limit_exceeded.labels("events_properties_bytes").inc()
            raise TooLarge(
                f"the properties of an event have at most {limit} bytes (events.properties_bytes)",
                limit=limit,
                size=len(text),
            )
        return text.decode()

    def _moment(self, event: Event, now_ms: int, at: str) -> int:
        if event.at is None:
            return now_ms
        moment = as_ms(event.at)
        oldest = now_ms - (self._settings.keep_days or 36_600) * _DAY_MS
        if not oldest <= moment <= now_ms + AHEAD_S * 1000:
            detail = f"is ahead by more than {AHEAD_S} s, or older than events are kept"
            raise Invalid(faults=[Fault(f"{at}/at", detail)])
        return min(moment, now_ms)

    async def _wake(self, rows: Sequence[sql.NewEvent]) -> None:
        now_ms = self._clock.now_ms()
        keys = {(row.tenant, row.wait_key): None for row in rows if row.wait_key}
        await self._store.apply(sql.WAKE, [sql.WaitKey(*key, now_ms) for key in keys])

    async def _publish(self, call: Call, given: Publish) -> Published:
        assert call.principal is not None, "what the application does, it tells with track"
        if (
            given.key is not None
            or given.version
            or given.only
            or given.ttl_s
            or given.owned
            or given.tags
        ):
            raise Invalid(faults=[Fault("", "an event has a name, data and an id")])
        body = {
            "event": given.event,
            **_parts(given.data),
            **({"id": given.id} if given.id else {}),
        }
        try:
            event = msgspec.convert(body, Event, strict=False)
        except msgspec.ValidationError as exc:
            raise Invalid(faults=[Fault.of(exc, Event)]) from exc
        tracked = await self.track(call.principal, [event])
        dropped: dict[str, Any] = {"dropped": "duplicate"} if tracked.repeated else {}
        return Published(call.topic.wire, "0", 0, 0, "durable", **dropped)


async def forget_within(tx: Tx, tenant: str, user: str) -> int:
    """`Events.forget` within a transaction that removes more of the person."""
    await tx.execute(sql.FORGET_PERSON, tenant=tenant, usr=user)
    return await tx.execute(sql.FORGET_EVENTS_OF, tenant=tenant, usr=user)


def line_of(row: sql.EventRow) -> bytes:
    """An event as a line of NDJSON."""
    return (
        msgspec.json.encode(
            {
                "id": row.id,
                "user": row.usr or None,
                "event": row.name,
                "properties": msgspec.Raw((row.properties or "{}").encode()),
                "at": as_datetime(row.at_ms),
                "received_at": as_datetime(row.received_ms),
                "cursor": f"{row.received_ms}:{row.id}",
            }
        )
        + b"\n"
    )


def _parts(data: Any) -> dict[str, Any]:
    """`{properties?, at?, consent?}` of a publication; None: nothing of it."""
    if data is None:
        return {}
    if not isinstance(data, dict) or not data.keys() <= {"properties", "at", "consent"}:
        raise Invalid(faults=[Fault("/data", "is {properties?, at?, consent?}")])
    return data


def _nobody() -> None:
    """Nobody waits yet."""
