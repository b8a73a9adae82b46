"""A store that lives elsewhere, as PostgreSQL does: several nodes ask it, each over a line that may stall, refuse, or lose an answer.

The store itself never crashes here. What a node has asked for is done although the node dies meanwhile; its open transactions
are rolled back then, as they are when a server sees a connection end. A node can also be made to die, or to stall, at a request of
its own, before it is done or before it is answered: at each of the awaits between which work is done in several steps.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextvars import Context
from typing import Any, Literal

from clarion.errors import OutcomeUnknown, Unavailable
from clarion.storage import Procedure, Sql
from clarion.storage.transaction import Statement, Transaction, refuse_inside
from tests.support.memory_store import MemoryStore
from tests.support.simulation import SimLoop

SESSION = "transaction"

Asked = asyncio.Queue[tuple[Statement | bool, asyncio.Future[Any]]]
"""Statements of a transaction and where to answer each; then whether it is committed."""


class _RolledBack(Exception):
    """The caller has left its transaction by an error."""


class Line:
    """One life of a node's way to the store: a `Store`.

    Args:
        store: Of the world; made outside of every host.
        loop: Of this run.
        world: The context in which the store works.
        trouble: Lets something happen to this node; returns whether it has died of that.
    """

    engine: Literal["sqlite", "postgresql"] = "sqlite"

    def __init__(
        self, store: MemoryStore, loop: SimLoop, world: Context, trouble: Callable[[], bool]
    ) -> None:
        # Fixed at creation
        self._store, self._loop, self._world, self._trouble = store, loop, world, trouble
        # Changes while open
        self.stalled_until = 0.0
        self.loss = 0.0
        """Of requests, and of answers, while there is trouble."""
        self.bad_until = 0.0
        self.steps_to_trouble: int | None = None
        """Requests until something happens at one; None: nothing will."""
        self.is_aimed = False
        """Whether only commits count."""
        self._serving: dict[asyncio.Task[None], None] = {}

    # ── as a store ──
    async def apply(self, procedure: Procedure, rows: Sequence[Any]) -> list[Any]:
        """As the store does."""
        refuse_inside()
        found: list[Any] = await self._ask(lambda: self._store.apply(procedure, rows), "write")
        return found

    async def fetch(self, sql: Sql[Any], **params: Any) -> list[Any]:
        """As the store does."""
        refuse_inside()
        found: list[Any] = await self._ask(lambda: self._store.fetch(sql, **params), "read")
        return found

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """As the store does: what ends without a commit is rolled back."""
        refuse_inside()
        asked: Asked = asyncio.Queue()
        _ = self._serve(lambda: self._session(asked), SESSION)

        async def ask(what: Statement | bool) -> Any:
            answer = self._loop.create_future()
            asked.put_nowait((what, answer))
            return await answer

        tx = Transaction(lambda what: self._ask(lambda: ask(what), "statement"))
        try:
            with tx.opened():
                yield tx
            if tx.failure is not None:
                raise tx.failure
        except BaseException:
            asked.put_nowait((False, self._loop.create_future()))
            raise
        await self._ask(lambda: ask(True), "commit")

    async def ping(self) -> None:
        """As the store does."""
        await self._store.ping()

    async def close(self) -> None:
        """The line ends with its node."""

    def drop(self) -> None:
        """The node is gone: what it has open is rolled back, what it has asked for is done."""
        for task in tuple(self._serving):
            if task.get_name().startswith(SESSION):
                task.cancel()

    # ── the way ──
    async def _ask(
        self,
        work: Callable[[], Coroutine[Any, Any, Any]],
        kind: Literal["read", "write", "statement", "commit"],
    ) -> Any:
        await self._way("the store cannot be reached", is_unknown=False)
        place = self._place_of_trouble(kind)
        if place == "before":
            await self._meet()
        if kind in ("read", "write"):
            answer = await asyncio.shield(self._serve(work))
        else:  # which the session serves
            answer = await work()
        if place == "after":
            await self._meet()
        await self._way("the line was lost", is_unknown=kind in ("write", "commit"))
        return answer

    async def _way(self, why: str, *, is_unknown: bool) -> None:
        if (wait_s := self.stalled_until - self._loop.time()) > 0:
            await asyncio.sleep(wait_s)
        if self._loop.time() < self.bad_until and self._loop.rng.random() < self.loss:
            raise OutcomeUnknown(why) if is_unknown else Unavailable(why)

    def _place_of_trouble(self, kind: str) -> str:
        if self.steps_to_trouble is None or (self.is_aimed and kind != "commit"):
            return ""
        self.steps_to_trouble -= 1
        if self.steps_to_trouble > 0:
            return ""
        self.steps_to_trouble = None
        return self._loop.rng.choice(["before", "after"])

    async def _meet(self) -> None:
        if self._trouble():
            await self._loop.create_future()  # nothing of a dead host goes on

    # ── the far end ──
    def _serve(
        self, work: Callable[[], Coroutine[Any, Any, Any]], name: str = "serve"
    ) -> asyncio.Task[Any]:
        task = self._loop.create_task(work(), name=name, context=self._world.copy())
        self._serving[task] = None
        task.add_done_callback(self._served, context=self._world.copy())
        return task

    def _served(self, task: asyncio.Task[Any]) -> None:
        self._serving.pop(task, None)
        if not task.cancelled():
            task.exception()  # told to whoever has asked, if they live

    async def _session(self, asked: Asked) -> None:
        answer: asyncio.Future[Any] | None = None
        try:
            async with self._store.transaction() as tx:
                while True:
                    what, answer = await asked.get()
                    if isinstance(what, bool):
                        break
                    try:
                        answer.set_result(await tx._do(what))
                    except Exception as exc:  # noqa: BLE001  the caller gets it
                        _refuse(answer, exc)
                if not what:
                    raise _RolledBack
        except _RolledBack:
            return
        except Exception as exc:  # noqa: BLE001  likewise
            if answer is None:
                _, answer = await asked.get()
            _refuse(answer, exc)
        else:
            answer.set_result(None)


def _refuse(answer: asyncio.Future[Any], exc: Exception) -> None:
    answer.set_exception(exc)
    answer.exception()  # told to whoever has asked, if they live
