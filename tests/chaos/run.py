"""One bulk send: a server that is killed again and again, at named points and at any time, until it has nothing left to do."""

import asyncio
import os
import random  # noqa: TID251  seeded
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx
from msgspec import Struct, field

from clarion.clock import SystemClock, pause
from clarion.storage import addresses, open_store, subscribers
from tests.chaos.audit import LEFT, audit
from tests.chaos.endpoint import Endpoint
from tests.chaos.points import POINTS
from tests.support.server import Server, until
from tests.support.services import Postgres

STEPS: Final = [
    {"inbox": {"title": "one for {{ recipient.id }}"}},
    {"wait": "1s"},
    {"inbox": {"title": "two"}},
    {"webhook": {"event": "told", "data": {"who": "{{ recipient.id }}"}}},
]
IN_HAND: Final = 64  # messages at a time; the server is told so
POINT_S: Final = 5.0  # a point that is not passed by then is not passed any more
END_S: Final = 240.0  # for what is left after the last crash
BATCH: Final = 1_000


class Plan(Struct, frozen=True):
    """What is done, to a send to so many people."""

    people: int
    faults: list[str]
    """In their order: `any:0.3` kills the server after so long (s), `handed:57` at the 57th pass of a point; `database:0.3` crashes the database."""


class Outcome(Struct):
    """What came of it."""

    crashes: int = 0
    again: int = 0
    """Messages that the provider got once more."""
    wrong: list[str] = field(default_factory=list)


def faults_of(seed: int, count: int, people: int, *, is_postgres: bool) -> list[str]:
    """Every named point once, in the order in which a send comes to them, and between them others at any time, by the seed."""
    chance = random.Random(seed)
    found = []
    for name in POINTS:
        passes = {"accepted": 1, "runs-claimed": people // 500}.get(name, 3)
        if name in ("message-claimed", "handed", "settled"):
            passes = people // 20
        found.append(f"{name}:{chance.randint(1, max(1, passes))}")
    others = [f"database:{chance.uniform(0.1, 2.0):.2f}"] * 2 if is_postgres else []
    others += [
        f"any:{chance.uniform(0.0, 2.0):.2f}" for _ in range(count - len(found) - len(others))
    ]
    for fault in others:
        found.insert(chance.randint(1, len(found)), fault)
    return found


def chaos(
    plan: Plan,
    folder: Path,
    postgres: Postgres | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Send, crash, go on, and look at every row.

    Args:
        plan: What is done.
        folder: For the server's files.
        postgres: Whose database is used; None: SQLite's.
        tell: Is told of each crash.
    """
    with Endpoint() as endpoint:
        send = Send(plan, folder, postgres, endpoint, tell)
        try:
            send.run()
        finally:
            send.server.close()
        return send.outcome


class Send:
    """A bulk send, from its rows to the audit."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        postgres: Postgres | None,
        endpoint: Endpoint,
        tell: Callable[[str], None],
    ) -> None:
        self.plan, self.outcome = plan, Outcome()
        self._data, self._postgres = folder / "data", postgres
        self._endpoint, self._tell = endpoint, tell
        self._url = asyncio.run(postgres.new_database()) if postgres else ""
        self._key = self._trigger = ""
        here = os.environ.get("PYTHONPATH", "")
        self.server = Server(
            folder,
            module="tests.chaos.points",
            PYTHONPATH=f"{Path.cwd()}{os.pathsep}{here}",
            CLARION_DATABASE_URL=self._url,
            CLARION_WEBHOOK_NETWORKS="127.0.0.1/32",
            CLARION_WEBHOOK_PORTS=str(endpoint.port),
            CLARION_WEBHOOK_PER_HOST=str(IN_HAND),
            CLARION_WEBHOOK_CONCURRENCY=str(IN_HAND),
        )

    def run(self) -> None:
        """All of it."""
        asyncio.run(self._people())
        for fault in self.plan.faults:
            self._under(fault)
        self._restart("")
        self._ask()
        self._end()

    async def _people(self) -> None:
        store = await open_store(url=self._url, data_dir=self._data, clock=SystemClock())
        for first in range(0, self.plan.people, BATCH):
            names = [f"u{n:06}" for n in range(first, min(first + BATCH, self.plan.people))]
            described = [
                subscribers.Described("default", name, "", "", "", "", "", "", at_ms=1)
                for name in names
            ]
            await store.apply(subscribers.DESCRIBE, described)
            urls = [self._endpoint.url(name) for name in names]
            rows = [
                addresses.NewAddress("default", addresses.address_id("webhook", url), name, "webhook", url, "", "", 1)
                for name, url in zip(names, urls, strict=True)
            ]  # fmt: skip
            await store.apply(addresses.PUT, rows)
        await store.close()

    def _restart(self, crash_at: str) -> None:
        if self.server.is_running:
            self.outcome.crashes += 1
        self.server.kill()
        self.server.environment["CLARION_CRASH_AT"] = crash_at
        self.server.start()

    def _ask(self) -> None:
        """Trigger it, with one key, as somebody would who got no answer."""
        if self._trigger:
            return
        if not self._key:
            self._key = self.server.key("workflows:*", "notifications:send")
            given = {"workflow": "w", "steps": STEPS}
            answer = self.server.put("/v1/workflows/w", given, token=self._key)
            assert answer.status_code == 200, answer.text
        body = {"workflow": "w", "everyone": True}
        try:
            answer = self.server.post(
                "/v1/triggers", body, token=self._key, **{"Idempotency-Key": "once"}
            )
        except httpx.TransportError:
            return
        assert answer.status_code == 202, answer.text
        self._trigger = answer.json()["id"]

    def _under(self, fault: str) -> None:
        name, _, number = fault.partition(":")
        if name == "database":
            if not self.server.is_running:
                self._restart("")
            self._ask()
            pause(float(number))
            assert self._postgres is not None
            self._postgres.stop("immediate")
            self._postgres.start()
        elif name == "any":
            self._restart("")
            self._ask()
            pause(float(number))
            self.server.kill()
        else:
            self._restart(fault)
            self._ask()
            if not self.server.ended(POINT_S):
                fault += " (was not passed)"
            self.server.kill()
        self.outcome.crashes += 1
        self._tell(f"{fault}: {len(self._endpoint.receipts):,} got it by now")

    def _end(self) -> None:
        """Let it come to its end, and look."""
        found = until(self._planned, END_S) or {}
        if (found["state"], found["recipients"]) != ("planned", self.plan.people):
            self.outcome.wrong.append(f"the trigger ended as {found}")
        while True:
            until(lambda: len(self._endpoint.receipts) >= self.plan.people, END_S)
            pause(0.3)
            if self.server.stop():
                self.outcome.wrong.append("the server did not end in order")
            # What was got before a crash and not written down is handed over once more, which nobody sees from outside.
            if not asyncio.run(self._left()):
                break
            self.server.start()
        asyncio.run(self._look())

    def _planned(self) -> dict[str, object] | None:
        found = self.server.get(f"/v1/triggers/{self._trigger}", token=self._key).json()
        return found if found["runs"].get("done") == self.plan.people else None

    async def _left(self) -> int:
        store = await open_store(url=self._url, data_dir=self._data, clock=SystemClock())
        [found] = await store.fetch(LEFT)
        await store.close()
        return found.n

    async def _look(self) -> None:
        store = await open_store(url=self._url, data_dir=self._data, clock=SystemClock())
        self.outcome.wrong += await audit(
            store,
            self._endpoint.receipts,
            inbox=2,
            crashes=self.outcome.crashes,
            in_hand=IN_HAND,
        )
        await store.close()
        self.outcome.again = sum(n - 1 for n in self._endpoint.receipts.values())
