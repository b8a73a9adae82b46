"""Streams of activities on both engines: what subscribers are told leads to what is there."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.auth.principal import Principal
from clarion.bus import LocalBus
from clarion.clock import ManualClock, as_datetime
from clarion.errors import Forbidden, Invalid, NotFound, TooLarge
from clarion.features.activity import (
    WINDOW,
    Edit,
    Feeds,
    NewActivity,
)
from clarion.features.activity.publish import publish
from clarion.ids import Ids
from clarion.jobs import Queue
from clarion.settings import Limits
from clarion.storage import Store, open_store
from clarion.storage.activity import ADD, Addition
from clarion.storage.slices import total
from clarion.topics import Kinds, TopicEngine
from clarion.topics.arguments import SubscribeArgs
from clarion.topics.kinds import Kind, Snapshot, Topic
from clarion.topics.publishing import Call, Publish
from clarion.topics.stream import judge
from tests.support.law import assert_law
from tests.support.services import Postgres
from tests.support.subscribers import activities_after
from tests.topics.fakes import Socket, settle

GRANTS = {"activity:*": ("subscribe", "publish")}
ANN = Principal(id="ann", topics=GRANTS)
BOB = Principal(id="bob", topics=GRANTS)
DAY_MS = 24 * 3_600_000


class House:
    """Streams, put together as the server does."""

    def __init__(self, store: Store) -> None:
        self.clock, kinds, bus, ids = ManualClock(), Kinds(), LocalBus(), Ids.seeded(1)
        limits = Limits(publication_bytes=500, activity_days=10)
        self.engine = TopicEngine(
            lambda event, data: (event, data), kinds, bus, limits, clock=self.clock, ids=ids
        )
        queue = Queue(store, self.clock, ids, node="n")
        feeds = Feeds(store, bus, self.engine, queue, limits, clock=self.clock, ids=ids)
        self.streams = feeds.streams
        self.kind: Kind = feeds.kinds[0]
        kinds.add(self.kind)

    async def add(self, stream: str, object: str = "photo:1", **more: Any) -> Any:
        given = {"actor": "ann", "verb": "like", "object": object, **more}
        return await self.streams.add("default", stream, msgspec.convert(given, NewActivity))

    async def window(self, stream: str) -> Snapshot:
        return await self.kind.log.snapshot(topic(stream))

    async def items(self, stream: str) -> list[str]:
        return [item["object"] for item in (await self.window(stream)).state["items"]]


def topic(stream: str) -> Topic:
    return Topic("default", "activity", stream)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[asyncio.Runner, House]]:
    """A house, and the loop that it lives in."""
    with asyncio.Runner() as runner:
        url = ""
        if request.param == "postgresql":
            postgres: Postgres = request.getfixturevalue("postgres")
            url = runner.run(postgres.new_database())
        folder = tmp_path_factory.mktemp("activity")
        store = runner.run(open_store(url=url, data_dir=folder, clock=ManualClock()))
        yield runner, House(store)
        runner.run(store.close())


names = (f"stream{number}" for number in itertools.count())

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 4), st.integers(0, 9)),
        st.tuples(st.just("again"), st.integers(0, 2), st.integers(0, 9)),
        st.tuples(st.just("edit"), st.integers(0, 60), st.integers(0, 9)),
        st.tuples(st.just("remove"), st.integers(0, 60), st.just(0)),
        st.tuples(st.just("purge"), st.just(0), st.just(0)),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(STEPS, st.sampled_from([0, WINDOW - 2, WINDOW + 2]), st.integers(0, 12))
def test_events_applied_to_an_old_window_are_the_window_fetched_afresh(
    runs: tuple[asyncio.Runner, House], steps: list[Any], before: int, at: int
) -> None:
    """Whatever is added, said again, changed, removed and forgotten; from any point on, with a window that is empty, nearly full, or too small."""
    runner, house = runs
    runner.run(follow(house, next(names), steps, before, at))


async def follow(house: House, stream: str, steps: list[Any], before: int, at: int) -> None:
    now = house.clock.now_ms()
    old, objects = now - 9 * DAY_MS, [f"o{n}" for n in range(before)]
    await asyncio.gather(
        *(house.add(stream, o, published=rfc(old + n // 3)) for n, o in enumerate(objects))
    )
    known = await house.window(stream)
    for nth, (what, which, value) in enumerate(steps):
        if nth == at:
            known = await house.window(stream)
        ids = [item["id"] for item in (await house.window(stream)).state["items"]]
        match what:
            case "add":
                await house.add(stream, f"v{value}", published=rfc(old - 1 + which))
            case "again":
                await house.add(stream, f"v{value}", foreign_id=f"f{which}")
            case "edit" if ids:
                edit = Edit(object=f"v{value}")
                await house.streams.edit("default", stream, ids[which % len(ids)], edit)
            case "remove" if ids:
                await house.streams.remove("default", stream, ids[which % len(ids)])
            case _:
                house.clock.advance(86_400.0 + 0.001)
                await total(house.streams.purge())
    read = await house.kind.log.read(topic(stream), known.position.offset, 1_000)
    position = known.position
    for entry in read.entries:
        assert judge(position, entry).value == "next"
        position = msgspec.structs.replace(position, offset=entry.offset, mark=entry.mark)
    assert position == read.top
    fresh = await house.window(stream)
    assert activities_after(known.state, read.entries) == fresh.state
    assert fresh.position == read.top


def rfc(ms: int) -> str:
    return as_datetime(ms).isoformat()


additions = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from("st"), st.sampled_from(["", "", "f", "g"]), st.sampled_from("xy")
        ),
        min_size=1,
        max_size=3,
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(additions, additions)
def test_additions_joined_or_one_by_one_are_the_same(first: Any, then: Any) -> None:
    """The procedure's law, with foreign ids that meet in one run, and that are there already."""
    number = itertools.count(1)
    calls = [
        [
            Addition("t", stream, f"id{n:04}", foreign, "", n, body, 2**32 - n, n)
            for (stream, foreign, body), n in zip(call, number, strict=False)
        ]
        for call in (*first, *then)
    ]
    assert_law(ADD, calls[len(first) :], given=[(ADD, call) for call in calls[: len(first)]])


async def adding(house: House) -> None:
    stream = next(names)
    first = await house.add(stream, foreign_id="like-1", data={"n": 1.5})
    again = await house.add(stream, foreign_id="like-1", data={"n": 2})
    same = await house.add(stream, foreign_id="like-1", data={"n": 2})
    assert [each.event for each in (first, again, same)] == ["added", "changed", "changed"]
    assert again.activity.id == first.activity.id
    assert again.activity.published == first.activity.published
    assert same.dropped == "same"
    assert (again.offset, same.offset, same.mark) == (2, 2, again.mark)
    house.clock.advance(1)
    other = await house.add(stream, "photo:2")
    assert await house.items(stream) == ["photo:2", "photo:1"]
    page = await house.streams.page("default", stream, limit=1)
    assert [each.id for each in page.items] == [other.activity.id]
    rest = await house.streams.page("default", stream, page.next, limit=1)
    assert [each.data for each in rest.items] == [{"n": 2}]
    assert rest.next is None
    assert (await house.streams.page("other", stream)).items == []
    with pytest.raises(NotFound):
        await house.streams.get("other", stream, other.activity.id)


def test_adding_the_same_again_changes_it(runs: tuple[asyncio.Runner, House]) -> None:
    """Its id and its time stay; what is so already leaves no trace; nothing of it is in another tenant."""
    runner, house = runs
    runner.run(adding(house))


async def crowding(house: House) -> None:
    stream = next(names)
    written = await asyncio.gather(
        *(house.add(stream, f"o{n}", foreign_id=f"f{n % 20}") for n in range(60))
    )
    assert sorted(each.offset for each in written) == [*range(1, 61)]
    assert sum(each.event == "added" for each in written) == 20
    assert len(await house.items(stream)) == 20


def test_many_at_once_have_one_order(runs: tuple[asyncio.Runner, House]) -> None:
    """Offsets without a gap, and each foreign id once."""
    runner, house = runs
    runner.run(crowding(house))


async def living(house: House) -> None:
    stream, socket = next(names), Socket("s")
    answer, subscription = await house.engine.subscribe(
        socket, ANN, SubscribeArgs(f"activity:{stream}")
    )
    house.engine.go(subscription)
    assert answer.snapshot == {"items": [], "more": False}

    async def say(who: Principal, event: str, data: Any = None, **more: Any) -> Any:
        given = Publish(event=event, data=data, **more)
        assert house.kind.publish is not None
        return await house.kind.publish(Call(topic(stream), who), given)

    added = await say(ANN, "add", {"verb": "like", "object": "p"}, id="k")
    assert (await say(ANN, "add", {"verb": "like", "object": "p"}, id="k")).dropped == "same"
    theirs = await say(BOB, "add", {"verb": "like", "object": "p"}, id="k")
    assert theirs.key != added.key
    await say(ANN, "change", {"object": "q"}, key=added.key)
    await say(ANN, "remove", key=added.key)
    await settle(lambda: len(socket.offsets) == 4)
    events = [data for event, data in socket.got]
    assert [each.event for each in events] == ["added", "added", "changed", "removed"]
    assert events[0].data["activity"]["actor"] == "ann"
    assert events[2].data["activity"]["object"] == "q"
    assert events[3].data == {"id": added.key, "more": False}
    for event, data, more in (
        ("add", {"verb": "like", "object": "p", "actor": "ann"}, {}),
        ("change", {"object": "q"}, {"key": theirs.key}),
        ("remove", None, {"key": theirs.key}),
    ):
        with pytest.raises(Forbidden):
            await say(BOB if event == "add" else ANN, event, data, **more)


def test_what_is_published_reaches_open_pages(runs: tuple[asyncio.Runner, House]) -> None:
    """Added, changed, removed; users speak for themselves, and their foreign ids are their own."""
    runner, house = runs
    runner.run(living(house))


BAD: list[tuple[dict[str, Any], str]] = [
    ({"event": "explode"}, "/event"),
    ({"event": "add", "data": None}, "/data"),
    ({"event": "add", "data": {"verb": "like"}}, "/data/object"),
    ({"event": "add", "data": {"verb": "", "object": "x"}}, "/data/verb"),
    ({"event": "add", "data": {"verb": "a\nb", "object": "x"}}, "/data/verb"),
    ({"event": "add", "data": {"verb": "v", "object": "x" * 513}}, "/data/object"),
    ({"event": "add", "data": {"verb": "v", "object": "x", "more": 1}}, "/data/more"),
    ({"event": "add", "data": {"verb": "v", "object": "x", "published": "1969-01-01T00:00:00Z"}}, "/published"),
    ({"event": "add", "data": {"verb": "v", "object": "x", "published": "9999-01-01T00:00:00Z"}}, "/published"),
    ({"event": "add", "data": {"verb": "v", "object": "x", "published": "2026-01-01T00:00:00"}}, "/data/published"),
    ({"event": "add", "data": {"verb": "v", "object": "x"}, "key": "k"}, "/key"),
    ({"event": "change", "data": {}}, "/key"),
    ({"event": "remove", "key": "k", "tags": {"a": "b"}}, "/tags"),
    ({"event": "remove", "key": "k", "only": "absent"}, "/if"),
]  # fmt: skip


async def refusing(house: House) -> None:
    call = Call(topic(next(names)), ANN)
    for bad, pointer in BAD:
        with pytest.raises(Invalid) as caught:
            await publish(house.streams, call, Publish(**bad))
        assert caught.value.faults[0].pointer == pointer, bad
    large = {"verb": "v", "object": "x", "data": {"text": "x" * 500}}
    with pytest.raises(TooLarge):
        await publish(house.streams, call, Publish(event="add", data=large))
    with pytest.raises(NotFound):
        await publish(house.streams, call, Publish(event="remove", key="k"))
    with pytest.raises(Invalid):
        await house.streams.add("default", "s", NewActivity(verb="v", object="o"))


def test_what_is_no_activity_is_told_where(runs: tuple[asyncio.Runner, House]) -> None:
    """A pointer to what is wrong, and nothing is written."""
    runner, house = runs
    runner.run(refusing(house))


async def forgetting(house: House) -> None:
    stream = next(names)
    for n in range(3):
        await house.add(stream, f"o{n}")
    house.clock.advance(11 * 86_400)
    await house.add(stream, "new")
    assert await total(house.streams.purge()) >= 3
    assert await house.items(stream) == ["new"]
    assert await total(house.streams.purge()) == 0
    assert await total(house.streams.trim()) >= 3
    read = await house.kind.log.read(topic(stream), 0, 100)
    assert [entry.event for entry in read.entries] == ["added", "expired"]
    assert read.top.offset == 5


def test_what_is_old_goes(runs: tuple[asyncio.Runner, House]) -> None:
    """Activities after `limits.activity_days`, entries of the log after a week."""
    runner, house = runs
    runner.run(forgetting(house))
