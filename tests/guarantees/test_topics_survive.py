"""Clauses 1, 2 and 4 for durable topics: what was answered survives `kill -9` at its offset, a repeated call has one effect, no gap."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.server import Server

WRITERS = 6
BEFORE_THE_KILL = 100  # answered publications, over all writers
TOPIC = "/v1/topics/ledger%3Aa/publications"
FLAGS = ("--app", "ledgers:setup")
APP = """
from clarion.topics import SignedIn

def setup(app):
    app.topics.add("ledger", "stream", rights={"subscribe": SignedIn()}, durability="durable")
"""


class Writer(threading.Thread):
    """Publishes, each time under an id of its own, until the server is gone; remembers what was answered."""

    def __init__(self, server: Server, key: str, name: str, enough: threading.Semaphore) -> None:
        super().__init__(daemon=True)
        self._server, self._key, self._name, self._enough = server, key, name, enough
        self.answered: dict[str, tuple[str, int]] = {}
        self.unsure = ""

    def publish(self, id: str) -> dict[str, Any]:
        body = {"event": "said", "data": id, "id": id}
        answer = self._server.post(TOPIC, body, token=self._key)
        assert answer.status_code in {200, 201}, answer.text
        told: dict[str, Any] = answer.json()
        assert told["class"] == "durable"
        return told

    def run(self) -> None:
        n = 0
        while True:
            n += 1
            id = f"{self._name}-{n}"
            try:
                told = self.publish(id)
            except httpx.TransportError:
                self.unsure = id
                return
            self.answered[id] = told["epoch"], told["offset"]
            self._enough.release()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "ledgers.py").write_text(APP)
    server = Server(tmp_path)
    yield server.start(*FLAGS)
    server.close()


def test_no_answered_publication_is_lost_and_none_is_doubled(server: Server) -> None:
    """Killed under load, the log has each answered publication once, at the offset that was told, in one epoch, without a gap."""
    key = server.key("topics:publish", "topics:read")
    answered: dict[str, tuple[str, int]] = {}
    enough = threading.Semaphore(0)
    writers = [Writer(server, key, f"w{i}", enough) for i in range(WRITERS)]
    for writer in writers:
        writer.start()
    for _ in range(BEFORE_THE_KILL):
        assert enough.acquire(timeout=30)
    server.kill()
    for writer in writers:
        writer.join(30)
    server.start(*FLAGS)
    for writer in writers:
        answered |= writer.answered
        # The caller cannot know: it asks again, with the same id.
        first, second = writer.publish(writer.unsure), writer.publish(writer.unsure)
        assert (first["epoch"], first["offset"]) == (second["epoch"], second["offset"])
        assert second["dropped"] == "duplicate"
        answered[writer.unsure] = first["epoch"], first["offset"]
    log = server.get(f"{TOPIC}?after=0&limit=1000", token=key).json()
    assert [item["offset"] for item in log["items"]] == list(range(1, log["offset"] + 1))
    assert {item["data"]: (log["epoch"], item["offset"]) for item in log["items"]} == answered
