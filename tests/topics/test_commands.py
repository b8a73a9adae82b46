"""Commands of a socket: each has its right, its form, its limit, and an ack that says what is wrong."""

import asyncio
from functools import partial
from typing import Any

import msgspec
import pytest

from clarion.auth.principal import Principal
from clarion.auth.rights import Public
from clarion.errors import UndeclaredRight
from clarion.settings import Limits
from clarion.topics.arguments import RoomArgs, TopicArgs
from clarion.topics.commands import COMMANDS, Commands, command
from clarion.topics.kinds import Topic
from tests.topics.fakes import Bench, Socket, settle

LIMITS = Limits(commands_per_s=50, rooms=3, topics=2, name_bytes=20)


class Desk:
    """Commands of one socket, whose principal a test may change."""

    def __init__(self) -> None:
        self.bench = Bench(LIMITS)
        self.principal: Principal | None = Principal(
            id="ada", rooms={"chat-*": ("join",)}, topics={"sum:*": ("subscribe",)}
        )
        self.commands = Commands(
            self.bench.engine,
            self.bench.topics,
            lambda socket: self.principal,
            LIMITS,
            clock=self.bench.clock,
        )
        self.socket = Socket("s")
        self.commands.connected(self.socket)

    async def ask(self, name: str, *args: Any) -> Any:
        """The ack as the client gets it."""
        answer = await self.commands.run(self.socket, name, *args)
        value = msgspec.json.decode(msgspec.json.encode(answer.value))
        if answer.then is not None:
            answer.then()
        return value

    async def error(self, name: str, *args: Any) -> Any:
        answer = await self.ask(name, *args)
        assert list(answer) == ["error"]
        return answer["error"]


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_subscribe_and_unsubscribe(desk: Desk) -> None:
    answer = await desk.ask("subscribe", {"topic": "own:ada"})
    assert answer["snapshot"] == 0
    assert answer["recovered"] is False
    topic = Topic("default", "own", "ada")
    await desk.bench.publish(topic, 1)
    await settle()
    assert desk.socket.offsets == [1]
    assert await desk.ask("unsubscribe", {"topic": "own:ada"}) == {"topic": "own:ada"}
    await desk.bench.publish(topic, 1)
    await settle()
    assert desk.socket.offsets == [1]


async def test_coming_back_with_a_position(desk: Desk) -> None:
    first = await desk.ask("subscribe", {"topic": "own:ada"})
    since = {key: first[key] for key in ("epoch", "offset", "mark")}
    answer = await desk.ask("subscribe", {"topic": "own:ada", "since": since, "params": None})
    assert (answer["recovered"], answer["publications"]) == (True, [])


async def test_join_and_leave_what_the_token_grants(desk: Desk) -> None:
    assert await desk.ask("join", {"room": "chat-1"}) == {"room": "chat-1"}
    assert list(desk.socket.rooms) == ["chat-1"]
    assert await desk.ask("leave", {"room": "chat-1"}) == {"room": "chat-1"}
    assert list(desk.socket.rooms) == []
    error = await desk.error("join", {"room": "other"})
    assert error["code"] == "forbidden"


async def test_a_room_of_another_tenant_is_another_room(desk: Desk) -> None:
    desk.principal = Principal(id="ada", tenant="acme", rooms={"chat-*": ("join",)})
    assert await desk.ask("join", {"room": "chat-1"}) == {"room": "chat-1"}
    assert list(desk.socket.rooms) == ["acme|chat-1"]
    await desk.ask("leave", {"room": "chat-1"})
    assert list(desk.socket.rooms) == []


async def test_rooms_of_the_server_are_not_for_commands(desk: Desk) -> None:
    """A token that grants everything still joins no `user:` room, crosses no tenant, and takes the socket out of none."""
    desk.principal = Principal(id="ada", rooms={"*": ("join",), "*:*": ("join",)})
    for room in ("user:bob", "acme|chat"):
        assert (await desk.error("join", {"room": room}))["code"] == "invalid"
    desk.socket.join("user:ada")
    await desk.ask("leave", {"room": "user:ada"})
    assert list(desk.socket.rooms) == ["user:ada"]


@pytest.mark.parametrize(
    ("args", "pointer"),
    [
        ((), ""),
        (({"topic": "own:ada"}, 2), ""),
        (("own:ada",), ""),
        (({},), "/topic"),
        (({"topic": 5},), "/topic"),
        (({"topic": ""},), "/topic"),
        (({"topic": "own:" + "x" * 17},), "/topic"),
        (({"topic": "own:\x00"},), "/topic"),
        (({"topic": "own:\ud83d"},), "/topic"),
        (({"topic": "own:ada", "more": 1},), "/more"),
        (({"topic": "own:ada", "\ud83d": 1},), ""),
        (
            ({"topic": "own:ada", "since": {"epoch": "a", "offset": -1, "mark": 0}},),
            "/since/offset",
        ),
        (({"topic": "own:ada", "since": {"epoch": "a", "offset": 1}},), "/since/mark"),
        (
            ({"topic": "own:ada", "since": {"epoch": "a", "offset": 1, "mark": 1 << 32}},),
            "/since/mark",
        ),
        (({"topic": "own:ada", "params": []},), "/params"),
    ],
)
async def test_a_wrong_form_is_said_with_its_place(desk: Desk, args: Any, pointer: str) -> None:
    error = await desk.error("subscribe", *args)
    assert error["code"] == "invalid"
    assert [fault["pointer"] for fault in error["errors"]] == [pointer]


@pytest.mark.parametrize("name", ["x" * 21, "a\x00", "\ud83d"])
async def test_what_no_topic_or_room_can_be_called_is_refused_by_every_command(
    desk: Desk, name: str
) -> None:
    """Nor is it given back: an answer is never longer than a name may be."""
    for name_of, member in {"unsubscribe": "topic", "join": "room", "leave": "room"}.items():
        error = await desk.error(name_of, {member: name})
        assert (error["code"], error["errors"][0]["pointer"]) == ("invalid", f"/{member}")


async def test_what_names_no_topic_is_invalid_an_unknown_kind_is_not_found(desk: Desk) -> None:
    assert (await desk.error("subscribe", {"topic": "ada"}))["code"] == "invalid"
    assert (await desk.error("subscribe", {"topic": "sum:*"}))["code"] == "invalid"
    assert (await desk.error("subscribe", {"topic": "no:ada"}))["code"] == "not_found"


async def test_nobody_reads_what_is_not_theirs(desk: Desk) -> None:
    assert (await desk.error("subscribe", {"topic": "own:bob"}))["code"] == "forbidden"
    assert not desk.bench.log.reading.is_set()


@pytest.mark.parametrize("name", list(COMMANDS))
async def test_every_command_is_for_signed_in_users(desk: Desk, name: str) -> None:
    args = {"room": "chat-1"} if COMMANDS[name].args is RoomArgs else {"topic": "own:ada"}
    for principal, code in (
        (None, "unauthenticated"),
        (Principal(id="ada", kind="key", rooms={"*": ("join",)}), "forbidden"),
        (Principal(id="ada", expires_ms=desk.bench.clock.now_ms()), "token_expired"),
    ):
        desk.principal = principal
        assert (await desk.error(name, args))["code"] == code
    assert list(desk.socket.rooms) == []


async def test_limits_hold_at_n_and_n_plus_one(desk: Desk) -> None:
    for number in (1, 2, 3, 3):
        await desk.ask("join", {"room": f"chat-{number}"})
    error = await desk.error("join", {"room": "chat-4"})
    assert (error["code"], error["limit"]) == ("too_many", 3)
    for number in (1, 2):
        assert "snapshot" in await desk.ask("subscribe", {"topic": f"sum:{number}"})
    error = await desk.error("subscribe", {"topic": "sum:3"})
    assert (error["code"], error["limit"]) == ("too_many", 2)
    longest = "chat-" + "x" * 15
    await desk.ask("leave", {"room": "chat-1"})
    assert await desk.ask("join", {"room": longest}) == {"room": longest}
    assert (await desk.error("join", {"room": longest + "x"}))["code"] == "invalid"


async def test_commands_have_a_rate(desk: Desk) -> None:
    """A burst of twice the rate, then as many as the rate gives back; the answer says when."""
    for _ in range(100):
        assert "topic" in await desk.ask("unsubscribe", {"topic": "own:ada"})
    error = await desk.error("unsubscribe", {"topic": "own:ada"})
    assert error["code"] == "rate_limited"
    assert error["retry_after"] == pytest.approx(0.02)
    desk.bench.clock.advance(0.02)
    assert "topic" in await desk.ask("unsubscribe", {"topic": "own:ada"})
    desk.bench.clock.advance(3600)
    for _ in range(100):
        await desk.ask("unsubscribe", {"topic": "own:ada"})
    assert (await desk.error("unsubscribe", {"topic": "own:ada"}))["code"] == "rate_limited"


async def test_a_bug_is_told_without_detail(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.bench.engine, "unsubscribe", lambda *args: 1 / 0)
    error = await desk.error("unsubscribe", {"topic": "own:ada"})
    assert error == {"code": "internal", "message": "Something went wrong"}


async def test_a_socket_that_is_gone_leaves_nothing(desk: Desk) -> None:
    await desk.ask("subscribe", {"topic": "own:ada"})
    desk.commands.disconnected(desk.socket)
    await desk.bench.engine.check_positions()
    assert desk.bench.log.asked == []
    assert (await desk.error("leave", {"room": "x"}))["code"] == "conflict"


def test_a_command_without_a_right_does_not_start() -> None:
    for right in (None, Public(reason="a test")):
        with pytest.raises(UndeclaredRight):
            command("new", right=right, args=TopicArgs)  # type: ignore[arg-type]
    assert "new" not in COMMANDS


async def test_nothing_overtakes_the_ack(desk: Desk) -> None:
    """What was announced while the log was read leaves behind the ack, in the same breath."""

    handlers: dict[str, Any] = {}

    class Namespace:
        def on(self, event: str, handler: Any, /) -> None:
            assert event == "connection"
            handler(desk.socket)

        def handle(self, event: str, handler: Any, /) -> None:
            handlers[event] = partial(handler, desk.socket)

    desk.commands.install(Namespace())
    assert set(handlers) == {*COMMANDS, "disconnect"}
    order: list[Any] = []
    desk.socket.deliver = lambda prepared: order.append(prepared[0])  # type: ignore[method-assign]
    log, topic = desk.bench.log, Topic("default", "own", "ada")
    log.gate = asyncio.Event()
    handling = asyncio.get_running_loop().create_task(
        handlers["subscribe"]({"topic": "own:ada"}, ack=lambda *_: order.append("ack"))
    )
    await log.reading.wait()
    await desk.bench.publish(topic, 1, 2)
    await settle()
    assert order == []
    log.gate.set()
    await handling
    assert order == ["ack", "publication", "publication"]
    await handlers["unsubscribe"]({"topic": "own:ada"}, ack=lambda *_: None)
    handlers["disconnect"]("transport close")
    await desk.bench.engine.check_positions()
    assert log.asked == []
