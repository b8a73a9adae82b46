"""What a subscriber is sent, and how much at once: patches, pages, filters, and what is owed to who is slow."""

import pytest

from clarion.topics.changes import Change
from clarion.topics.reading import Reader as Reading
from tests.topics.fakes import settle
from tests.topics.house import ADA, BLUE, RED, House, Reader, catch_up


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
    monkeypatch.setattr("clarion.topics.stores.base.PAGE", 2)
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
    monkeypatch.setattr("clarion.topics.stores.base.PAGE", 2)
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
