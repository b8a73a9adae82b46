"""Nodes behind a balancer are restarted one after the other, as for a new version, under a load that counts every answer."""

import asyncio
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, field

from clarion.ids import Ids
from clarion.protocol.codes import CloseCode
from tests.chaos.asking import Asked, Asker
from tests.guarantees import invariants
from tests.support.followers import Fleet
from tests.support.row_of_nodes import Row
from tests.support.server import Server, until
from tests.support.services import Postgres

TOGETHER: Final = 50  # sockets come at a time
A_TOPIC: Final = 20  # sockets that follow each
PRESENT: Final = 10  # sockets that are in the lobby besides
WITH_A_RETRY: Final = 0.999  # of all requests are done with two tries
BEFORE_S: Final = 2.0  # how long before a kill a request may have begun that it cut off


class Plan(Struct, frozen=True):
    """How many of everything, and which restarts are kills, by their number from 0."""

    nodes: int = 3
    sockets: int = 1_000
    requests: float = 200.0
    triggers: float = 20.0
    publications: float = 100.0
    restarts: int = 6
    kills: Sequence[int] = (3,)
    notice_s: float = 5.0

    def times(self, load: float, sockets: int) -> "Plan":
        """With so many sockets, and so many times the calls."""
        return msgspec.structs.replace(
            self,
            sockets=sockets,
            requests=self.requests * load,
            triggers=self.triggers * load,
            publications=self.publications * load,
        )

    @property
    def topics(self) -> list[str]:
        """Which are published to and followed."""
        return [f"log:{n}" for n in range(max(1, self.sockets // A_TOPIC))]


class Restart(Struct):
    """What became of one node; times are the loop's."""

    node: str
    is_kill: bool
    clients: int
    began: float
    codes: dict[int, int] = field(default_factory=dict)
    """With which close codes WebSockets ended that were never on polling: no node relays those."""
    status: int = 0
    ended: float = 0.0
    ready: float = 0.0
    came: int = 0
    """Sockets that had to come anew: those of its sessions, and those that it relayed to other nodes."""
    busiest_s: int = 0
    """The most of them that came within a second."""

    @property
    def even_per_s(self) -> float:
        """At which rate they leave it if they do so evenly."""
        return max(invariants.LEAVES_PER_S, self.came / invariants.WINDOW_S)


class Outcome(Struct):
    """What came of it."""

    restarts: list[Restart] = field(default_factory=list)
    requests: int = 0
    at_once: int = 0
    """Done with the first try."""
    refusals: dict[str, int] = field(default_factory=dict)
    slowest_s: dict[str, float] = field(default_factory=dict)
    away_s: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def told(self, tell: Callable[[str], None]) -> "Outcome":
        """Itself, once its numbers are told."""
        tell(
            f"{self.at_once:,} of {self.requests:,} requests done at once, others: {self.refusals}; slowest {self.slowest_s}, a socket away for {self.away_s:.2f} s at most"
        )
        return self


def alone(plan: Plan, tell: Callable[[str], None], seed: int = 1) -> Outcome:
    """`run`, on a database and in a folder of its own."""
    postgres = Postgres()
    try:
        with tempfile.TemporaryDirectory(prefix="clarion-rolling-") as folder:
            return asyncio.run(run(plan, Path(folder), postgres, tell, seed))
    finally:
        postgres.remove()


async def run(
    plan: Plan, folder: Path, postgres: Postgres, tell: Callable[[str], None], seed: int = 1
) -> Outcome:
    """Restart every node so often as is planned, then audit every answer and every socket.

    Args:
        plan: How many of everything.
        folder: For the nodes' files.
        postgres: Where their database is.
        tell: Is told of each restart.
        seed: Of chance.
    """
    database = await postgres.new_database()
    notice = {"CLARION_LIMITS_NOTICE_S": str(plan.notice_s)}
    row = await asyncio.to_thread(Row, folder, database, plan.nodes, **notice)
    try:
        return await Rolling(plan, row, tell, Ids.seeded(seed)).run()
    finally:
        await asyncio.to_thread(row.close)


class Rolling:
    """The nodes, who is there, and who asks."""

    def __init__(self, plan: Plan, row: Row, tell: Callable[[str], None], ids: Ids) -> None:
        self._plan, self._row, self._tell = plan, row, tell
        self._outcome = Outcome()
        self._fleet = Fleet(row, ids, plan.topics, half_poll=True)
        self._asker = Asker(row, plan.topics)

    async def run(self) -> Outcome:
        """All of it."""
        plan = self._plan
        async with self._fleet as fleet:
            await fleet.add(PRESENT)
            for _ in range(plan.sockets // TOGETHER):
                await fleet.add(TOGETHER, are_present=False)
            self._asker.begin(plan.publications, plan.triggers, plan.requests)
            try:
                for number in range(plan.restarts):
                    node = self._row.nodes[number % plan.nodes]
                    await self._restart(node, is_kill=number in plan.kills)
            finally:
                await self._asker.end()
            await fleet.live()
            await self._audit()
        await asyncio.to_thread(until, lambda: set(self._row.kept().values()) == {0})
        return self._outcome

    async def _restart(self, node: Server, *, is_kill: bool) -> None:
        loop = asyncio.get_running_loop()
        kept = await asyncio.to_thread(self._row.kept)
        clients = int(kept[f"sessions of {node.folder.name}"])
        restart = Restart(node.folder.name, is_kill, clients, loop.time())
        self._outcome.restarts.append(restart)
        for each in self._fleet.members:
            each.codes.clear()
        if is_kill:
            await asyncio.to_thread(node.kill)
        else:
            restart.status = await asyncio.to_thread(node.stop, signal.SIGTERM)
        restart.ended = loop.time()
        await asyncio.to_thread(self._row.start, node)
        restart.ready = loop.time()
        await self._fleet.live()
        told = (each.codes for each in self._fleet.members if not each.polls_first)
        restart.codes = dict(sum(told, Counter[int]()))
        came = [at for each in self._fleet.members for at in each.came if at >= restart.began]
        restart.came, restart.busiest_s = len(came), invariants.busiest(came)
        self._tell(
            f"{'killed' if is_kill else 'told to end'}: {restart.node} with {clients} sockets, gone after {restart.ended - restart.began:.1f} s, ready {restart.ready - restart.ended:.1f} s later; "
            f"{restart.came} came, {restart.busiest_s} in the busiest second, {len(self._asker.asked):,} requests so far, not done: {self._asker.refusals}"
        )

    async def _audit(self) -> None:
        members, asker, outcome = self._fleet.members, self._asker, self._outcome
        outcome.requests, outcome.refusals = len(asker.asked), asker.refusals
        outcome.at_once = sum(not each.tries[0] for each in asker.asked)
        outcome.slowest_s = asker.slowest_s
        outcome.away_s = max(each.away_s for each in members)
        stops = [
            (each.status, each.ended - each.began) for each in outcome.restarts if not each.is_kill
        ]
        wrong = {
            "success without a retry": refused_at_once(asker.asked, outcome.restarts),
            "success with one retry": refused_twice(asker.asked),
            "close code": untold(outcome.restarts),
            "connect rate": stormed(outcome.restarts),
            "I6": [f"{each.name} heard that {who} left" for each in members for who in each.leaves],
            "I9": invariants.late(
                stops, [each.away_s for each in members], notice_s=self._plan.notice_s
            ),
        }
        for topic in self._plan.topics:
            epoch, log = await asyncio.to_thread(self._row.log, topic)
            await self._know(topic, len(log))
            spans = [span for each in members if each.topic == topic for span in each.spans]
            for name, found in {
                "I1": invariants.gaps(spans),
                "I2": [
                    *invariants.unlike_the_log(spans, epoch, log),
                    *invariants.began_anew(spans),
                ],
                "I4": invariants.lost_or_doubled(asker.answered[topic], asker.tried[topic], log),
            }.items():
                wrong.setdefault(name, []).extend(f"{topic}: {each}" for each in found)
        wrong["I5"] = await invariants.eventually_nothing(self._inboxes)
        outcome.wrong = [f"{name}: {each}" for name, some in wrong.items() for each in some]

    async def _know(self, topic: str, offset: int) -> None:
        async with asyncio.timeout(30):
            while any(each.offset < offset for each in self._fleet.members if each.topic == topic):  # noqa: ASYNC110  another process has to do it
                await asyncio.sleep(0.02)

    async def _inboxes(self) -> list[str]:
        found = await self._row.inboxes()
        return [
            each
            for who, accepted in self._asker.accepted.items()
            for each in invariants.not_once({who: found.get(who, [])}, accepted)
        ]


# ── what must hold besides the invariants ──
def refused_at_once(asked: Sequence[Asked], restarts: Sequence[Restart]) -> list[str]:
    """While nodes are only told to end, every request is done with its first try."""
    kills = [(each.began - BEFORE_S, each.ready) for each in restarts if each.is_kill]
    return [
        str(each)
        for each in asked
        if each.tries[0] and not any(first <= each.began <= last for first, last in kills)
    ]


def refused_twice(asked: Sequence[Asked]) -> list[str]:
    """Kills included, 99.9 % are done with one retry at most."""
    twice = [str(each) for each in asked if all(each.tries[:2])]
    return twice if len(twice) > len(asked) * (1 - WITH_A_RETRY) else []


def untold(restarts: Sequence[Restart]) -> list[str]:
    """Who is on a node that is told to end is told why he must go."""
    return [
        f"{n} of {each.node} ended with {code}"
        for each in restarts
        if not each.is_kill
        for code, n in each.codes.items()
        if code != CloseCode.DRAINING
    ]


def stormed(restarts: Sequence[Restart]) -> list[str]:
    """Clients of a node that is told to end come to the others at twice the even rate at most."""
    return [
        f"{each.busiest_s} of {each.came} of {each.node} came in a second, evenly {each.even_per_s:.0f}"
        for each in restarts
        if not each.is_kill and each.busiest_s > 2 * each.even_per_s
    ]
