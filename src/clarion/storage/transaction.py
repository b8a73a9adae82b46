"""What a transaction is on every engine: statements one by one, doomed by the first that fails, alone in its task.

The engines supply how a statement is run; this shell keeps the rules that must be the same on all of them.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Literal, cast

import msgspec

from clarion.errors import ClarionError, Closed, Unavailable, UsageError
from clarion.storage.sql import check_params
from clarion.storage.store import Param, Part, Procedure, R, Sql

IDLE_S = 5.0
"""A transaction without a statement for this long is rolled back: on SQLite everyone else waits for it."""


class Statement(msgspec.Struct, frozen=True):
    """One command to an open transaction."""

    verb: Literal["fetch", "execute", "apply"]
    what: Sql[Any] | Procedure
    given: Mapping[str, Param] | Sequence[Any]


Command = Statement | Sequence[Statement]
"""What an engine is asked to run: one statement, or several in order, each of which is answered."""


class Transaction:
    """The `Tx` of every engine."""

    def __init__(self, run: Callable[[Command], Awaitable[Any]]) -> None:
        self._run = run
        self._has_ended = False
        self.failure: Exception | None = None
        """Why there is nothing to commit any more."""

    async def fetch(self, sql: Sql[R], **params: Param) -> list[R]:
        """Rows of a SELECT, or of a write with RETURNING."""
        check_params(params)
        return cast(list[R], await self._do(Statement("fetch", sql, params)))

    async def execute(self, sql: Sql[Any], **params: Param) -> int:
        """Run a write; returns how many rows it touched."""
        check_params(params)
        return cast(int, await self._do(Statement("execute", sql, params)))

    async def apply(self, procedure: Procedure, rows: Sequence[Any]) -> list[Any]:
        """Run a procedure inside this transaction; returns the rows of its last step."""
        if not rows:
            return []
        return cast(list[Any], await self._do(Statement("apply", procedure, rows)))

    async def apply_all(self, *parts: Part) -> list[list[Any]]:
        """Run several procedures in order, as far as they have rows; returns what each answers."""
        asked = [Statement("apply", procedure, rows) for procedure, rows in parts if rows]
        found = iter(await self._do(asked) if asked else ())
        return [next(found) if rows else [] for _, rows in parts]

    async def _do(self, command: Command) -> Any:
        if self._has_ended:
            raise Closed("the transaction has ended")
        if self.failure is not None:
            raise self.failure
        try:
            return await self._run(command)
        except Exception as exc:
            self.failure = exc
            raise
        except BaseException:
            # Cancelled in the middle: whether the statement ran is not known here, so it must not be committed.
            self.failure = Unavailable("a statement was cancelled: the transaction was rolled back")
            raise

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Mark the calling task as being inside until the block ends."""
        token = _inside.set(self)
        try:
            yield
        finally:
            self._has_ended = True
            _inside.reset(token)

    @property
    def has_ended(self) -> bool:
        """Whether its block was left."""
        return self._has_ended


def same(exc: ClarionError) -> ClarionError:
    """The same error once more: of a joined run each caller gets its own, so that tracebacks don't pile up on one."""
    error = type(exc)(exc.message)
    error.__cause__ = exc.__cause__ or exc
    return error


_inside: ContextVar[Transaction | None] = ContextVar("inside_transaction", default=None)


def refuse_inside() -> None:
    """Refuse a call of the store that would wait for the caller's own transaction (or not see what it wrote).

    Raises:
        UsageError: The task has a transaction open.
    """
    # A task that was started inside and lives on carries a transaction that has ended: it may call.
    open_here = _inside.get()
    if open_here is not None and not open_here.has_ended:
        raise UsageError("inside a transaction use its tx: the store would wait for itself")
