"""A subscription that lasts: the state of a topic, then every change in order, over breaks of the connection.

async with clarion.topic("poll:lunch") as poll:
    print(poll.items)
    async for change in poll:
        print(change.event, change.key, change.data)
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

from clarion.client.calls import ApiError
from clarion.client.following import Change, Following, Gap
from clarion.client.line import Line, Lost
from clarion.ids import Ids

LONGEST_S: Final = 20.0
# Errors after which the same question may be answered.
_AGAIN: Final = frozenset(
    {"unavailable", "overloaded", "rate_limited", "conflict", "internal", "outcome_unknown"}
)


class Topic:
    """One topic; `async with` subscribes, iterating gives each change once.

    Args:
        name: `kind:name`.
        line: Makes a connection.
        wish: What `subscribe` takes beside: `filter`, `params`, `rewind`, `token`.
        ids: For the spread of waiting.
    """

    def __init__(
        self, name: str, line: Callable[[], Line], wish: Mapping[str, Any], ids: Ids
    ) -> None:
        self.name = name
        self._make = line
        self._wish = wish
        self._ids = ids
        self._known = Following()
        self._line: Line | None = None
        self._wire_name = name
        self._ready: deque[Change] = deque()
        self._failures = 0

    @property
    def items(self) -> Mapping[str, Any]:
        """Of a map: the values by key, as they are after the last change that the server has told."""
        return self._known.items

    @property
    def snapshot(self) -> Any:
        """What the kind gave as the state when it was read last; None for a stream."""
        return self._known.snapshot

    @property
    def offset(self) -> int:
        """How far the topic is known."""
        return self._known.offset

    async def __aenter__(self) -> Self:
        """Subscribe, and get the whole state.

        Raises:
            ApiError: The server refuses it, or cannot be reached.
        """
        try:
            await self._begin()
        except Lost as exc:
            await self.close()
            raise ApiError(0, {"detail": f"no answer: {exc}"}) from exc
        except BaseException:
            await self.close()
            raise
        # Whoever enters sees the state; changes are what comes after it.
        self._ready = deque(change for change in self._ready if change.event != "snapshot")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        """The next change; waits for it, over breaks of the connection, for as long as it takes.

        Raises:
            ApiError: The server has ended the subscription for good: `code` says why.
            Closed: The client was closed.
        """
        while not self._ready:
            try:
                await (self._begin() if self._line is None else self._listen(self._line))
                self._failures = 0
            except Lost:
                await self._wait(None)
            except ApiError as exc:
                if exc.code not in _AGAIN:
                    raise
                await self._wait(exc.problem.get("retry_after"))
        return self._ready.popleft()

    async def close(self) -> None:
        """End the subscription, and the connection with it."""
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    async def _begin(self) -> None:
        await self.close()
        line = self._line = self._make()
        await line.open()
        await self._ask(line)

    async def _ask(self, line: Line) -> None:
        since = self._known.since
        wish = {"topic": self.name, **self._wish} | ({"since": since} if since else {})
        answer = await line.request("subscribe", wish)
        self._wire_name = answer["topic"]
        try:
            self._ready.extend(self._known.answer(answer))
        except Gap as exc:
            raise Lost("the server left something out") from exc
        while self._known.next is not None:
            asked = {"topic": self._wire_name, "after": self._known.next}
            page = await line.request("page", asked)
            if not self._known.is_of_now(page):
                raise Lost("the log began anew")
            self._known.page(page)

    async def _listen(self, line: Line) -> None:
        event, told = await line.event()
        if not isinstance(told, dict) or told.get("topic") != self._wire_name:
            return
        if event == "publication":
            try:
                change = self._known.take(told)
            except Gap as exc:  # the server prevents it; a new connection has nothing of the old subscription
                raise Lost("a publication does not follow") from exc
            if change is not None:
                self._ready.append(change)
        if event == "unsubscribed":
            if told["code"] >= 3500:
                raise ApiError(0, {"code": told["reason"], "detail": "the subscription has ended"})
            raise Lost(told["reason"])

    async def _wait(self, at_least_s: float | None) -> None:
        await self.close()
        self._failures += 1
        most = min(2.0 ** min(self._failures, 10) * 0.25, LONGEST_S)
        await asyncio.sleep((at_least_s or 0.0) + self._ids.uniform(0, most))
