"""The store of a worker: the one that the owner of the data has, over a Unix socket.

A call goes there with its statement (same code, same text) and its values, and joins those of all workers as it would those of one process. What
the rules are the same for everywhere, a transaction's above all, is kept here as in every engine; `serving.py` is the other end.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import lru_cache
from typing import Any, Literal, Protocol, cast

import msgspec
from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import Closed, Invalid, Unavailable
from clarion.storage.sql import check_params, check_reads
from clarion.storage.store import Param, Procedure, R, Sql
from clarion.storage.transaction import Command, Statement, Transaction, refuse_inside
from clarion.telemetry import db_seconds

_encode = msgspec.msgpack.Encoder().encode
_decode_rows = msgspec.msgpack.Decoder(list[tuple[Any, ...]]).decode
_decode_count = msgspec.msgpack.Decoder(int).decode


class Line(Protocol):
    """The way to the owner."""

    def begin(
        self, name: str, body: bytes = b"", *, is_write: bool = False
    ) -> "asyncio.Future[bytes]":
        """Ask at once; the answer is to be awaited."""
        ...

    def tell(self, name: str, body: bytes = b"") -> None:
        """Tell it something that has no answer."""
        ...


class Definition(Struct, array_like=True, frozen=True):
    """A procedure without Python types: its fields' names, its steps' texts, and whether the last has a result."""

    name: str
    fields: tuple[str, ...]
    steps: tuple[str, ...]
    has_result: bool


class Applying(Struct, array_like=True, frozen=True):
    """A run of a procedure: its definition and its rows, as bytes, because the first is often the same."""

    definition: bytes
    rows: bytes


class Asking(Struct, array_like=True, frozen=True):
    """One statement and its parameters."""

    text: str
    params: dict[str, Param]
    has_result: bool = True
    within_s: float = 0.0


class Doing(Struct, array_like=True, frozen=True):
    """One statement of the transaction with this number."""

    number: int
    verb: Literal["fetch", "execute", "apply"]
    body: bytes


class Ending(Struct, array_like=True, frozen=True):
    """The end of a transaction."""

    number: int
    is_commit: bool


class RemoteStore:
    """`Store` of one worker.

    Args:
        line: The way to the owner; opened and closed by who made it.
        clock: For the metric of durations.
    """

    engine: Literal["sqlite", "postgresql"] = "sqlite"

    def __init__(self, line: Line, clock: Clock) -> None:
        # Fixed at creation
        self._line, self._clock = line, clock
        # Changes while open
        self._number = 0
        self._begun: dict[asyncio.Future[bytes], None] = {}
        self._is_closed = False

    async def apply(self, procedure: Procedure, rows: Sequence[Any]) -> list[Any]:
        """Run a procedure over rows; returns when the change is on disk.

        Raises:
            OutcomeUnknown: The owner went away meanwhile. `Unavailable`: it was not there.
        """
        refuse_inside()
        self._refuse_closed()
        if not rows:
            return []
        started = self._clock.monotonic()
        try:
            found = await self._ask("store.apply", _applying(procedure, rows), is_write=True)
            return _results(procedure.steps[-1], found)
        finally:
            db_seconds.labels(procedure.name).observe(self._clock.monotonic() - started)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Several dependent statements, one commit."""
        refuse_inside()
        self._refuse_closed()
        self._number += 1
        number = self._number
        self._line.tell("store.begin", _encode(number))

        async def run(command: Command) -> Any:
            if isinstance(command, Statement):
                return await self._do(number, command)
            return await asyncio.gather(*(self._do(number, each) for each in command))

        tx = Transaction(run)
        try:
            with tx.opened():
                yield tx
            if tx.failure is not None:
                raise tx.failure
        except BaseException:
            with contextlib.suppress(Unavailable, Closed):  # it was rolled back with the connection
                self._line.tell("store.end", _encode(Ending(number, is_commit=False)))
            raise
        await self._ask("store.end", _encode(Ending(number, is_commit=True)), is_write=True)

    async def fetch(self, sql: Sql[R], **params: Param) -> list[R]:
        """Read; sees everything that was answered before."""
        refuse_inside()
        check_reads(sql.text)
        check_params(params)
        self._refuse_closed()
        started = self._clock.monotonic()
        try:
            return cast(
                list[R], _results(sql, await self._ask("store.fetch", _asking(sql, params)))
            )
        finally:
            db_seconds.labels("fetch").observe(self._clock.monotonic() - started)

    async def ping(self) -> None:
        """Return if the owner's store can read and write now."""
        self._refuse_closed()
        await self._ask("store.ping", b"")

    async def close(self) -> None:
        """Wait for what was begun."""
        self._is_closed = True
        while self._begun:
            await asyncio.wait(tuple(self._begun))

    async def _ask(self, name: str, body: bytes, *, is_write: bool = False) -> bytes:
        answer = self._line.begin(name, body, is_write=is_write)
        self._begun[answer] = None
        answer.add_done_callback(self._begun.pop)
        return await answer

    async def _do(self, number: int, statement: Statement) -> Any:
        if statement.verb == "apply":
            procedure = cast(Procedure, statement.what)
            body = _applying(procedure, cast(Sequence[Any], statement.given))
            found = await self._ask("store.do", _encode(Doing(number, "apply", body)))
            return _results(procedure.steps[-1], found)
        sql = cast(Sql[Any], statement.what)
        body = _asking(sql, cast(dict[str, Param], statement.given))
        found = await self._ask("store.do", _encode(Doing(number, statement.verb, body)))
        return _results(sql, found) if statement.verb == "fetch" else _decode_count(found)

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise Closed("the store is closed")


@lru_cache(1024)
def _definition(procedure: Procedure) -> bytes:
    fields, texts = procedure.row.__struct_fields__, tuple(step.text for step in procedure.steps)
    has_result = procedure.steps[-1].result is not None
    return _encode(Definition(procedure.name, fields, texts, has_result))


def _applying(procedure: Procedure, rows: Sequence[Any]) -> bytes:
    is_array = procedure.row.__struct_config__.array_like
    given = rows if is_array else [msgspec.structs.astuple(row) for row in rows]
    return _packed(Applying(_definition(procedure), _packed(given)))


def _asking(sql: Sql[Any], params: dict[str, Param]) -> bytes:
    return _packed(Asking(sql.text, params, sql.result is not None, sql.within_s))


def _packed(what: Any) -> bytes:
    try:
        return _encode(what)
    except (OverflowError, UnicodeEncodeError) as exc:
        raise Invalid("a value does not fit its column") from exc


def _results(sql: Sql[Any], found: bytes) -> list[Any]:
    result = sql.result
    rows = _decode_rows(found)
    return [] if result is None else [result(*row) for row in rows]
