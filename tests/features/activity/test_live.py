"""Timelines seen live: what a page has been told makes what it would read, whatever happens and whatever gets lost on the way."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.auth.principal import Principal
from clarion.bus import LocalBus
from clarion.clock import ManualClock, as_datetime
from clarion.errors import Forbidden, Invalid, NotFound, TooMany, Unauthenticated
from clarion.features.activity import Edit, Feeds, NewActivity, Readers, Upto, live, sees, window
from clarion.ids import Ids
from clarion.jobs import Queue
from clarion.settings import Limits
from clarion.storage import Store, open_store
from clarion.storage.slices import total
from clarion.topics import Kinds, TopicEngine
from clarion.topics.arguments import SubscribeArgs
from clarion.topics.kinds import Topic
from clarion.topics.publishing import Call, Publish
from clarion.topics.stream import Position
from tests.support.services import Postgres
from tests.support.subscribers import items_after
from tests.topics.fakes import Socket

GRANT = {"activity:open*": ("subscribe",)}
numbers = itertools.count()


class House:
    """Timelines over a store, and an engine with subscribers."""

    def __init__(self, store: Store) -> None:
        self.clock, self.kinds, self.bus = ManualClock(), Kinds(), LocalBus()
        ids, limits = Ids.seeded(1), Limits(activity_live=3)
        self.engine = TopicEngine(
            lambda event, data: (event, data), self.kinds, self.bus, limits, clock=self.clock, ids=ids
        )  # fmt: skip
        self.queue = Queue(store, self.clock, ids, node="n")
        self.feeds = Feeds(
            store, self.bus, self.engine, self.queue, limits, clock=self.clock, ids=ids
        )
        self.streams, self.timelines = self.feeds.streams, self.feeds.timelines
        for kind in self.feeds.kinds:
            self.kinds.add(kind)

    def forget(self) -> None:
        """Keep nothing true any more, as after a while in which nobody is subscribed."""
        for kept in list(self.feeds.live._kept.values()):
            self.feeds.live._forget(kept)

    async def add(self, stream: str, ms: int = 0, **more: Any) -> str:
        given = {"actor": "a", "verb": "v", "object": "o", **more}
        if ms:
            given["published"] = as_datetime(ms)
        new = msgspec.convert(given, NewActivity)
        return (await self.streams.add("default", stream, new)).activity.id

    async def subscribe(self, who: Principal, since: Any = None, name: str = "") -> "Page":
        socket = Socket(f"s{next(numbers)}")
        wish = SubscribeArgs(name or f"timeline:{who.id}", since)
        answer, subscription = await self.engine.subscribe(socket, who, wish)
        self.engine.go(subscription)
        return Page(self, socket, who, answer)


class Page:
    """A page that applies what it hears."""

    def __init__(self, house: House, socket: Socket, who: Principal, answer: Any) -> None:
        self.house, self.socket, self.who, self.answer = house, socket, who, answer

    @property
    def heard(self) -> list[tuple[str, Any]]:
        return [
            (data.event, data.data) for event, data in self.socket.got if event == "publication"
        ]

    @property
    def state(self) -> Any:
        return items_after(self.answer.snapshot, self.heard)

    async def fresh(self) -> Any:
        if self.answer.topic.startswith("feed:"):
            stream = self.answer.topic.removeprefix("feed:").rpartition("/")[0]
            feed = await self.house.feeds.looks.feed("default", stream, self.who.id)
            return msgspec.to_builtins(feed)
        page = await self.house.timelines.page(
            "default", self.who.id, limit=window.WINDOW, may_see=sees(self.who)
        )
        return {"items": msgspec.to_builtins(page.items), "more": page.next is not None}

    async def is_true(self) -> None:
        """Return when what was told makes what would be read."""
        async with asyncio.timeout(5):
            while self.state != await self.fresh():
                pass


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110  what is waited for is inside the house
            await asyncio.sleep(0.001)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[asyncio.Runner, House]]:
    """A house, and the loop that it lives in."""
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:
        patch.setattr(window, "WINDOW", 4)
        patch.setattr("clarion.features.activity.timeline.WINDOW", 4)
        for name in ("feed.WINDOW", "feed.SPARE"):
            patch.setattr(f"clarion.features.activity.{name}", 4 if "W" in name else 2)
        patch.setattr(window, "SPARE", 2)
        patch.setattr("clarion.features.activity.timeline.SPARE", 2)
        patch.setattr(live, "READ_PAUSE_S", 0.001)
        url = ""
        if request.param == "postgresql":
            postgres: Postgres = request.getfixturevalue("postgres")
            url = runner.run(postgres.new_database())
        folder = tmp_path_factory.mktemp("live")
        store = runner.run(open_store(url=url, data_dir=folder, clock=ManualClock()))
        house = House(store)
        runner.run(_start(house))
        yield runner, house
        runner.run(house.feeds.close())
        runner.run(store.close())


async def _start(house: House) -> None:
    house.feeds.live.start()


steps = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 2), st.integers(1, 20)),
    st.tuples(st.just("add"), st.integers(0, 2), st.integers(1, 20)),
    st.tuples(st.just("edit"), st.integers(0, 9), st.integers(0, 3)),
    st.tuples(st.just("remove"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("follow"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("unfollow"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("react"), st.integers(0, 9), st.integers(0, 3)),
    st.tuples(st.just("seen"), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("gap"), st.just(0), st.just(0)),
)


# On one: the statements are the same, and those below have them all.
@pytest.mark.parametrize("runs", ["sqlite"], indirect=True)
@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(steps, st.booleans()), max_size=20))
def test_what_was_told_makes_what_is_read(runs: tuple[asyncio.Runner, House], script: Any) -> None:
    """Added, changed, removed, followed and no longer, at once or one after the other, seen or not to be seen."""
    runner, house = runs
    runner.run(living(house, script))


async def living(house: House, script: Any) -> None:
    house.forget()
    n = next(numbers)
    streams = [f"open{n}-0", f"open{n}-1", f"secret{n}", f"open{n}-3"]
    ann = Principal(id=f"ann{n}", topics=GRANT)
    there: list[tuple[str, str]] = []
    for stream in streams[:3]:
        await house.timelines.follow("default", ann.id, stream)
    page, feed = await house.subscribe(ann), await house.subscribe(ann, name=f"feed:{streams[0]}")
    for (what, one, other), is_awaited in script:
        match what:
            case "add":
                more = {"group": "{day}"} if other % 2 else {}
                there.append((streams[one], await house.add(streams[one], other, **more)))
            case "edit" if there:
                stream, id = there[one % len(there)]
                await house.streams.edit("default", stream, id, Edit(verb=f"v{other}"))
            case "react" if there:
                at = there[one % len(there)]
                await house.feeds.reactions.add("default", *at, "like", f"u{other}")
            case "remove" if there:
                stream, id = there.pop(one % len(there))
                await house.streams.remove("default", stream, id)
            case "follow":
                await house.timelines.follow("default", ann.id, streams[one])
            case "unfollow":
                await house.timelines.unfollow("default", ann.id, streams[one])
            case "seen":
                what_of = "read" if one % 2 else "seen"
                await house.feeds.looks.mark("default", streams[0], ann.id, what_of, Upto())
            case "gap":
                house.bus.gap()
        if is_awaited:
            await page.is_true()
            await feed.is_true()
    await page.is_true()
    await feed.is_true()
    again = await house.subscribe(ann)
    assert again.answer.snapshot == await again.fresh()
    assert page.state == again.answer.snapshot
    for each in (page, feed, again):
        house.engine.leave(each.socket)
    house.forget()


async def coming_back(house: House) -> None:
    n = next(numbers)
    ann, stream = Principal(id=f"ann{n}", topics=GRANT), f"open{n}"
    await house.timelines.follow("default", ann.id, stream)
    page = await house.subscribe(ann)
    blind = await house.subscribe(Principal(id=ann.id))
    assert page.answer.topic.startswith(f"timeline:{ann.id}/")
    assert page.answer.durability == "recoverable"
    assert blind.answer.topic != page.answer.topic
    id = await house.add(stream)
    await until(lambda: bool(page.heard))
    assert [(event, data["item"]["id"]) for event, data in page.heard] == [("added", id)]
    position = Position(page.answer.epoch, page.answer.offset, page.answer.mark)
    house.engine.leave(page.socket)
    await house.add(stream, verb="w")
    await until(lambda: house.feeds.live._kept[_topic(page)].window.position.offset == 2)
    back = await house.subscribe(ann, position)
    assert (back.answer.recovered, len(back.answer.publications)) == (True, 2)
    assert not blind.heard
    await house.subscribe(Principal(id="other1"))
    with pytest.raises(TooMany):
        await house.subscribe(Principal(id="other2"))
    for who, name in ((ann, "timeline:bob"), (ann, f"timeline:{back.answer.topic}")):
        with pytest.raises(Forbidden):
            await house.subscribe(who, name=name)
    wish = SubscribeArgs(f"timeline:{ann.id}", None, {"of": "bob"})
    with pytest.raises(Invalid):
        await house.engine.subscribe(Socket("x"), ann, wish)
    wish = SubscribeArgs(f"timeline:{ann.id}")
    with pytest.raises(Unauthenticated):
        await house.engine.subscribe(Socket("y"), None, wish)
    for socket in (back.socket, blind.socket):
        house.engine.leave(socket)
    house.clock.advance(31)
    await until(lambda: not house.feeds.live._idle)
    lost = await house.subscribe(ann, position)
    assert (lost.answer.recovered, lost.answer.reason) == (False, "epoch_changed")


def _topic(page: Page) -> Any:
    return next(topic for topic in page.house.feeds.live._kept if topic.wire == page.answer.topic)


def test_who_blinks_recovers_and_nobody_sees_what_is_not_theirs(
    runs: tuple[asyncio.Runner, House],
) -> None:
    """What was missed comes, within a while; a token that grants less sees less; others' timelines are others'."""
    runner, house = runs
    runner.run(coming_back(house))


async def while_reading(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    n = next(numbers)
    ann, stream = Principal(id=f"ann{n}", topics=GRANT), f"open{n}"
    await house.timelines.follow("default", ann.id, stream)
    page = await house.subscribe(ann)
    kept = house.feeds.live._kept[_topic(page)]
    read, has_read, may_go_on = kept.source.read, asyncio.Event(), asyncio.Event()

    async def held() -> Any:
        found = await read()
        has_read.set()
        await may_go_on.wait()
        return found

    monkeypatch.setattr(kept.source, "read", held)
    house.bus.gap()
    await has_read.wait()
    await house.add(stream)
    await until(lambda: bool(kept.missed))
    monkeypatch.undo()
    may_go_on.set()
    await page.is_true()
    assert len(page.heard) == 1
    house.engine.leave(page.socket)


async def missing_together(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    n = next(numbers)
    house.forget()
    stream, heeded = f"open{n}", 0
    whose = [Principal(id=f"{name}{n}", topics=GRANT) for name in ("ann", "bob", "cid")]
    for who in whose:
        await house.timelines.follow("default", who.id, stream)
    pages = [await house.subscribe(who) for who in whose]
    every = [house.feeds.live._kept[_topic(page)] for page in pages]
    for kept in every:
        await kept.reading.acquire()
    await house.add(stream)
    await until(lambda: all(kept.missed for kept in every))
    put = window.Window.put

    def counted(*given: Any) -> Any:
        nonlocal heeded
        heeded += 1
        return put(*given)

    monkeypatch.setattr(window.Window, "put", counted)
    for kept in every:
        kept.reading.release()
    house.bus.gap()
    for page in pages:
        await page.is_true()
    await until(lambda: not house.feeds.live._missed and not any(kept.missed for kept in every))
    assert heeded == len(pages)
    for page in pages:
        house.engine.leave(page.socket)
    house.forget()


def test_what_many_have_missed_each_heeds_once(
    runs: tuple[asyncio.Runner, House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not each what every other one has missed: thousands of pages come at once after a restart."""
    runner, house = runs
    runner.run(missing_together(house, monkeypatch))


def test_what_happens_while_items_are_read_is_told(
    runs: tuple[asyncio.Runner, House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An activity that the reading has just missed."""
    runner, house = runs
    runner.run(while_reading(house, monkeypatch))


async def marking(house: House) -> None:
    n = next(numbers)
    stream, ann = f"notes{n}", Principal(id=f"ann{n}")
    house.forget()
    id = await house.add(stream, group="{verb}")
    with pytest.raises(Forbidden):
        await house.subscribe(ann, name=f"feed:{stream}")
    await house.streams.set_readers("default", stream, Readers(users=[ann.id]))
    page = await house.subscribe(ann, name=f"feed:{stream}")
    key = Principal(id="k", kind="key", scopes=frozenset({"topics:*"}))
    with pytest.raises(Forbidden):
        await house.subscribe(key, name=f"feed:{stream}")
    kind, where = house.kinds.find("feed"), Topic("default", "feed", stream)

    async def say(event: str, data: Any = None) -> None:
        assert kind.publish is not None
        await kind.publish(Call(where, ann), Publish(event=event, data=data))

    for event, data, pointer in (
        ("add", None, "/event"),
        ("seen", [], "/data"),
        ("seen", {"upto": 1}, "/data/upto"),
        ("seen", {"\ud800": 1}, "/data"),
    ):
        with pytest.raises(Invalid) as caught:
            await say(event, data)
        assert caught.value.faults[0].pointer == pointer
    with pytest.raises(NotFound):
        await say("seen", {"upto": "x"})
    await say("read", {"upto": id})
    await page.is_true()
    assert (page.state["unseen"], page.state["unread"]) == (0, 0)
    granted = Principal(id=ann.id, topics={f"activity:{stream}": ("subscribe",)})
    other = await house.subscribe(granted, name=f"feed:{stream}")
    await house.streams.set_readers("default", stream, Readers())
    await house.engine.recheck()
    await until(lambda: bool(page.socket.ended))
    assert not other.socket.ended
    assert page.socket.ended[0]["reason"] == "revoked"


def test_a_feed_is_its_readers_and_its_marks(runs: tuple[asyncio.Runner, House]) -> None:
    """Whom the stream names no longer loses it; marks rise over the socket; what is none is told where."""
    runner, house = runs
    runner.run(marking(house))


async def granting(house: House) -> None:
    n = next(numbers)
    stream, ann = f"secret{n}", Principal(id=f"ann{n}")
    house.forget()
    await house.timelines.follow("default", ann.id, stream)
    await house.add(stream)
    page = await house.subscribe(ann)
    assert page.state["items"] == []
    for readers, count in (
        (Readers(followers=True), 1),
        (Readers(), 0),
        (Readers(users=[ann.id]), 1),
    ):
        await house.streams.set_readers("default", stream, readers)
        await page.is_true()
        assert len(page.state["items"]) == count
    await house.add(stream, verb="w")
    await page.is_true()
    assert len(page.state["items"]) == 2
    house.engine.leave(page.socket)
    house.forget()


def test_open_timelines_hear_who_may_read_a_stream(
    runs: tuple[asyncio.Runner, House],
) -> None:
    """Followers whom it names from now on see it at once, and no longer when it does not."""
    runner, house = runs
    runner.run(granting(house))


async def removing(house: House) -> None:
    n = next(numbers)
    stream = f"open{n}"
    ids = [await house.add(stream, ms) for ms in (1, 2)]
    for id in ids:
        for user in "abc":
            await house.feeds.reactions.add("default", stream, id, "like", user)
    await house.streams.remove("default", stream, ids[0])
    jobs = [job for job in await house.queue.claim(1_000) if job.kind == "activity.forget"]
    [job] = [job for job in jobs if job.read()["id"] == ids[0]]
    await house.feeds.reactions._forget(job)
    page = await house.feeds.reactions.page("default", stream, ids[1], "like")
    assert len(page.items) == 3
    assert await total(house.feeds.reactions.purge()) >= 3
    page = await house.feeds.reactions.page("default", stream, ids[1], "like")
    assert page.items == []


def test_reactions_go_with_their_activity(runs: tuple[asyncio.Runner, House]) -> None:
    """In slices, by a job; and those of what has got too old."""
    runner, house = runs
    runner.run(removing(house))
