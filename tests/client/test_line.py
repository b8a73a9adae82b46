"""The line of a client that subscribes, and what ends it."""

import asyncio
import json

import httpx
import pytest

from clarion.client.line import NAMESPACE, Line, Lost

OPENED = {"sid": "abcdefghijklmnopqrst", "upgrades": [], "pingInterval": 25_000, "pingTimeout": 20_000}  # fmt: skip


async def test_an_answer_that_cannot_be_read_ends_the_line() -> None:
    """Whoever waits for an event is told, also where something on the way has garbled the body."""
    garbled = httpx.Response(
        200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip")
    )
    answers = iter(["0" + json.dumps(OPENED), f'40{NAMESPACE},{{"sid":"x"}}'])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(200, text="ok")
        text = next(answers, "")
        return httpx.Response(200, text=text) if text else garbled

    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
        line = Line(http)
        await line.open()
        async with asyncio.timeout(5):
            with pytest.raises(Lost):
                await line.event()
        await line.close()
