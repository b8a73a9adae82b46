"""A client that comes back, as the official one does it: it remembers `pid`, and of any event the last argument if that is text."""

import json
from typing import Any

from clarion.realtime import Server
from tests.support.memory_transport import Kind, MemoryClient


class Returning:
    """One client of a namespace over all of its connections, in memory."""

    def __init__(self, server: Server, namespace: str = "/", **auth: Any) -> None:
        self.server, self.namespace, self.auth = server, namespace, auth
        self.pid: str | None = None
        self.offset: str | None = None
        self.sid = ""
        self.recovered = False
        self.frames: list[Any] = []
        """All that came over the present connection behind the handshake."""
        self.events: list[list[Any]] = []
        """What came in all, without offsets."""

    @property
    def _prefix(self) -> str:
        return "" if self.namespace == "/" else self.namespace + ","

    async def connect(self, kind: Kind = Kind.WEBSOCKET) -> "Returning":
        """Come (back); afterwards it has read whatever there was to read."""
        self.client = MemoryClient(self.server, kind)
        self.frames = []
        await self.client.hear()
        known = {"pid": self.pid, "offset": self.offset}
        auth = {key: value for key, value in known.items() if value is not None} | self.auth
        self.client.say(f"40{self._prefix}{json.dumps(auth)}")
        await self.read()
        return self

    async def read(self, count: int | None = None) -> list[Any]:
        """Take what has come, or only the first `count`, of which the others stay unread; returns it."""
        heard = await self.client.hear()
        taken = heard if count is None else heard[:count]
        self.client.transport.sent[:0] = heard[len(taken) :]
        for frame in taken:
            self._take(frame)
        self.frames += taken
        return taken

    def _take(self, frame: Any) -> None:
        if isinstance(frame, bytes):
            return
        kind, rest = frame[:2], frame[2:].removeprefix(self._prefix)
        if kind == "40":
            told = json.loads(rest)
            self.recovered = told.get("pid") is not None and told["pid"] == self.pid
            self.sid, self.pid = told["sid"], told.get("pid")
        elif (
            kind == "42" and rest[:1] == "["
        ):  # with a number before it is a question, whose last argument is the answering function
            event = json.loads(rest)
            if isinstance(event[-1], str):
                self.offset = event.pop()
            self.events.append(event)

    def cut(self) -> None:
        """The connection breaks; what was not read is lost."""
        self.client.lose()

    @property
    def closed(self) -> Any:
        """With what its connection was closed."""
        return self.client.transport.closed
