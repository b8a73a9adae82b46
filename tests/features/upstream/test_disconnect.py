"""A disconnect reaches the application, whatever happens to it or to Clarion meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from clarion.app import App
from clarion.features.upstream import DISCONNECT_JOB
from clarion.settings import Auth, Settings, Upstream
from clarion.storage import Sql
from clarion.topics import SignedIn
from tests.support.memory_transport import MemoryClient
from tests.support.server import free_port


class Row(Struct, frozen=True):
    id: str


JOBS = Sql(f"SELECT id FROM job WHERE kind = '{DISCONNECT_JOB}'", Row)


class Application:
    """Keeps what it was asked; answers as a test wants, None: not at all."""

    def __init__(self) -> None:
        self.port = free_port()
        self.asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.answer: dict[str, Any] | None = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            requests = json.loads(await reader.readexactly(size))["requests"]
            for request in requests:
                self.asked.put_nowait(request)
            if self.answer is None:
                await reader.read()  # until the caller gives up
            else:
                body = json.dumps({"answers": [self.answer] * len(requests)}).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
                    % (len(body), body)
                )
                await writer.drain()
        finally:
            writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with await asyncio.start_server(self.serve, "127.0.0.1", self.port):
            yield


def clarion(folder: Path, application: Application) -> App:
    def setup(app: App) -> None:
        app.topics.add("log", "stream", rights={"subscribe": SignedIn()})

    upstream = Upstream(
        url=f"http://127.0.0.1:{application.port}/",
        secret="a-secret-of-24-characters",
        events=[],
        disconnect=True,
        timeout_s=20,
    )
    return App(
        Settings(data_dir=str(folder), auth=Auth(open_namespaces=["/"]), upstream=upstream), setup
    )


async def come_and_go(app: App) -> str:
    """A client that connects and closes; returns its socket's id."""
    client = MemoryClient(app.io)
    await client.hear()
    client.say("40")
    [answer] = await client.hear()
    client.say("41")
    sid: str = json.loads(str(answer)[2:])["sid"]
    return sid


async def test_an_application_that_is_down_is_told_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is back; and what it answers is done, as far as it is not about the socket."""
    monkeypatch.setattr("clarion.jobs.queue.BACKOFF_S", 0.02)
    monkeypatch.setattr("clarion.features.upstream.breaker.FIRST_S", 0.05)
    application = Application()
    application.answer = {
        "join": ["r"],
        "emit": [{"event": "left"}, {"event": "left", "everyone": True}],
        "publish": [{"topic": "log:a", "event": "left"}],
    }
    async with clarion(tmp_path, application) as app:
        sid = await come_and_go(app)
        stays = MemoryClient(app.io)
        await stays.hear()
        stays.say("40")
        await stays.hear()
        async with asyncio.timeout(20):
            while not await app.store.fetch(JOBS):  # noqa: ASYNC110  a row is no event
                await asyncio.sleep(0.01)
        async with application.running():
            asked = await application.asked.get()
            assert (asked["type"], asked["socket"]["id"]) == ("disconnect", sid)
            assert [str(each) for each in await stays.hear()] == ['42["left"]']
            async with asyncio.timeout(20):
                while await app.store.fetch(JOBS):  # noqa: ASYNC110  likewise
                    await asyncio.sleep(0.01)
            assert application.asked.empty()
        [entry] = (
            await app.topics.of("log:a").kind.log.read(app.topics.of("log:a").topic, 0, 9)
        ).entries
        assert entry.event == "left"


async def test_the_next_process_tells_what_this_one_could_not(tmp_path: Path) -> None:
    """It stops while the application has not answered yet."""
    application = Application()
    application.answer = None
    async with application.running():
        async with clarion(tmp_path, application) as app:
            sid = await come_and_go(app)
            assert (await application.asked.get())["socket"]["id"] == sid
        application.answer = {}
        async with clarion(tmp_path, application):
            assert (await application.asked.get())["socket"]["id"] == sid
