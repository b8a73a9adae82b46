"""Statements and procedures on one PostgreSQL connection."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, cast

from clarion.errors import Internal, TooCostly
from clarion.storage.postgres_errors import in_our_words
from clarion.storage.sql import answers, columns, for_postgres
from clarion.storage.store import Param, Procedure, R, Sql
from clarion.storage.transaction import Command, Statement

if TYPE_CHECKING:
    import asyncpg

    _Connection = asyncpg.Connection[asyncpg.Record]


class Statements:
    """What can be run on a connection. Raises the driver's errors, except from `run`."""

    def __init__(self, db: "_Connection") -> None:
        self._db = db

    async def run(self, command: Command) -> Any:
        """One statement of a transaction, or several; raises our errors."""
        if not isinstance(command, Statement):
            found: list[Any] = []
            for is_blind, some in groupby(command, _is_blind):
                together = list(some)
                if is_blind:
                    found += await self._run_blind(together)
                else:
                    found += [await self.run(each) for each in together]
            return found
        with in_our_words():
            match command.verb:
                case "fetch":
                    return await self.fetch(cast(Sql[Any], command.what), _params(command))
                case "execute":
                    return await self.execute(cast(Sql[Any], command.what), _params(command))
                case "apply":
                    procedure = cast(Procedure, command.what)
                    rows = cast(Sequence[Any], command.given)
                    return answers(procedure, [len(rows)], await self.procedure(procedure, rows))[0]

    async def fetch(self, sql: Sql[R], params: Mapping[str, Param]) -> list[R]:
        """Rows as structs."""
        if sql.result is None:
            raise Internal(f"a statement that is fetched must name its result: {sql.text[:60]!r}")
        text, names = for_postgres(sql.text)
        within_s = sql.within_s or None
        try:
            found = await self._db.fetch(text, *(params[name] for name in names), timeout=within_s)
        except TimeoutError as exc:
            if within_s is None:
                raise
            raise TooCostly("the question takes longer than it may") from exc
        return [sql.result(*row) for row in found]

    async def execute(self, sql: Sql[Any], params: Mapping[str, Param]) -> int:
        """How many rows a write touched."""
        text, names = for_postgres(sql.text)
        status = await self._db.execute(text, *(params[name] for name in names))
        count = status.rpartition(" ")[2]  # "INSERT 0 5", "UPDATE 3", but also "SET"
        return int(count) if count.isdigit() else 0

    async def procedure(self, procedure: Procedure, rows: Sequence[Any]) -> list[Any]:
        """The rows of the last step, as the driver gives them."""
        found: list[Any] = []
        given = columns(procedure.row, rows)
        for text in texts_of(procedure):
            found = await self._db.fetch(text, *(given if "$1" in text else ()))
        return found

    async def _run_blind(self, statements: Sequence[Statement]) -> list[list[Any]]:
        procedures = [cast(Procedure, each.what) for each in statements]
        with in_our_words():
            given = [
                column
                for procedure, each in zip(procedures, statements, strict=True)
                for column in columns(procedure.row, cast(Sequence[Any], each.given))
            ]
            await self._db.execute(as_one(*procedures), *given)
        return [[] for _ in statements]

    async def procedure_alone(self, procedure: Procedure, rows: Sequence[Any]) -> list[Any]:
        """The same in a transaction of its own."""
        if len(texts_of(procedure)) == 1:
            # One statement is a transaction by itself: one round trip, not three.
            return await self.procedure(procedure, rows)
        async with self._db.transaction():
            return await self.procedure(procedure, rows)


@cache
def as_one(*procedures: Procedure) -> str:
    """All steps of blind procedures as one statement, whose parameters are the columns of all their rows."""
    texts: list[str] = []
    first = 0
    for procedure in procedures:
        steps = (for_postgres(step.text, procedure.row)[0] for step in procedure.steps)
        texts += [_counted_from(first, text) for text in steps]
        first += len(procedure.row.__struct_fields__)
    return _together(texts)


@cache
def texts_of(procedure: Procedure) -> tuple[str, ...]:
    """The statements of a procedure: one a step, but for steps that do not see what the one before writes."""
    trips: list[list[str]] = []
    for step in procedure.steps:
        text, _ = for_postgres(step.text, procedure.row)
        if trips and (step.is_beside or procedure.is_blind):
            trips[-1].append(text)
        else:
            trips.append([text])
    return tuple(map(_together, trips))


def _together(texts: Sequence[str]) -> str:
    *before, last = texts
    ahead = ", ".join(f"s{n} AS ({text})" for n, text in enumerate(before))
    return f"WITH {ahead} {last}" if ahead else last


def _counted_from(first: int, text: str) -> str:
    """A statement whose parameters begin after so many."""
    return _NUMBER.sub(lambda found: f"${int(found[1]) + first}", text)


_NUMBER = re.compile(r"\$(\d+)")


def _is_blind(statement: Statement) -> bool:
    return isinstance(statement.what, Procedure) and statement.what.is_blind


def _params(statement: Statement) -> Mapping[str, Param]:
    return cast(Mapping[str, Param], statement.given)
