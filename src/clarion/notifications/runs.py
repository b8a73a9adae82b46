"""Runs, carried out: what the engine decides becomes rows, all of one step's in one transaction.

A slice of runs is loaded together, decided one by one (pure), rendered, and written together. The transaction asks first which
of the runs are still this process' own: of the others nothing is written, since somebody else goes on with them.
"""

from collections.abc import Awaitable, Callable, Container, Sequence
from typing import Final

import msgspec

from clarion.clock import Clock
from clarion.errors import ClarionError, Conflict, Invalid, NotFound
from clarion.ids import Ids
from clarion.jobs.turns import Turns, first_ms, take
from clarion.notifications.addresses import Addresses
from clarion.notifications.catalog import Catalog
from clarion.notifications.deciding import Decider
from clarion.notifications.facts import message_facts
from clarion.notifications.fetching import Fetcher, Fetching, wants_data
from clarion.notifications.going import Decided, Going, going_of, settlement, unchanged
from clarion.notifications.knowing import Knowing
from clarion.notifications.parking import park
from clarion.notifications.preferences.book import Book
from clarion.notifications.sight.counting import failed_run
from clarion.notifications.suppressions import Suppressions
from clarion.notifications.workflows.definition import Wait, Workflow
from clarion.notifications.workflows.moves import Await, AwaitEvent
from clarion.notifications.writing import Writer
from clarion.settings import Limits
from clarion.storage import events as event_sql
from clarion.storage import runs as sql
from clarion.storage import stats as stat_sql
from clarion.storage.jobs import Held
from clarion.storage.sends import PARK_RUN
from clarion.storage.store import Part, Store, Tx
from clarion.telemetry import get_logger

_log = get_logger(__name__)

SLICE: Final = 200  # runs that are carried on together
LEASE_S: Final = 30.0
DEATHS: Final = (
    10  # claims of a run of which nobody has heard again: it takes its processes with it
)


class Runs:
    """Carries runs on.

    Args:
        store: Where they are.
        catalog: Workflows in their versions.
        decider: Says what they do next.
        writer: Writes what comes of it.
        fetcher: Gets data for later steps.
        addresses: Of their recipients.
        knowing: Finds out what workflows ask about, at the moment of the decision.
        book: Knows what their recipients want.
        suppressions: Those that are not written to.
        limits: `fetches`.
        clock: The time.
        ids: Jitter.
        node: Names this process in leases.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        decider: Decider,
        writer: Writer,
        fetcher: Fetcher,
        addresses: Addresses,
        knowing: Knowing,
        book: Book,
        suppressions: Suppressions,
        limits: Limits,
        *,
        clock: Clock,
        ids: Ids,
        node: str,
    ) -> None:
        self._store, self._catalog = store, catalog
        self._decider, self._writer = decider, writer
        self._addresses = addresses
        self._knowing = knowing
        self._book = book
        self._suppressions = suppressions
        self._fetching = Fetching(
            store, fetcher, limits, self.carry, self._say_waiting, clock=clock, ids=ids
        )
        self._turns = Turns()
        self._is_careful = False  # the next run is carried alone
        self._clock, self._node = clock, node
        self.on_sent: Callable[[], None] = nothing
        """Called when there are messages for other channels to be sent."""
        self.on_waiting: Callable[[], None] = nothing
        """Called when there are runs that wait."""

    def _say_waiting(self) -> None:
        self.on_waiting()  # which is set later

    async def due_ms(self) -> int | None:
        """When the next run is due; None: none is."""
        return first_ms(await self._store.fetch(sql.WAITING_RUNS))

    async def go_on(self, limit: int = SLICE) -> int:
        """Carry on runs that are due; returns how many there were."""
        is_alone = self._is_careful
        claimed = await self._claim(1 if is_alone else limit)
        suspects = [row for row in claimed if row.attempts >= sql.SUSPECT]
        self._is_careful = bool(suspects)
        mine = claimed
        if suspects and not is_alone:
            await self._part(suspects)
            mine = [row for row in claimed if row.attempts < sql.SUSPECT]
        loaded = await self.load(mine)
        goings = [each for each in loaded if not each.is_held]
        await self._park([each for each in loaded if each.is_held])
        now = [each for each in goings if not wants_data(each.workflow, each.state)]
        await self._fetching.begin(
            [each for each in goings if wants_data(each.workflow, each.state)]
        )
        # While nobody can say who is there, the runs that ask for it stay as they are; the others go on.
        for some in (
            [each for each in now if "presence" not in each.workflow.asks],
            [each for each in now if "presence" in each.workflow.asks],
        ):
            if some:
                await self._carry_all(some)
        return len(claimed)

    async def _part(self, suspects: Sequence[sql.ClaimedRun]) -> None:
        """Give those back that many processes have died with, before anything is done: each is to be carried alone."""
        now_ms = self._clock.now_ms()
        async with self._store.transaction() as tx:
            for row in suspects:
                await tx.execute(
                    sql.PUT_BACK, tenant=row.tenant, id=row.id, token=row.token, now_ms=now_ms
                )

    async def _park(self, goings: Sequence[Going]) -> None:
        """Leave alone what is paused, until it is resumed."""
        of: dict[tuple[str, str], list[Going]] = {}
        for going in goings:
            of.setdefault((going.tenant, going.trigger), []).append(going)
        for (tenant, trigger), some in of.items():
            await park(self._store, self._clock, tenant, trigger, PARK_RUN, some)

    async def _carry_all(self, goings: Sequence[Going]) -> None:
        """Carry a slice on, or where the store refuses something of it, each by itself: one may not hold up the others."""
        try:
            await self.carry(goings)
        except (Invalid, Conflict) as exc:
            if len(goings) > 1:
                for going in goings:
                    await self._carry_all([going])
                return
            [going] = goings
            failed = unchanged(going, None, f"{exc.code}: {exc}"[:1_000])
            failed.status = "failed"
            _log.error("run failed", run=going.id, workflow=going.workflow.key, code=exc.code)
            await self._fail(settlement(failed), going.workflow.key)

    async def fetched(self) -> None:
        """Wait until nothing is being fetched."""
        await self._fetching.done()

    async def carry(
        self,
        goings: Sequence[Going],
        within: Callable[[Tx], Awaitable[Container[str]]] | None = None,
        *,
        first: Part | None = None,
        may_ask_workers: bool = True,
    ) -> None:
        """Carry on a slice.

        Args:
            goings: Runs in hand, each once.
            within: Writes more in the same transaction, and says which runs, by id, are wanted still; what it raises undoes all.
            first: Is written in the same transaction, and decides nothing.
            may_ask_workers: Whether texts may be rendered that only the workers render.

        Raises:
            NeedsWorkers: There is such a text. Nothing was written.
        """
        await self._addresses.load(goings)
        await self._suppressions.load(goings)
        await self._knowing.find_out(goings)
        await self._book.give(goings)
        decided = await self._decider.decide(goings, may_ask_workers=may_ask_workers)
        async with self._store.transaction() as tx:
            if within is not None:
                wanted = await within(tx)
                decided = [each for each in decided if each.going.id in wanted]
            written = await self._writer.write(tx, decided, first)
        try:
            for tell in written.told:
                await tell()
            await self._look_once_more(decided)
        except ClarionError as exc:
            # What was written is written: whoever heard of a failure would do it once more.
            _log.warning("runs were carried on, but not all were told", code=exc.code)
        if written.is_sent:
            self.on_sent()
        # One that is collected has opened a digest, or made it as large as it may be.
        if any(each.run_ms is not None or each.status == "collected" for each in decided):
            self.on_waiting()

    async def wake(self, tenant: str, user: str) -> None:
        """Let the runs of a user look again that wait for a message: they have read, or put away, something."""
        try:
            if not await self._store.fetch(sql.WAITING, tenant=tenant, usr=user):
                return
            async with self._store.transaction() as tx:
                now_ms = self._clock.now_ms()
                await tx.execute(sql.WAKE_USER, tenant=tenant, usr=user, now_ms=now_ms)
        except ClarionError as exc:
            # What they have done is done; the runs will see it when their time has come.
            _log.warning("runs could not be woken", code=exc.code)
            return
        self.on_waiting()

    async def _look_once_more(self, decided: Sequence[Decided]) -> None:
        """Of what a run has just begun to wait for, some has happened before it waited: nobody would wake it."""
        if keys := await self._knowing.have_happened(
            [each for each in decided if isinstance(each.next, AwaitEvent)]
        ):
            await self._store.apply(event_sql.WAKE, keys)
        waiting = [each for each in decided if isinstance(each.next, Await)]
        if not waiting:
            return
        goings = [
            msgspec.structs.replace(each.going, state=each.state, about={}) for each in waiting
        ]
        await self._look(goings)
        for going in goings:
            act = going.workflow.steps[going.state.at].act
            if isinstance(act, Wait) and (going.about.get(str(act.message)) or {}).get(
                str(act.is_)
            ):
                await self.wake(going.tenant, going.usr)

    # ── what there is to know ──
    async def _claim(self, limit: int) -> list[sql.ClaimedRun]:
        return await take(
            self._store,
            self._turns,
            await self._store.fetch(sql.WAITING_RUNS),
            sql.CLAIM_ALONE if self._is_careful else sql.CLAIM,
            now_ms=self._clock.now_ms(),
            lease_s=LEASE_S,
            node=self._node,
            limit=limit,
        )

    async def load(self, claimed: Sequence[sql.ClaimedRun]) -> list[Going]:
        """Take runs in hand, in their order, with all that their workflows may ask about."""
        if not claimed:
            return []
        held = [Held(row.tenant, row.id, row.token) for row in claimed]
        loaded: list[sql.LoadedRun] = await self._store.apply(sql.LOAD, held)
        loaded.sort(key=lambda row: row.n)
        goings: list[Going] = []
        for row in loaded:
            mine = claimed[row.n - 1]
            if mine.attempts > DEATHS:
                await self._give_up(mine, row, "the process died each time it was carried on")
                continue
            try:
                read = await self._catalog.version(mine.tenant, row.workflow, row.version)
            except (Invalid, NotFound) as exc:
                await self._give_up(mine, row, str(exc))
                continue
            goings.append(going_of(mine, row, read.workflow))
        await self._look(goings)
        return goings

    async def _give_up(self, claimed: sql.ClaimedRun, row: sql.LoadedRun, why: str) -> None:
        """A run that nobody can carry on: its channel is gone, say. It must not keep the others waiting."""
        _log.warning("run cannot go on", run=claimed.id, workflow=row.workflow, why=why)
        failed = sql.RunSettlement(
            claimed.tenant, claimed.id, claimed.token, row.state, "failed", "", None, 0, why[:1_000]
        )
        await self._fail(failed, row.workflow)

    async def _fail(self, run: sql.RunSettlement, workflow: str) -> None:
        async with self._store.transaction() as tx:
            counted = failed_run(run.tenant, workflow, self._clock.now_ms())
            await tx.apply_all((sql.SETTLE, [run]), (stat_sql.ADD, [counted]))

    async def _look(self, goings: Sequence[Going]) -> None:
        """Find out what became of what they have sent, where a condition may ask for it."""
        asked: list[sql.Named] = []
        whose: list[tuple[Going, str]] = []
        for going in goings:
            for step, left in going.state.left.items():
                if "message" in left and _is_asked(going.workflow, step):
                    asked.append(sql.Named(going.tenant, going.usr, left["message"]))
                    whose.append((going, step))
        if not asked:
            return
        found: list[sql.MessageState] = await self._store.apply(sql.MESSAGE_STATES, asked)
        states: dict[int, list[sql.MessageState]] = {}
        for state in found:
            states.setdefault(state.n, []).append(state)
        for n, of_message in states.items():
            going, step = whose[n - 1]
            going.about[step] = message_facts(of_message)


def _is_asked(workflow: Workflow, step: str) -> bool:
    waits = (each.act for each in workflow.steps if isinstance(each.act, Wait))
    return any(path.split(".")[0] == step for path in workflow.paths) or any(
        wait.message == step for wait in waits
    )


def nothing() -> None:
    """Nobody listens yet."""
