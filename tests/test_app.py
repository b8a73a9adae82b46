"""The composition root: what is true of the parts together."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from clarion.app import App, readiness
from clarion.auth import system
from clarion.settings import AdminUi, Auth, Settings
from clarion.topics import SignedIn
from tests.support.asgi_servers import serving_on
from tests.support.memory_transport import MemoryClient
from tests.support.raw_socketio import Wire


async def test_a_stop_is_not_taken_back_by_a_look_at_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it stops, `/readyz` says so, also when the database answers just then: no balancer sends more work."""
    async with App(Settings(data_dir=str(tmp_path / "data"))) as app:
        asked, answer = asyncio.Event(), asyncio.Event()

        async def slow() -> None:
            asked.set()
            await answer.wait()

        monkeypatch.setattr(app.store, "ping", slow)
        looking = asyncio.get_running_loop().create_task(app._probe.look())
        await asked.wait()
        app.stopping()
        answer.set()
        await looking
        transport = httpx.ASGITransport(app.asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            assert (await http.get("/readyz")).status_code == 503


async def test_who_cannot_look_at_the_store_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that fails in a way that nobody has foreseen says so, and is not the last one. The log has a line when it begins, and one when it is over."""
    monkeypatch.setattr(readiness, "PROBE_S", 0.01)
    told: list[str] = []
    for level in ("info", "warning"):
        monkeypatch.setattr(readiness._log, level, lambda event, **_: told.append(event))
    async with App(Settings(data_dir=str(tmp_path / "data"))) as app:
        ping, looks = app.store.ping, asyncio.Queue[None]()

        async def broken() -> None:
            looks.put_nowait(None)
            raise ValueError("nobody knows")

        monkeypatch.setattr(app.store, "ping", broken)
        for _ in range(2):
            await looks.get()
        assert not app.readiness.ready
        monkeypatch.setattr(app.store, "ping", ping)
        async with asyncio.timeout(5):
            while not app.readiness.ready:  # noqa: ASYNC110  the next look is soon
                await asyncio.sleep(0.01)
    assert told == ["not ready: balancers send nobody here", "ready again"]


def open_app(folder: Path, **more: Any) -> App:
    """An app that asks nobody for a token in `/`."""
    return App(Settings(data_dir=str(folder / "data"), auth=Auth(open_namespaces=["/"]), **more))


@pytest.mark.parametrize("kind", ["uvicorn", "hypercorn"])
async def test_the_whole_runs_on_a_foreign_server(tmp_path: Path, kind: str) -> None:
    """Its lifespan opens it and closes it; API, polling and WebSockets are served, and readiness is told."""
    app = open_app(tmp_path)
    async with serving_on(kind, app.asgi) as port:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url) as http:
            assert (await http.get("/readyz")).status_code == 200
            assert (await http.get("/nowhere")).status_code == 404
        wire = Wire(app.io, SimpleNamespace(port=port))
        client, polled = await wire.joined(), await wire.polling()
        await polled.join()
        app.io.emit("hello")
        assert await client.hear() == '42["hello"]'
        assert (await polled.get()).body == b'42["hello"]'
        await wire.hang_up()
    assert not any(each.is_open for each in app.io._sessions.values())
    assert app.readiness.reasons == {"server": "stopping"}


@pytest.mark.parametrize("at", ["/", "/live"])
async def test_the_whole_is_mounted_in_another_application(tmp_path: Path, at: str) -> None:
    """That one's lifespan enters it; under a path everything is below that path."""
    app = open_app(tmp_path)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with app:
            yield

    whole = Starlette(routes=[Mount(at, app.asgi)], lifespan=lifespan)
    async with serving_on("uvicorn", whole) as port:
        wire = Wire(app.io, SimpleNamespace(port=port))
        root = at.rstrip("/").encode()
        assert (await wire.ask("GET", root + b"/readyz")).status == 200
        assert (await wire.ask("GET", root + b"/socket.io/?EIO=4&transport=polling")).status == 200
        socket = await wire.raw.websocket(path=root + b"/socket.io/?EIO=4&transport=websocket")
        assert (await socket.receive())[1].startswith(b"0{")
        await socket.hang_up()


async def test_a_start_that_fails_is_told_to_the_server(tmp_path: Path) -> None:
    """Wrong settings are a message of the lifespan, not a trace."""
    (tmp_path / "data").write_text("in the way")
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    inbox.put_nowait({"type": "lifespan.startup"})
    await open_app(tmp_path).asgi({"type": "lifespan"}, inbox.get, send)
    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]
    assert "data" in sent[0]["message"]


PASSWORD = "correct horse"


async def _knock(app: App, auth: dict[str, str]) -> tuple[MemoryClient, str]:
    """A client that asks to be let into `/admin`, and the answer."""
    client = MemoryClient(app.io)
    await client.hear()
    client.say("40/admin," + json.dumps(auth))
    heard = await client.hear()
    return client, next(str(each) for each in heard if str(each)[:2] in {"40", "44"})


async def test_operators_come_in_by_their_password_and_nobody_else_by_it(tmp_path: Path) -> None:
    """The admin namespace asks for no token; all others still do, and an access token opens it for nobody."""
    settings = Settings(data_dir=str(tmp_path / "data"), admin_ui=AdminUi(password=PASSWORD))
    async with App(settings) as app:
        page, answer = await _knock(app, {"username": "admin", "password": PASSWORD})
        assert answer.startswith("40/admin,")
        page.say('40/clarion,{"username":"admin","password":"correct horse"}')
        assert str((await page.hear())[0]).startswith("44/clarion,")
        body = {"username": "ann", "password": "correct horse battery"}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app.asgi), base_url="http://test"
        ) as http:
            token = (await http.post("/v1/auth/register", json=body)).json()["access_token"]
        _, answer = await _knock(app, {"token": token})
        assert "invalid credentials" in answer


async def test_without_a_password_there_is_no_admin_page(tmp_path: Path) -> None:
    """Neither namespace nor page; and where an application makes such a namespace, it is guarded as all are."""
    folder = str(tmp_path / "data")
    async with App(Settings(data_dir=folder)) as app:
        _, answer = await _knock(app, {"username": "admin", "password": ""})
        assert "Invalid namespace" in answer
        app.io.of("/admin")
        _, answer = await _knock(app, {"username": "admin", "password": ""})
        assert '"code":"unauthenticated"' in answer


async def test_the_api_reaches_no_page_of_an_operator(tmp_path: Path) -> None:
    """A back end can neither speak to it, nor see it, nor put it out: it is of no tenant."""
    settings = Settings(data_dir=str(tmp_path / "data"), admin_ui=AdminUi(password=PASSWORD))
    async with App(settings) as app:
        page, answer = await _knock(app, {"username": "admin", "password": PASSWORD})
        sid = json.loads(answer.removeprefix("40/admin,"))["sid"]
        await page.hear()
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app.local), base_url="http://test")
        body = {"event": "config", "args": [{}], "namespace": "/admin"}
        for path in ("broadcast", f"rooms/{sid}/emit", "users/admin/emit"):
            answered = await http.post(f"/v1/{path}", json=body)
            assert answered.json()["sockets"] == 0, path
        assert (await http.post(f"/v1/sockets/{sid}/emit", json=body)).status_code == 404
        assert (await http.get(f"/v1/sockets/{sid}")).status_code == 404
        assert (await http.delete(f"/v1/sockets/{sid}")).status_code == 404
        assert await page.hear() == []


async def test_durable_topics_outlive_the_server_and_others_say_that_they_do_not(
    tmp_path: Path,
) -> None:
    """After a restart a durable topic goes on in its epoch, with its state; one in memory begins anew, in another epoch."""
    seen: dict[str, list[Any]] = {"desk": [], "hall": []}
    for number in range(2):
        async with open_app(tmp_path) as app:
            rights = {"subscribe": SignedIn()}
            app.topics.add("desk", "map", rights=rights, durability="durable")
            app.topics.add("hall", "map", rights=rights)
            for name, found in seen.items():
                topic = app.topics.of(f"{name}:1")
                published = await topic.set(f"k{number}", number)
                keys = [key for key, _ in (await topic.items()).items]
                found.append((published.durability, published.epoch, published.offset, keys))
    (first, second), (before, after) = seen["desk"], seen["hall"]
    assert (first[0], first[2:]) == ("durable", (1, ["k0"]))
    assert second == ("durable", first[1], 2, ["k0", "k1"])
    assert (before[0], after[2:]) == ("recoverable", (1, ["k1"]))
    assert before[1] != after[1]


async def test_every_process_writes_when_its_keys_were_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that runs no jobs, because another process of the server has them."""
    monkeypatch.setattr("clarion.accounts.upkeep.EVERY_S", 0.01)
    async with open_app(tmp_path) as app:
        await app.worker.close()
        operator = system("tests")
        key = await app.keys.create(operator, "back end", ["topics:read"])
        transport = httpx.ASGITransport(app.asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            headers = {"authorization": f"Bearer {key.key}"}
            assert (await http.get("/v1/topics/x%3Ay", headers=headers)).status_code == 404
        async with asyncio.timeout(5):
            while (await app.keys.list(operator))[0].last_used_at is None:  # noqa: ASYNC110  a row tells nobody
                await asyncio.sleep(0.01)
