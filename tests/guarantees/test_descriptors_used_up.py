"""What happens to a server whose limit on open files is reached."""

import asyncio
import os
from pathlib import Path
from typing import Any

import httpx

from tests.support.quick_client import Client
from tests.support.quick_wire import Refused
from tests.support.raw_client import RawClient, hang_up
from tests.support.server import Server, until

FILES, MEMBERS = 180, 10
APP = """
def setup(app):
    app.io.of("/").handle("say", lambda _, said: said)
"""


def descriptors(server: Server) -> int:
    """How many it has open."""
    return len(os.listdir(f"/proc/{server.pid}/fd"))


async def fill(server: Server) -> tuple[list[Client], Refused]:
    """Come until somebody is refused; returns who got in, and what the first who did not was told."""
    found: list[Client] = []
    while True:
        try:
            found.append(await Client(server.port).open())
        except Refused as why:
            return found, why


async def still_speaks(members: list[Client]) -> bool:
    """Whether each of them is answered."""
    told = await asyncio.gather(*[each.ask("say", n) for n, each in enumerate(members)])
    return told == [[n] for n in range(len(members))]


async def test_who_is_in_stays_and_who_comes_is_told_to_come_later(tmp_path: Path) -> None:
    """New connections are 503 with a time to come back, while sessions, writes, probes and the operator go on; what is freed is taken again.

    Connections that say nothing do not get at what is kept for everything else, and in the end as many are open as before.
    """
    (tmp_path / "echo.py").write_text(APP)
    bounded = ("prlimit", f"--nofile={FILES}:{FILES}")
    server = Server(tmp_path, before=bounded, CLARION_AUTH_OPEN_NAMESPACES="/")
    async with httpx.AsyncClient(base_url=server.url) as kept:
        try:
            await asyncio.to_thread(server.start, "--app", "echo:setup")
            await _use_up(server, kept)
        finally:
            server.close()
    assert server.log.count("connections are refused") == 1


async def _use_up(server: Server, kept: httpx.AsyncClient) -> None:
    key = server.key("notifications:send")
    send: dict[str, Any] = {
        "url": "/v1/notifications",
        "json": {"recipients": [{"id": "ann"}], "title": "Hi"},
        "headers": {"authorization": f"Bearer {key}"},
    }
    assert (await kept.post(**send)).status_code == 202
    before = descriptors(server)
    members = [await Client(server.port).connect() for _ in range(MEMBERS)]
    others, why = await fill(server)
    assert why.status == 503
    refused = server.get("/socket.io/?EIO=4&transport=polling")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")

    silent = [await RawClient(server.port).dial() for _ in range(FILES)]
    await asyncio.to_thread(until, lambda: any(reader.at_eof() for reader, _ in silent))
    assert descriptors(server) < FILES
    assert (await kept.post(**send)).status_code == 202
    assert server.key("messages:read")
    assert await still_speaks(members)
    for _, writer in silent:
        await hang_up(writer)

    await asyncio.to_thread(until, lambda: server.get("/livez").status_code == 200)
    assert (await fill(server))[0] == []
    for each in others:
        each.reset()
    again = await _come(server, len(others))
    assert await still_speaks(again)
    for each in [*members, *again]:
        each.reset()
    await asyncio.to_thread(until, lambda: descriptors(server) <= before)


async def _come(server: Server, count: int) -> list[Client]:
    """As many as were there, as soon as they may."""
    found: list[Client] = []
    while len(found) < count:
        try:
            found.append(await Client(server.port).connect())
        except Refused:
            await asyncio.sleep(0)
    return found
