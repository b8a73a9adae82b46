"""What each part of a client stands on: that a call is made, and that what lies in pages is read."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from clarion.client.calls import Call

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Page(Protocol[T_co]):
    """Some of many."""

    @property
    def items(self) -> Sequence[T_co]:
        """Those."""
        ...

    @property
    def next(self) -> str | None:
        """Where the page behind begins; None: there is none."""
        ...


AskPage = Callable[[str | None], Call[Page[T]]]
"""Asks for the page that begins at `next` of the one before; None: for the first."""


class Calls(ABC):
    """What blocks."""

    @abstractmethod
    def call(self, call: Call[T]) -> T:
        """Make any call, with retries.

        Raises:
            ApiError: The server refused it, or could not be reached.
        """

    @abstractmethod
    def stream(self, call: Call[bytes]) -> Iterator[bytes]:
        """The answer of a call piece by piece, without retries.

        Raises:
            ApiError: The server refused it, could not be reached, or broke off: then what was given is not all.
        """

    @abstractmethod
    def _key(self, given: str | None) -> str:
        """Makes the repetition of a call safe: the caller's, else a new one."""

    def _each(self, ask: AskPage[T]) -> Iterator[T]:
        """What is in all pages; each is read when its first item is wanted."""
        at: str | None = None
        while True:
            page = self.call(ask(at))
            yield from page.items
            if (at := page.next) is None:
                return

    def _lines(self, call: Call[bytes]) -> Iterator[dict[str, Any]]:
        """The objects of an answer that has one on each line, as they come."""
        rest = b""
        for piece in self.stream(call):
            *lines, rest = (rest + piece).split(b"\n")
            yield from map(_object, lines)


class AsyncCalls(ABC):
    """The same as coroutines."""

    @abstractmethod
    async def call(self, call: Call[T]) -> T:
        """As `Calls.call`."""

    @abstractmethod
    def stream(self, call: Call[bytes]) -> AsyncIterator[bytes]:
        """As `Calls.stream`."""

    @abstractmethod
    def _key(self, given: str | None) -> str:
        """As `Calls._key`."""

    async def _each(self, ask: AskPage[T]) -> AsyncIterator[T]:
        """As `Calls._each`."""
        at: str | None = None
        while True:
            page = await self.call(ask(at))
            for item in page.items:
                yield item
            if (at := page.next) is None:
                return

    async def _lines(self, call: Call[bytes]) -> AsyncIterator[dict[str, Any]]:
        """As `Calls._lines`."""
        rest = b""
        async for piece in self.stream(call):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield _object(line)


def _object(line: bytes) -> dict[str, Any]:
    return msgspec.json.decode(line, type=dict[str, Any])


async def in_turn(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Pieces for who awaits each."""
    for piece in pieces:
        yield piece
