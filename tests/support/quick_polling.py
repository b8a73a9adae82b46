"""The polling transport of the quick client."""

import asyncio
import base64
from typing import Protocol

from clarion.telemetry import spawn
from tests.support.quick_wire import HttpLine, Refused


class Owner(Protocol):
    """Whose transport it is."""

    sid: str
    max_payload: int

    def take(self, message: str | bytes) -> None:
        """A message came."""
        ...

    def end(self, code: int) -> None:
        """The session is over."""
        ...


class Polled:
    """The polling transport of one session: one GET at a time, one POST at a time."""

    def __init__(self, client: Owner, target: str, getting: HttpLine, posting: HttpLine) -> None:
        self._client, self.getting, self.posting = client, getting, posting
        self._target = target
        self._at_rest = asyncio.Event()
        self._is_leaving = self._is_ending = False
        self.outbox: list[str | bytes] = []
        self._poller: asyncio.Task[None] | None = None
        self._poster: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Open the session and begin to poll."""
        status, body = await self.getting.ask("GET", self._target)
        if status != 200:
            self.hang_up()
            raise Refused(status, body)
        self._take(body)
        self._target += f"&sid={self._client.sid}"
        self._poller = spawn(self._poll(), name="client polls")

    async def rest(self) -> None:
        """Return once neither GET nor POST is under way; no other one will begin."""
        self._is_leaving = True
        if self._poster is not None:
            await self._poster
        await self._at_rest.wait()

    def end(self) -> None:
        """End the session in words; the server lets go of the last GET with `6`."""
        self._is_ending = True
        self.say("1")

    def hang_up(self) -> None:
        """End both connections."""
        for line in (self.getting, self.posting):
            if line.transport is not None:
                line.transport.close()

    def say(self, message: str | bytes) -> None:
        """Send with the next POST."""
        self.outbox.append(message)
        if (self._poster is None or self._poster.done()) and not self._is_leaving:
            self._poster = spawn(self._post(), name="client posts")

    async def _poll(self) -> None:
        while not self._is_leaving:
            try:
                status, body = await self.getting.ask("GET", self._target)
            except ConnectionResetError:
                break
            if status != 200:
                break
            if self._take(body) or (self._is_ending and body.endswith(b"6")):
                break
        if self._is_leaving:
            self._at_rest.set()
        else:
            if self._poster is not None:
                await self._poster
            self._client.end(0)
            self.hang_up()

    async def _post(self) -> None:
        while self.outbox and not self._is_leaving:
            body = self._next_body()
            try:
                status, _ = await self.posting.ask("POST", self._target, body)
            except ConnectionResetError:
                return
            if status != 200:
                return

    def _next_body(self) -> bytes:
        """As many messages as the server takes at once, as the official client does; one that is too large by itself goes alone."""
        body = _text(self.outbox.pop(0)).encode()
        while self.outbox:
            longer = body + b"\x1e" + _text(self.outbox[0]).encode()
            if len(longer) > self._client.max_payload:
                break
            body = longer
            del self.outbox[0]
        return body

    def _take(self, body: bytes) -> bool:
        """Hand on what came; True if that was the end."""
        for each in body.decode().split("\x1e"):
            if each == "1":
                return True
            self._client.take(_bytes(each[1:]) if each[0] == "b" else each)
        return False


def _text(message: str | bytes) -> str:
    return message if isinstance(message, str) else "b" + base64.b64encode(message).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
