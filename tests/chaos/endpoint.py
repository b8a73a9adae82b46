"""The other end of a bulk send: it counts what it is posted, by the message's id."""

import asyncio
import contextlib
import threading
from collections import Counter
from typing import Self

from aiohttp import web


class Endpoint:
    """An HTTP server in a thread of its own, which takes every message.

    Attributes:
        receipts: How often each message came.
    """

    def __init__(self) -> None:
        self.receipts: Counter[str] = Counter()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def url(self, user: str) -> str:
        """Where somebody's messages go."""
        return f"http://127.0.0.1:{self.port}/{user}"

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_post("/{user}", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _take(self, request: web.Request) -> web.Response:
        with contextlib.suppress(ConnectionResetError):  # who was posting it has died
            await request.read()
            self.receipts[request.headers["webhook-id"]] += 1
        return web.Response(status=204)
