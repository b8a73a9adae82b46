"""A real HTTP server of somebody else's: it answers what a test lists, and remembers what it was asked."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web


class HttpTarget:
    """Answers in their order, the last one again and again.

    Attributes:
        answers: Status and body of each.
        calls: Method, path and body of what it was asked; `headers` beside them.
    """

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = [(200, b"{}")]
        self.calls: list[tuple[str, str, bytes]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        [address] = self._runner.addresses
        self.url = f"http://127.0.0.1:{address[1]}"

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.calls.append((request.method, request.path_qs, await request.read()))
        self.headers.append(dict(request.headers))
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=status, body=body, content_type="application/json")


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    """One that runs. A test that asks for it imports it."""
    target = HttpTarget()
    await target.start()
    yield target
    await target.close()
