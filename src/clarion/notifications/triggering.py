"""Triggers: accepted in one durable commit, then planned slice by slice into everybody's runs.

Who accepts a trigger plans it at once, under a lease like any job's: if that process dies, another plans on from the last slice
that was committed. A slice's runs and messages are written together with the cursor, so that nobody gets anything twice.
"""

import msgspec

from clarion.auth.principal import Principal
from clarion.clock import Clock, as_datetime
from clarion.errors import Invalid, NotFound
from clarion.ids import Ids
from clarion.jobs.queue import LEASE_S, Queue
from clarion.notifications.asking import Asking
from clarion.notifications.at_once import AtOnce
from clarion.notifications.catalog import Catalog, Read
from clarion.notifications.notifications import check_key
from clarion.notifications.planning import Planner
from clarion.notifications.soon import Soon
from clarion.notifications.targets import Targets
from clarion.notifications.trigger_shapes import (
    Cancelled,
    CreateTrigger,
    Received,
    Trigger,
    TriggerAccepted,
    accepted,
    former,
    keyed,
    text_of,
)
from clarion.settings import Limits
from clarion.storage import outgoing as sent_sql
from clarion.storage import runs as run_sql
from clarion.storage import triggers as sql
from clarion.storage.store import Store, Tx


class Triggers:
    """Accepts triggers and plans them.

    Args:
        store: Where they are kept.
        catalog: Workflows.
        planner: Plans what was accepted.
        at_once: Accepts and plans, where it can.
        targets: Knows whom it can be for.
        queue: Holds the planning that is not done.
        limits: `recipients`.
        clock: Time of acceptance.
        ids: Of triggers and runs.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        planner: Planner,
        at_once: AtOnce,
        targets: Targets,
        queue: Queue,
        limits: Limits,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store, self._catalog, self._queue, self._clock = store, catalog, queue, clock
        self._at_once, self._soon = at_once, Soon(planner, queue)
        self._asking = Asking(store, catalog, targets, limits, clock=clock, ids=ids)

    async def accept(
        self,
        caller: Principal,
        body: CreateTrigger,
        idempotency_key: str | None = None,
        received: Received | None = None,
    ) -> TriggerAccepted:
        """Run a workflow for recipients.

        Args:
            caller: Whose tenant the recipients belong to, and who owns the key.
            body: What to run for whom. A recipient that is only named must be known; one that is described becomes known.
            idempotency_key: Makes the call safe to repeat for 24 hours.
            received: Recipients who have come in already, beside those of the body; None: none.

        Raises:
            Conflict: The workflow is not active.
            Invalid: There is no such workflow, a recipient is not known, or the payload is not as the workflow says.
            IdempotencyConflict: The key was used with another body.
            OutcomeUnknown: The write had begun and its end was not seen: repeat it with the same key.
        """
        check_key(idempotency_key)
        who = f"{caller.kind}:{caller.id}"
        if received is None and (done := await self._try_at_once(caller, body, idempotency_key)):
            return done
        row = await self.prepare(caller.tenant, who, body, received=received)
        if not idempotency_key:
            await self._store.apply(sql.PUT_TRIGGER, [row])
            return self.begin(row, sql.TriggerOutcome(1, 1, None, None))
        row = keyed(row, idempotency_key, text_of(body, received))
        [outcome] = await self._store.apply(sql.ACCEPT_TRIGGER, [row])
        return self.begin(row, outcome)

    async def prepare(
        self,
        tenant: str,
        caller: str,
        body: CreateTrigger,
        *,
        local_start: str = "",
        are_known: bool = False,
        received: Received | None = None,
    ) -> sql.NewTrigger:
        """What is written when a trigger is accepted: for `ACCEPT_TRIGGER`, and then `begin`.

        Args:
            tenant: Whose.
            caller: Who triggers it.
            body: What for whom.
            local_start: What each recipient's own clock shows when their run begins.
            are_known: Whoever is not known meanwhile is left out, instead of refused.
            received: Recipients who have come in already; None: none.

        Raises:
            Conflict, Invalid: As `accept`.
        """
        asking = self._asking
        current = await asking.current(tenant, body.workflow)
        people, row = await asking.row(
            tenant, caller, body, current, local_start=local_start, received=received
        )
        if not are_known:
            await asking.describe(tenant, people)
            await asking.check_known(tenant, people)
        return self._leased(row)

    async def judge(self, tenant: str, body: CreateTrigger, read: Read | None = None) -> None:
        """Refuse what could not be accepted; nothing is written.

        Args:
            tenant: Whose.
            body: What for whom.
            read: The workflow as it may be; None: as it is.

        Raises:
            Conflict, Invalid: As `accept`.
        """
        asking = self._asking
        current = await asking.current(tenant, body.workflow) if read is None else (0, read)
        people, _ = await asking.row(tenant, "", body, current)
        await asking.check_known(tenant, people)

    async def check(self, tenant: str, body: CreateTrigger, *, has_rows: bool = False) -> None:
        """Refuse what could never be accepted; whether the workflow is active and those whom it names are known may be different when it is.

        Raises:
            Invalid: As `accept`.
        """
        await self._asking.check(tenant, body, has_rows=has_rows)

    def begin(self, row: sql.NewTrigger, outcome: sql.TriggerOutcome) -> TriggerAccepted:
        """After the commit: plan what was accepted, and answer.

        Raises:
            IdempotencyConflict: The key was used with another body.
        """
        if not outcome.is_accepted:
            return former(outcome, row.digest)
        if row.lease_ms > row.at_ms:
            # The lease is this process': the job is claimed by nobody else before it ends.
            self._soon.plan(row)
        else:
            self._queue.notify()
        return accepted(row)

    async def find(self, tenant: str, id: str) -> Trigger:
        """A trigger as it stands.

        Raises:
            NotFound: There is none.
        """
        for row in await self._store.fetch(sql.FIND, tenant=tenant, id=id):
            counts = await self._store.fetch(sql.COUNTS, tenant=tenant, id=id)
            runs = {each.status: each.count for each in counts}
            return Trigger(
                row.id,
                row.workflow,
                row.version,
                row.state,
                row.total,
                runs,
                as_datetime(row.created_ms),
                as_datetime(row.start_ms) if row.start_ms else None,
            )
        raise NotFound(f"there is no trigger {id}")

    async def cancel(self, tenant: str, id: str) -> Cancelled:
        """Call off what has not happened yet: when this returns, nothing more of it begins.

        What is over stays as it came out: `triggers` is 0. What was called off before is called off: it is 1.

        Raises:
            NotFound: There is no such trigger.
        """
        async with self._store.transaction() as tx:
            return await self._cancel(tx, tenant, id)

    async def cancel_by_key(self, tenant: str, cancel_key: str) -> Cancelled:
        """The same of all triggers that were given this key, and are not over; a thousand at a time."""
        async with self._store.transaction() as tx:
            rows = await tx.fetch(sql.BY_CANCEL_KEY, tenant=tenant, cancel_key=cancel_key, n=1_000)
            found = [await self._cancel(tx, tenant, row.id) for row in rows]
        return Cancelled(
            sum(each.triggers for each in found),
            sum(each.runs for each in found),
            sum(each.messages for each in found),
        )

    async def settled(self) -> None:
        """Wait until what was accepted here is planned."""
        await self._at_once.settled()
        await self._soon.settled()

    def _leased(self, row: sql.NewTrigger) -> sql.NewTrigger:
        """The same; if it begins now and there is time, under a lease of this process, which plans it."""
        if row.start_ms > row.at_ms or not self._soon.has_time_for(row):
            return row
        return msgspec.structs.replace(row, lease_ms=row.at_ms + int(LEASE_S * 1000))

    async def _try_at_once(
        self, caller: Principal, body: CreateTrigger, idempotency_key: str | None
    ) -> TriggerAccepted | None:
        """Accept and plan it in one commit; None: it goes another way, and nothing was written."""
        tenant, workflow = caller.tenant, body.workflow
        believed = self._catalog.believed(tenant, workflow)
        # Before anything is judged: what goes another way is judged there.
        if believed is None or not self._at_once.may(tenant, workflow, believed[0]):
            return None
        if body.audiences or body.filter or body.did or body.everyone or body.exclude_audiences:
            return None
        try:
            people, row = await self._asking.row(
                tenant, f"{caller.kind}:{caller.id}", body, believed
            )
        except Invalid:
            return None  # perhaps only by a version that is current no more
        row = self._leased(row)
        if row.lease_ms <= row.at_ms:
            return None
        if idempotency_key:
            row = keyed(row, idempotency_key, text_of(body, None))
        await self._asking.describe(tenant, people)
        outcome = await self._at_once.write(row)
        if outcome is None:
            return None
        return accepted(row) if outcome.is_accepted else former(outcome, row.digest)

    async def _cancel(self, tx: Tx, tenant: str, id: str) -> Cancelled:
        held = await tx.fetch(sql.HOLD, tenant=tenant, id=id)
        if not held:
            raise NotFound(f"there is no trigger {id}")
        runs = await tx.execute(run_sql.CANCEL_OF_TRIGGER, tenant=tenant, id=id)
        messages = await tx.fetch(
            sent_sql.CANCEL_OF_TRIGGER, tenant=tenant, id=id, now_ms=self._clock.now_ms()
        )
        if held[0].state == "planned" and not runs and not messages:
            return Cancelled(0, 0, 0)
        await tx.execute(sql.CANCEL, tenant=tenant, id=id)
        return Cancelled(1, runs, sum(each.status == "cancelled" for each in messages))
