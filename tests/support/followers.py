"""Clients that stay with a topic and a room whatever happens, and remember what they heard, without a library that would hide it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from clarion.ids import Ids
from clarion.telemetry import Tasks, spawn
from clarion.topics.changes import REMOVE
from tests.guarantees.invariants import Span
from tests.support.quick_client import Client, NotLetIn
from tests.support.quick_packets import Event
from tests.support.quick_wire import Refused
from tests.support.two_nodes import LOG, Home

AGAIN_S = 0.05, 0.25  # of pauses before it connects again
ANSWER_S = 12.0
LIVE_S = 60.0
_BROKEN = (ConnectionError, OSError, TimeoutError, NotLetIn, Refused, AssertionError)


class Follower:
    """One client, which comes back from wherever the balancer sends it.

    Args:
        name: The user's, too.
        house: Where it connects.
        ids: Chance.
        topic: Which it follows.
        polls_first: Whether it begins with polling.
        is_present: Whether it enters the lobby.

    Attributes:
        spans: What it heard of the topic.
        came: When it came in (the loop's time).
        away_s: The longest time that it was not subscribed, after it was.
        codes: With which close codes its connections ended.
        leaves: Who it heard leave the lobby.
    """

    def __init__(
        self,
        name: str,
        house: Home,
        ids: Ids,
        topic: str = LOG,
        *,
        polls_first: bool = False,
        is_present: bool = True,
    ) -> None:
        # Fixed at creation
        self.name, self._house, self._ids, self.is_present = name, house, ids, is_present
        self.topic, self.polls_first = topic, polls_first
        self._token = house.token(name)
        # Changes
        self.spans: list[Span] = []
        self.came, self.away_s = list[float](), 0.0
        self.codes: Counter[int] = Counter()
        self.leaves: list[str] = []
        self.is_live = asyncio.Event()
        self._since: dict[str, Any] | None = None
        self._client: Client | None = None
        self._early: list[Event] | None = None
        self._turn = asyncio.Lock()
        self._left_at: float | None = None
        self._tasks = Tasks()

    async def run(self) -> None:
        """Stay."""
        while True:
            with contextlib.suppress(*_BROKEN):
                await self._stay()
            self._leave()
            await asyncio.sleep(self._ids.uniform(*AGAIN_S))

    async def close(self) -> None:
        """Go."""
        await self._tasks.close()
        if self._client is not None:
            self._client.reset()

    async def _stay(self) -> None:
        self._early = None
        client = self._client = Client(self._house.port, "/clarion", on_event=self._hear)
        try:
            async with asyncio.timeout(ANSWER_S):
                await client.connect(
                    "polling" if self.polls_first else "websocket", token=self._token
                )
                self.came.append(asyncio.get_running_loop().time())
                if self.polls_first:
                    await client.upgrade()
                if self.is_present:
                    await self._enter(client)
                await self._subscribe(client)
            self.codes[await client.ended] += 1
        finally:
            client.reset()

    async def _enter(self, client: Client) -> None:
        wish = {"topic": "presence:lobby", "params": {"enter": {}}}
        while "error" in (await client.ask("subscribe", wish))[0]:  # noqa: ASYNC110  asked again
            await asyncio.sleep(AGAIN_S[1])

    async def _subscribe(self, client: Client) -> None:
        async with self._turn:
            while client is self._client:
                wish = {"topic": self.topic} | ({"since": self._since} if self._since else {})
                # What follows the answer may be read with it, before this task has its turn.
                early = self._early = []
                [answer] = await client.ask("subscribe", wish)
                self._early = None
                if "error" not in answer:
                    self._take_answer(answer)
                    for event in early:
                        self._hear(client, event)
                    return
                await asyncio.sleep(AGAIN_S[1])

    def _take_answer(self, answer: dict[str, Any]) -> None:
        if self._since is None or not answer["recovered"]:
            reason = answer.get("reason", "") if self._since else ""
            base = answer["offset"]
            self.spans.append(Span(self.name, answer["epoch"], base, reason=reason))
        self._since = {"epoch": answer["epoch"], "offset": answer["offset"], "mark": answer["mark"]}
        for each in answer.get("publications", []):
            self._note(each)
        now = asyncio.get_running_loop().time()
        if self._left_at is not None:
            self.away_s, self._left_at = max(self.away_s, now - self._left_at), None
        self.is_live.set()

    def _leave(self) -> None:
        if self.is_live.is_set():
            self._left_at = asyncio.get_running_loop().time()
        self.is_live.clear()

    def _hear(self, client: Client, event: Event) -> None:
        if client is not self._client:
            return
        if self._early is not None and event[1].get("topic") == self.topic:
            self._early.append(event)
            return
        match event:
            case ["publication", told] if told["topic"] == self.topic:
                assert self._since is not None
                self._since |= {"offset": told["offset"], "mark": told["mark"]}
                if "event" in told:
                    self._note(told)
            case ["publication", told] if told.get("event") == REMOVE:
                self.leaves.append(told["key"])
            case ["unsubscribed", told] if told["topic"] == self.topic:
                self._leave()
                self._tasks.spawn(self._again(client), name="follower: again")
            case ["unsubscribed", _]:
                self._tasks.spawn(self._in_again(client), name="follower: in again")

    async def _again(self, client: Client) -> None:
        with contextlib.suppress(*_BROKEN):
            await self._subscribe(client)

    async def _in_again(self, client: Client) -> None:
        with contextlib.suppress(*_BROKEN):
            await self._enter(client)

    def _note(self, told: dict[str, Any]) -> None:
        self.spans[-1].offsets.append(told["offset"])
        self.spans[-1].said.append(told["data"])

    @property
    def offset(self) -> int:
        """How far it knows the topic."""
        return self._since["offset"] if self._since and self.is_live.is_set() else -1


class Fleet:
    """Several of them; as a context they stay until its end, and go then.

    Args:
        house: Where they connect.
        ids: Chance.
        topics: Which they follow, in turn.
        half_poll: Whether every other one begins with polling.
    """

    def __init__(
        self, house: Home, ids: Ids, topics: Sequence[str] = (LOG,), *, half_poll: bool = False
    ) -> None:
        self._house, self._ids = house, ids
        self._topics, self._half_poll = topics, half_poll
        self.members: list[Follower] = []
        self._staying: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> "Fleet":
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in list(self.members):
            await self.lose(each)

    async def add(self, count: int, *, are_present: bool = True) -> None:
        """Some more, which come to where the balancer sends them; returns once they are subscribed."""
        for _ in range(count):
            number = len(self.members)
            each = Follower(
                f"f{number:04}",
                self._house,
                self._ids,
                self._topics[number % len(self._topics)],
                polls_first=self._half_poll and number % 2 == 1,
                is_present=are_present,
            )
            self.members.append(each)
            self._staying[each.name] = spawn(each.run(), name=each.name)
        await self.live()

    async def lose(self, each: Follower) -> None:
        """One goes without a word."""
        self.members.remove(each)
        task = self._staying.pop(each.name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await each.close()

    async def live(self) -> None:
        """Return once all are subscribed."""
        async with asyncio.timeout(LIVE_S):
            for each in self.members:
                await each.is_live.wait()

    async def know(self, offset: int) -> None:
        """Return once all know the topic so far."""
        async with asyncio.timeout(LIVE_S):
            while any(each.offset < offset for each in self.members):  # noqa: ASYNC110  two threads
                await asyncio.sleep(0.02)

    @property
    def spans(self) -> list[Span]:
        """What all have heard."""
        return [span for each in self.members for span in each.spans]

    @property
    def names(self) -> list[str]:
        """Of all."""
        return [each.name for each in self.members]

    @property
    def present(self) -> list[str]:
        """The names of those who are in the lobby."""
        return [each.name for each in self.members if each.is_present]
