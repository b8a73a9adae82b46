"""Small triggers, accepted and planned in one commit.

A trigger that names its few people, of a workflow whose texts are filled in without a worker, needs no job that plans it: those of
a workflow that come while some are written are written together after them, from the idempotency key to the message in the inbox.
Whatever does not go like that is accepted first and planned then, by who asked (`triggering`).
"""

import asyncio
from collections.abc import Container, Sequence
from typing import Final

import msgspec

from clarion.errors import ClarionError, Conflict, Invalid, NotFound
from clarion.notifications import planning
from clarion.notifications.catalog import Catalog
from clarion.notifications.going import Going
from clarion.notifications.planning import Planner
from clarion.notifications.rendering import NeedsWorkers
from clarion.notifications.runs import Runs
from clarion.notifications.targets import Asked
from clarion.storage import triggers as sql
from clarion.storage.store import Store, Tx
from clarion.storage.transaction import same
from clarion.telemetry import get_logger, spawn

_log = get_logger(__name__)

LINES: Final = 32  # workflows at a time
TOGETHER: Final = 250  # triggers that are written in one transaction
IN_LINE: Final = 1_000  # triggers that wait for those before them
SMALL: Final = 200  # bytes of JSON that say whom a small one is for
KEPT: Final = 1_000  # workflows that are known to need workers

_Key = tuple[str, str]


class AtOnce:
    """Writes small triggers.

    Args:
        store: Where they are kept.
        catalog: Says which version is current.
        planner: Makes runs of them.
        runs: Writes these.
    """

    def __init__(self, store: Store, catalog: Catalog, planner: Planner, runs: Runs) -> None:
        # Fixed at creation
        self._store, self._catalog = store, catalog
        self._planner, self._runs = planner, runs
        # Invariant: a workflow has a line <=> a task writes it.
        self._lines: dict[_Key, list[_Waiting]] = {}
        self._writing: dict[asyncio.Task[None], None] = {}
        self._needs_workers: dict[tuple[str, str, int], None] = {}

    def may(self, tenant: str, workflow: str, version: int) -> bool:
        """Whether a small one of this workflow would go like that now, as far as is known."""
        line = self._lines.get((tenant, workflow))
        is_full = len(self._lines) >= LINES if line is None else len(line) >= IN_LINE
        return not is_full and (tenant, workflow, version) not in self._needs_workers

    async def write(self, row: sql.NewTrigger) -> sql.TriggerOutcome | None:
        """Accept and plan one, with others of its workflow.

        Returns:
            What became of it; None: nothing was written, it does not go like that now.

        Raises:
            OutcomeUnknown, Unavailable, StorageFull: Of the store.
        """
        name = (row.tenant, row.workflow)
        if not self.may(*name, row.version) or not is_small(row):
            return None
        waiting = _Waiting(row, asyncio.get_running_loop().create_future())
        if (line := self._lines.get(name)) is not None:
            line.append(waiting)
        else:
            self._lines[name] = [waiting]
            task = spawn(self._write_line(name), name="write-triggers")
            self._writing[task] = None
            task.add_done_callback(self._writing.pop)
        return await waiting.done

    async def settled(self) -> None:
        """Wait until nothing is being written."""
        while self._writing:
            await asyncio.wait(tuple(self._writing))

    async def _write_line(self, name: _Key) -> None:
        line = self._lines[name]
        some: list[_Waiting] = []
        try:
            while line:
                some = line[:TOGETHER]
                del line[: len(some)]
                await self._write_some(name, some)
        except (Conflict, Invalid, NotFound, NeedsWorkers) as exc:
            # Nothing was written. Of one that cannot be written, or not so, the others are not to know.
            if isinstance(exc, NeedsWorkers):
                self._note(some)
            answer([*some, *line], None)
        except Exception as exc:  # noqa: BLE001  whatever it is, those who wait get it
            if not isinstance(exc, ClarionError):
                _log.exception("triggers could not be written", workflow=name[1])
            answer(some, exc)
            answer(line, None)  # of these nothing was tried
        finally:
            del self._lines[name]

    async def _write_some(self, name: _Key, line: "Sequence[_Waiting]") -> None:
        asked = {each.row.id: msgspec.json.decode(each.row.asked, type=Asked) for each in line}
        known, (version, read) = await asyncio.gather(
            self._planner.known(name[0], [u for each in asked.values() for u in each.users]),
            self._catalog.current(*name),
        )
        goings: list[Going] = []
        rows: list[sql.NewTrigger] = []
        for each in line:
            users = asked[each.row.id].users
            if each.row.version != version or not all(user in known for user in users):
                continue
            excluded = frozenset(asked[each.row.id].exclude)
            whom = {user: known[user] for user in users if user not in excluded}
            rows.append(msgspec.structs.replace(each.row, state="planned", total=len(whom)))
            goings += self._planner.begin(each.row, read.workflow, whom)
        outcomes = await self._carry(rows, goings) if rows else {}
        for each in line:
            answer([each], outcomes.get(each.row.id))

    async def _carry(
        self, rows: Sequence[sql.NewTrigger], goings: Sequence[Going]
    ) -> dict[str, sql.TriggerOutcome]:
        """Write triggers and what their runs do first; returns what became of each, by id."""
        if not any(row.idem_key for row in rows):
            await self._runs.carry(goings, first=(sql.PUT_TRIGGER, rows), may_ask_workers=False)
            return {row.id: sql.TriggerOutcome(n, 1, None, None) for n, row in enumerate(rows, 1)}
        outcomes: dict[str, sql.TriggerOutcome] = {}

        async def within(tx: Tx) -> Container[str]:
            found: list[sql.TriggerOutcome] = await tx.apply(sql.ACCEPT_TRIGGER, rows)
            outcomes.update((rows[each.n - 1].id, each) for each in found)
            return {each.id for each in goings if outcomes[each.trigger].is_accepted}

        await self._runs.carry(goings, within, may_ask_workers=False)
        return outcomes

    def _note(self, line: "Sequence[_Waiting]") -> None:
        for each in line:
            while len(self._needs_workers) >= KEPT:
                self._needs_workers.pop(next(iter(self._needs_workers)))
            self._needs_workers[each.row.tenant, each.row.workflow, each.row.version] = None


class _Waiting(msgspec.Struct):
    row: sql.NewTrigger
    done: asyncio.Future[sql.TriggerOutcome | None]


def answer(line: Sequence[_Waiting], with_what: sql.TriggerOutcome | Exception | None) -> None:
    """Tell those who wait; who no longer does has lost the answer only."""
    for each in line:
        if each.done.done():
            continue
        if isinstance(with_what, Exception):
            told = same(with_what) if isinstance(with_what, ClarionError) else with_what
            each.done.set_exception(told)
        else:
            each.done.set_result(with_what)


def is_small(row: sql.NewTrigger) -> bool:
    """Whether it names all it is for, and they are few: not more than a slice."""
    if len(row.asked) > SMALL or row.local_start:
        return False
    asked = msgspec.json.decode(row.asked, type=Asked)
    return asked.is_named and len(asked.users) <= planning.SLICE
