"""Clause 1 for events: what was answered is on disk and counted, and nothing is counted that is not there."""

import asyncio
import threading
from pathlib import Path

import httpx
from msgspec import Struct

from clarion.clock import SystemClock, pause
from clarion.storage import open_store
from clarion.storage.store import Sql
from tests.support.server import Server

PAUSES_S = [0.6]  # before each kill
TELLERS, BATCH = 3, 50


class Counts(Struct, frozen=True):
    """Events, the sum of their minutes, the and the sum of what people did."""

    rows: int
    minutes: int
    times: int


COUNTS = Sql(
    """SELECT (SELECT count(*) FROM event), (SELECT sum(count) FROM event_minute), (SELECT sum(times) FROM event_person)""",
    Counts,
)


class Id(Struct, frozen=True):
    """An event's id."""

    id: str


IDS = Sql("SELECT id FROM event", Id)


class Teller(threading.Thread):
    """Tells events in batches, each batch until it is answered."""

    def __init__(self, server: Server, key: str, number: int) -> None:
        super().__init__()
        self._server, self._key, self._number = server, key, number
        self.answered: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        """Until it is told to stop."""
        batch = 0
        while not self.stopping.is_set():
            ids = [f"{self._number}-{batch}-{n}" for n in range(BATCH)]
            events = [{"event": "a", "user": f"u{n}", "id": id} for n, id in enumerate(ids)]
            try:
                answer = self._server.post("/v1/events", {"events": events}, token=self._key)
            except httpx.TransportError:
                pause(0.05)  # it was killed: the same again, once it is back
                continue
            if answer.status_code == 200:
                self.answered += ids
                batch += 1


def test_counts_are_exact_whenever_the_process_is_killed(tmp_path: Path) -> None:
    """While several tell events in batches, and repeat what was not answered: each id once, counts as rows, all that was answered."""
    server = Server(tmp_path, CLARION_LIMITS_API_REQUESTS="1000000").start()
    tellers: list[Teller] = []
    try:
        key = server.key("events:write")
        tellers = [Teller(server, key, n) for n in range(TELLERS)]
        for teller in tellers:
            teller.start()
        for wait_s in PAUSES_S:
            pause(wait_s)
            server.kill()
            server.start()
        pause(0.3)
        for teller in tellers:
            teller.stopping.set()
        for teller in tellers:
            teller.join()
        assert server.stop() == 0
    finally:
        for teller in tellers:
            teller.stopping.set()
        server.close()
    answered = [id for teller in tellers for id in teller.answered]
    asyncio.run(_look(tmp_path / "data", answered))


async def _look(folder: Path, answered: list[str]) -> None:
    store = await open_store(data_dir=folder, clock=SystemClock())
    try:
        [counts] = await store.fetch(COUNTS)
        assert counts.rows == counts.minutes == counts.times
        there = {row.id for row in await store.fetch(IDS)}
        assert len(answered) > TELLERS * BATCH
        assert set(answered) <= there
    finally:
        await store.close()
