"""Something that a client takes for a Redis, and that says what a test wants, when it wants it."""

import asyncio

GREETING = b"%1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n"


class FakeRedis:
    """One connection at a time on a port of its own.

    Args:
        greeting: Its answer to the first command, which introduces the client.
    """

    def __init__(self, greeting: bytes = GREETING) -> None:
        self._greeting = greeting
        self._heard = b""
        self._changed = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None
        self.lost = asyncio.Event()
        """The client has gone."""
        self.url = ""

    async def __aenter__(self) -> "FakeRedis":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        if self._writer is not None:
            self._writer.close()
        await self._server.wait_closed()

    async def asks(self, text: str) -> None:
        """Return when the client has sent something that has this text in it; heard once, it is forgotten."""
        async with asyncio.timeout(5):
            while text.encode() not in self._heard:
                self._changed.clear()
                await self._changed.wait()
        self._heard = self._heard.split(text.encode(), 1)[1]

    def say(self, data: bytes) -> None:
        """Send bytes."""
        assert self._writer is not None
        self._writer.write(data)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer, self._heard = writer, b""
        self.lost.clear()
        await reader.read(1000)
        writer.write(self._greeting)
        try:
            while data := await reader.read(1000):
                self._heard += data
                self._changed.set()
        except ConnectionResetError:
            pass
        writer.close()
        self.lost.set()
