"""Schedules: what is triggered, and when; kept, changed, paused, called off, run by hand.

A schedule has a name that its owner gives it, so that it can be put whenever an application is deployed: the same again changes nothing.
"""

from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec

from clarion.auth.principal import Principal
from clarion.clock import Clock
from clarion.errors import Conflict, Fault, Invalid, NotFound, TooMany
from clarion.ids import Ids
from clarion.notifications.catalog import Read
from clarion.notifications.notifications import check_key
from clarion.notifications.schedules.shapes import (
    OccurrencePage,
    Schedule,
    ScheduleDefinition,
    SchedulePage,
    Upcoming,
    definition_of,
    occurrence_of,
    rule_of,
    schedule_of,
    to_keep,
    upcoming,
)
from clarion.notifications.trigger_shapes import TriggerAccepted, keyed
from clarion.notifications.triggering import Triggers
from clarion.notifications.workflows import durations
from clarion.notifications.workflows.occurrences import (
    SPREAD_MS,
    Once,
    Rule,
    is_floating,
    next_after,
    next_few,
)
from clarion.notifications.workflows.when import When, read_when
from clarion.notifications.workflows.zones import zone_data
from clarion.settings import Limits
from clarion.storage import schedules as sql
from clarion.storage import triggers as trigger_sql
from clarion.storage.slices import in_slices
from clarion.storage.store import Store, Tx
from clarion.telemetry import limit_exceeded

AT_ONCE: Final = 500  # rows of a slice that is removed
SHOWN: Final = 5  # occurrences to come, where nobody says how many
_DAY_MS: Final = 86_400_000
_OVER: Final = ("ended", "cancelled")

Matches = Callable[[Schedule | None], None]


class Schedules:
    """Keeps schedules.

    Args:
        store: Where they are.
        triggers: Says whether something can be triggered, and triggers it.
        limits: `schedules`, `schedule_interval_s`, `run_days`.
        clock: The time.
        ids: Of occurrences.
    """

    def __init__(
        self, store: Store, triggers: Triggers, limits: Limits, *, clock: Clock, ids: Ids
    ) -> None:
        self._store, self._triggers, self._limits = store, triggers, limits
        self._clock, self._ids = clock, ids
        self.on_changed: Callable[[], None] = _nobody
        """Called when something may be due earlier than was known."""

    async def put(
        self, caller: Principal, id: str, given: ScheduleDefinition, matches: Matches
    ) -> Schedule:
        """Keep a schedule. One that is there is changed: with the same `when` it goes on where it is.

        Args:
            caller: Whose, and its author.
            id: Its name.
            given: What, and when.
            matches: Refuses what is there (None: nothing is) if it is not what the caller has read.

        Raises:
            Conflict: The workflow is not active.
            Invalid: It can't be triggered, or never comes; each fault points at its place.
            Stale: Of `matches`.
            TooMany: The tenant has `limits.schedules`.
        """
        tenant = caller.tenant
        await self._check(tenant, given)
        definition = to_keep(given)
        text = _text(definition)
        now_ms = self._clock.now_ms()
        async with self._store.transaction() as tx:
            row = next(iter(await tx.fetch(sql.HOLD, tenant=tenant, id=id)), None)
            there = None if row is None or row.state == "cancelled" else row
            matches(None if there is None else schedule_of(there, 0))
            if there is not None and there.definition == text:
                return schedule_of(there, SHOWN)
            if there is not None and definition_of(there.definition).when == definition.when:
                rule, state, next_ms = rule_of(there.rule), there.state, there.next_ms
                since_ms = there.since_ms
            else:
                if row is None or row.state in _OVER:
                    await self._check_room(tx, tenant)
                rule = self._read(definition.when, now_ms)
                since_ms = now_ms if row is None else max(now_ms, row.since_ms)
                following = next_after(rule, _earliest(rule, since_ms))
                state = "paused" if row is not None and row.state == "paused" else "active"
                next_ms = following.at_ms if following and state == "active" else None
            await tx.execute(
                sql.PUT,
                tenant=tenant,
                id=id,
                workflow=definition.trigger.workflow,
                definition=text,
                rule=_text(rule),
                state=state,
                revision=1 if row is None else row.revision + 1,
                author=f"{caller.kind}:{caller.id}",
                next_ms=next_ms,
                run_ms=next_ms,
                since_ms=since_ms,
                last_key="" if row is None else row.last_key,
                zone_data=zone_data(),
                now_ms=now_ms,
            )
        self.on_changed()
        return await self.find(tenant, id)

    async def judge(self, tenant: str, given: ScheduleDefinition, read: Read | None = None) -> None:
        """Refuse what could not be kept.

        Args:
            tenant: Whose.
            given: What, and when.
            read: The workflow as it may be; None: as it is.

        Raises:
            Conflict, Invalid: As `put`.
        """
        await self._check(tenant, given, instead=read, is_dry=True)
        self._read(given.when, self._clock.now_ms())

    async def find(self, tenant: str, id: str, count: int = SHOWN) -> Schedule:
        """A schedule, with so many of its next occurrences.

        Raises:
            NotFound: There is none.
        """
        for row in await self._store.fetch(sql.FIND, tenant=tenant, id=id):
            return schedule_of(row, count)
        raise _none(id)

    async def page(
        self, tenant: str, after: str, limit: int, *, workflow: str = "", state: str = ""
    ) -> SchedulePage:
        """Schedules behind a name, of a workflow, in a state."""
        statement = sql.page(of_workflow=bool(workflow), of_state=bool(state))
        asked = {"workflow": workflow, "state": state}
        found = await self._store.fetch(
            statement, tenant=tenant, after=after, n=limit + 1,
            **{name: text for name, text in asked.items() if text},
        )  # fmt: skip
        items = [schedule_of(row, 1) for row in found[:limit]]
        return SchedulePage(items, items[-1].schedule if len(found) > limit else None)

    def preview(self, when: When, count: int) -> list[Upcoming]:
        """The next occurrences of what is not kept yet.

        Raises:
            Invalid: As `put`.
        """
        now_ms = self._clock.now_ms()
        rule = self._read(when, now_ms)
        return upcoming(rule, next_few(rule, _earliest(rule, now_ms), count))

    async def pause(self, tenant: str, id: str, matches: Matches) -> Schedule:
        """Trigger nothing until it is resumed. What comes meanwhile is left out.

        Raises:
            NotFound, Stale: There is none, or it is not what was read.
            Conflict: It is over.
        """
        return await self._set(tenant, id, matches, is_paused=True)

    async def resume(self, tenant: str, id: str, matches: Matches) -> Schedule:
        """Go on with the next occurrence from now on.

        Raises:
            NotFound, Stale, Conflict: As `pause`; or its workflow is not active.
            Invalid: It could not be triggered.
        """
        definition = (await self.find(tenant, id, 0)).definition
        await self._check(tenant, definition, are_known=True)
        return await self._set(tenant, id, matches, is_paused=False)

    async def cancel(self, tenant: str, id: str, matches: Matches) -> None:
        """Trigger nothing any more: when this returns, no further occurrence is triggered. What was triggered goes on.

        Raises:
            NotFound, Stale: There is none, or it is not what was read.
        """
        async with self._store.transaction() as tx:
            row = await self._held(tx, tenant, id)
            if row.state == "cancelled":
                return
            matches(schedule_of(row, 0))
            await tx.execute(
                sql.SET_STATE,
                tenant=tenant,
                id=id,
                state="cancelled",
                next_ms=None,
                since_ms=row.since_ms,
                zone_data=zone_data(),
                now_ms=self._clock.now_ms(),
            )

    async def run(self, caller: Principal, id: str, key: str | None) -> TriggerAccepted:
        """Trigger it now, once, beside its occurrences; also one that is paused or has ended.

        Args:
            caller: Whose, and who triggers.
            id: Its name.
            key: Makes the call safe to repeat for 24 hours.

        Raises:
            NotFound: There is none, or it was cancelled.
            Conflict, Invalid, IdempotencyConflict: As `Triggers.accept`.
        """
        check_key(key)
        tenant, now_ms = caller.tenant, self._clock.now_ms()
        found = await self.find(tenant, id, 0)
        if found.state == "cancelled":
            raise _none(id)
        row = await self._triggers.prepare(
            tenant, f"{caller.kind}:{caller.id}", found.definition.trigger, are_known=True
        )
        row = keyed(row, key, f"run schedule {id}".encode())
        async with self._store.transaction() as tx:
            [outcome] = await tx.apply(trigger_sql.ACCEPT_TRIGGER, [row])
            if outcome.is_accepted:
                await tx.execute(
                    sql.ADD_OCCURRENCE,
                    tenant=tenant,
                    schedule=id,
                    id=self._ids.ordered(now_ms),
                    key="",
                    due_ms=now_ms,
                    missed_ms=0,
                    outcome="triggered",
                    trigger_id=row.id,
                    why="",
                    now_ms=now_ms,
                )
        return self._triggers.begin(row, outcome)

    async def occurrences(self, tenant: str, id: str, before: str, limit: int) -> OccurrencePage:
        """What became of its occurrences, the newest first.

        Raises:
            NotFound: There is no such schedule.
        """
        await self.find(tenant, id, 0)
        rows = await self._store.fetch(
            sql.OCCURRENCES, tenant=tenant, schedule=id, before=before or "g", n=limit + 1
        )
        items = [occurrence_of(row) for row in rows[:limit]]
        return OccurrencePage(items, items[-1].id if len(rows) > limit else None)

    async def purge(self) -> AsyncIterator[int]:
        """Remove occurrences older than `limits.run_days`, and then the schedules that are over for so long."""
        if not self._limits.run_days:
            return
        before = self._clock.now_ms() - self._limits.run_days * _DAY_MS
        for statement in (sql.FORGET_OCCURRENCES, sql.FORGET_SCHEDULES):
            async for count in in_slices(self._store, statement, AT_ONCE, before=before):
                yield count

    # ── parts ──
    async def _check(
        self,
        tenant: str,
        given: ScheduleDefinition,
        *,
        are_known: bool = False,
        instead: Read | None = None,
        is_dry: bool = False,
    ) -> None:
        for name in ("at", "zone"):
            if getattr(given.trigger, name) is not None:
                at = f"/trigger/{name}"
                raise Invalid("`when` says when", faults=[Fault(at, "`when` says when")])
        _span(given.grace)
        try:
            if is_dry:
                await self._triggers.judge(tenant, given.trigger, instead)
            else:
                await self._triggers.prepare(tenant, "", given.trigger, are_known=are_known)
        except Invalid as exc:
            moved = [Fault(f"/trigger{each.pointer}", each.detail) for each in exc.faults]
            raise Invalid(exc.message, faults=moved, **exc.facts) from exc

    def _read(self, when: When, now_ms: int) -> Rule:
        try:
            return read_when(when, now_ms, shortest_s=self._limits.schedule_interval_s)
        except Invalid as exc:
            if "limit" in exc.facts:
                limit_exceeded.labels("schedule_interval_s").inc()
            raise

    async def _check_room(self, tx: Tx, tenant: str) -> None:
        most = self._limits.schedules
        [found] = await tx.fetch(sql.COUNT, tenant=tenant)
        if found.count >= most:
            limit_exceeded.labels("schedules").inc()
            raise TooMany(f"a tenant has at most limits.schedules = {most}", limit=most)

    async def _held(self, tx: Tx, tenant: str, id: str) -> sql.ScheduleRow:
        for row in await tx.fetch(sql.HOLD, tenant=tenant, id=id):
            return row
        raise _none(id)

    async def _set(self, tenant: str, id: str, matches: Matches, *, is_paused: bool) -> Schedule:
        now_ms = self._clock.now_ms()
        async with self._store.transaction() as tx:
            row = await self._held(tx, tenant, id)
            matches(schedule_of(row, 0))
            if row.state in _OVER:
                raise Conflict(f"the schedule {id!r} is {row.state}")
            if (row.state == "paused") == is_paused:
                return schedule_of(row, SHOWN)
            since_ms, moment = max(now_ms, row.since_ms), None
            if not is_paused:
                rule = rule_of(row.rule)
                moment = next_after(rule, _earliest(rule, since_ms))
            state = "paused" if is_paused else "active" if moment else "ended"
            await tx.execute(
                sql.SET_STATE,
                tenant=tenant,
                id=id,
                state=state,
                next_ms=None if moment is None else moment.at_ms,
                since_ms=since_ms,
                zone_data=zone_data(),
                now_ms=now_ms,
            )
        self.on_changed()
        return await self.find(tenant, id)


def _earliest(rule: Rule, now_ms: int) -> int:
    """Behind which time its first occurrence is: that of one time in everybody's own zone may be past where days begin first."""
    return now_ms - SPREAD_MS if isinstance(rule, Once) and is_floating(rule) else now_ms


def _span(text: str) -> int:
    try:
        return durations.seconds(text)
    except ValueError as exc:
        raise Invalid(str(exc), faults=[Fault("/grace", str(exc))]) from exc


def _none(id: str) -> NotFound:
    return NotFound(f"there is no schedule {id!r}")


def _text(value: object) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


def _nobody() -> None:
    """Nobody listens."""
