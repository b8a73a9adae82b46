"""Publishing and subscribing to topics in a store, by the commands that a socket sends: what everybody sees of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from clarion.auth.principal import Principal
from clarion.errors import Conflict, Forbidden, Invalid, TooLarge, TooMany, UsageError
from clarion.ids import Ids
from clarion.protocol.codes import CloseCode
from clarion.protocol.jsontext import is_plain
from clarion.settings import Limits
from clarion.telemetry import spawn
from clarion.topics import Call, Granted, Publish, Published, SignedIn, Topic, Topics
from clarion.topics.changes import Change, state_after
from clarion.topics.commands import Commands
from clarion.topics.patches import apply_patch
from clarion.topics.reading import Reader as Reading
from clarion.topics.stores import Appended, MemoryStore
from clarion.topics.stream import Entry
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


class House:
    """Sockets of Ada's at a server with a kind of each shape."""

    def __init__(self) -> None:
        self.bench = Bench(LIMITS)
        self.topics = self.bench.topics
        self.board = self.topics.add("board", "map", rights=ANYBODY)
        self.chat = self.topics.add("chat", "stream", rights=ANYBODY)
        self.commands = Commands(
            self.bench.engine, self.topics, lambda _: ADA, LIMITS, clock=self.bench.clock
        )

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
            value = (
                data.data if data.patch is None else apply_patch(self.state[data.key], data.patch)
            )
            entry = Entry(data.offset, data.mark, 0, data.event, value, key=data.key)
            self.state = state_after(self.state, [entry])
        socket.got.clear()
        return self


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    yield made
    await made.topics.close()
    await made.bench.engine.close()


async def test_who_subscribes_gets_the_state_and_then_every_change(house: House) -> None:
    """By key: items are set, changed and removed; the answer to each publisher says where it stands, and what it survives."""
    one, two = house.socket("1"), house.socket("2")
    published = await house.ask(one, "publish", "board:x", key="a", data=1)
    answer = await house.ask(two, "subscribe", "board:x")
    assert answer["snapshot"] == {"items": [{"key": "a", "data": 1, "offset": 1}], "more": False}
    assert published == {
        "topic": "board:x", "epoch": answer["epoch"], "offset": 1, "mark": answer["mark"],
        "class": "recoverable",
    }  # fmt: skip
    await house.ask(one, "publish", "board:x", key="b", data={"n": 2})
    await house.ask(one, "publish", "board:x", key="a", event="remove")
    assert Reader(answer).take(two).state == {"b": {"n": 2}}


async def test_a_stream_has_events_and_no_state(house: House) -> None:
    """Its subscribers get what is published from now on, or from before where they ask to rewind."""
    socket = house.socket()
    for n in range(5):
        await house.ask(socket, "publish", "chat:x", event="said", data=n)
        house.bench.clock.advance(1)
    answer = await house.ask(socket, "subscribe", "chat:x")
    assert (answer["snapshot"], answer["offset"]) == (None, 5)
    assert "publications" not in answer
    rewound = await house.ask(house.socket("2"), "subscribe", "chat:x", rewind={"count": 2})
    assert [(each["offset"], each["data"]) for each in rewound["publications"]] == [(4, 3), (5, 4)]
    assert (rewound["recovered"], rewound["offset"]) == (False, 5)
    recent = {"since_ms": house.bench.clock.now_ms() - 1500}
    rewound = await house.ask(house.socket("3"), "subscribe", "chat:x", rewind=recent)
    assert [each["data"] for each in rewound["publications"]] == [4]
    await house.ask(socket, "publish", "chat:x", event="said", data=5)
    assert [data.data for _, data in socket.got] == [5]


@pytest.mark.parametrize(
    ("topic", "given", "code", "pointer"),
    [
        ("board:x", {"data": 1}, "invalid", "/key"),
        ("board:x", {"key": "", "data": 1}, "invalid", "/key"),
        ("board:x", {"key": "a\n", "data": 1}, "invalid", "/key"),
        ("board:x", {"key": "k" * 256, "data": 1}, "invalid", "/key"),
        ("board:x", {"key": "a", "data": "x" * 199}, "too_large", None),
        ("board:x", {"key": "a", "if": "there"}, "invalid", "/if"),
        ("board:x", {"key": "a", "if": "absent", "version": 1}, "invalid", "/if"),
        ("board:x", {"key": "a", "ttl_s": 0}, "invalid", "/ttl_s"),
        ("board:x", {"key": "a", "ttl_s": 1e300}, "invalid", "/ttl_s"),
        ("board:x", {"key": "a", "tags": {"t": 1}}, "invalid", None),
        ("board:x", {"key": "a", "tags": {str(i): "" for i in range(17)}}, "invalid", "/tags"),
        ("board:x", {"key": "a", "more": 1}, "invalid", "/more"),
        ("chat:x", {"key": "a", "event": "said"}, "invalid", "/key"),
        ("chat:x", {"data": 1}, "invalid", "/event"),
        ("chat:x", {"event": "said", "version": 1}, "invalid", ""),
        ("chat:x", {"event": "e" * 256}, "invalid", "/event"),
        ("chat:x", {"event": "said", "id": "\ud83d"}, "invalid", "/id"),
        ("chat:x", {"event": "said", "tags": {"a": "\ud83d"}}, "invalid", "/tags"),
        ("chat:x", {"event": "said", "tags": {"\0": "a"}}, "invalid", "/tags"),
        ("chat:*", {"event": "said"}, "invalid", None),
        ("nothing:x", {"event": "said"}, "not_found", None),
        ("sum:open-1", {"event": "said"}, "forbidden", None),
        ("inbox", {"event": "said"}, "invalid", None),
    ],
)
async def test_what_cannot_be_published_is_refused_by_name(
    house: House, topic: str, given: Any, code: str, pointer: str | None
) -> None:
    """Nothing is written, and the answer says what is wrong with it."""
    error = await house.error(house.socket(), "publish", topic, **given)
    assert error["code"] == code
    if pointer is not None:
        assert [each["pointer"] for each in error["errors"]] == [pointer]
    assert await house.bench.store.top([Topic("default", "board", "x")]) == [
        msgspec.structs.replace((await house.bench.store.top([Topic("default", "board", "x")]))[0], offset=0)
    ]  # fmt: skip


async def test_nobody_publishes_where_they_may_not(house: House) -> None:
    """A right to subscribe is none to publish; a kind that declares no right to publish has none."""
    house.topics.add("news", "stream", rights={"subscribe": SignedIn()})
    error = await house.error(house.socket(), "publish", "news:x", event="said")
    assert error["code"] == "forbidden"
    reader = Principal(id="eve", topics={"chat:*": ("subscribe",)})
    with pytest.raises(Forbidden, match="publish"):
        await house.topics.publish(reader, "chat:x", Publish(event="said"))


async def test_compare_and_set(house: House) -> None:
    """`if` says what must be there; who was too late is told what is, and can decide again. `version` drops late writes silently."""
    socket = house.socket()
    first = await house.ask(socket, "publish", "board:x", key="a", data=1, **{"if": "absent"})
    error = await house.error(socket, "publish", "board:x", key="a", data=2, **{"if": "absent"})
    assert (error["code"], error["current"]) == ("conflict", {"data": 1, "offset": 1, "version": 0})
    await house.ask(
        socket, "publish", "board:x", key="a", data=2, **{"if": {"at": first["offset"]}}
    )
    error = await house.error(socket, "publish", "board:x", key="z", **{"if": "present"})
    assert error["current"] is None
    for version, data in ((7, "new"), (6, "late")):
        done = await house.ask(socket, "publish", "board:x", key="v", data=data, version=version)
        assert done.get("dropped") == (None if version == 7 else "older")
    item = await house.topics.of("board:x").get("v")
    assert item is not None
    assert item.data == "new"


async def test_repeating_an_id_is_answered_as_the_first_time(house: House) -> None:
    socket = house.socket()
    first = await house.ask(socket, "publish", "chat:x", event="said", data=1, id="m1")
    again = await house.ask(socket, "publish", "chat:x", event="said", data=1, id="m1")
    assert again == first | {"dropped": "duplicate"}


async def test_a_map_has_at_most_so_many_keys(house: House) -> None:
    socket = house.socket()
    for n in range(5):
        await house.ask(socket, "publish", "board:x", key=str(n))
    error = await house.error(socket, "publish", "board:x", key="one more")
    assert (error["code"], error["limit"]) == ("too_many", 5)


async def test_an_item_goes_by_itself(house: House) -> None:
    """After its time, by a publication that says why."""
    socket = house.socket()
    await house.ask(socket, "subscribe", "board:x")
    await house.ask(socket, "publish", "board:x", key="typing", ttl_s=2)
    house.bench.clock.advance(3)
    assert await house.topics.expire() == 1
    await settle()
    _, gone = socket.got[-1]
    assert (gone.event, gone.key, gone.data) == ("remove", "typing", {"reason": "expired"})


async def test_what_a_socket_owns_leaves_with_it(house: House) -> None:
    """Unless somebody has changed it since, whoever that was."""
    one, two = house.socket("1"), house.socket("2")
    watching = house.socket("3")
    answer = await house.ask(watching, "subscribe", "board:x")
    for key in "abc":
        await house.ask(one, "publish", "board:x", key=key, data=1, owned=True)
    await house.ask(two, "publish", "board:x", key="b", data=2, owned=True)
    await house.ask(two, "publish", "board:x", key="c", data=2)
    house.commands.disconnected(one)
    await settle()
    reader = Reader(answer).take(watching)
    assert reader.state == {"b": 2, "c": 2}
    house.commands.disconnected(two)
    await settle()
    assert reader.take(watching).state == {"c": 2}


async def test_what_is_owned_lasts_as_long_as_its_socket_and_not_much_longer_than_its_node(
    house: House,
) -> None:
    """Its lease is renewed while the node lives; when nobody renews it, it ends."""
    socket = house.socket()
    await house.ask(socket, "publish", "board:x", key="a", owned=True)
    owned = house.topics.of("board:x")
    before = await owned.get("a")
    house.bench.clock.advance(0.5)
    await house.topics.renew()
    after = await owned.get("a")
    assert before is not None
    assert after is not None
    assert (after.expires_ms or 0) - (before.expires_ms or 0) == 500
    house.bench.clock.advance(1)
    assert await house.topics.expire() == 1


async def test_what_somebody_else_has_changed_is_not_renewed(house: House) -> None:
    """Whoever changed it, on another node too, said when it goes; and the socket's books do not grow with what it no longer has."""
    socket, board = house.socket(), house.topics.of("board:x")
    for key in "abc":
        await house.ask(socket, "publish", "board:x", key=key, owned=True)
    soon_ms = house.bench.clock.now_ms() + 500
    await board.change(
        Change(event="set", key="a", data=1, expires_ms=soon_ms), Change(event="remove", key="b")
    )
    await house.ask(socket, "publish", "board:x", event="remove", key="d", owned=True)
    house.bench.clock.advance(0.4)
    await house.topics.renew()
    house.bench.clock.advance(0.2)
    assert await house.topics.expire() == 1
    assert [key for key, _ in (await board.items()).items] == ["c"]
    answer = await house.ask(house.socket("2"), "subscribe", "board:x")
    house.commands.disconnected(socket)
    await settle()
    now = await house.ask(house.socket("3"), "subscribe", "board:x")
    assert now["offset"] == answer["offset"] + 1, "only what it still owned is removed"


async def test_only_a_socket_can_own(house: House) -> None:
    with pytest.raises(Invalid, match="only a socket"):
        await house.topics.publish(ADA, "board:x", Publish(key="a", owned=True))


async def test_small_changes_are_small_on_the_wire(house: House) -> None:
    """A merge patch where that is smaller than the value; who recovers gets the value."""
    one, two = house.socket("1"), house.socket("2")
    answer = await house.ask(two, "subscribe", "board:x")
    await house.ask(one, "publish", "board:x", key="a", data={"title": "a long title", "n": 1})
    await house.ask(one, "publish", "board:x", key="a", data={"title": "a long title", "n": 2})
    patch = two.got[-1][1]
    assert (patch.patch, patch.data) == ({"n": 2}, None)
    assert Reader(answer).take(two).state == {"a": {"title": "a long title", "n": 2}}
    since = {name: answer[name] for name in ("epoch", "offset", "mark")}
    again = await house.ask(house.socket("3"), "subscribe", "board:x", since=since)
    assert [each["data"]["n"] for each in again["publications"]] == [1, 2]


async def test_a_large_state_comes_in_pages(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is asked for by the last key; what changes meanwhile comes as publications, whose offsets say what is newer."""
    monkeypatch.setattr("clarion.topics.stores.memory.PAGE", 2)
    socket = house.socket()
    for key in "abcde":
        await house.ask(socket, "publish", "board:x", key=key, data=0)
    answer = await house.ask(socket, "subscribe", "board:x")
    assert ([item["key"] for item in answer["snapshot"]["items"]], answer["snapshot"]["more"]) == (
        ["a", "b"],
        True,
    )
    await house.ask(socket, "publish", "board:x", key="d", data=1)
    page = await house.ask(socket, "page", "board:x", after="b")
    assert [(item["key"], item["data"], item["offset"]) for item in page["items"]] == [
        ("c", 0, 3),
        ("d", 1, 6),
    ]
    assert (page["offset"], page["more"]) == (6, True)
    last = await house.ask(socket, "page", "board:x", after="d")
    assert ([item["key"] for item in last["items"]], last["more"]) == (["e"], False)
    assert (await house.error(socket, "page", "board:y", after=""))["code"] == "not_found"
    await house.ask(socket, "subscribe", "chat:x")
    assert (await house.error(socket, "page", "chat:x", after=""))["code"] == "invalid"


async def test_pages_of_a_filtered_state_lead_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page may have no item that the filter takes, and yet says where the next one begins."""
    monkeypatch.setattr("clarion.topics.stores.memory.PAGE", 2)
    board, socket = house.topics.of("board:x"), house.socket()
    for key in "abcde":
        await board.set(key, 1, tags={"team": "red" if key in "ae" else "blue"})
    answer = await house.ask(socket, "subscribe", "board:x", filter={"team": "red"})
    page, found = answer["snapshot"], []
    while True:
        found.append([item["key"] for item in page["items"]])
        if not page["more"]:
            break
        page = await house.ask(socket, "page", "board:x", after=page["next"])
    assert found == [["a"], [], ["e"]]


async def test_a_page_of_large_items_fits_into_an_ack(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the subscriber would be closed as slow, again and again. It has one item at least, so that paging ends."""
    monkeypatch.setattr("clarion.topics.stores.base.PAGE_BYTES", 120)
    board, socket = house.topics.of("board:x"), house.socket()
    for key, size in {"a": 10, "b": 10, "c": 190, "d": 10, "e": 10}.items():
        await board.set(key, "x" * size)
    page, found = (await house.ask(socket, "subscribe", "board:x"))["snapshot"], []
    while True:
        found.append([item["key"] for item in page["items"]])
        if not page["more"]:
            break
        page = await house.ask(socket, "page", "board:x", after=page["next"])
    assert found == [["a", "b"], ["c"], ["d", "e"]]


async def test_what_is_rewound_and_what_is_read_of_a_log_fit_into_an_answer(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest that fit, and the oldest, with the news that there are more; one at least."""
    monkeypatch.setattr("clarion.topics.fitting.ANSWER_BYTES", 400)
    chat, socket = house.topics.of("chat:x"), house.socket()
    for size in (10, 10, 190, 190):
        await chat.publish("said", "x" * size)
    answer = await house.ask(socket, "subscribe", "chat:x", rewind={"count": 10})
    assert [each["offset"] for each in answer["publications"]] == [4]
    reader, after, read = Reading(house.bench.kinds, 255), 0, []
    while True:
        page = await reader.history(ADA, "chat:x", after, None, 10)
        read.append([entry.offset for entry in page.entries])
        if not page.has_more:
            break
        after = page.entries[-1].offset
    assert read == [[1, 2], [3], [4]]


async def test_what_is_rewound_passes_the_filter(house: House) -> None:
    """Like everything else that a subscriber with a filter gets."""
    chat, socket = house.topics.of("chat:x"), house.socket()
    for tags in (RED, BLUE, None, RED):
        await chat.publish("said", 1, tags=tags)
    answer = await house.ask(socket, "subscribe", "chat:x", filter=RED, rewind={"count": 10})
    assert [(each["offset"], each.get("after")) for each in answer["publications"]] == [
        (1, None), (4, 1),
    ]  # fmt: skip


RED, BLUE = {"team": "red"}, {"team": "blue"}


async def test_a_filter_is_kept_true(house: House) -> None:
    """Only what it takes comes, in the state, live and on recovery; what no longer matches is removed; the client always knows where it is."""
    one, two = house.socket("1"), house.socket("2")
    await house.ask(one, "publish", "board:x", key="a", data=1, tags=RED)
    await house.ask(one, "publish", "board:x", key="b", data=1, tags=BLUE)
    answer = await house.ask(two, "subscribe", "board:x", filter=RED)
    reader = Reader(answer)
    assert reader.state == {"a": 1}
    await house.ask(one, "publish", "board:x", key="b", data=2, tags=BLUE)
    assert two.got == []
    await house.ask(one, "publish", "board:x", key="c", data=2, tags=RED)
    assert [data.after for _, data in two.got] == [2]
    await house.ask(one, "publish", "board:x", key="a", data=3, tags=BLUE)
    assert reader.take(two).state == {"c": 2}
    await house.ask(one, "publish", "board:x", key="b", data=3, tags=BLUE)
    catch_up(house)
    assert reader.take(two).offset == 6
    since = {name: answer[name] for name in ("epoch", "offset", "mark")}
    again = await house.ask(house.socket("3"), "subscribe", "board:x", since=since, filter=RED)
    seen = [(each["key"], each["event"], each.get("after")) for each in again["publications"]]
    assert seen == [("c", "set", 2), ("a", "remove", None)]
    assert again["offset"] == 6


def catch_up(house: House) -> None:
    for each in list(house.bench.engine._books.lagging):
        each.catch_up()


async def test_a_slow_subscriber_of_a_map_owes_at_most_its_state(house: House) -> None:
    """While it is slow only the newest value of each key waits, however much is published; then it goes on as if nothing had been."""
    one, slow = house.socket("1"), house.socket("2")
    reader = Reader(await house.ask(slow, "subscribe", "board:x"))
    slow.is_slow = True
    for n in range(20):
        await house.ask(one, "publish", "board:x", key="ab"[n % 2], data={"n": n, "same": "x" * 20})
    await house.ask(one, "publish", "board:x", key="a", event="remove")
    catch_up(house)
    assert slow.got == []
    slow.is_slow = False
    catch_up(house)
    assert len(slow.got) == 2
    assert reader.take(slow).state == {"b": {"n": 19, "same": "x" * 20}}
    await house.ask(one, "publish", "board:x", key="b", data={"n": 20, "same": "x" * 20})
    assert slow.got[-1][1].after is None
    assert reader.take(slow).state["b"]["n"] == 20


async def test_conflation_writes_the_newest_of_each_key_once_a_tick(house: House) -> None:
    """Every publisher is answered when its change, or a newer one of its key, is in the log; nothing guarded is skipped."""
    house.topics.add(
        "fast", "map", rights={"subscribe": SignedIn(), "publish": SignedIn()}, conflate_s=0.05
    )
    socket = house.socket()
    reader = Reader(await house.ask(socket, "subscribe", "fast:x"))
    done = await asyncio.gather(
        *(house.topics.publish(ADA, "fast:x", Publish(key="ab"[n % 2], data=n)) for n in range(20)),
        house.topics.publish(ADA, "fast:x", Publish(key="c", data=0, only="absent")),
        house.topics.publish(ADA, "fast:x", Publish(key="c", data=1)),
    )
    await settle()
    assert [each.offset for each in done[-4:]] == [1, 2, 3, 4]
    assert [data.offset for _, data in socket.got] == [1, 2, 3, 4]
    assert reader.take(socket).state == {"a": 18, "b": 19, "c": 1}
    with pytest.raises(Conflict):
        await house.topics.publish(ADA, "fast:x", Publish(key="c", only="absent"))


async def test_one_key_too_many_costs_only_its_publisher_the_change(house: House) -> None:
    """What waits for the same tick is appended all the same."""
    kind = house.topics.add("few", "map", rights=ANYBODY, keys=1, conflate_s=0.05)
    few = house.topics.of("few:x")
    await few.set("a", 1)
    done = await asyncio.gather(
        few.set("a", 2), few.set("b", 1), few.set("a", 3, only="present"), return_exceptions=True
    )
    assert [each.offset if isinstance(each, Published) else type(each) for each in done] == [
        2, TooMany, 3,
    ]  # fmt: skip
    assert kind.keys == len((await few.items()).items)


async def test_what_waits_for_a_tick_is_appended_at_the_end(house: House) -> None:
    """And what is being appended then is finished, not given up: every publisher has an answer."""
    gate, store = asyncio.Event(), Held(clock=house.bench.clock, ids=Ids.seeded(5))
    store.gate = gate
    house.topics.add("slow", "map", rights=ANYBODY, store=store, conflate_s=60)
    slow = house.topics.of("slow:x")
    first = spawn(slow.set("a", 1), name="publishes")
    await settle(lambda: store.asked == 1)
    second = spawn(slow.set("a", 2), name="publishes")
    await settle()
    closing = spawn(house.topics.close(), name="closes")
    await settle()
    gate.set()
    await closing
    assert [(await first).offset, (await second).offset] == [1, 2]


class Held(MemoryStore):
    """A store that is slow to append."""

    gate: asyncio.Event
    asked = 0

    async def append(self, *given: Any) -> Appended:
        self.asked += 1
        await self.gate.wait()
        return await super().append(*given)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("data", [nested(25), 10**20, [-(2**53)]])
async def test_what_no_client_could_be_sent_is_not_taken(house: House, data: Any) -> None:
    """A value that fits into a publication, and not into a state with all that is around it, would keep everybody from subscribing."""

    async def vote(call: Call, given: Publish) -> Published:
        raise AssertionError("what cannot be sent reaches no kind")

    house.topics.add(
        "poll", "map", rights={"subscribe": SignedIn(), "publish": SignedIn()}, publish=vote
    )
    socket = house.socket()
    error = await house.error(socket, "publish", "board:x", key="a", data=data)
    assert (error["code"], error["errors"][0]["pointer"]) == ("invalid", "/data")
    error = await house.error(socket, "subscribe", "board:x", params={"a": data})
    assert (error["code"], error["errors"][0]["pointer"]) == ("invalid", "/params")
    error = await house.error(socket, "publish", "poll:x", event="vote", data=data)
    assert (error["code"], error["errors"][0]["pointer"]) == ("invalid", "/data")
    await house.ask(socket, "publish", "board:x", key="a", data=nested(24))
    assert is_plain([await house.ask(socket, "subscribe", "board:x")], 1)


async def test_an_application_may_go_on_changing_what_it_gave_and_got(house: House) -> None:
    """The topic has a value of its own; else the difference would be sent as none."""
    board, socket = house.topics.of("board:x"), house.socket()
    reader = Reader(await house.ask(socket, "subscribe", "board:x"))
    mine = {"title": "a long title", "n": 1}
    await board.set("a", mine)
    mine["n"] = 2
    await board.set("a", mine)
    await settle()
    assert reader.take(socket).state == {"a": {"title": "a long title", "n": 2}}

    def count(data: Any) -> Any:
        data["n"] += 1
        return data

    await board.update("a", count)
    item = await board.get("a")
    assert item is not None
    item.data["n"] = 9
    (await board.items()).items[0][1].data["n"] = 9
    await settle()
    assert reader.take(socket).state == {"a": {"title": "a long title", "n": 3}}
    with pytest.raises(TooLarge):
        await board.update("a", lambda _: "x" * 300)


async def test_an_application_reads_and_changes_topics_in_python(house: House) -> None:
    """Handles: set, remove, counters that lose nothing under contention, pages."""
    board = house.topics.of("board:x")
    await asyncio.gather(*(board.increment("votes") for _ in range(10)))
    await board.set("a", "x", tags=RED)
    assert [(key, item.data) for key, item in (await board.items()).items] == [
        ("a", "x"),
        ("votes", 10),
    ]
    await board.remove("a")
    await board.set("a", "x")
    with pytest.raises(Invalid, match="no number"):
        await board.increment("a")
    await house.topics.of("chat:x").publish("said", "hello")


async def test_a_kind_may_decide_what_publishing_means(house: House) -> None:
    """Ten lines of an application: it checks, and writes what it wants."""

    async def vote(call: Call, given: Publish) -> Published:
        if given.data not in {"pizza", "pasta"}:
            raise Invalid("there is no such dish")
        assert call.principal is not None
        return await house.topics.of(call.topic.wire).set(call.principal.id, given.data)

    house.topics.add(
        "poll", "map", rights={"subscribe": SignedIn(), "publish": SignedIn()}, publish=vote
    )
    socket = house.socket()
    reader = Reader(await house.ask(socket, "subscribe", "poll:lunch"))
    for dish in ("pizza", "pasta"):
        await house.ask(socket, "publish", "poll:lunch", event="vote", data=dish)
    assert (await house.error(socket, "publish", "poll:lunch", event="vote", data="soup"))[
        "code"
    ] == "invalid"
    assert reader.take(socket).state == {"ada": "pasta"}


async def test_a_kind_may_decide_which_topic_is_meant(house: House) -> None:
    """By the subscriber's `params`; the ack names the topic, and that name ends the subscription."""

    async def open_query(topic: Topic, _: Principal | None, params: Any) -> Topic:
        if "query" not in params:
            raise Invalid("a query is needed")
        return Topic(topic.tenant, topic.kind, f"{topic.name}/{params['query']}")

    watched: list[tuple[str, bool]] = []
    house.topics.add(
        "found",
        "map",
        rights={"subscribe": SignedIn()},
        open=open_query,
        watched=lambda topic, begins: watched.append((topic.wire, begins)),
    )
    one, two = house.socket("1"), house.socket("2")
    assert (await house.error(one, "subscribe", "found:all"))["code"] == "invalid"
    for socket in (one, two):
        answer = await house.ask(socket, "subscribe", "found:all", params={"query": "red"})
        assert answer["topic"] == "found:all/red"
    assert watched == [("found:all/red", True)]
    await house.ask(one, "unsubscribe", "found:all/red")
    house.commands.disconnected(two)
    assert watched == [("found:all/red", True), ("found:all/red", False)]


async def test_a_kind_is_told_when_a_subscription_begins_and_how_it_ends(house: House) -> None:
    """With socket and `params`, before the log is read; what it raises is the answer. In the end: whether the client may come back."""
    told: list[Any] = []

    async def as_named(topic: Topic, _: Principal | None, params: Any) -> Topic:
        return topic

    def began(topic: Topic, socket: Any, who: Principal | None, params: Any) -> None:
        if "no" in params:
            raise Invalid("no")
        told.append((topic.wire, socket.id, who and who.id, params))

    kind = house.topics.add(
        "door",
        "map",
        rights={"subscribe": SignedIn()},
        open=as_named,
        began=began,
        ended=lambda topic, socket, who, may_return: told.append((socket.id, may_return)),
    )
    one, two, three = (house.socket(name) for name in "123")
    assert (await house.error(one, "subscribe", "door:x", params={"no": 1}))["code"] == "invalid"
    assert told == [("1", True)]
    assert house.bench.engine.occupancy(Topic("default", "door", "x")).subscriptions == 0
    for socket in (one, two, three):
        await house.ask(socket, "subscribe", "door:x", params={"n": 1})
    assert told[1:] == [("door:x", name, "ada", {"n": 1}) for name in "123"]
    del told[:]
    await house.ask(one, "subscribe", "door:x")
    assert told == [("1", False), ("door:x", "1", "ada", {})]
    await house.ask(one, "unsubscribe", "door:x")
    house.commands.disconnected(two)
    assert told[2:] == [("1", False), ("2", True)]
    topic = Topic("default", kind.name, "x")
    assert house.bench.engine.end_of_topic(topic, CloseCode.RESIZED) == 1
    assert house.bench.engine.end_of_topic(topic, CloseCode.RESIZED) == 0
    await house.ask(one, "subscribe", "door:x")
    house.bench.engine.end_of_user("default", "ada")
    assert told[4:] == [("3", True), ("door:x", "1", "ada", {}), ("1", False)]
    assert [each["code"] for each in three.ended] == [3012]


async def test_params_and_rewind_are_for_kinds_that_take_them(house: House) -> None:
    socket = house.socket()
    assert (await house.error(socket, "subscribe", "board:x", params={"a": 1}))["errors"][0][
        "pointer"
    ] == "/params"
    assert (await house.error(socket, "subscribe", "board:x", rewind={"count": 1}))["errors"][0][
        "pointer"
    ] == "/rewind"
    assert (await house.error(socket, "subscribe", "board:x", filter={}))["errors"][0][
        "pointer"
    ] == "/filter"


async def test_who_is_subscribed_is_counted_and_can_be_ended(house: House) -> None:
    """Subscriptions and users of a topic; the subscriptions of a user end with 3500."""
    one, two = house.socket("1"), house.socket("2")
    for socket in (one, two):
        await house.ask(socket, "subscribe", "board:x")
    await house.ask(one, "subscribe", "chat:x")
    topic, engine = Topic("default", "board", "x"), house.bench.engine
    assert (engine.occupancy(topic).subscriptions, engine.occupancy(topic).users) == (2, 1)
    assert engine.end_of_user("default", "ada", "board:x") == 2
    assert [socket.ended[0]["code"] for socket in (one, two)] == [3500, 3500]
    assert engine.occupancy(topic).subscriptions == 0
    assert engine.end_of_user("default", "ada") == 1


async def test_a_kinds_name_is_taken_once(house: House) -> None:
    with pytest.raises(UsageError, match="taken"):
        house.topics.add("board", "map", rights=ANYBODY)


async def test_what_is_durable_is_in_a_store_of_its_own(house: House) -> None:
    """There, too, items end by themselves and that is announced, and what a socket owns stays as long as it does; the other store's topics are not touched."""
    bench = house.bench
    durable = MemoryStore(clock=bench.clock, ids=Ids.seeded(9))
    topics = Topics(
        bench.engine, bench.kinds, bench.store, LIMITS, clock=bench.clock, durable=durable
    )
    topics.add("desk", "map", rights=ANYBODY, durability="durable")
    topics.add("hall", "map", rights=ANYBODY)
    commands = Commands(bench.engine, topics, lambda _: OWNER, LIMITS, clock=bench.clock)
    owner, reader = Socket("o"), Socket("r")
    for socket in (owner, reader):
        commands.connected(socket)
    for name in ("desk:1", "hall:1"):
        answer = await commands.run(reader, "subscribe", {"topic": name})
        assert answer.then is not None
        answer.then()
        for more in ({"key": "mine", "owned": True}, {"key": "short", "ttl_s": 0.5}):
            done = await commands.run(owner, "publish", {"topic": name, "data": 1, **more})
            assert done.value.durability == ("durable" if name == "desk:1" else "recoverable")
    bench.clock.advance(0.6)
    await topics.renew()
    assert await topics.expire() == 2
    bench.clock.advance(0.6)
    assert await topics.expire() == 0
    await settle()
    ended = [(data.topic, data.key) for _, data in reader.got if data.event == "remove"]
    assert sorted(ended) == [("desk:1", "short"), ("hall:1", "short")]
    for store, name, other in ((durable, "desk", "hall"), (bench.store, "hall", "desk")):
        [mine, short] = await store.get(Topic("default", name, "1"), ["mine", "short"])
        assert (mine is None, short) == (False, None)
        assert await store.get(Topic("default", other, "1"), ["mine"]) == [None]


async def test_without_a_store_for_it_nothing_is_durable(house: House) -> None:
    """A promise that nobody keeps is not made."""
    with pytest.raises(UsageError, match="durable"):
        house.topics.add("desk", "map", rights=ANYBODY, durability="durable")


async def test_who_is_slow_gets_in_one_piece_what_an_item_has_grown_by(house: House) -> None:
    """Appends to what it knows are joined; to what it was not told yet they make the value whole. It ends in the state of all."""
    slow, quick = house.socket("slow"), house.socket("quick")
    board = house.topics.of("board:x")
    await board.set("a", {"t": [1, 2]})
    readers = [Reader(await house.ask(each, "subscribe", "board:x")) for each in (slow, quick)]
    slow.is_slow = True
    await board.set("b", {"t": [7]})
    for key, known in (("a", [1, 2]), ("b", [7])):
        for n in (3, 4, 5):
            known = [*known[1:], n]
            grows = {"add": {"t": [n]}, "drop": 1}
            await board.change(Change(event="append", key=key, data=grows, item={"t": known}))
    await settle()
    assert slow.got == []
    slow.is_slow = False
    for subscription in list(house.bench.engine._books.lagging):
        subscription.catch_up()
    told = [(data.key, data.event, data.data) for _, data in slow.got]
    assert told == [
        ("a", "append", {"add": {"t": [3, 4, 5]}, "drop": 3}),
        ("b", "set", {"t": [5]}),
    ]
    states = [reader.take(each).state for reader, each in zip(readers, (slow, quick), strict=True)]
    assert states[0] == states[1] == {"a": {"t": [4, 5]}, "b": {"t": [5]}}


async def test_only_kinds_that_say_so_take_appends(house: House) -> None:
    """To another map `append` is refused: nobody would know what it makes of the item. A stream may call its events what it likes."""
    error = await house.error(house.socket(), "publish", "board:x", key="a", event="append", data=1)
    assert (error["code"], error["errors"][0]["pointer"]) == ("invalid", "/event")
    answer = await house.ask(house.socket(), "publish", "chat:x", event="append", data=1)
    assert answer["offset"] == 1
