"""Schedules come round once, though the process is killed in the middle of it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from clarion.clock import SystemClock, as_datetime
from tests.support.server import Server, until

EACH = 12  # schedules that are due at one moment
STEPS = [{"inbox": {"title": "{{ payload.n }}"}}]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(
        tmp_path,
        module="tests.chaos.points",
        PYTHONPATH=f"{Path.cwd()}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    )
    yield server
    server.close()


def test_each_occurrence_is_triggered_once_whenever_the_process_is_killed(server: Server) -> None:
    """It dies with all that are due in hand and none of them written; the next one between two of those that are due later."""
    server.environment["CLARION_CRASH_AT"] = "schedules-claimed:1"
    server.start()
    ann = server.register("ann")["access_token"]
    key = server.key("workflows:*", "notifications:send")
    assert server.put("/v1/workflows/w", {"workflow": "w", "steps": STEPS}, token=key).is_success

    def put(first: int) -> None:
        at = as_datetime(SystemClock().now_ms() + 2_500).isoformat()
        for n in range(first, first + EACH):
            trigger = {"workflow": "w", "recipients": ["ann"], "payload": {"n": n}}
            body = {"trigger": trigger, "when": {"at": at}}
            assert server.put(f"/v1/schedules/s{n}", body, token=key).is_success

    def inbox() -> list[int]:
        page = server.get("/v1/inbox?limit=100", token=ann).json()
        return sorted(int(item["title"]) for item in page["items"])

    put(0)
    until(lambda: not server.is_running)
    server.environment["CLARION_CRASH_AT"] = f"accepted:{EACH + 5}"
    server.start()
    until(lambda: len(inbox()) >= EACH)
    assert inbox() == list(range(EACH))
    put(EACH)
    until(lambda: not server.is_running)
    del server.environment["CLARION_CRASH_AT"]
    server.start()
    until(lambda: len(inbox()) >= 2 * EACH)
    assert inbox() == list(range(2 * EACH))
    for n in range(2 * EACH):
        told = server.get(f"/v1/schedules/s{n}/occurrences", token=key).json()["items"]
        assert [each["outcome"] for each in told] == ["triggered"]
