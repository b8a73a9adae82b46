"""Firing: schedules that are due are claimed, and what comes of each is written in one transaction with its next occurrence.

Who has lost the lease writes nothing, and an occurrence that there is already is not triggered again: so it happens once, though
processes die or stand still in the middle, and though clocks are set back.
"""

import asyncio
from typing import Final

from clarion.clock import Clock
from clarion.errors import ClarionError, Conflict, PeerError
from clarion.ids import Ids
from clarion.jobs.turns import Turns, first_ms, take
from clarion.notifications.schedules.shapes import definition_of, rule_of
from clarion.notifications.schedules.turns import Turn, turn_of
from clarion.notifications.triggering import Triggers
from clarion.notifications.workflows import durations
from clarion.notifications.workflows.occurrences import Moment, is_floating, next_after
from clarion.notifications.workflows.zones import zone_data
from clarion.storage import schedules as sql
from clarion.storage import triggers as trigger_sql
from clarion.storage.store import Store
from clarion.telemetry import get_logger, schedule_late_seconds, schedule_occurrences, spawn

_log = get_logger(__name__)

SLICE: Final = 64  # schedules that are fired together
LEASE_S: Final = 30.0
DEATHS: Final = 10  # claims of a schedule of which nobody has heard again
LOOK_BACK_MS: Final = 60_000
"""An occurrence that was dealt with so far ahead of now was dealt with by a clock that has been set back since."""
RECKON_EVERY_S: Final = 60.0


class Firing:
    """Fires schedules.

    Args:
        store: Where they are.
        triggers: Triggers workflows.
        clock: The time.
        ids: Of occurrences.
        node: Names this process in leases.
    """

    def __init__(
        self, store: Store, triggers: Triggers, *, clock: Clock, ids: Ids, node: str
    ) -> None:
        self._store, self._triggers = store, triggers
        self._clock, self._ids, self._node = clock, ids, node
        self._turns = Turns()
        self._reckoned_at = float("-inf")

    async def due_ms(self) -> int | None:
        """When the next occurrence is; None: there is none."""
        if self._clock.monotonic() - self._reckoned_at >= RECKON_EVERY_S:
            await self.reckon()
            self._reckoned_at = self._clock.monotonic()
        return first_ms(await self._store.fetch(sql.WAITING))

    async def fire(self, limit: int = SLICE) -> int:
        """Fire schedules that are due; returns how many there were."""
        claimed = await take(
            self._store,
            self._turns,
            await self._store.fetch(sql.WAITING),
            sql.CLAIM,
            now_ms=self._clock.now_ms(),
            lease_s=LEASE_S,
            node=self._node,
            limit=min(limit, SLICE),
        )
        # Together, so that one fsync serves them all.
        tasks = [spawn(self._one(each), name="fire-schedule") for each in claimed]
        if tasks:
            await asyncio.wait(tasks)
        return len(claimed)

    async def reckon(self) -> int:
        """Reckon anew what was reckoned by other zone data, or by a clock that has been set back; returns how many there were."""
        count, tenant, id = 0, "", ""
        now_ms = self._clock.now_ms()
        while found := await self._store.fetch(
            sql.MISRECKONED,
            zone_data=zone_data(),
            until_ms=now_ms + LOOK_BACK_MS,
            tenant=tenant,
            id=id,
            n=SLICE,
        ):
            for row in found:
                await self._reckon(row, now_ms)
            count, tenant, id = count + len(found), found[-1].tenant, found[-1].id
        return count

    async def _reckon(self, row: sql.Misreckoned, now_ms: int) -> None:
        rule = rule_of(row.rule)
        since_ms = min(row.since_ms, now_ms)
        moment = next_after(rule, since_ms)
        if moment is not None and moment.key == row.last_key:
            moment = next_after(rule, moment.at_ms)
        if moment is None:
            return  # its last one has been; it is ended when it is due
        async with self._store.transaction() as tx:
            await tx.execute(
                sql.RECKON,
                tenant=row.tenant,
                id=row.id,
                token=row.token,
                next_ms=moment.at_ms,
                since_ms=since_ms,
                zone_data=zone_data(),
            )

    # ── one of them ──
    async def _one(self, claimed: sql.ClaimedSchedule) -> None:
        try:
            await self._fire(claimed)
        except Conflict:
            _log.info("schedule was changed, or is another's", schedule=claimed.id)
        except Exception as exc:  # noqa: BLE001  one schedule's failure is its own; its lease ends, and it is tried again
            is_known = isinstance(exc, ClarionError)
            _log.warning(
                "schedule could not be fired yet",
                schedule=claimed.id,
                error=type(exc).__name__,
                exc_info=None if is_known else exc,
            )

    async def _fire(self, claimed: sql.ClaimedSchedule) -> None:
        definition = definition_of(claimed.definition)
        rule = rule_of(claimed.rule)
        now_ms = self._clock.now_ms()
        turn = turn_of(
            rule,
            now_ms if claimed.next_ms is None else claimed.next_ms,
            claimed.last_key,
            now_ms,
            missed=definition.missed,
            grace_ms=durations.seconds(definition.grace) * 1000,
        )
        if claimed.attempts > DEATHS:
            await self._write(
                claimed, turn, None, "the process died each time it was fired", now_ms
            )
            return
        row, refused = None, ""
        if turn.moment is not None and turn.is_wanted:
            try:
                row = await self._triggers.prepare(
                    claimed.tenant,
                    f"schedule:{claimed.id}",
                    definition.trigger,
                    local_start=turn.moment.local if is_floating(rule) else "",
                    are_known=True,
                )
            except PeerError as exc:
                refused = str(exc)[:1_000]
                _log.warning("schedule is paused", schedule=claimed.id, why=refused)
        await self._write(claimed, turn, row, refused, now_ms)

    async def _write(
        self,
        claimed: sql.ClaimedSchedule,
        turn: Turn,
        row: trigger_sql.NewTrigger | None,
        refused: str,
        now_ms: int,
    ) -> None:
        moment, following = turn.moment, turn.next
        state = "paused" if refused else "active" if following else "ended"
        outcome = None
        async with self._store.transaction() as tx:
            held = await tx.execute(
                sql.SETTLE,
                tenant=claimed.tenant,
                id=claimed.id,
                token=claimed.token,
                state=state,
                why=refused,
                changed=int(state != "active"),
                next_ms=following.at_ms if following and state == "active" else None,
                since_ms=moment.at_ms if moment else now_ms,
                last_key=moment.key if moment else claimed.last_key,
                zone_data=zone_data(),
                now_ms=now_ms,
            )
            if not held:
                raise Conflict(f"the lease of schedule {claimed.id} was lost")
            is_new = moment is not None and await tx.execute(
                sql.ADD_OCCURRENCE,
                tenant=claimed.tenant,
                schedule=claimed.id,
                id=self._ids.ordered(now_ms),
                key=moment.key,
                due_ms=moment.at_ms,
                missed_ms=turn.missed_ms,
                outcome="refused" if refused else "triggered" if row else "skipped",
                trigger_id=row.id if row else "",
                why=refused or ("" if row else "it was missed"),
                now_ms=now_ms,
            )
            if is_new and row is not None:
                [outcome] = await tx.apply(trigger_sql.ACCEPT_TRIGGER, [row])
        if moment is not None and is_new:
            self._count(moment, "refused" if refused else "triggered" if row else "skipped", now_ms)
        if outcome is not None and row is not None:
            self._triggers.begin(row, outcome)

    @staticmethod
    def _count(moment: Moment, outcome: str, now_ms: int) -> None:
        schedule_occurrences.labels(outcome).inc()
        if outcome == "triggered":
            schedule_late_seconds.observe((now_ms - moment.at_ms) / 1000)
