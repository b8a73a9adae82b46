"""Subscriptions with a token of their own, and those that a token asks for."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from clarion.auth import Principal
from clarion.errors import TokenExpired, Unauthenticated
from clarion.settings import Limits
from clarion.topics import Granted, Kind, SignedIn, Topic
from clarion.topics.commands import Commands
from clarion.topics.ending import PRUNED_FROM
from tests.topics.fakes import Bench, Socket, settle

LIMITS = Limits(topics=3)


class Desk:
    """A socket of Ada's, whose tokens are names of principals."""

    def __init__(self) -> None:
        self.bench = Bench(LIMITS)
        now_ms = self.bench.clock.now_ms()
        self.ada = Principal(id="ada", expires_ms=now_ms + 60_000)
        self.tokens: Mapping[str, Principal] = {
            "for x": self.token("ada", 10_000, "board:x"),
            "longer": self.token("ada", 100_000, "board:x"),
            "for all": self.token("ada", 10_000, "board:*"),
            "only publish": Principal(id="ada", topics={"board:x": ("publish",)}),
            "ben's": self.token("ben", 10_000, "board:x"),
            "elsewhere": Principal(id="ada", tenant="other", topics={"board:x": ("subscribe",)}),
            "key": Principal(id="ada", kind="key", topics={"board:x": ("subscribe",)}),
        }
        self.bench.topics.add("board", "map", rights={"subscribe": Granted()})
        self.commands = self.make()
        self.socket = Socket("s")
        self.commands.connected(self.socket)

    def make(self, **more: Any) -> Commands:
        given = {"authenticate": self.authenticate, **more}
        return Commands(
            self.bench.engine,
            self.bench.topics,
            lambda _: self.ada,
            LIMITS,
            clock=self.bench.clock,
            **given,
        )

    def token(self, user: str, life_ms: int, topic: str) -> Principal:
        ends = self.bench.clock.now_ms() + life_ms
        return Principal(id=user, expires_ms=ends, topics={topic: ("subscribe",)})

    async def authenticate(self, token: str) -> Principal:
        if token == "old":
            raise TokenExpired
        if token not in self.tokens:
            raise Unauthenticated("unknown")
        return self.tokens[token]

    async def ask(self, token: str | None, topic: str = "board:x") -> Any:
        given = {"topic": topic} | ({} if token is None else {"token": token})
        answer = await self.commands.run(self.socket, "subscribe", given)
        if answer.then is not None:
            answer.then()
        return msgspec.json.decode(msgspec.json.encode(answer.value))


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_token_of_its_own_grants_one_topic_until_it_ends(desk: Desk) -> None:
    """Without it the topic is forbidden; at its end the subscription ends with 3501, and with a new one it goes on."""
    assert (await desk.ask(None))["error"]["code"] == "forbidden"
    assert (await desk.ask("for x"))["recovered"] is False
    await desk.bench.engine.recheck()
    desk.bench.clock.advance(9.9)
    desk.bench.engine.expire()
    assert desk.socket.ended == []
    desk.bench.clock.advance(0.2)
    desk.bench.engine.expire()
    desk.bench.engine.expire()
    assert [(each["code"], each["reason"]) for each in desk.socket.ended] == [
        (3501, "token_expired")
    ]
    assert (await desk.ask("longer"))["topic"] == "board:x"


async def test_it_does_not_outlive_the_token_of_the_socket(desk: Desk) -> None:
    """The earlier of both ends."""
    await desk.ask("longer")
    desk.bench.clock.advance(60)
    desk.bench.engine.expire()
    assert [each["code"] for each in desk.socket.ended] == [3501]


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("for all", "forbidden"),
        ("only publish", "forbidden"),
        ("ben's", "forbidden"),
        ("elsewhere", "forbidden"),
        ("key", "forbidden"),
        ("nonsense", "unauthenticated"),
        ("old", "token_expired"),
    ],
)
async def test_a_token_that_is_not_for_this_is_refused(desk: Desk, token: str, code: str) -> None:
    """Another topic, another action, somebody else's, another tenant's, an API key, none: and nobody is subscribed."""
    assert (await desk.ask(token))["error"]["code"] == code
    assert desk.bench.engine.occupancy(Topic("default", "board", "x")).subscriptions == 0


async def test_a_server_without_tokens_takes_none(desk: Desk) -> None:
    """With its place."""
    desk.commands = desk.make(authenticate=None)
    desk.commands.connected(desk.socket)
    assert (await desk.ask("for x"))["error"]["errors"][0]["pointer"] == "/token"


async def test_who_leaves_while_the_token_is_checked_is_not_subscribed(desk: Desk) -> None:
    """The answer comes to nobody."""

    async def leaving(_: str) -> Principal:
        desk.commands.disconnected(desk.socket)
        return desk.tokens["for x"]

    desk.commands = desk.make(authenticate=leaving)
    desk.commands.connected(desk.socket)
    assert (await desk.ask("for x"))["error"]["code"] == "conflict"


async def test_ends_of_what_has_ended_are_forgotten(desk: Desk) -> None:
    """Whoever subscribes a thousand times leaves a bounded number behind."""
    desk.commands = desk.make()
    for _ in range(1_000):
        desk.commands.connected(desk.socket)
        await desk.ask("for x")
    assert len(desk.bench.engine._staying.ending) <= 2 * PRUNED_FROM


# ── what a token lists ──
class Guest:
    """A socket whose token lists topics."""

    def __init__(self, *topics: str) -> None:
        self.bench = Bench(LIMITS)
        self.bench.topics.add("board", "map", rights={"subscribe": SignedIn()})
        self.principal = Principal(id="ada", subscribe=topics)
        self.commands = Commands(
            self.bench.engine,
            self.bench.topics,
            lambda _: self.principal,
            LIMITS,
            clock=self.bench.clock,
        )
        self.socket = Socket("s")

    async def connect(self) -> list[Any]:
        self.commands.connected(self.socket)
        await settle()
        return self.told

    @property
    def told(self) -> list[Any]:
        return [data for event, data in self.socket.got if event == "subscribed"]


async def test_a_socket_is_subscribed_to_what_its_token_lists() -> None:
    """Told by an event with what the ack would say; publications follow; of what it cannot have, why."""
    guest = Guest("board:x", "own:ada", "own:ben", "nothing:x", "board:\x01")
    board = guest.bench.topics.of("board:x")
    await board.set("a", 1)
    first, second, *refused = await guest.connect()
    position = (await board.items()).position
    assert first == {
        "topic": "board:x",
        "epoch": position.epoch,
        "offset": 1,
        "mark": position.mark,
        "class": "recoverable",
        "recovered": False,
        "log": {"size": 1000, "age_s": 3600},
        "snapshot": {"items": [{"key": "a", "data": 1, "offset": 1}], "more": False},
    }
    assert second["topic"] == "own:ada"
    assert [(each["topic"], each["error"]["code"]) for each in refused] == [
        ("own:ben", "forbidden"),
        ("nothing:x", "not_found"),
        ("board:\x01", "invalid"),
    ]
    await board.set("a", 2)
    await settle()
    assert guest.socket.offsets == [2]


async def test_they_count_as_subscriptions_of_the_socket() -> None:
    """Beyond `limits.topics` the event says `too_many`."""
    told = await Guest(*(f"board:{n}" for n in range(4))).connect()
    assert ["error" in each for each in told] == [False, False, False, True]
    assert told[3]["error"]["code"] == "too_many"


async def test_what_the_client_asks_for_itself_comes_first() -> None:
    """Its own subscription, with its position, is not replaced."""
    guest = Guest("own:ada", "board:x")
    guest.commands.connected(guest.socket)
    answer = await guest.commands.run(guest.socket, "subscribe", {"topic": "board:x"})
    await settle()
    assert answer.value.topic == "board:x"
    assert [each["topic"] for each in guest.told] == ["own:ada"]
    assert guest.bench.engine.occupancy(Topic("default", "board", "x")).subscriptions == 1


async def test_a_socket_that_left_is_subscribed_to_nothing() -> None:
    """Though it has just come."""
    guest = Guest("board:x")
    guest.commands.connected(guest.socket)
    guest.socket.connected = False
    guest.commands.disconnected(guest.socket)
    await settle()
    assert guest.told == []
    await guest.commands.close()


async def test_a_bug_of_one_kind_keeps_no_other_topic() -> None:
    """It is told as `internal`, and nothing of it."""
    guest = Guest("bad:x", "board:x")

    async def broken(*_: Any) -> Topic:
        raise ValueError("secret")

    guest.bench.kinds.add(
        Kind(
            name="bad",
            rights={"subscribe": SignedIn()},
            log=guest.bench.log,
            durability="ephemeral",
            log_size=1,
            log_age_s=1,
            open=broken,
        )
    )
    first, second = await guest.connect()
    assert first["error"]["code"] == "internal"
    assert "secret" not in str(first)
    assert second["topic"] == "board:x"
