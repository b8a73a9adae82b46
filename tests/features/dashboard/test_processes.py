"""A dashboard on two processes that form one server over a real Redis and a real database."""

import asyncio
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

from clarion.client import AsyncClient
from tests.support.redis_server import RedisServer
from tests.support.server import Server, running
from tests.support.services import Postgres

APP = """
import os
from pathlib import Path

ASKED = Path({asked!r})

def setup(app):
    @app.dashboards.source("count")
    async def count(asked):
        with ASKED.open("a") as out:
            out.write(str(os.getpid()) + "\\n")
        return len(ASKED.read_text().splitlines())
"""


async def _until(topic: Any, number: int) -> None:
    """The viewer sees at least that."""
    if topic.items.get("count", {}).get("value", 0) >= number:
        return
    async for _ in topic:
        if topic.items.get("count", {}).get("value", 0) >= number:
            return


async def test_one_process_asks_for_the_viewers_of_both_and_the_other_goes_on_when_it_is_killed(
    tmp_path: Path, redis_server: RedisServer, postgres: Postgres
) -> None:
    """Both show what came; a crossing is told once, whoever asked."""
    asked = tmp_path / "asked"
    settings = {
        "CLARION_REDIS_URL": redis_server.url,
        "CLARION_DATABASE_URL": await postgres.new_database(),
        "CLARION_AUTH_TOKEN_SECRET": "the secret of both processes, of 32 bytes or more",
        "CLARION_DASHBOARDS_LEASE_S": "1",
        "CLARION_DASHBOARDS_CONFLATE_S": "0.05",
    }
    with ExitStack() as stack:
        pair: dict[int, Server] = {}
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            (folder / "counts.py").write_text(APP.format(asked=str(asked)))
            server = stack.enter_context(running(folder, "--app", "counts:setup", **settings))
            pair[server.pid] = server
        first = next(iter(pair.values()))
        ann = first.register("ann")["access_token"]
        me = first.get("/v1/auth/me", token=ann).json()["id"]
        key = first.key("dashboards:*", "topics:*", "notifications:send")
        alert = {"id": "many", "above": 2, "trigger": {"recipients": [me], "title": "Many"}}
        widget = {
            "type": "stat", "id": "count", "alerts": [alert],
            "source": {"function": "count", "every_s": 0.2},
        }  # fmt: skip
        async with AsyncExitStack() as watching, asyncio.timeout(30):
            clients = {
                pid: await watching.enter_async_context(AsyncClient(server.url, key=key))
                for pid, server in pair.items()
            }
            await clients[first.pid].put_dashboard("ops", [widget])
            topics = {
                pid: await watching.enter_async_context(client.topic("dashboard:ops"))
                for pid, client in clients.items()
            }
            for topic in topics.values():
                await _until(topic, 4)
            pids = [int(line) for line in asked.read_text().splitlines()]
            assert len({*pids}) == 1
            other = next(pid for pid in pair if pid != pids[0])
            pair[pids[0]].kill()
            count = len(asked.read_text().splitlines())
            await _until(topics[other], count + 3)
            later = [int(line) for line in asked.read_text().splitlines()[count:]]
            assert {*later} == {other}
            assert topics[other].items["count"]["alerts"]["many"]["state"] == "firing"
            inbox = pair[other].get("/v1/inbox", token=ann).json()["items"]
            assert [message["title"] for message in inbox] == ["Many"]
            assert "Traceback" not in pair[other].log
