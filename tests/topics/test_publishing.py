"""Publishing, by the commands that a socket sends: what subscribers see of it, what is refused, and what a repetition or a guard does."""

from typing import Any

import msgspec
import pytest

from clarion.auth.principal import Principal
from clarion.errors import Forbidden
from clarion.protocol.jsontext import is_plain
from clarion.topics import Call, Publish, Published, SignedIn, Topic
from tests.topics.house import House, Reader


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
