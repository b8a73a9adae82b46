"""Clauses 1, 2 and 6: what was answered survives `kill -9`, a repeated call has one effect, the inbox is exact."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.server import Server

WRITERS = 8
KILLS = 2
BEFORE_A_KILL = 60  # accepted calls, over all writers


class Sender(threading.Thread):
    """Sends notifications, each with a key of its own, until the server is gone; remembers what was accepted."""

    def __init__(self, server: Server, key: str, name: str, enough: threading.Semaphore) -> None:
        super().__init__(daemon=True)
        self._server, self._key, self._name, self._enough = server, key, name, enough
        self.accepted: dict[str, str] = {}
        self.unsure: list[str] = []

    def send(self, key: str) -> httpx.Response:
        body = {"recipients": ["ann"], "title": key}
        return self._server.post(
            "/v1/notifications", body, token=self._key, **{"Idempotency-Key": key}
        )

    def run(self) -> None:
        n = 0
        while True:
            n += 1
            key = f"{self._name}-{n}"
            try:
                answer = self.send(key)
            except httpx.TransportError:
                self.unsure.append(key)
                return
            assert answer.status_code == 202, answer.text
            self.accepted[key] = answer.json()["id"]
            self._enough.release()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server.start()
    server.close()


def _inbox(server: Server, token: str) -> list[dict[str, str]]:
    items: list[dict[str, str]] = []
    cursor = ""
    while True:
        page = server.get(f"/v1/inbox?limit=100{cursor}", token=token).json()
        items += page["items"]
        if page["next"] is None:
            assert page["unread"] == len(items)
            return items
        cursor = f"&cursor={page['next']}"


def test_nothing_that_was_accepted_is_lost_and_nothing_is_doubled(server: Server) -> None:
    """Killed under load, again and again: every accepted notification is in the inbox once, and so is each repeated one."""
    ann = server.register("ann")
    key = server.key("notifications:send")
    accepted: dict[str, str] = {}
    for kill in range(KILLS):
        enough = threading.Semaphore(0)
        senders = [Sender(server, key, f"k{kill}-w{i}", enough) for i in range(WRITERS)]
        for sender in senders:
            sender.start()
        for _ in range(BEFORE_A_KILL):
            assert enough.acquire(timeout=30)
        server.kill()
        for sender in senders:
            sender.join(30)
        server.start()
        for sender in senders:
            accepted |= sender.accepted
            for unsure in sender.unsure:  # the caller cannot know: it asks again, with the same key
                first, second = sender.send(unsure), sender.send(unsure)
                assert (first.status_code, first.json()) == (202, second.json())
                accepted[unsure] = first.json()["id"]
            for known in list(sender.accepted)[-2:]:
                assert sender.send(known).json()["id"] == accepted[known]
    token = server.post(
        "/v1/auth/login", {"username": "ann", "password": "correct horse battery"}
    ).json()["access_token"]
    items = _inbox(server, token)
    assert sorted(item["title"] for item in items) == sorted(accepted)
    assert {item["title"]: item["notification_id"] for item in items} == accepted
    assert ann["user"]["id"] == "ann"
