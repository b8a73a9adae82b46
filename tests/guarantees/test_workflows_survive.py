"""Clause 6 for workflows: whenever the process dies, everybody gets each message of a run exactly once."""

import asyncio
from pathlib import Path

from msgspec import Struct

from clarion.clock import SystemClock, pause
from clarion.storage import open_store
from clarion.storage.store import Sql
from tests.support.server import Server

PEOPLE = 1_200  # three slices, the last of them short
PAUSES_S = [0.02, 0.4, 0.15]  # before each kill; starting takes about a second


class Have(Struct, frozen=True):
    """How many people have so many messages."""

    people: int
    messages: int


class Count(Struct, frozen=True):
    """How many rows."""

    count: int


HAVE = Sql(
    """SELECT count(*), n FROM (SELECT usr, count(*) AS n FROM message GROUP BY usr) AS each_one
       GROUP BY n ORDER BY n""",
    Have,
)
HOLES = Sql(
    """SELECT count(*) FROM inbox_head h WHERE h.top <> (SELECT count(*) FROM inbox_change c
       WHERE c.tenant = h.tenant AND c.usr = h.usr)""",
    Count,
)
LEFT = Sql("SELECT count(*) FROM run WHERE status IN ('running', 'collected')", Count)


def test_killed_again_and_again_everybody_gets_each_message_once(tmp_path: Path) -> None:
    """While it is planned, while runs wait, while they go on: at once, after the wait, and the offsets have no hole."""
    server = Server(tmp_path, CLARION_LIMITS_RECIPIENTS=str(PEOPLE)).start()
    try:
        key = server.key("workflows:*", "notifications:send")
        steps = [{"inbox": {"title": "one"}}, {"wait": "1s"}, {"inbox": {"title": "two"}}]
        answer = server.put("/v1/workflows/w", {"workflow": "w", "steps": steps}, token=key)
        assert answer.status_code == 200, answer.text
        people = [{"id": f"u{n:04}"} for n in range(PEOPLE)]
        sent = server.post("/v1/triggers", {"workflow": "w", "recipients": people}, token=key)
        assert sent.status_code == 202, sent.text
        for wait_s in PAUSES_S:
            # Wherever it is by then: a point of our own would be one that we have thought of.
            pause(wait_s)
            server.kill()
            server.start()
        trigger = f"/v1/triggers/{sent.json()['id']}"
        for _ in range(100):
            found = server.get(trigger, token=key).json()
            if found["runs"] == {"done": PEOPLE}:
                break
            pause(0.2)
        assert (found["state"], found["recipients"], found["runs"]) == (
            "planned",
            PEOPLE,
            {"done": PEOPLE},
        )
        assert server.stop() == 0
    finally:
        server.close()
    asyncio.run(_look(tmp_path / "data"))


async def _look(folder: Path) -> None:
    store = await open_store(data_dir=folder, clock=SystemClock())
    try:
        assert await store.fetch(HAVE) == [Have(PEOPLE, 2)]
        assert [row.count for row in await store.fetch(HOLES)] == [0]
        assert [row.count for row in await store.fetch(LEFT)] == [0]
    finally:
        await store.close()
