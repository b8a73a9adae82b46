"""Whom a broadcast is for, and the other nodes on which they may be: what a namespace needs of a backplane."""

from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct


class Selection(Struct, frozen=True):
    """Whom a broadcast is for: everybody in any of `rooms` (empty: in the namespace) who is in none of `excluded`."""

    rooms: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


EVERYBODY = Selection()


class Answers(Struct, frozen=True):
    """What came of asking the sockets of other nodes.

    Args:
        values: The first argument of each answer, in order of arrival.
        missing: How many more were expected.
    """

    values: list[Any]
    missing: int


class Described(Struct, frozen=True):
    """A socket of another node, as that describes it.

    Args:
        id: Its id.
        handshake: As `socket.handshake` in Node.
        rooms: Those that it is in, its own first.
        data: What its application put there.
        transport: `polling` or `websocket`; empty where its node does not say.
    """

    id: str
    handshake: dict[str, Any]
    rooms: tuple[str, ...]
    data: Any
    transport: str = ""


class Peers(Protocol):
    """The same namespace on all other nodes. What is done to this node's own sockets is done before any of this is called."""

    def emit(
        self,
        selection: Selection,
        event: Sequence[Any],
        *,
        is_volatile: bool = False,
        is_compressed: bool = True,
        is_one: bool = False,
    ) -> bool:
        """Send an event to sockets; returns whether it is on the way. If not it is lost, counted and logged: no error of the caller.

        Args:
            selection: To whom.
            event: Its name, then its arguments.
            is_volatile: Not to those who are behind.
            is_compressed: Whether connections may compress it.
            is_one: The selection is a single socket.

        Raises:
            UsageError: A value that can't be sent.
        """
        ...

    async def ask(
        self,
        selection: Selection,
        event: Sequence[Any],
        timeout_s: float,
        *,
        is_one: bool = False,
    ) -> Answers:
        """Send an event that wants an answer of each socket.

        Raises:
            Unavailable: The others cannot be reached.
        """
        ...

    async def fetch(self, selection: Selection) -> list[Described]:
        """Who is there.

        Raises:
            Unavailable: The others cannot be reached, or one of them has not answered.
        """
        ...

    def join(self, selection: Selection, rooms: Sequence[str]) -> None:
        """Put sockets into rooms.

        Raises:
            Unavailable: The others cannot be reached.
        """
        ...

    def leave(self, selection: Selection, rooms: Sequence[str]) -> None:
        """Take them out; raises as `join`."""
        ...

    def disconnect(self, selection: Selection, *, close: bool) -> None:
        """Put them out of the namespace, or with `close` end their sessions; raises as `join`."""
        ...

    def tell_servers(self, event: str, args: Sequence[Any]) -> None:
        """Have the listeners of other nodes called; raises as `join`."""
        ...

    async def ask_servers(self, event: str, args: Sequence[Any]) -> list[Any]:
        """The same, and the first argument of each node's answer.

        Raises:
            Unavailable: The others cannot be reached, or one of them has not answered: `answers` has what came.
        """
        ...

    async def count(self) -> int:
        """How many others there are; raises as `join`."""
        ...
