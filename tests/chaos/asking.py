"""Who asks a server of several nodes at a steady rate, through its balancer, and repeats what was not answered with a yes."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from msgspec import Struct, field

from clarion.telemetry import spawn
from tests.support.quick_wire import HttpLine, http
from tests.support.two_nodes import Home

ANSWER_S: Final = 15.0
AGAIN_S: Final = 0.05  # before a request is repeated
TRIES: Final = 40
KEPT: Final = 500  # requests of a connection; nginx ends it after 1,000
PEOPLE: Final = 50  # who get notifications
READS: Final = 4  # three of so many requests read, one notifies


class Asked(Struct):
    """A request, with what came of each try: '' where it was done."""

    what: str
    began: float
    tries: list[str] = field(default_factory=list)
    took_s: float = 0.0
    """The longest try."""

    def __str__(self) -> str:
        return f"{self.what} at {self.began:.2f}: {', '.join(self.tries)}"


class Asker:
    """Asks, and keeps count of what was answered.

    Args:
        home: Whom.
        topics: Which are published to, in turn.

    Attributes:
        asked: Every request.
        tried: By topic, each publication that was tried.
        answered: By topic, the offset of each that was answered.
        accepted: By person, the notifications that were accepted.
    """

    def __init__(self, home: Home, topics: Sequence[str]) -> None:
        self._home, self._topics = home, topics
        self.asked: list[Asked] = []
        self.tried: dict[str, dict[str, None]] = {topic: {} for topic in topics}
        self.answered: dict[str, dict[str, int]] = {topic: {} for topic in topics}
        self.accepted: dict[str, list[str]] = {f"p{n:02}": [] for n in range(PEOPLE)}
        self._lines: list[tuple[HttpLine, int]] = []
        self._is_quiet = False
        self._running: list[asyncio.Task[None]] = []

    def begin(self, publications: float, triggers: float, requests: float) -> None:
        """Ask so often a second, whatever the answers are."""
        for per_s, ask in (
            (publications, self._publish),
            (triggers, self._trigger),
            (requests, self._request),
        ):
            self._running.append(spawn(self._steadily(per_s, ask), name="ask steadily"))

    async def end(self) -> None:
        """Ask no more; returns once everything is answered."""
        self._is_quiet = True
        while self._running:
            some, self._running = self._running, []
            await asyncio.gather(*some)
        for line, _ in self._lines:
            if line.transport is not None:
                line.transport.close()

    @property
    def slowest_s(self) -> dict[str, float]:
        """Half of all, 99 of 100, all were answered within so long."""
        took = sorted(each.took_s for each in self.asked)
        return {
            "p50": took[len(took) // 2],
            "p99": took[len(took) * 99 // 100],
            "all": took[-1],
        }

    @property
    def refusals(self) -> dict[str, int]:
        """What came of tries that were not done."""
        return dict(Counter(code for each in self.asked for code in each.tries if code))

    async def _steadily(self, per_s: float, ask: Callable[[int], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        began, number = loop.time(), 0
        while not self._is_quiet:
            await asyncio.sleep(max(0.0, began + number / per_s - loop.time()))
            self._running.append(spawn(_all_of(ask(number)), name="ask"))
            if number % 1_000 == 0:
                self._running = [each for each in self._running if not each.done()]
            number += 1

    # ── what is asked ──
    async def _publish(self, number: int) -> None:
        topic, id = self._topics[number % len(self._topics)], f"n{number:06}"
        self.tried[topic][id] = None
        place = f"/v1/topics/{topic.replace(':', '%3A')}/publications"
        told = await self._until_done(
            "publish", "POST", place, {"event": "said", "data": id, "id": id}
        )
        self.answered[topic][id] = told["offset"]

    async def _trigger(self, number: int) -> None:
        who, id = f"p{number % PEOPLE:02}", f"t{number:06}"
        body = {"workflow": "remind", "recipients": [{"id": who}], "payload": {"id": id}}
        await self._until_done("trigger", "POST", "/v1/triggers", body, id)
        self.accepted[who].append(id)

    async def _request(self, number: int) -> None:
        if number % READS:
            topic = self._topics[number % len(self._topics)]
            place = f"/v1/topics/{topic.replace(':', '%3A')}/publications?limit=1"
            await self._until_done("read", "GET", place)
            return
        who, id = f"p{number // READS % PEOPLE:02}", f"m{number:06}"
        body = {"recipients": [{"id": who}], "title": id}
        await self._until_done("notify", "POST", "/v1/notifications", body, id)
        self.accepted[who].append(id)

    # ── how ──
    async def _until_done(
        self, what: str, method: str, target: str, body: Any = None, key: str = ""
    ) -> Any:
        loop = asyncio.get_running_loop()
        asked = Asked(what, loop.time())
        self.asked.append(asked)
        for _ in range(TRIES):
            began = loop.time()
            code, told = await self._once(method, target, body, key)
            asked.tries.append(code)
            asked.took_s = max(asked.took_s, loop.time() - began)
            if not code:
                return told
            await asyncio.sleep(AGAIN_S)
        raise AssertionError(f"never done: {asked}")

    async def _once(self, method: str, target: str, body: Any, key: str) -> tuple[str, Any]:
        headers = f"Authorization: Bearer {self._home.key}\r\n"
        headers += f"Idempotency-Key: {key}\r\n" if key else ""
        sent = b"" if body is None else json.dumps(body).encode()
        headers += "Content-Type: application/json\r\n" if sent else ""
        line, used = None, 0
        try:
            async with asyncio.timeout(ANSWER_S):
                line, used = await self._line()
                status, answer = await line.ask(method, target, sent, headers=headers)
        except (OSError, TimeoutError) as exc:
            if line is not None:
                line.reset()
            return f"no answer ({type(exc).__name__})", None
        if used < KEPT:
            self._lines.append((line, used + 1))
        elif line.transport is not None:
            line.transport.close()
        if 200 <= status < 300:
            return "", json.loads(answer)
        try:
            return f"{status} {json.loads(answer)['code']}", None
        except (ValueError, KeyError):  # the balancer's own
            return f"{status}", None

    async def _line(self) -> tuple[HttpLine, int]:
        while self._lines:
            line, used = self._lines.pop()
            if not line.gone.done():
                return line, used
        return await http(self._home.port), 0


async def _all_of(work: Awaitable[None]) -> None:
    await work
