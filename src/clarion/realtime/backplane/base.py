"""The part of a backplane that has a format: sending what is said to the same namespace of other nodes."""

from typing import Final, Protocol

from clarion.protocol.redis_adapter import Message

ANSWER_S: Final = 5.0
"""For other servers to answer, as in Node."""


class Wire(Protocol):
    """One namespace's way to the others."""

    @property
    def uid(self) -> str:
        """Who this server is there."""
        ...

    def request(self) -> str:
        """A fresh id for what wants an answer."""
        ...

    def send(self, message: Message) -> None:
        """Hand a message to all others; in the order of the calls.

        Raises:
            Unavailable: There is no way to them now.
            UsageError: A value that can't be sent.
        """
        ...

    def answer(self, to: str, message: Message) -> None:
        """Answer a server by its `uid`; raises as `send`."""
        ...

    async def count(self) -> int:
        """How many others there are; raises `Unavailable`."""
        ...
