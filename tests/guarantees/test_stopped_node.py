"""Fencing: a process that stood still while others took its work over does nothing with the leases that it has lost."""

import asyncio
import os
import signal
from contextlib import ExitStack
from pathlib import Path

from clarion.clock import SystemClock
from clarion.storage import Store, addresses, open_store, subscribers
from tests.chaos.audit import audit
from tests.chaos.endpoint import Endpoint
from tests.support.redis_server import RedisServer
from tests.support.server import Server, until
from tests.support.services import Postgres

PEOPLE = [f"u{n:02}" for n in range(20)]
STEPS = [
    {"wait": "1s"},
    {"inbox": {"title": "told"}},
    {"webhook": {"event": "told"}},
]
LEASE_S = "3"


def stands_still(server: Server) -> bool:
    """Whether SIGSTOP has reached it."""
    stat = Path(f"/proc/{server.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


async def _fill(store: Store, endpoint: Endpoint) -> None:
    described = [
        subscribers.Described("default", name, "", "", "", "", "", "", at_ms=1) for name in PEOPLE
    ]
    await store.apply(subscribers.DESCRIBE, described)
    rows = [
        addresses.NewAddress(
            "default", addresses.address_id("webhook", url), name, "webhook", url, "", "", 1
        )
        for name, url in ((name, endpoint.url(name)) for name in PEOPLE)
    ]
    await store.apply(addresses.PUT, rows)


async def _open(url: str, folder: Path) -> Store:
    return await open_store(url=url, data_dir=folder, clock=SystemClock())


def test_a_node_that_wakes_up_does_nothing_for_the_leases_it_has_lost(
    tmp_path: Path, postgres: Postgres, redis_server: RedisServer
) -> None:
    """One stands still with runs in hand, the other carries them on and stands still with messages in hand, which the first then sends.

    Awake again, the first writes nothing of its runs, and the second sends nothing: everybody was told once, by each way.
    """
    url = asyncio.run(postgres.new_database())
    with Endpoint() as endpoint, ExitStack() as stack:

        async def fill() -> None:
            store = await _open(url, tmp_path)
            await _fill(store, endpoint)
            await store.close()

        asyncio.run(fill())

        def node(name: str, stops_at: str) -> Server:
            folder = tmp_path / name
            folder.mkdir()
            server = Server(
                folder,
                module="tests.chaos.points",
                PYTHONPATH=f"{Path.cwd()}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
                CLARION_DATABASE_URL=url,
                CLARION_REDIS_URL=redis_server.url,
                CLARION_REDIS_PREFIX="stopped",
                CLARION_AUTH_TOKEN_SECRET="the secret of both processes, of 32 bytes or more",
                CLARION_WEBHOOK_NETWORKS="127.0.0.1/32",
                CLARION_WEBHOOK_PORTS=str(endpoint.port),
                CLARION_WEBHOOK_PER_HOST="64",
                CLARION_CRASH_AT=stops_at,
                CHAOS_BY="STOP",
                CHAOS_LEASE_S=LEASE_S,
            )
            stack.callback(server.close)
            return server.start()

        one = node("one", "runs-claimed:1")
        key = one.key("workflows:*", "notifications:send")
        assert one.put("/v1/workflows/w", {"workflow": "w", "steps": STEPS}, token=key).is_success
        body = {"workflow": "w", "everyone": True}
        assert one.post("/v1/triggers", body, token=key).status_code == 202
        until(lambda: stands_still(one))
        two = node("two", "message-claimed:1")
        until(lambda: stands_still(two))
        assert not endpoint.receipts
        os.kill(one.pid, signal.SIGCONT)
        until(lambda: len(endpoint.receipts) == len(PEOPLE))
        os.kill(two.pid, signal.SIGCONT)
        # What each had in hand when it was stopped comes to its end before it does.
        assert (one.stop(), two.stop()) == (0, 0)

        async def look() -> list[str]:
            store = await _open(url, tmp_path)
            wrong = await audit(store, endpoint.receipts, inbox=1, crashes=0, in_hand=0)
            await store.close()
            return wrong

        assert asyncio.run(look()) == []
        assert set(endpoint.receipts.values()) == {1}
        assert "lease too old to send" in two.log
