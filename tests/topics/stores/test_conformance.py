"""What every topic store promises: one suite, run against each."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from clarion.clock import ManualClock
from clarion.errors import TooMany
from clarion.ids import Ids
from clarion.topics.changes import ABSENT, PRESENT, Change, Guard
from clarion.topics.kinds import Topic
from clarion.topics.stores import Appended, Keep, MemoryStore, TopicStore
from clarion.topics.stream import Position, Recovered, Refused, recover
from tests.support.subscribers import state_after
from tests.topics.stores.makers import STORES

KEEP = Keep(size=5, age_s=60.0, keys=4)
MAP, STREAM = Topic("default", "map", "a"), Topic("default", "stream", "a")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[TopicStore]:
    async with STORES[request.param](request, clock, Ids.seeded(1)) as made:
        yield made


def put(key: str, data: Any, **more: Any) -> Change:
    return Change(event="set", key=key, data=data, **more)


def remove(key: str, **more: Any) -> Change:
    return Change(event="remove", key=key, **more)


async def state(store: TopicStore, topic: Topic = MAP) -> dict[str, Any]:
    return {key: item.data for key, item in (await store.items(topic, "", 100)).items}


async def add(store: TopicStore, *changes: Change, topic: Topic = MAP) -> Appended:
    return await store.append(topic, changes, KEEP)


async def test_a_topic_begins_empty_and_its_epoch_stays(store: TopicStore) -> None:
    """Who subscribes before the first entry stands in the epoch that the entry will have."""
    [before] = await store.top([MAP])
    assert (before.offset, before.mark) == (0, 0)
    assert await store.items(MAP, "", 10) == (await store.items(MAP, "", 10))
    made = await add(store, put("a", 1))
    assert made.position.epoch == before.epoch
    assert [entry.offset for entry in made.entries] == [1]
    assert await store.top([MAP, STREAM]) == [made.position, (await store.top([STREAM]))[0]]


async def test_entries_are_numbered_without_a_gap_and_chained_by_their_marks(
    store: TopicStore,
) -> None:
    """Offsets rise by one; each entry's `prior` is the mark before it; a reader at any position recovers the rest."""
    positions = [(await store.top([STREAM]))[0]]
    for number in range(4):
        changes = [Change(event="said", data={"n": number, "i": i}) for i in range(number % 2 + 1)]
        positions.append((await add(store, *changes, topic=STREAM)).position)
    log = await store.read(STREAM, 1, 100)
    assert [entry.offset for entry in log.entries] == [2, 3, 4, 5, 6]
    assert log.top == positions[-1]
    for position in positions[1:]:
        read = await store.read(STREAM, position.offset, 100)
        found = recover(position, read.top, read.entries, 100)
        assert isinstance(found, Recovered)
        assert found.position == positions[-1]
    read = await store.read(STREAM, 0, 100)
    assert recover(positions[0], read.top, read.entries, 100) == Refused("too_old")


async def test_a_log_is_read_in_pieces(store: TopicStore) -> None:
    """`limit` entries behind an offset, in order; none behind the top."""
    await add(store, *(Change(event="said", data=n) for n in range(5)), topic=STREAM)
    assert [entry.data for entry in (await store.read(STREAM, 1, 2)).entries] == [1, 2]
    assert (await store.read(STREAM, 5, 2)).entries == []
    assert (await store.read(STREAM, 99, 2)).entries == []


async def test_a_state_is_what_its_log_says(store: TopicStore) -> None:
    """Setting, changing and removing by key; each item tells the offset of the entry that it is from, and its tags."""
    await add(store, put("a", 1, tags={"team": "red"}), put("b", {"x": [1, None, "é"]}))
    made = await add(
        store, put("a", 2, tags={"team": "blue"}), remove("b", data="why"), put("c", None)
    )
    page = await store.items(MAP, "", 10)
    assert page.position == made.position
    assert [(key, item.data, item.offset, item.tags) for key, item in page.items] == [
        ("a", 2, 3, {"team": "blue"}),
        ("c", None, 5, None),
    ]
    entries = (await store.read(MAP, 0, 100)).entries
    assert state_after({}, entries) == {"a": 2, "c": None}
    assert entries[3].data == "why"


async def test_an_item_grows_and_the_log_has_only_what_came(store: TopicStore) -> None:
    """An append's entry says the difference, the item is whole; whoever applies the log has the state, and the next guard sees the item."""
    await add(store, put("a", {"t": [1, 2]}))
    by = {"add": {"t": [3]}, "drop": 1}
    for guard in (Guard("at", 1), Guard("at", 1)):
        grows = Change(event="append", key="a", data=by, item={"t": [2, 3]}, guard=guard)
        made = await add(store, grows)
    assert made.outcomes[0].refused == "guard"
    assert made.outcomes[0].item is not None
    assert made.outcomes[0].item.data == {"t": [2, 3]}
    entries = (await store.read(MAP, 0, 100)).entries
    assert [(entry.event, entry.data) for entry in entries] == [
        ("set", {"t": [1, 2]}), ("append", by),
    ]  # fmt: skip
    assert await state(store) == state_after({}, entries) == {"a": {"t": [2, 3]}}


async def test_an_item_may_be_more_than_its_entry_says(store: TopicStore) -> None:
    """What a kind keeps beside what subscribers see is in the item alone, and the next guard meets it."""
    for n, guard in ((1, Guard("absent")), (2, Guard("at", 1))):
        hides = Change(event="set", key="a", data={"n": n}, item={"n": n, "_": n}, guard=guard)
        made = await add(store, hides)
    assert made.outcomes[0].item is not None
    assert made.outcomes[0].item.data == {"n": 1, "_": 1}
    assert [entry.data for entry in (await store.read(MAP, 0, 9)).entries] == [{"n": 1}, {"n": 2}]
    assert await state(store) == {"a": {"n": 2, "_": 2}}


async def test_entries_tell_the_tags_that_an_item_had(store: TopicStore) -> None:
    """A subscriber that filters learns that an item left it: `was` has the former tags if they were others; a removal, its item's."""
    red, blue = {"team": "red"}, {"team": "blue"}
    await add(
        store, put("a", 1, tags=red), put("a", 2, tags=red), put("a", 3, tags=blue), remove("a"),
        put("a", 1),
    )  # fmt: skip
    entries = (await store.read(MAP, 0, 100)).entries
    assert [(entry.tags, entry.was) for entry in entries] == [
        (red, None), (red, None), (blue, red), (blue, None), (None, None),
    ]  # fmt: skip


async def test_removing_what_is_not_there_is_an_entry_like_any_other(store: TopicStore) -> None:
    """A removal without a guard is written: what it leaves is what it says."""
    made = await add(store, remove("a"))
    assert [entry.event for entry in made.entries] == ["remove"]
    assert await state(store) == {}


async def test_a_state_is_read_in_pages_by_key(store: TopicStore) -> None:
    """Pages are in the order of keys, by their UTF-8, and say whether more follows."""
    await add(store, put("b", 2), put("é", 4), put("a", 1), put("c", 3))
    first = await store.items(MAP, "", 2)
    assert ([key for key, _ in first.items], first.more) == (["a", "b"], True)
    second = await store.items(MAP, "b", 2)
    assert ([key for key, _ in second.items], second.more) == (["c", "é"], False)
    assert (await store.items(MAP, "é", 2)).items == []


async def test_items_are_found_by_key(store: TopicStore) -> None:
    """In the order asked; None for those that are not there."""
    await add(store, put("a", 1), put("b", 2), remove("b"))
    a, b, c = await store.get(MAP, ["a", "b", "c"])
    assert (a.data if a else None, b, c) == (1, None, None)


@pytest.mark.parametrize(
    ("guard", "allowed_without", "allowed_with"),
    [
        (Guard(), True, True),
        (ABSENT, True, False),
        (PRESENT, False, True),
        (Guard("at", 1), False, True),
        (Guard("at", 2), False, False),
        (Guard("newer", 8), True, True),
        (Guard("newer", 7), True, False),
        (Guard("newer", 6), True, False),
    ],
)
@pytest.mark.parametrize("event", ["set", "remove"])
async def test_a_change_is_made_only_if_its_guard_holds(
    store: TopicStore, guard: Guard, event: str, *, allowed_without: bool, allowed_with: bool
) -> None:
    """The five guards, for an item of version 7 made by entry 1, and for none. What is refused leaves no trace."""
    await add(store, put("a", "old", version=7))
    for key, is_allowed in (("other", allowed_without), ("a", allowed_with)):
        before = await state(store)
        done = await add(store, Change(event=event, data="new", key=key, guard=guard, version=9))
        assert [outcome.refused for outcome in done.outcomes] == [None if is_allowed else "guard"]
        assert len(done.entries) == is_allowed
        if is_allowed:
            assert done.outcomes[0].offset == done.position.offset == done.entries[0].offset
        else:
            assert done.position.offset == (await store.top([MAP]))[0].offset
            assert await state(store) == before


async def test_a_refused_change_tells_what_is_there(store: TopicStore) -> None:
    """So that the caller can decide again; the other changes of the call are made."""
    await add(store, put("a", 1, version=3))
    done = await add(store, put("a", 2, guard=ABSENT), put("b", 1))
    refused, made = done.outcomes
    assert refused.item is not None
    assert (refused.refused, refused.item.data, refused.item.version) == ("guard", 1, 3)
    assert (made.refused, made.offset) == (None, 2)
    assert await state(store) == {"a": 1, "b": 1}


async def test_a_late_write_is_dropped_also_after_a_removal(store: TopicStore) -> None:
    """A removed item's version stays until the log forgets it, and is in no page and no count of the state."""

    def newer(key: str, version: int, event: str = "set") -> Change:
        guard = Guard("newer", version)
        return Change(event=event, data=version, key=key, version=version, guard=guard)

    await add(store, newer("a", 1), newer("a", 3, "remove"))
    late = await add(store, newer("a", 2))
    assert late.outcomes[0].refused == "guard"
    assert late.outcomes[0].item is None
    assert await state(store) == {}
    assert (await store.get(MAP, ["a"])) == [None]
    assert (await add(store, put("a", 0, guard=PRESENT))).outcomes[0].refused == "guard"
    assert (await add(store, newer("a", 4))).outcomes[0].refused is None
    assert await state(store) == {"a": 4}


async def test_the_same_id_again_changes_nothing(store: TopicStore, clock: ManualClock) -> None:
    """Within five minutes it is answered as the first time, in the same call and in another; then it is a new change."""
    once = await add(
        store, put("a", 1, id="x"), put("a", 2, id="x"), Change(event="said", id="y"), topic=MAP
    )
    assert [outcome.refused for outcome in once.outcomes] == [None, "duplicate", None]
    clock.advance(299)
    again = await add(store, put("a", 3, id="x"))
    first = once.outcomes[0]
    assert [(each.offset, each.mark, each.refused) for each in again.outcomes] == [
        (first.offset, first.mark, "duplicate")
    ]
    assert (again.entries, again.position) == ([], once.position)
    assert await state(store) == {"a": 1}
    other = await add(store, put("a", 3, id="x"), topic=STREAM)
    assert other.outcomes[0].refused is None, "an id belongs to its topic"
    clock.advance(2)
    assert (await add(store, put("a", 4, id="x"))).outcomes[0].refused is None


async def test_an_id_whose_guard_did_not_hold_is_free(store: TopicStore) -> None:
    """What was not made can be tried again with the same id."""
    await add(store, put("a", 1, id="x", guard=PRESENT))
    assert (await add(store, put("a", 1, id="x"))).outcomes[0].refused is None


async def test_an_item_whose_time_is_over_is_removed_once(
    store: TopicStore, clock: ManualClock
) -> None:
    """`expire` writes a removal for it and hands it out to one caller; until then the state still has it."""
    now = clock.now_ms()
    await add(
        store, put("a", 1, expires_ms=now + 1000), put("b", 2, expires_ms=now + 2000), put("c", 3)
    )
    assert await store.expire(10) == []
    clock.advance(1)
    assert await state(store) == {"a": 1, "b": 2, "c": 3}
    [expired] = await store.expire(10)
    assert (expired.topic, expired.epoch) == (MAP, (await store.top([MAP]))[0].epoch)
    assert [(e.offset, e.event, e.key, e.data) for e in expired.entries] == [
        (4, "remove", "a", {"reason": "expired"})
    ]
    assert await store.expire(10) == []
    assert await state(store) == {"b": 2, "c": 3}
    clock.advance(5)
    assert [entry.key for each in await store.expire(10) for entry in each.entries] == ["b"]


async def test_expiring_works_in_slices(store: TopicStore, clock: ManualClock) -> None:
    """At most `limit` at once, whatever topics they are of."""
    now = clock.now_ms()
    topics = [Topic("default", "map", name) for name in "xyz"]
    for topic in topics:
        await add(
            store, put("a", 1, expires_ms=now + 1), put("b", 1, expires_ms=now + 1), topic=topic
        )
    clock.advance(1)
    gone: list[tuple[Topic, str | None]] = []
    for most in (4, 2):
        some = [(each.topic, entry.key) for each in await store.expire(4) for entry in each.entries]
        assert len(some) == most
        gone += some
    assert sorted((topic.name, key) for topic, key in gone) == [
        (name, key) for name in "xyz" for key in "ab"
    ]


async def test_a_change_meets_an_item_whose_time_is_over_as_none(
    store: TopicStore, clock: ManualClock
) -> None:
    """A lock that ran out can be taken at once: its removal is written first, so that the log says what happened."""
    lock = put("lock", "ann", guard=ABSENT, expires_ms=clock.now_ms() + 1000)
    await add(store, lock)
    clock.advance(1)
    made = await add(store, put("lock", "ben", guard=ABSENT, expires_ms=clock.now_ms() + 1000))
    assert [(entry.offset, entry.event) for entry in made.entries] == [(2, "remove"), (3, "set")]
    assert (made.outcomes[0].refused, made.outcomes[0].offset) == (None, 3)
    assert await store.expire(10) == []


async def test_changing_or_renewing_an_item_puts_off_its_end(
    store: TopicStore, clock: ManualClock
) -> None:
    """A later change has its own time or none; renewing writes no entry, and only finds items that expire."""
    now = clock.now_ms()
    for key in "abc":
        await add(store, put(key, 1, expires_ms=now + 1000))
    await add(store, put("a", 2), put("d", 1))
    top = await store.top([MAP])
    assert await store.renew(MAP, ["b", "d", "nobody"], now + 9000) == 1
    assert await store.top([MAP]) == top
    clock.advance(2)
    assert [entry.key for each in await store.expire(10) for entry in each.entries] == ["c"]
    clock.advance(10)
    assert [entry.key for each in await store.expire(10) for entry in each.entries] == ["b"]
    assert await state(store) == {"a": 2, "d": 1}


async def test_a_state_has_at_most_so_many_keys(store: TopicStore) -> None:
    """One more is refused, and nothing of that call is made; what is there can be changed and removed."""
    await add(store, *(put(key, 1) for key in "abcd"))
    top = await store.top([MAP])
    with pytest.raises(TooMany, match="4 keys"):
        await add(store, put("a", 2), put("e", 1))
    assert await store.top([MAP]) == top
    assert await state(store) == dict.fromkeys("abcd", 1)
    await add(store, put("a", 2), remove("b"))
    await add(store, put("e", 1))


async def test_old_entries_go(store: TopicStore, clock: ManualClock) -> None:
    """What is older than `age_s` is not read any more, trimmed or not; the state stays, and the offsets go on."""
    await add(store, put("a", 1))
    clock.advance(50)
    made = await add(store, put("b", 2))
    clock.advance(20)
    assert [entry.offset for entry in (await store.read(MAP, 0, 10)).entries] == [2]
    assert await store.trim() >= 1
    clock.advance(60)
    await store.trim()
    assert (await store.read(MAP, 0, 10)).entries == []
    assert await state(store) == {"a": 1, "b": 2}
    assert await store.top([MAP]) == [made.position]
    assert (await add(store, put("a", 3))).position.offset == 3


async def test_a_time_leads_to_an_offset(store: TopicStore, clock: ManualClock) -> None:
    """`since` gives the offset before the first entry that is not older; entries tell when they were appended."""
    for number in range(4):
        await add(store, Change(event="said", data=number), topic=STREAM)
        clock.advance(1)
    began = clock.now_ms() - 4000
    entries = (await store.read(STREAM, 0, 10)).entries
    assert [entry.at_ms - began for entry in entries] == [0, 1000, 2000, 3000]
    for at_ms, offset in ((0, 0), (1, 1), (1000, 1), (1001, 2), (9999, 4)):
        assert await store.since(STREAM, began + at_ms) == offset


async def test_a_cleared_topic_goes_on_in_a_new_epoch(store: TopicStore) -> None:
    """Nothing of it is left, and who was subscribed is told to take the state."""
    old = (await add(store, put("a", 1, id="x"), put("b", 2))).position
    new = await store.clear(MAP)
    assert new.epoch != old.epoch
    assert (new.offset, await state(store)) == (0, {})
    read = await store.read(MAP, old.offset, 10)
    assert recover(old, read.top, read.entries, 10) == Refused("epoch_changed")
    assert (await add(store, put("a", 1, id="x"))).outcomes[0].refused is None


async def test_topics_are_strangers(store: TopicStore) -> None:
    """Tenant, kind and name: what differs in one of them is another topic, whatever characters they have."""
    names = [
        Topic("default", "map", "x"),
        Topic("default", "other", "x"),
        Topic("acme", "map", "x"),
    ]
    names += [Topic("default", "map", name) for name in ("x:y", "x|y", "X", "x ", "{x}", "é")]
    for number, topic in enumerate(names):
        await add(store, put("n", number), topic=topic)
    for number, topic in enumerate(names):
        assert await state(store, topic) == {"n": number}
    assert {position.offset for position in await store.top(names)} == {1}


async def test_a_page_ends_where_its_bytes_do(store: TopicStore) -> None:
    """However large the items: a page has at least one, and says that more follow; together they are the state."""
    sizes = {"a": 10, "b": 700_000, "c": 1_500_000, "d": 10}
    for key, size in sizes.items():
        await add(store, put(key, "x" * size))
    pages: list[list[str]] = []
    after, more = "", True
    while more:
        state = (await store.page(MAP, after)).state
        pages.append([item["key"] for item in state["items"]])
        more, after = state["more"], state.get("next", "")
    assert pages == [["a", "b"], ["c"], ["d"]]
    assert not (await store.items(MAP, "", 100)).more
    if not isinstance(store, MemoryStore):  # what is far away is not even read
        some = await store.items(MAP, "b", 100, most_bytes=1)
        assert ([key for key, _ in some.items], some.more) == (["c"], True)


async def test_the_snapshot_is_the_first_page(store: TopicStore) -> None:
    """Items with their offsets and tags, and the position they belong to."""
    made = await add(store, put("b", 2), put("a", 1, tags={"t": "1"}))
    found = await store.snapshot(MAP)
    assert found.position == made.position
    assert found.state == {
        "items": [
            {"key": "a", "data": 1, "offset": 2, "tags": {"t": "1"}},
            {"key": "b", "data": 2, "offset": 1},
        ],
        "more": False,
    }


async def test_items_are_counted(store: TopicStore) -> None:
    """Those of one topic; nothing that was removed."""
    assert await store.count(MAP) == 0
    await add(store, put("a", 1), put("b", 1), put("a", 2), remove("b"), put("c", 1))
    await add(store, Change(event="said"), topic=STREAM)
    assert (await store.count(MAP), await store.count(STREAM)) == (2, 0)


async def test_an_empty_topic_that_nobody_uses_is_forgotten(
    store: TopicStore, clock: ManualClock
) -> None:
    """Asking for topics leaves nothing behind for ever; one with items stays, however old."""
    await store.top([STREAM])
    await add(store, put("a", 1))
    clock.advance(3600)
    await store.trim()
    clock.advance(3600)
    await store.trim()
    assert await state(store) == {"a": 1}
    position: Position = (await store.top([STREAM]))[0]
    assert position.offset == 0
