"""The notification system as its users meet it: `clarion serve` on one database, calls over HTTP, people on sockets, mail to a server.

    python -m benchmarks.notified [--database postgresql] [--people 100000] [--seconds 10] [--json]

Server on the first processor, callers and people on the second. What reaches a person is counted: each message once, none missing.
Latencies run from the moment in which a call was due, whether or not the one before was answered by then.
"""

import argparse
import asyncio
import gc
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from tests.support.mail_server import MailServer
from tests.support.quick_client import Client
from tests.support.quick_wire import HttpLine, http
from tests.support.server import Server, running
from tests.support.services import Postgres

from benchmarks.measures import SECRET, token
from clarion.realtime.transports import run

ONLINE = 200
"""People with an open page, who get the messages whose way is timed."""
RATES = (500, 2_000)
CALLERS = 64
MAILS = 2_000
DIGESTS, WINDOW_S = 400, 2
SCOPES = ("notifications:send", "workflows:*", "subscribers:*", "events:*")

BELL = {"id": "bell", "inbox": {"title": "Release {{ payload.n }}", "body": "It is there."}}
WORKFLOWS: dict[str, list[dict[str, Any]]] = {
    "one": [{"inbox": {"title": "{{ payload.n }}"}}],
    "alike": [BELL],
    "escalation": [
        BELL,
        {"wait": "1h"},
        {"stop": "bell.read"},
        {"inbox": {"title": "Still there"}},
    ],
    "mail": [
        {
            "email": {
                "subject": "Release {{ payload.n }}",
                "html": "<p>It is <b>there</b>, {{ recipient.id }}.</p>",
            }
        }
    ],
    "digest": [
        {"digest": {"window": f"{WINDOW_S}s"}},
        {"inbox": {"title": "{{ payload.n }}"}},
    ],
}


class Calls:
    """Callers with a connection each; whoever is free takes the next call."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._free: asyncio.LifoQueue[HttpLine | None] = asyncio.LifoQueue()
        for _ in range(CALLERS):
            self._free.put_nowait(None)
        self._head = f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer."""
        line = await self._free.get()
        if line is None or line.gone.done():  # the server hangs up on who is silent for long
            line = await http(self._port)
        content = b"" if body is None else msgspec.json.encode(body)
        status, answer = await line.ask(method, path, content, headers=self._head)
        self._free.put_nowait(line)
        assert status < 300, (method, path, status, answer)
        return msgspec.json.decode(answer) if answer else None


class Crowd:
    """People with an open page, and when each numbered message came to one of them."""

    def __init__(self) -> None:
        self.came: dict[int, float] = {}
        self._all: list[Client] = []
        self._wanted = 0
        self._whole: asyncio.Future[None] | None = None

    async def come(self, port: int) -> None:
        """Connect, and subscribe to the own inbox."""
        for n in range(ONLINE):
            client = Client(port, "/clarion", on_event=self._hear)
            self._all.append(await client.connect(token=token(f"live{n}")))
            [answer] = await client.ask("subscribe", {"topic": f"inbox:live{n}"})
            assert "snapshot" in answer, answer

    def _hear(self, _: Client, event: Any) -> None:
        now = time.perf_counter()
        if event[0] != "publication" or event[1].get("event") != "added":
            return
        number = int(event[1]["data"]["message"]["title"])
        assert number not in self.came, f"message {number} came twice"
        self.came[number] = now
        if self._whole is not None and len(self.came) == self._wanted and not self._whole.done():
            self._whole.set_result(None)

    async def all_of(self, count: int) -> dict[int, float]:
        """When each of them came, by number; forgotten then."""
        self._wanted = count
        self._whole = asyncio.get_running_loop().create_future()
        if len(self.came) < count:
            async with asyncio.timeout(120):
                await self._whole
        self._whole, came, self.came = None, self.came, {}
        assert len(came) == count, f"{len(came)} of {count} came"
        return came

    def close(self) -> None:
        """Everybody leaves."""
        for client in self._all:
            client.close()


class Bench:
    """One server, measured part by part; figures are collected by name."""

    def __init__(self, server: Server, calls: Calls, crowd: Crowd, mail: MailServer) -> None:
        self._server, self._calls, self._crowd, self._mail = server, calls, crowd, mail
        self._n = 0
        self.figures: dict[str, float] = {}

    async def prepare(self, people: int) -> None:
        """Workflows, and an audience of that many."""
        for name, steps in WORKFLOWS.items():
            await self._calls.ask(
                "PUT", f"/v1/workflows/{name}", {"workflow": name, "steps": steps}
            )
        online = [{"id": f"live{n}"} for n in range(ONLINE)]
        await self._calls.ask("POST", "/v1/subscribers", {"subscribers": online})
        for audience, count in (("all", people), ("mailed", MAILS)):
            await self._calls.ask("PUT", f"/v1/audiences/{audience}", {})
            for first in range(0, count, 1_000):
                ids = [f"user{n}" for n in range(first, min(first + 1_000, count))]
                described = [{"id": id, "email": f"{id}@example.com"} for id in ids]
                await self._calls.ask("POST", "/v1/subscribers", {"subscribers": described})
                await self._calls.ask("POST", f"/v1/audiences/{audience}/members", {"add": ids})

    def _next(self, workflow: str) -> tuple[int, dict[str, Any]]:
        self._n += 1
        who = [f"live{self._n % ONLINE}"]
        return self._n, {"workflow": workflow, "recipients": who, "payload": {"n": self._n}}

    async def live(self, rate: int, seconds: float) -> None:
        """Triggers at a steady rate, each to one person with an open page."""
        due: dict[int, float] = {}
        began = time.perf_counter() + 0.1

        async def one(body: dict[str, Any]) -> None:
            await self._calls.ask("POST", "/v1/triggers", body)

        async with asyncio.TaskGroup() as group:
            for turn in range(int(rate * seconds)):
                at = began + turn / rate
                if (left := at - time.perf_counter()) > 0:
                    await asyncio.sleep(left)
                number, body = self._next("one")
                due[number] = at
                group.create_task(one(body))
        came = await self._crowd.all_of(len(due))
        self._distribution(f"live-{rate}", [came[n] - at for n, at in due.items()])

    async def closed(self, seconds: float) -> None:
        """As many triggers one by one as callers get answered."""
        end = time.perf_counter() + seconds
        made = 0

        async def caller() -> None:
            nonlocal made
            while time.perf_counter() < end:
                await self._calls.ask("POST", "/v1/triggers", self._next("one")[1])
                made += 1

        used, began = self._cpu_s(), time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        self.figures["triggers"] = made / (time.perf_counter() - began)
        await self._crowd.all_of(made)
        self.figures["trigger-cpu"] = 1e6 * (self._cpu_s() - used) / made

    async def bulk(self, workflow: str, people: int) -> None:
        """To everybody; meanwhile one at a time an urgent one to somebody with an open page."""
        body = {"workflow": workflow, "audiences": ["all"], "payload": {"n": 1}}
        began = time.perf_counter()
        accepted = await self._calls.ask("POST", "/v1/triggers", body)
        waits: list[float] = []
        while True:
            at = time.perf_counter()
            number, urgent = self._next("one")
            await self._calls.ask("POST", "/v1/triggers", urgent)
            waits.append((await self._crowd.all_of(1))[number] - at)
            found = await self._calls.ask("GET", f"/v1/triggers/{accepted['id']}")
            if found["state"] != "planning":
                break
            await asyncio.sleep(0.02)
        took = time.perf_counter() - began
        assert found["recipients"] == people, found
        self.figures[f"bulk-{workflow}"] = people / took
        self._distribution(f"bulk-{workflow}-urgent", waits)

    async def mails(self) -> None:
        """To two thousand people by email."""
        began = time.perf_counter()
        body = {"workflow": "mail", "audiences": ["mailed"], "payload": {"n": 1}}
        await self._calls.ask("POST", "/v1/triggers", body)
        async with asyncio.timeout(120):
            while len(self._mail.mails) < MAILS:  # noqa: ASYNC110  a measurement
                await asyncio.sleep(0.01)
        self.figures["mails"] = MAILS / (time.perf_counter() - began)
        sent = {tuple(each.rcpt_tos) for each in self._mail.mails}
        assert len(sent) == len(self._mail.mails) == MAILS, "a mail was doubled"

    async def digests(self) -> None:
        """How late digests close: each is opened, joined once, and due a window after it was opened."""
        opened: dict[int, float] = {}

        async def open_one() -> None:
            number, body = self._next("digest")
            body["recipients"] = [f"live{number % ONLINE}"]
            opened[number] = time.perf_counter()
            await self._calls.ask("POST", "/v1/triggers", body)

        rounds = DIGESTS // ONLINE
        waits: list[float] = []
        for _ in range(rounds):
            opened.clear()
            for _ in range(ONLINE):
                await open_one()
                await asyncio.sleep(0.002)
            came = await self._crowd.all_of(ONLINE)
            waits += [came[n] - at - WINDOW_S for n, at in opened.items()]
        self._distribution("digest-late", waits)

    async def events(self, seconds: float) -> None:
        """Events in batches of a hundred, eight callers."""
        end = time.perf_counter() + seconds
        made = 0

        async def caller(who: int) -> None:
            nonlocal made
            while time.perf_counter() < end:
                told = [
                    {"event": f"name.{n % 20}", "user": f"user{(made + n) % 10_000}", "properties": {"total": n, "by": who}}
                    for n in range(100)
                ]  # fmt: skip
                await self._calls.ask("POST", "/v1/events", {"events": told})
                made += len(told)

        began = time.perf_counter()
        await asyncio.gather(*(caller(n) for n in range(8)))
        self.figures["events"] = made / (time.perf_counter() - began)

    def _distribution(self, name: str, seconds: list[float]) -> None:
        seconds.sort()
        for q, part in (("p50", 50), ("p99", 99)):
            self.figures[f"{name}-{q}"] = 1000 * seconds[len(seconds) * part // 100]

    def _cpu_s(self) -> float:
        threads = Path(f"/proc/{self._server.pid}/task").glob("*/schedstat")
        return sum(int(each.read_text().split()[0]) for each in threads) / 1e9


@asynccontextmanager
async def benched(database: str, *, wants_parting: bool) -> AsyncIterator[Bench]:
    """A server, with everybody there."""
    mail = await MailServer().start()
    postgres = Postgres(fsync=True) if database == "postgresql" else None
    settings = {
        "CLARION_DATABASE_URL": await postgres.new_database() if postgres else "",
        "CLARION_DELIVERY": "live",
        "CLARION_EMAIL_PROVIDERS": f"smtp://127.0.0.1:{mail.port}?tls=none",
        "CLARION_AUTH_JWT_SECRET": SECRET,
        "CLARION_AUTH_ISSUER": "bench",
        "CLARION_LIMITS_API_REQUESTS": "1000000",
        "CLARION_LOG_LEVEL": "warning",
    }
    settings = {name: value for name, value in settings.items() if value}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), **settings) as server:
        if wants_parting:
            part(server.pid)
        crowd = Crowd()
        calls = Calls(server.port, server.key(*SCOPES))
        await crowd.come(server.port)
        try:
            yield Bench(server, calls, crowd, mail)
        finally:
            crowd.close()
            await mail.close()
    if postgres is not None:
        postgres.remove()


def part(pid: int) -> None:
    """The server with all its threads on the first processor, this process on the others."""
    first, *rest = sorted(os.sched_getaffinity(0))
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {first})
    os.sched_setaffinity(0, set(rest) or {first})


async def measure(
    database: str, people: int, seconds: float, parts: list[str], *, wants_parting: bool = False
) -> dict[str, float]:
    """All parts, or those that are named; with `wants_parting` server and callers have processors of their own."""
    async with benched(database, wants_parting=wants_parting) as bench:
        await bench.prepare(people)
        runs: dict[str, Callable[[], Awaitable[None]]] = {
            **{f"live-{rate}": partial(bench.live, rate, seconds) for rate in RATES},
            "triggers": lambda: bench.closed(seconds),
            "alike": lambda: bench.bulk("alike", people),
            "escalation": lambda: bench.bulk("escalation", people),
            "mails": bench.mails,
            "digests": bench.digests,
            "events": lambda: bench.events(seconds),
        }
        for name in parts or runs:
            await runs[name]()
        return bench.figures


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--json", action="store_true", help="for a program")
    given = parser.parse_args()
    gc.disable()  # a pause of the callers would be taken for one of the server
    figures = run(
        measure(given.database, given.people, given.seconds, given.only, wants_parting=True)
    )
    if given.json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(f"{given.database:10} {name:28} {figure:12,.2f}")


if __name__ == "__main__":
    main()
