"""What each part of a client stands on: that a call is made."""

from abc import ABC, abstractmethod
from typing import TypeVar

from clarion.client.calls import Call

T = TypeVar("T")


class Calls(ABC):
    """What blocks."""

    @abstractmethod
    def call(self, call: Call[T]) -> T:
        """Make any call, with retries.

        Raises:
            ApiError: The server refused it, or could not be reached.
        """

    @abstractmethod
    def _key(self, given: str | None) -> str:
        """Makes the repetition of a call safe: the caller's, else a new one."""


class AsyncCalls(ABC):
    """The same as coroutines."""

    @abstractmethod
    async def call(self, call: Call[T]) -> T:
        """As `Calls.call`."""

    @abstractmethod
    def _key(self, given: str | None) -> str:
        """As `Calls._key`."""
