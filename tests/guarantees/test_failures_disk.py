"""What happens to a server on SQLite whose disk is full, or fails."""

import asyncio
import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clarion.app import owning
from clarion.settings import Settings
from clarion.storage import Store, open_store
from clarion.storage.sqlite import SqliteStore
from clarion.telemetry import spawn
from tests.support.owner import linked
from tests.support.server import Server, running, until
from tests.support.two_nodes import APP

ROOM = 300_000  # bytes that files may grow


TOPIC = "/v1/topics/ledger%3Aa/publications"


@contextlib.contextmanager
def ledger(folder: Path) -> Iterator[tuple[Server, str]]:
    """A server with a durable topic, and a key for it."""
    (folder / "kinds.py").write_text(APP)
    with running(folder, "--app", "kinds:setup", CLARION_LIMITS_DRAIN_S="1") as server:
        yield server, server.key("topics:publish", "topics:read")


def say(server: Server, key: str, id: str) -> httpx.Response:
    """Publish under an id."""
    body = {"event": "said", "data": [id, "x" * 5_000], "id": id}
    return server.post(TOPIC, body, token=key)


def said(server: Server, key: str) -> list[str]:
    """What the topic has."""
    log = server.get(f"{TOPIC}?after=0&limit=1000", token=key).json()
    return [item["data"][0] for item in log["items"]]


def test_a_full_disk_refuses_writes_until_there_is_room(tmp_path: Path) -> None:
    """507 by name; reading, probing and what was accepted go on, and with room so does writing, without a restart."""
    with ledger(tmp_path) as (server, key):
        accepted = ["first"]
        assert say(server, key, "first").is_success
        largest = max(each.stat().st_size for each in (tmp_path / "data").iterdir())
        limits = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (largest + ROOM, limits[1]))
        while (answer := say(server, key, f"n{len(accepted)}")).is_success:
            accepted.append(f"n{len(accepted)}")
        assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
        assert say(server, key, "again").status_code == 507
        assert server.log.count("nothing can be written") == 1
        assert said(server, key) == accepted
        assert server.get("/livez").status_code == 200
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, limits)
        assert say(server, key, f"n{len(accepted)}").is_success
        assert len(said(server, key)) == len(accepted) + 1
        assert "Traceback" not in server.log


@contextlib.contextmanager
def failing_fsync(server: Server) -> Iterator[None]:
    """Every sync of a process fails with EIO."""
    what = ["-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO"]
    tracer = subprocess.Popen(
        ["strace", "-f", "-q", "-p", str(server.pid), "-o", "/dev/null", *what]
    )
    try:
        status = Path(f"/proc/{server.pid}/status")
        until(lambda: "TracerPid:\t0" not in status.read_text())
        yield
    finally:
        tracer.terminate()
        tracer.wait()


def test_after_a_failed_fsync_the_process_ends(tmp_path: Path) -> None:
    """No write is answered with a yes; the process ends with 74 so that a supervisor starts it anew. All that was accepted is there, and repeating has one effect."""
    with ledger(tmp_path) as (server, key):
        accepted = [f"n{n}" for n in range(20)]
        assert all(say(server, key, id).is_success for id in accepted)
        with failing_fsync(server):
            # What the server writes by itself may be the first that fails.
            with contextlib.suppress(httpx.TransportError):
                answer = say(server, key, "unsure")
                told = answer.status_code, answer.json()["code"]
                assert told in {(503, "outcome_unknown"), (503, "unavailable")}
            assert server.ended(30)
        assert server.stop() == 74
        server.start("--app", "kinds:setup")
        assert [say(server, key, "unsure").is_success for _ in range(2)] == [True, True]
        assert said(server, key) == [*accepted, "unsure"]


async def test_an_owner_whose_sync_has_failed_waits_for_no_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends while they are still connected, so that they have its successor at once."""
    stores: list[Store] = []

    async def opened(**more: Any) -> Store:
        stores.append(await open_store(**more))
        return stores[0]

    monkeypatch.setattr(owning, "open_store", opened)
    monkeypatch.setattr(owning, "LAST_S", 3_600.0)
    settings = Settings(data_dir=str(tmp_path))
    hears, says = os.pipe()
    owner = spawn(owning.own(settings, hears), name="owner")
    try:
        while not owning.owner_socket(settings).exists():  # noqa: ASYNC110  the file system tells nobody
            await asyncio.sleep(0.01)
        async with linked(owning.owner_socket(settings)):
            assert isinstance(stores[0], SqliteStore)
            stores[0].failed.set()
            assert await owner
    finally:
        os.close(hears)
        os.close(says)
