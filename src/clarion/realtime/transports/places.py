"""The polling transport as a session has it: one place for a GET and one for a POST, and what it writes answers the GET."""

import asyncio
from typing import Final

from msgspec import Struct

from clarion.protocol import engineio
from clarion.protocol.engineio import Transport as Kind
from clarion.realtime.transports.base import Prepared


class Payload(Struct, frozen=True):
    """The answer to a GET."""

    body: str
    may_compress: bool
    """Whether one of its messages may be compressed."""


class Polling:
    """The two places of one session."""

    __slots__ = ("_poll", "held_s", "is_posting", "is_writable")

    kind: Final = Kind.POLLING
    direct: Final = None  # an answer is no frame

    def __init__(self) -> None:
        # Only while a GET is held. Invariant: is_writable  <=>  _poll is there and not answered.
        self._poll: asyncio.Future[Payload] | None = None
        self.is_writable = False
        # Only while a POST comes in, or waits for its answer
        self.is_posting = False
        self.held_s = 0.0

    @property
    def is_polled(self) -> bool:
        """Whether a GET is held, answered or about to be."""
        return self._poll is not None

    def hold(self) -> "asyncio.Future[Payload]":
        """Hold a GET; its answer's body will be in the future."""
        self._poll = asyncio.get_running_loop().create_future()
        self.is_writable = True
        return self._poll

    def release(self) -> None:
        """The GET is answered, or was given up."""
        self._poll, self.is_writable = None, False

    def write(self, item: Prepared, /) -> None:
        """Answer the GET with one."""
        self._answer(item.messages, may_compress=item.compress)

    def write_many(self, items: list[Prepared], /) -> int:
        """Answer the GET with all there is: a client comes back for each answer."""
        messages = [message for item in items for message in item.messages]
        self._answer(messages, may_compress=any(item.compress for item in items))
        return len(items)

    def _answer(self, messages: list[str | bytes], *, may_compress: bool) -> None:
        self.is_writable = False
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(Payload(engineio.encode_payload(messages), may_compress))

    def buffered(self) -> int:
        """Nothing waits here: an answer is whole."""
        return 0

    def throttle(self, seconds: float) -> None:
        """Let the POST wait for its answer: a client sends the next one only then."""
        self.held_s = seconds

    def close(self, code: int | None, text: str) -> None:
        """Nothing to do: the session's last packet says it."""
