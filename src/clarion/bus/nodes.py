"""The processes that form one server: who they are, telling all of them something, asking all of them.

What is asked is answered by each from its memory: how many subscribers it has, what of somebody's it has ended. Alone (without Redis) the
only one asked is this one. A message may be lost with a connection: whoever may have missed one tells all to look again at what is stored.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from clarion.bus.base import Bus
from clarion.bus.registry import BEAT_S, LEASE_S
from clarion.errors import ClarionError, ServerError, UsageError
from clarion.ids import Ids
from clarion.telemetry import Tasks, get_logger, nodes_silent

_log = get_logger(__name__)

ALL: Final = "nodes"
ANSWER_S: Final = 2.0  # for the others to answer
MISSED: Final = "missed"
_LEFT: Final = "left"

Answerer = Callable[[Any], Any]
"""Takes what was asked, a JSON value, and answers with one; must not block."""


class Registry(Protocol):
    """Who is there, as all processes see it.

    Raises (every method):
        Unavailable: It cannot be asked now.
    """

    async def beat(self) -> list[str]:
        """Be there, or say so again; returns who is there.

        Raises:
            SettingsError: They are another server.
        """
        ...

    async def living(self) -> list[str]:
        """Who is there."""
        ...

    async def leave(self) -> None:
        """Be there no longer."""
        ...


class Answers(Struct, frozen=True):
    """What was heard of a question.

    Args:
        values: One of each that answered, this process first.
        is_complete: Whether all answered who are there.
    """

    values: list[Any]
    is_complete: bool


class _Message(Struct, array_like=True, frozen=True):
    """A question, or with `is_answer` what came of one."""

    number: int
    sender: str
    question: str
    value: Any = None
    is_answer: bool = False


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Message).decode


def left(node: str) -> tuple[str, bytes]:
    """The channel and the message by which processes hear that one is gone: for whoever knows it before them."""
    return ALL, _encode(_Message(0, node, _LEFT))


class _Asked:
    """A question that is on its way."""

    def __init__(self, expected: Iterable[str]) -> None:
        self.missing = dict.fromkeys(expected)
        self.values: list[Any] = []
        self.done = asyncio.Event()
        self.expect_no_more()

    def expect_no_more(self, name: str = "") -> None:
        """One has answered, or left."""
        self.missing.pop(name, None)
        if not self.missing:
            self.done.set()


class Nodes:
    """This process among those that form the server.

    Args:
        node: Its name.
        bus: What they hear each other by.
        ids: For the spread of beats.
        registry: Who else is there; None: nobody.
    """

    def __init__(self, node: str, bus: Bus, *, ids: Ids, registry: Registry | None = None) -> None:
        # Fixed at creation
        self._node, self._bus, self._ids, self._registry = node, bus, ids, registry
        self._answerers: dict[str, Answerer] = {}
        # Changes while open
        self._asked: dict[int, _Asked] = {}
        # Who was there at the last looks, and until when that counts (the loop's time): Redis may lose the leases.
        self._known: dict[str, float] = {}
        self._number = 0
        self._heard = float("-inf")
        self._tasks = Tasks()

    @property
    def silent_s(self) -> float:
        """For how long (s) the registry has not answered; a moment ago at most 5 s, where all is well."""
        return asyncio.get_running_loop().time() - self._heard

    def on(self, question: str, answer: Answerer) -> None:
        """Answer a question from now on, on this process. `MISSED` is asked when something may have been lost.

        Raises:
            UsageError: It has an answer.
        """
        if question in self._answerers:
            raise UsageError(f"question {question} is answered already")
        self._answerers[question] = answer

    async def start(self) -> None:
        """Join the others.

        Raises:
            SettingsError: They are another server: another database, or other secrets.
            Unavailable: Redis does not answer.
        """
        if self._registry is None:
            return
        # Heard from before it is known to be there: who counts on its answer gets it.
        for channel in (ALL, _own(self._node)):
            self._bus.subscribe(channel, self._receive)
            await self._bus.settle(channel)
        self._bus.on_gap(self._on_gap)
        self._note(await self._registry.beat())
        self._tasks.spawn_forever(partial(self._beat_forever, self._registry), name="nodes: beat")

    async def close(self) -> None:
        """Leave the others."""
        await self._tasks.close()
        if self._registry is not None:
            await self._tell(_LEFT, None)
        for channel in (ALL, _own(self._node)):
            self._bus.unsubscribe(channel, self._receive)
        if self._registry is not None:
            try:
                await self._registry.leave()
            except ServerError as exc:
                _log.warning("the others will take this process for dead", error=exc.code)

    async def ask(self, question: str, value: Any = None) -> Answers:
        """Ask every process; returns when all have answered, or after two seconds.

        Raises:
            Unavailable: The others cannot be reached now; this process was asked all the same.
        """
        mine = self._answerers[question](value)
        if self._registry is None:
            return Answers([mine], True)
        self._note(await self._registry.living())
        asked = _Asked(self._known)
        self._number += 1
        number = self._number
        self._asked[number] = asked
        try:
            await self._bus.publish(ALL, _encode(_Message(number, self._node, question, value)))
            async with asyncio.timeout(ANSWER_S):
                await asked.done.wait()
        except TimeoutError:
            nodes_silent.inc(len(asked.missing))
            _log.warning(
                "no answer from other processes", question=question, nodes=list(asked.missing)
            )
        finally:
            del self._asked[number]
        return Answers([mine, *asked.values], not asked.missing)

    def tell(self, question: str, value: Any = None) -> None:
        """Tell the other processes, whose answers do not matter. One that cannot be told now is told to look again later."""
        if self._registry is not None:
            self._tasks.spawn(self._tell(question, value), name="nodes: tell")

    async def _tell(self, question: str, value: Any) -> None:
        try:
            await self._bus.publish(ALL, _encode(_Message(0, self._node, question, value)))
        except ClarionError as exc:
            # The link that is missing will be a gap of ours when it is back; see `_on_gap`.
            _log.warning("other processes not told", question=question, error=exc.code)

    # ── what comes ──
    def _receive(self, data: bytes) -> None:
        message = _decode(data)
        if message.is_answer:
            self._take(message)
        elif message.question == _LEFT:
            self._known.pop(message.sender, None)
            for asked in self._asked.values():
                asked.expect_no_more(message.sender)
        elif message.sender != self._node:
            value = self._answerers[message.question](message.value)
            if message.number:
                self._tasks.spawn(self._answer(message, value), name="nodes: answer")

    def _take(self, message: _Message) -> None:
        asked = self._asked.get(message.number)
        if asked is None:  # too late
            return
        asked.values.append(message.value)
        asked.expect_no_more(message.sender)

    async def _answer(self, message: _Message, value: Any) -> None:
        answer = _Message(message.number, self._node, message.question, value, is_answer=True)
        try:
            await self._bus.publish(_own(message.sender), _encode(answer))
        except ClarionError as exc:
            _log.warning("question of another process not answered", error=exc.code)

    def _on_gap(self, channels: Any) -> None:
        if ALL not in channels or self._registry is None:
            return
        # What this process said may be lost, too, and not only what it would have heard.
        self.tell(MISSED)
        if (look := self._answerers.get(MISSED)) is not None:
            look(None)
        self._tasks.spawn(self._beat(self._registry), name="nodes: beat")

    # ── living ──
    async def _beat_forever(self, registry: Registry) -> None:
        while True:
            await asyncio.sleep(BEAT_S * self._ids.uniform(0.8, 1.0))
            await self._beat(registry)

    async def _beat(self, registry: Registry) -> None:
        try:
            self._note(await registry.beat())
        except ClarionError as exc:
            _log.warning("this process cannot say that it is there", error=exc.code)

    def _note(self, living: Sequence[str]) -> None:
        now = self._heard = asyncio.get_running_loop().time()
        self._known |= dict.fromkeys(living, now + LEASE_S)
        self._known = {
            name: until for name, until in self._known.items() if until > now and name != self._node
        }


def _own(node: str) -> str:
    return f"node:{node}"
