"""Two nodes, a Redis and a database under load: something is hurt for a while, mended, and then every answer and every client is audited."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import httpx
from msgspec import Struct, field

from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.telemetry import spawn
from tests.chaos.faults import EVERY
from tests.guarantees import invariants
from tests.guarantees.invariants import Call
from tests.support.followers import Fleet
from tests.support.services import Postgres
from tests.support.two_nodes import LEDGER, LOG, House

EVERY_S: Final = 0.03  # between two publications of a publisher
NOTIFY_S: Final = 0.1
NOBODY_LEAVES: Final = frozenset({"rolling-restart", "node-killed", "clients-cut", "pubsub-cut"})
"""Under these everybody is back before it is said that somebody has left."""
TOGETHER: Final = 100  # of a crowd come at a time
TOLD: Final = 3  # people of each notification

_clock = SystemClock()


class Trial(Struct):
    """What came of a fault."""

    fault: str
    lasted_s: float
    back_s: float = 0.0
    """From mending until both nodes took publications of both kinds again, and every client had the last of them."""
    away_s: float = 0.0
    """The longest time that a client was not subscribed."""
    stops_s: list[float] = field(default_factory=list)
    """How long each node took to end that was told to."""
    leaves: int = 0
    """How often a client heard of somebody that he left."""
    slowest_s: float = 0.0
    refused: dict[str, int] = field(default_factory=dict)
    answered: int = 0


class Cluster:
    """The house, who lives in it, and who keeps talking to it.

    Args:
        house: Two nodes.
        postgres: Where their database is.
        ids: Chance.
        every_s: Between two publications of a publisher.
    """

    def __init__(
        self, house: House, postgres: Postgres, ids: Ids, every_s: float = EVERY_S
    ) -> None:
        self.house, self.postgres, self.ids, self.every_s = house, postgres, ids, every_s
        self.fleet = Fleet(house, ids)
        self.answered: dict[str, dict[str, int]] = {LOG: {}, LEDGER: {}}
        self.tried: dict[str, dict[str, None]] = {LOG: {}, LEDGER: {}}
        self.accepted: dict[str, None] = {}
        self.calls: list[Call] = []
        self.stops: list[tuple[int, float]] = []
        """Exit status of each node that was told to end, and how long that took (s)."""
        self._number = 0
        self._is_quiet, self._last = False, ""

    async def settle(self, followers: int, crowd: int = 0) -> None:
        """Let half of the clients come to each node, and of a crowd that is not present in the room."""
        for node in self.house.nodes:
            self.house.send_to(node)
            await self.fleet.add(followers // 2)
            for _ in range(crowd // 2 // TOGETHER):
                await self.fleet.add(TOGETHER, are_present=False)

    async def under(self, name: str, for_s: float) -> Trial:
        """One fault, under load, until everything is well again."""
        fault = EVERY[name]
        trial = Trial(name, for_s)
        first, stopped = len(self.calls), len(self.stops)
        for each in self.fleet.members:
            each.away_s = 0.0
            each.leaves.clear()
        self._is_quiet, self._last = False, name
        load = [
            spawn(self._publish(n % 2, (LOG, LEDGER)[n // 2]), name="publish") for n in range(4)
        ]
        load.append(spawn(self._notify(), name="notify"))
        await asyncio.sleep(5 * EVERY_S)
        began = _clock.monotonic()
        try:
            await asyncio.to_thread(fault.hurt, self)
            await asyncio.sleep(for_s)
        finally:
            await asyncio.to_thread(fault.mend, self)
            trial.lasted_s = _clock.monotonic() - began
        mended = _clock.monotonic()
        await self._both_answer()
        self._is_quiet = True
        await asyncio.gather(*load)
        await self.fleet.live()
        await self.fleet.know(len((await asyncio.to_thread(self.house.log))[1]))
        trial.back_s = _clock.monotonic() - mended
        calls = self.calls[first:]
        trial.away_s = max((each.away_s for each in self.fleet.members), default=0.0)
        trial.stops_s = [took_s for _, took_s in self.stops[stopped:]]
        trial.leaves = sum(len(each.leaves) for each in self.fleet.members)
        trial.slowest_s = max(call.took_s for call in calls)
        trial.refused = dict(Counter(call.code for call in calls if call.code))
        trial.answered = sum(not call.code for call in calls)
        return trial

    async def audit(self) -> list[str]:
        """Everything that is wrong, now that it is quiet."""
        epoch, log = await asyncio.to_thread(self.house.log)
        _, ledger = await asyncio.to_thread(self.house.log, LEDGER)
        spans = self.fleet.spans
        wrong = {
            "I1": invariants.gaps(spans),
            "I2": [*invariants.unlike_the_log(spans, epoch, log), *invariants.began_anew(spans)],
            "I4": [
                *invariants.lost_or_doubled(self.answered[LOG], self.tried[LOG], log),
                *invariants.lost_or_doubled(self.answered[LEDGER], self.tried[LEDGER], ledger),
            ],
            "I8": invariants.unexplained(self.calls),
            "I9": invariants.late(self.stops, [each.away_s for each in self.fleet.members]),
        }
        if self._last in NOBODY_LEAVES:
            wrong["I6"] = [
                f"{each.name} heard that {who} left"
                for each in self.fleet.members
                for who in each.leaves
            ]
        told = self.fleet.names[:TOLD]
        for name, rule in (("I3", self._ghosts), ("I5", lambda: self._inboxes(told))):
            wrong[name] = await invariants.eventually_nothing(rule)
        return [f"{name}: {each}" for name, found in sorted(wrong.items()) for each in found]

    async def _ghosts(self) -> list[str]:
        found = []
        for node in self.house.nodes:
            present = await asyncio.to_thread(self.house.present, node)
            found += [
                f"{node.folder.name}: {each}"
                for each in invariants.ghosts(present, self.fleet.present)
            ]
        return found

    async def _inboxes(self, told: list[str]) -> list[str]:
        found = await self.house.inboxes()
        return invariants.not_once({who: found.get(who, []) for who in told}, self.accepted)

    # ── the load ──
    async def _publish(self, node: int, topic: str) -> None:
        while not self._is_quiet:
            id = self._next()
            self.tried[topic][id] = None

            def say(at: int, id: str = id) -> httpx.Response:
                return self.house.say(self.house.nodes[at], id, topic)

            told = await self._until_done(topic, node, say)
            self.answered[topic][id] = told["offset"]
            await asyncio.sleep(self.every_s)

    async def _notify(self) -> None:
        people = self.fleet.names[:TOLD]
        while not self._is_quiet:
            id = self._next()
            await self._until_done(
                "notify", 0, lambda at, id=id: self.house.notify(self.house.nodes[at], id, people)
            )
            self.accepted[id] = None
            id = self._next()
            await self._until_done(
                "trigger", 1, lambda at, id=id: self.house.remind(self.house.nodes[at], id, people)
            )
            self.accepted[id] = None
            await asyncio.sleep(NOTIFY_S)

    async def _until_done(
        self, what: str, node: int, ask: Callable[[int], httpx.Response]
    ) -> dict[str, Any]:
        """Ask until it is done: the other node, too, as a balancer would, and under the same id."""
        while True:
            status, told = await self._ask(what, node, ask)
            if 200 <= status < 300:
                return told
            node = 1 - node
            await asyncio.sleep(EVERY_S)

    async def _ask(
        self, what: str, node: int, ask: Callable[[int], httpx.Response]
    ) -> tuple[int, dict[str, Any]]:
        began, status, told = _clock.monotonic(), 0, dict[str, Any]()
        try:
            answer = await asyncio.to_thread(ask, node)
        except httpx.TransportError:
            code = "no answer"
        else:
            status, told = answer.status_code, answer.json()
            assert status < 400 or status >= 500, told
            code = "" if answer.is_success else told.get("code", "")
        self.calls.append(Call(what, status, code, _clock.monotonic() - began))
        return status, told

    async def _both_answer(self) -> None:
        """Return once both nodes take publications of both kinds."""
        for node in (0, 1):
            for topic in (LOG, LEDGER):
                id, status = self._next(), 0
                self.tried[topic][id] = None
                while status != 200:
                    status, told = await self._ask(
                        topic,
                        node,
                        lambda at, id=id, topic=topic: self.house.say(
                            self.house.nodes[at], id, topic
                        ),
                    )
                    await asyncio.sleep(EVERY_S)
                self.answered[topic][id] = told["offset"]

    def _next(self) -> str:
        self._number += 1
        return f"n{self._number:05}"
