"""Sockets at a server whose topics are in a store, and what a client makes of what it is sent."""

from typing import Any

import msgspec

from clarion.auth.principal import Principal
from clarion.client.following import patched
from clarion.settings import Limits
from clarion.topics import Granted
from clarion.topics.commands import Commands
from clarion.topics.stream import Entry
from tests.support.subscribers import state_after
from tests.topics.fakes import Bench, Socket, settle

LIMITS = Limits(
    topics=20, publication_bytes=200, topic_keys=5, owned_s=0.9, commands_per_s=1_000,
    recovery_publications=100,
)  # fmt: skip


ADA = Principal(
    id="ada", topics={"board:*": ("subscribe", "publish"), "chat:*": ("subscribe", "publish")}
)


OWNER = Principal(id="ada", topics=dict.fromkeys(("desk:*", "hall:*"), ("subscribe", "publish")))


ANYBODY = {"subscribe": Granted(), "publish": Granted()}
RED, BLUE = {"team": "red"}, {"team": "blue"}


class Clients:
    """Sockets at a server, and the commands that they give."""

    commands: Commands

    def socket(self, id: str = "s") -> Socket:
        made = Socket(id)
        self.commands.connected(made)
        return made

    async def ask(self, socket: Socket, command: str, topic: str, **more: Any) -> Any:
        answer = await self.commands.run(socket, command, {"topic": topic, **more})
        value = msgspec.json.decode(msgspec.json.encode(answer.value))
        if answer.then is not None:
            answer.then()
        await settle()
        return value

    async def error(self, socket: Socket, command: str, topic: str, **more: Any) -> Any:
        answer = await self.ask(socket, command, topic, **more)
        assert list(answer) == ["error"], answer
        return answer["error"]


class House(Clients):
    """Sockets of Ada's at a server with a kind of each shape."""

    def __init__(self) -> None:
        self.bench = Bench(LIMITS)
        self.topics = self.bench.topics
        self.board = self.topics.add("board", "map", rights=ANYBODY)
        self.chat = self.topics.add("chat", "stream", rights=ANYBODY)
        self.commands = Commands(
            self.bench.engine, self.topics, lambda _: ADA, LIMITS, clock=self.bench.clock
        )


class Reader:
    """What a client makes of what it is sent: a state by key, by the rules of the wire."""

    def __init__(self, answer: Any) -> None:
        self.offset = answer["offset"]
        self.state = {item["key"]: item["data"] for item in answer["snapshot"]["items"]}

    def take(self, socket: Socket) -> "Reader":
        for event, data in socket.got:
            assert event == "publication"
            told = data.offset - 1 if data.after is None else data.after
            assert told == self.offset, "a client takes what follows on what it was told"
            self.offset = data.offset
            if not data.event:
                continue
            value = data.data if data.patch is None else patched(self.state[data.key], data.patch)
            entry = Entry(data.offset, data.mark, 0, data.event, value, key=data.key)
            self.state = state_after(self.state, [entry])
        socket.got.clear()
        return self


def catch_up(house: House) -> None:
    for each in list(house.bench.engine._books.lagging):
        each.catch_up()
