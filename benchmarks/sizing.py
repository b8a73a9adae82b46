"""What people cost where nobody looks: `python -m benchmarks.sizing [--database sqlite|postgresql] [--people 10000]`.

`clarion serve` with so many people: subscribers in the database, messages in their inboxes, runs that wait for them; with PostgreSQL there is a
Redis, too. Then all of them are connected and subscribed to their inboxes. Says what each step added, for each person or message.
"""

import argparse
import asyncio
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import asyncpg
from tests.support.quick_client import Client
from tests.support.redis_server import RedisServer
from tests.support.server import Server, running
from tests.support.services import Postgres

from benchmarks.measures import SECRET, token
from benchmarks.notified import SCOPES, WORKFLOWS, Calls

MESSAGES = 20  # in each inbox
AT_ONCE = 200  # clients that connect


class Sizes:
    """What is measured, and by how much it has grown.

    Args:
        server: Its memory.
        database: The size of what it stores (bytes).
        redis: Its Redis; None: there is none.
    """

    def __init__(
        self, server: Server, database: Callable[[], Awaitable[int]], redis: RedisServer | None
    ) -> None:
        self._server, self._database, self._redis = server, database, redis
        self._before: dict[str, int] = {}

    async def begin(self) -> None:
        """What is there already does not count."""
        self._before = await self._now()

    async def say(self, what: str, count: int) -> None:
        """What has come since the last time, for each of so many."""
        now = await self._now()
        grown = [f"{name} {(now[name] - self._before[name]) / count:9,.0f} B" for name in now]
        print(f"{what:40} " + "   ".join(grown), flush=True)
        self._before = now

    async def _now(self) -> dict[str, int]:
        sizes = {"server": rss_bytes(self._server.pid), "database": await self._database()}
        if self._redis is not None:
            sizes["redis"] = redis_bytes(self._redis)
        return sizes


def rss_bytes(pid: int) -> int:
    """Resident memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def redis_bytes(server: RedisServer) -> int:
    """What a Redis says it uses."""
    command = ["redis-cli", "-s", str(server.folder / "s"), "info", "memory"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    line = next(line for line in said.splitlines() if line.startswith("used_memory:"))
    return int(line.partition(":")[2])


async def fill(server: Server, sizes: Sizes, people: int) -> None:
    """Subscribers, messages, runs."""
    calls = Calls(server.port, server.key(*SCOPES))
    for name in ("alike", "escalation"):
        await calls.ask(
            "PUT", f"/v1/workflows/{name}", {"workflow": name, "steps": WORKFLOWS[name]}
        )
    await calls.ask("PUT", "/v1/audiences/all", {})
    ids = [f"user{n}" for n in range(people)]
    for first in range(0, people, 1_000):
        some = ids[first : first + 1_000]
        described = [
            {"id": id, "name": f"Somebody {id}", "email": f"{id}@example.com", "locale": "de", "time_zone": "Europe/Berlin"}
            for id in some
        ]  # fmt: skip
        await calls.ask("POST", "/v1/subscribers", {"subscribers": described})
        await calls.ask("POST", "/v1/audiences/all/members", {"add": some})
    await sizes.say("a subscriber, in one audience", people)
    for _ in range(MESSAGES):
        await send(calls, "alike")
    await sizes.say("a message of an inbox", people * MESSAGES)
    await send(calls, "escalation")
    await sizes.say("a message, and a run that waits", people)


async def send(calls: Calls, workflow: str) -> None:
    """To everybody, until all have it."""
    body = {"workflow": workflow, "audiences": ["all"], "payload": {"n": 1}}
    accepted = await calls.ask("POST", "/v1/triggers", body)
    while (await calls.ask("GET", f"/v1/triggers/{accepted['id']}"))["state"] == "planning":  # noqa: ASYNC110  a measurement
        await asyncio.sleep(0.1)


async def come(port: int, people: int) -> list[Client]:
    """All of them connect, and subscribe to their inboxes."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(n: int) -> Client:
        async with free:
            client = await Client(port, "/clarion", on_event=lambda *_: None).connect(
                token=token(f"user{n}")
            )
            [answer] = await client.ask("subscribe", {"topic": f"inbox:user{n}"})
            assert "snapshot" in answer, answer
            return client

    return await asyncio.gather(*(one(n) for n in range(people)))


async def measure(people: int, database: str) -> None:
    """Print what each step adds."""
    postgres = Postgres(fsync=True) if database == "postgresql" else None
    redis = RedisServer() if postgres is not None else None
    settings = {
        "CLARION_AUTH_JWT_SECRET": SECRET,
        "CLARION_AUTH_ISSUER": "bench",
        "CLARION_LIMITS_API_REQUESTS": "1000000",
        "CLARION_LOG_LEVEL": "warning",
    }
    if postgres is not None and redis is not None:
        settings["CLARION_DATABASE_URL"] = await postgres.new_database()
        settings["CLARION_REDIS_URL"] = redis.url
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), **settings) as server:
        url = settings.get("CLARION_DATABASE_URL", "")
        sizes = Sizes(server, lambda: stored_bytes(url, Path(folder)), redis)
        await sizes.begin()
        await fill(server, sizes, people)
        clients = await come(server.port, people)
        await asyncio.sleep(2)
        await sizes.say("somebody connected, with their inbox", people)
        for client in clients:
            client.close()
    if postgres is not None:
        postgres.remove()


async def stored_bytes(url: str, folder: Path) -> int:
    """The size of the database."""
    if not url:
        db = apsw.Connection(str(folder / "data/clarion.db"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return int(db.pragma("page_count")) * int(db.pragma("page_size"))
        finally:
            db.close()
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT pg_database_size(current_database())"))
    finally:
        await connection.close()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    given = parser.parse_args()
    asyncio.run(measure(given.people, given.database))


if __name__ == "__main__":
    main()
