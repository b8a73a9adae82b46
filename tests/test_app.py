"""The composition root: what is true of the parts together."""

import asyncio
from pathlib import Path

import httpx
import pytest

from clarion.app import App
from clarion.settings import Settings


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
        app._not_serving = {}
        looking = asyncio.get_running_loop().create_task(app._look())
        await asked.wait()
        app._stopping()
        answer.set()
        await looking
        transport = httpx.ASGITransport(app.asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            assert (await http.get("/readyz")).status_code == 503
