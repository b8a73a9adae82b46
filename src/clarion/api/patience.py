"""How long a caller is kept waiting: 9 s, then there is an answer, whatever its door waits for.

Parts below have limits of their own, but a request asks several of them, one after the other. What was begun is not cancelled: a
write whose end nobody sees ends nevertheless, and the key of its call is told how, so that who repeats the call learns it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from clarion.errors import ClarionError, OutcomeUnknown, Unavailable
from clarion.telemetry import spawn

ANSWER_S: Final = 9.0  # promised are 10, and a busy machine is late by itself

_NOT_BEGUN: Final = "what is needed does not answer in time"
_BEGUN: Final = "it takes too long, and goes on"


class Answered(Exception):
    """The caller's patience has ended, and nothing was begun: there is nothing left to do."""


class Patience:
    """Of one caller. The time runs while we work, not while we wait for what they send.

    Args:
        answer: Tells the caller what is wrong.
    """

    def __init__(self, answer: Callable[[ClarionError], Coroutine[Any, Any, None]]) -> None:
        # Fixed at creation
        self._answer = answer
        # Changes meanwhile
        self._left_s = ANSWER_S
        self._timer: asyncio.TimerHandle | None = None
        self._may_write = False
        self._answering: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether the caller has been answered."""
        return self._answering is not None

    def start(self) -> None:
        """Let the time run."""
        self._timer = asyncio.get_running_loop().call_later(self._left_s, self._end)

    def stop(self) -> None:
        """Let it stand still.

        Raises:
            Answered: It has run out.
        """
        self._check()
        if self._timer is not None:
            self._left_s = self._timer.when() - asyncio.get_running_loop().time()
            self._timer.cancel()

    def enter(self, *, may_write: bool) -> None:
        """What is done from now on may change something: its outcome is not known before its end.

        Raises:
            Answered: As `stop`.
        """
        self._check()
        self._may_write = may_write

    async def finish(self) -> bool:
        """Let it run no more; returns whether an answer is still waited for."""
        if self._timer is not None:
            self._timer.cancel()
        if self._answering is not None:
            await self._answering
        return self._answering is None

    def _check(self) -> None:
        if self._answering is not None:
            raise Answered

    def _end(self) -> None:
        error = OutcomeUnknown(_BEGUN) if self._may_write else Unavailable(_NOT_BEGUN)
        self._answering = spawn(self._answer(error), name="answer in time")
