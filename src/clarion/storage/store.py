"""What the floors above see of a database: `Sql`, `Procedure`, `Tx`, `Store`.

Two engines stand below, SQLite and PostgreSQL, and one SQL text serves both (`sql.py` has the markers). A write on the hot path
is a `Procedure`: because of its law the store may join the calls of many callers into one run, and one fsync serves them all.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    R = TypeVar("R", default=None)
else:
    from typing import TypeVar

    R = TypeVar("R")

Param = str | int | float | None
"""What a statement may be given: times are milliseconds, JSON is text, a flag is 0 or 1."""


class Sql(msgspec.Struct, Generic[R], frozen=True):
    """One statement.

    Args:
        text: SQL that both engines understand, with `:name` parameters and the markers of `sql.py`.
        result: Struct of a row, its fields in the order of the columns. None: the statement returns no rows.
        within_s: A read that takes longer is given up (s): `TooCostly`. 0: as long as it takes. Not inside a transaction.
        is_beside: A step of a procedure that does not see what the one before it writes: PostgreSQL runs both as one, in one round trip.
    """

    text: str
    result: type[R] | None = None
    within_s: float = 0.0
    is_beside: bool = False


class Procedure(msgspec.Struct, frozen=True):
    """A write over a set of rows, run in one transaction.

    Law (a property test holds each procedure to it): running it over `a + b` leaves the same state as running it over `a`, then
    over `b`. That is what lets the store join calls. A last step with a `result` answers each caller: its first column is
    `r.n`, which counts the caller's own rows from 1.

    Args:
        name: Names it in metrics; one name, one procedure.
        row: Struct of an input row; fields are `str`, `int`, `float`, or one of these `| None`.
        steps: Statements over `{rows r}`, run in order.
        is_blind: They are writes that see nothing but the rows, and none has a result: PostgreSQL runs them, and those that follow in
            `apply_all`, as one, in one round trip.
    """

    name: str
    row: type[msgspec.Struct]
    steps: tuple[Sql[Any], ...]
    is_blind: bool = False


Part = tuple[Procedure, Sequence[Any]]
"""A procedure, and the rows that it is run over."""


class Tx(Protocol):
    """An open transaction. Await nothing else while it is open: on SQLite every other writer waits.

    A row that is read to decide what to write must be read with `{for_update}`: PostgreSQL lets others change it otherwise.

    After a statement has failed there is nothing to commit: each further call raises the same error, and so does the end.
    """

    async def fetch(self, sql: Sql[R], **params: Param) -> list[R]:
        """Rows of a SELECT, or of a write with RETURNING."""
        ...

    async def execute(self, sql: Sql[Any], **params: Param) -> int:
        """Run a write; returns how many rows it touched."""
        ...

    async def apply(self, procedure: Procedure, rows: Sequence[Any]) -> list[Any]:
        """Run a procedure inside this transaction; returns the rows of its last step."""
        ...

    async def apply_all(self, *parts: Part) -> list[list[Any]]:
        """Run several procedures in order, as far as they have rows; returns what each answers. The way there is gone once, where the engine can."""
        ...


class Store(Protocol):
    """One database. Errors of the driver never leave it.

    Raises (every method):
        Conflict: A constraint refused the write; nothing of this call is stored.
        Invalid: A value that the database cannot hold (a NUL character, a number beyond 64 bits).
        StorageFull: No room; reads go on.
        Unavailable: Nothing was written: busy, down, or closed to writes after an I/O error.
        OutcomeUnknown: The write had begun and its end was not seen.
        UsageError: Called inside a transaction of its own, where it would wait for itself.
    """

    engine: Literal["sqlite", "postgresql"]

    async def apply(self, procedure: Procedure, rows: Sequence[Any]) -> list[Any]:
        """Run a procedure over rows; returns when the change is on disk.

        Concurrent calls are joined. A caller that is cancelled has lost only the answer: its write still happens.

        Returns:
            The caller's part of the last step's rows, or an empty list.
        """
        ...

    def transaction(self) -> AbstractAsyncContextManager[Tx]:
        """Several dependent statements: committed at the end of the block, rolled back if it raises.

        Rolled back, too, after 5 s without a statement (`Unavailable`).
        """
        ...

    async def fetch(self, sql: Sql[R], **params: Param) -> list[R]:
        """Read (`SELECT …` or `WITH … SELECT`); sees everything that was answered before.

        Raises:
            TooCostly: It took longer than `sql.within_s`.
        """
        ...

    async def ping(self) -> None:
        """Return if the store can read and write now.

        Raises:
            Unavailable: It cannot.
        """
        ...

    async def close(self) -> None:
        """Finish what was begun, then release the database."""
        ...
