"""A right that the application is asked for: in bounded time, a bounded number of questions, and closed where it does not answer."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from clarion.auth import Principal
from clarion.errors import ClarionError, Conflict, Forbidden, Unauthenticated, Unavailable
from clarion.telemetry import spawn
from clarion.topics import Ask, Publish, PublishArgs, Reader, Topic, publish_many
from clarion.topics.arguments import SubscribeArgs
from tests.support.simulation import simulate
from tests.topics.fakes import Bench, Socket, settle

ANN, BEN = Principal(id="ann"), Principal(id="ben")
ROOM = Topic("default", "room", "x")


class App:
    """An application that lets in whom it lists, when it answers at all."""

    def __init__(self) -> None:
        self.members = {"ann"}
        self.asked: list[tuple[str, str, str]] = []
        self.gate: asyncio.Event | None = None
        self.fails: Exception | None = None

    async def may(self, principal: Principal, action: str, topic: Topic) -> bool:
        self.asked.append((principal.id, action, topic.wire))
        if self.fails is not None:
            raise self.fails
        if self.gate is not None:
            await self.gate.wait()
        return principal.id in self.members

    @property
    def count(self) -> int:
        return len(self.asked)


def in_virtual_time(scenario: Callable[[App], Awaitable[None]]) -> None:
    async def run(app: App) -> None:
        await scenario(app)

    outcome = simulate(lambda loop: run(App()), 1)
    if outcome.error is not None:
        raise outcome.error


def test_the_answer_decides_and_is_remembered_for_a_moment() -> None:
    """For ten seconds nobody asks again; another user, action or tenant is another question."""

    async def scenario(app: App) -> None:
        ask = Ask(app.may)
        for _ in range(2):
            assert await ask.allows(ANN, "subscribe", ROOM)
            assert not await ask.allows(BEN, "subscribe", ROOM)
        assert app.asked == [("ann", "subscribe", "room:x"), ("ben", "subscribe", "room:x")]
        await ask.allows(ANN, "publish", ROOM)
        await ask.allows(ANN, "subscribe", Topic("other", "room", "x"))
        assert app.count == 4
        app.members = {"ben"}
        await asyncio.sleep(10)
        assert not await ask.allows(ANN, "subscribe", ROOM)
        assert app.count == 5

    in_virtual_time(scenario)


def test_no_answer_lets_nobody_in() -> None:
    """Too late, or an outage: refused as `unavailable`, and nothing is remembered; anything but True is no."""

    async def scenario(app: App) -> None:
        ask = Ask(app.may)
        app.gate = asyncio.Event()
        begun = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable):
            await ask.allows(ANN, "subscribe", ROOM)
        assert asyncio.get_running_loop().time() - begun == pytest.approx(2.0, abs=0.1)
        app.gate, app.fails = None, Unavailable("away")
        with pytest.raises(Unavailable):
            await ask.allows(ANN, "subscribe", ROOM)
        assert not ask.remembers(ANN, "subscribe", ROOM)
        app.fails = None
        assert await ask.allows(ANN, "subscribe", ROOM)

        async def vague(*_: object) -> bool:
            return "yes"  # type: ignore[return-value]

        assert not await Ask(vague).allows(ANN, "subscribe", ROOM)

    in_virtual_time(scenario)


async def test_a_bug_of_the_hook_is_no_answer_and_in_the_log() -> None:
    """Whoever asks is told nothing of it."""
    app = App()
    app.fails = ValueError("secret")
    with pytest.raises(Unavailable) as caught:
        await Ask(app.may).allows(ANN, "subscribe", ROOM)
    assert "secret" not in caught.value.message


def test_questions_are_bounded() -> None:
    """The same one is asked once however many wait; of others two at a time; three answers are kept."""

    async def scenario(app: App) -> None:
        ask = Ask(app.may, at_once=2, remembered=3)
        app.gate = asyncio.Event()
        same = [spawn(ask.allows(ANN, "subscribe", ROOM), name="asks") for _ in range(50)]
        rooms = [Topic("default", "room", str(n)) for n in range(4)]
        others = [spawn(ask.allows(ANN, "subscribe", room), name="asks") for room in rooms]
        await settle()
        assert app.count == 2
        same.pop().cancel()
        app.gate.set()
        assert await asyncio.gather(*same) == [True] * 49
        assert await asyncio.gather(*others) == [True] * 4
        assert app.count == 5
        # Two of the five are forgotten, and asked again one takes the place of another.
        for room in (ROOM, *rooms):
            await ask.allows(ANN, "subscribe", room)
        assert 7 <= app.count <= 10

    in_virtual_time(scenario)


def test_an_old_yes_covers_a_short_silence_of_who_is_in_already() -> None:
    """They are asked about anew each time; for a minute a yes holds without an answer, a no is heard at once."""

    async def scenario(app: App) -> None:
        ask = Ask(app.may)
        app.fails = Unavailable("away")
        with pytest.raises(Unavailable):
            await ask.still_allows(ANN, "subscribe", ROOM)
        app.fails = None
        assert await ask.still_allows(ANN, "subscribe", ROOM)
        app.fails = Unavailable("away")
        await asyncio.sleep(59)
        assert ask.remembers(ANN, "subscribe", ROOM)
        assert await ask.still_allows(ANN, "subscribe", ROOM)
        await asyncio.sleep(2)
        assert not ask.remembers(ANN, "subscribe", ROOM)
        with pytest.raises(Unavailable):
            await ask.still_allows(ANN, "subscribe", ROOM)
        app.fails, app.members = None, set()
        assert not await ask.still_allows(ANN, "subscribe", ROOM)

    in_virtual_time(scenario)


# ── as a right of a kind ──
class House:
    """Rooms for members, on an engine."""

    def __init__(self) -> None:
        self.app, self.bench = App(), Bench()
        right = Ask(self.app.may, wait_s=0.05, trust_s=0.0, cache_s=0.0)
        rights = {"subscribe": right, "publish": right}
        self.bench.topics.add("room", "stream", rights=rights)

    async def subscribe(self, who: Principal | None, socket: Socket) -> None:
        wish = SubscribeArgs("room:x")
        _, subscription = await self.bench.engine.subscribe(socket, who, wish)
        self.bench.engine.go(subscription)


async def refusal(call: Awaitable[object]) -> type[ClarionError]:
    with pytest.raises(ClarionError) as caught:
        await call
    return type(caught.value)


async def test_every_door_asks() -> None:
    """Subscribing, publishing one and many, reading: as the application says; scopes stand beside it."""
    house = House()
    bench, app = house.bench, house.app
    await house.subscribe(ANN, Socket("a"))
    assert await refusal(house.subscribe(BEN, Socket("b"))) is Forbidden
    assert await refusal(house.subscribe(None, Socket("c"))) is Unauthenticated
    said = Publish(event="said", data=1)
    assert (await bench.topics.publish(ANN, "room:x", said)).offset == 1
    assert await refusal(bench.topics.publish(BEN, "room:x", said)) is Forbidden
    reader = Reader(bench.kinds, 255)
    assert (await reader.state(ANN, "room:x", "", 1)).position.offset == 1
    assert await refusal(reader.state(BEN, "room:x", "", 1)) is Forbidden
    many = [PublishArgs(topic="room:x", event="said"), PublishArgs(topic="room:y", event="said")]
    assert [type(each) for each in await publish_many(bench.topics, BEN, many, 255)] == [
        Forbidden
    ] * 2
    before = app.count
    machine = Principal(id="k", kind="key", scopes=frozenset({"topics:*"}))
    assert (await bench.topics.publish(machine, "room:x", said)).offset == 2
    assert app.count == before


async def test_who_leaves_while_the_application_is_asked_is_not_subscribed() -> None:
    """The answer comes to nobody."""
    house, socket = House(), Socket("a")
    house.app.gate = asyncio.Event()
    asking = spawn(house.subscribe(ANN, socket), name="subscribes")
    await settle(lambda: house.app.count == 1)
    socket.connected = False
    house.bench.engine.leave(socket)
    house.app.gate.set()
    await refusal(asking)
    assert house.bench.engine.occupancy(ROOM).subscriptions == 0


async def test_an_unsubscribe_while_the_application_is_asked_calls_the_subscription_off() -> None:
    """Of that topic, of that socket, and of no other; what is asked for afterwards counts again."""
    house, socket, other = House(), Socket("a"), Socket("o")
    house.app.gate = asyncio.Event()
    asking = [
        spawn(house.subscribe(ANN, each), name="subscribes") for each in (socket, other, socket)
    ]
    await settle(lambda: house.app.count == 1)
    house.bench.engine.unsubscribe(socket, "room:y")
    house.bench.engine.unsubscribe(socket, ROOM.wire)
    asking.append(spawn(house.subscribe(ANN, socket), name="subscribes"))
    await settle()
    house.app.gate.set()
    ended = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(each) for each in ended] == [Conflict, type(None), Conflict, type(None)]
    assert house.bench.engine.occupancy(ROOM).subscriptions == 2


async def test_whoever_is_in_is_asked_about_again() -> None:
    """With the check of positions: who is no member any more is put out for good, and without an answer for now."""
    house, ann, late = House(), Socket("a"), Socket("l")
    await house.subscribe(ANN, ann)
    await house.subscribe(ANN, late)
    await house.bench.engine.recheck()
    await settle(lambda: house.app.count == 3)
    assert (house.app.count, ann.ended) == (3, [])  # two sockets of one user are one question
    house.bench.engine.unsubscribe(late, "room:x")
    house.app.members = set()
    await house.bench.engine.recheck()
    await settle(lambda: bool(ann.ended))
    assert [(each["code"], each["reason"]) for each in ann.ended] == [(3500, "revoked")]

    house.app.members = {"ann"}
    await house.subscribe(ANN, late)
    house.app.fails = Unavailable("away")
    await house.bench.engine.recheck()
    await settle(lambda: bool(late.ended))
    assert [(each["code"], each["reason"]) for each in late.ended] == [(3011, "unconfirmed")]
