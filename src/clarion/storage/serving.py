"""The owner's end of `remote.py`: what a worker asks is run on the store, and joined there with what all others ask.

A transaction that a worker has open is rolled back when its connection ends, unless its last word was to commit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any, cast

import msgspec

from clarion.errors import ClarionError, Unavailable
from clarion.storage.remote import Applying, Asking, Definition, Doing, Ending
from clarion.storage.store import Procedure, Sql, Store, Tx
from clarion.telemetry import spawn

_encode = msgspec.msgpack.Encoder().encode
_definition = msgspec.msgpack.Decoder(Definition).decode
_applying = msgspec.msgpack.Decoder(Applying).decode
_asking = msgspec.msgpack.Decoder(Asking).decode
_doing = msgspec.msgpack.Decoder(Doing).decode
_ending = msgspec.msgpack.Decoder(Ending).decode
_number = msgspec.msgpack.Decoder(int).decode


class StoreService:
    """What one worker has to do with the store.

    Args:
        store: The one that has the file.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[int, _Open] = {}

    @property
    def answers(self) -> Mapping[str, Callable[[bytes], Awaitable[bytes] | None]]:
        """What may be asked."""
        return {
            "store.apply": self._apply,
            "store.fetch": self._fetch,
            "store.ping": self._ping,
            "store.begin": self._begin,
            "store.do": self._do,
            "store.end": self._end,
        }

    def gone(self) -> None:
        """Roll back what is open."""
        for each in self._open.values():
            each.abandon()
        self._open.clear()

    async def _apply(self, body: bytes) -> bytes:
        asked = _applying(body)
        procedure, decode = _procedure(asked.definition)
        return _encode(await self._store.apply(procedure, decode(asked.rows)))

    async def _fetch(self, body: bytes) -> bytes:
        asked = _asking(body)
        return _encode(await self._store.fetch(_sql(asked), **asked.params))

    async def _ping(self, _: bytes) -> bytes:
        await self._store.ping()
        return b""

    # ── transactions ──
    def _begin(self, body: bytes) -> None:
        self._open[_number(body)] = _Open(self._store)

    def _do(self, body: bytes) -> Awaitable[bytes]:
        asked = _doing(body)
        if (found := self._open.get(asked.number)) is None:
            return _lost()
        return found.do(asked)

    def _end(self, body: bytes) -> Awaitable[bytes]:
        asked = _ending(body)
        if (found := self._open.pop(asked.number, None)) is None:
            return _lost()
        return found.end(is_commit=asked.is_commit)


class _Open:
    """A transaction: a task that is inside it, and does what it is given."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wishes: asyncio.Queue[tuple[Doing | None, asyncio.Future[bytes]]] = asyncio.Queue()
        self._task = spawn(self._run(), name="transaction of a worker")

    def do(self, statement: Doing) -> Awaitable[bytes]:
        return self._wish(statement)

    def end(self, *, is_commit: bool) -> Awaitable[bytes]:
        if not is_commit:
            self.abandon()
            return _done()
        return self._wish(None)

    def abandon(self) -> None:
        """Roll it back."""
        self._task.cancel()

    def _wish(self, statement: Doing | None) -> "asyncio.Future[bytes]":
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._wishes.put_nowait((statement, answer))
        if self._task.done():
            self._refuse()
        return answer

    async def _run(self) -> None:
        answer: asyncio.Future[bytes] | None = None
        try:
            async with self._store.transaction() as tx:
                while True:
                    statement, answer = await self._wishes.get()
                    if statement is None:
                        break
                    try:
                        answer.set_result(await _run(tx, statement))
                    except ClarionError as exc:
                        answer.set_exception(exc)
            answer.set_result(b"")
        except ClarionError as exc:
            if answer is not None and not answer.done():
                answer.set_exception(exc)
        finally:
            if answer is not None and not answer.done():
                answer.set_exception(_over())
            self._refuse()

    def _refuse(self) -> None:
        while not self._wishes.empty():
            self._wishes.get_nowait()[1].set_exception(_over())


async def _run(tx: Tx, asked: Doing) -> bytes:
    if asked.verb == "apply":
        applying = _applying(asked.body)
        procedure, decode = _procedure(applying.definition)
        return _encode(await tx.apply(procedure, decode(applying.rows)))
    asking = _asking(asked.body)
    if asked.verb == "fetch":
        return _encode(await tx.fetch(_sql(asking), **asking.params))
    return _encode(await tx.execute(_sql(asking), **asking.params))


async def _lost() -> bytes:
    raise _over()


def _over() -> Unavailable:
    return Unavailable("the transaction was rolled back")


async def _done() -> bytes:
    return b""


def _row(*values: Any) -> tuple[Any, ...]:
    return values


# What stands for a struct where rows only pass through.
_ROW = cast(type[Any], _row)


@lru_cache(1024)
def _procedure(definition: bytes) -> tuple[Procedure, Callable[[bytes], list[Any]]]:
    """A procedure of the worker's, and what reads its rows."""
    it = _definition(definition)
    row = msgspec.defstruct(
        "Row", [(name, Any) for name in it.fields], frozen=True, array_like=True
    )
    steps = [Sql[Any](text) for text in it.steps]
    if it.has_result:
        steps[-1] = Sql(it.steps[-1], _ROW)
    # A name of its own: its time here is a part of that which the worker measures.
    procedure = Procedure(f"{it.name} (owner)", row, tuple(steps))
    return procedure, msgspec.msgpack.Decoder(list[row]).decode  # type: ignore[valid-type]


def _sql(asked: Asking) -> Sql[Any]:
    return Sql(asked.text, _ROW if asked.has_result else None, asked.within_s)
