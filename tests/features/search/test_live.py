"""Live search: what a subscriber keeps is what a fresh query finds, whatever is written, whoever asks, whatever gets lost on the way."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.auth.principal import Principal
from clarion.bus import LocalBus
from clarion.clock import ManualClock
from clarion.errors import Forbidden, Invalid, NotFound, TooCostly, TooMany
from clarion.features.search import Content, Definition, Search, live, standing
from clarion.ids import Ids
from clarion.settings import Limits
from clarion.storage import open_store
from clarion.storage.slices import total
from clarion.topics import Kinds, TopicEngine
from clarion.topics.arguments import SubscribeArgs
from clarion.topics.stream import Position
from tests.features.search.strategies import FIELDS, documents, queries
from tests.support.subscribers import results_after
from tests.support.triggers import NotedTriggers
from tests.topics.fakes import Socket

GRANT = {"search:*": ("subscribe",)}
ANN = Principal(id="ann", topics=GRANT)
RED = Principal(id="red", topics=GRANT, access=("team:red",))
BACK_END = Principal(id="k", kind="key", scopes=frozenset({"search:read", "topics:read"}))


class Site:
    """A search over a store, an engine, and sockets that note what they get."""

    def __init__(self, store: Any, limits: Limits) -> None:
        self.clock, self.store, self.limits = ManualClock(), store, limits
        kinds, bus = Kinds(), LocalBus()
        self.engine = TopicEngine(
            lambda event, data: (event, data), kinds, bus, limits, clock=self.clock, ids=Ids.seeded(1)
        )  # fmt: skip
        self.triggers = NotedTriggers()
        self.search = Search(
            store, bus, self.engine, limits, clock=self.clock, ids=Ids.seeded(2), triggers=self.triggers
        )  # fmt: skip
        kinds.add(self.search.live.kind)
        self._numbers = itertools.count()

    async def subscribe(self, who: Principal, query: Any, since: Any = None) -> "Follower":
        socket = Socket(f"s{next(self._numbers)}")
        wish = SubscribeArgs("search:c", since, {"query": query})
        answer, subscription = await self.engine.subscribe(socket, who, wish)
        self.engine.go(subscription)
        return Follower(self, socket, who, query, answer)

    async def put(self, id: str, data: Any, *access: str) -> None:
        await self.search.put("default", "c", id, Content(data, list(access)))


class Follower:
    """A subscriber that applies what it hears."""

    def __init__(self, site: Site, socket: Socket, who: Principal, query: Any, answer: Any) -> None:
        self.site, self.socket, self.who, self.query, self.answer = site, socket, who, query, answer
        self.state: Any = answer.snapshot
        self._heard = 0

    @property
    def heard(self) -> list[str]:
        return [data.event for event, data in self.socket.got if event == "publication"]

    async def fresh(self) -> Any:
        viewer = None if self.who is BACK_END else self.who.access
        page = await self.site.search.query("default", "c", self.query, viewer)
        items = [
            {"id": each.id, "data": each.data, "version": each.version, "offset": each.offset}
            for each in page.items
        ]
        return {"items": items, "more": isinstance(page.next, str), "counts": {"total": page.total}}

    def take(self) -> None:
        new = [data for event, data in self.socket.got[self._heard :] if event == "publication"]
        self._heard = len(self.socket.got)
        events = [(each.event, each.data) for each in new]
        self.state = results_after(self.state, events, self.query.get("limit", 20))

    async def agrees(self) -> None:
        """Returns when it has what a fresh query finds."""
        wanted = await self.fresh()
        async with asyncio.timeout(10):
            while True:
                self.socket.arrived.clear()
                self.take()
                if self.state == wanted:
                    break
                await self.socket.arrived.wait()
        assert self.socket.ended == []
        assert self.socket.offsets == list(
            range(self.answer.offset + 1, self.answer.offset + 1 + len(self.socket.offsets))
        )


@contextlib.asynccontextmanager
async def opened(folder: Path, **limits: Any) -> AsyncIterator[Site]:
    store = await open_store(data_dir=folder, clock=ManualClock())
    site = Site(store, Limits(**limits))
    await site.search.collections.put("default", "c", Definition(FIELDS))
    try:
        yield site
    finally:
        await site.search.close()
        await site.engine.close()
        await store.close()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with opened(tmp_path) as site:
        yield site


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FETCH_PAUSE_S", 0)


writes = st.lists(
    st.tuples(
        st.integers(0, 9).map(str),
        st.none() | st.tuples(documents, st.lists(st.sampled_from(["team:red", "x"]), max_size=1)),
    ),
    max_size=12,
)
asked = st.lists(
    st.tuples(
        queries,
        st.lists(st.sampled_from(["price", "-price", "-state"]), max_size=1),
        st.integers(1, 4),
        st.sampled_from([ANN, RED, BACK_END]),
    ),
    min_size=1,
    max_size=6,
)


def test_what_is_heard_leads_to_what_a_fresh_query_finds(tmp_path: Path) -> None:
    """For any documents, queries, orders, windows and askers, many of them at once."""
    with asyncio.Runner() as runner:
        opening = opened(tmp_path, search_linger_s=1e6)
        site = runner.run(opening.__aenter__())

        async def write(some: Any) -> None:
            given = [(id, each and Content(each[0], each[1])) for id, each in some]
            for at in range(0, len(given), 3):
                await site.search.write("default", "c", given[at : at + 3])

        async def follow(before: Any, after: Any, wishes: Any) -> None:
            await write([(str(n), None) for n in range(10)])
            await write(before)
            followers = []
            for query, sort, limit, who in wishes:
                query = {**query, "sort": sort, "limit": limit}
                followers.append(await site.subscribe(who, query))
            half = len(after) // 2
            await write(after[:half])
            for follower in followers:
                await follower.agrees()
            await write(after[half:])
            for follower in followers:
                await follower.agrees()
                site.engine.leave(follower.socket)

        @settings(max_examples=40)
        @given(writes, writes, asked)
        def examples(before: Any, after: Any, wishes: Any) -> None:
            runner.run(follow(before, after, wishes))

        try:
            examples()
        finally:
            runner.run(opening.__aexit__(None, None, None))


async def test_the_answer_names_the_query_that_is_meant(site: Site) -> None:
    """The same question by others who may see the same is the same topic; who may see something else has another."""
    one = await site.subscribe(ANN, {"text": "red shoe", "where": {"state": ["a", "b"]}})
    same = await site.subscribe(ANN, {"where": {"state": ["b", "a"]}, "text": "SHOE red"})
    assert one.answer.topic == same.answer.topic
    assert one.answer.topic.startswith("search:c/")
    others = [
        (await site.subscribe(who, query)).answer.topic
        for who, query in [
            (RED, {"text": "red shoe", "where": {"state": ["a", "b"]}}),
            (BACK_END, {"text": "red shoe", "where": {"state": ["a", "b"]}}),
            (ANN, {"text": "red shoe", "where": {"state": ["a", "b"]}, "limit": 5}),
        ]
    ]
    assert len({one.answer.topic, *others}) == 4


async def test_a_name_with_a_digest_opens_nothing(site: Site) -> None:
    """Whoever knows the name of somebody's query is given none of its results."""
    theirs = await site.subscribe(RED, {"text": "secret"})
    eve = Principal(id="eve", topics={"search:*": ("subscribe",), "*:*": ("subscribe",)})
    with pytest.raises(NotFound):
        await site.engine.subscribe(Socket("e"), eve, SubscribeArgs(theirs.answer.topic))
    nobody = Principal(id="eve")
    with pytest.raises(Forbidden):
        await site.engine.subscribe(Socket("e"), nobody, SubscribeArgs("search:c"))


async def test_nobody_hears_of_what_they_may_not_see(site: Site) -> None:
    """Not of its coming, nor of its going, nor in the counts; a change of tags lets in and out."""
    ann, red = await site.subscribe(ANN, {}), await site.subscribe(RED, {})
    await site.put("d", {"title": "x"}, "team:red")
    await red.agrees()
    assert (red.heard, ann.heard) == (["entered"], [])
    await site.put("d", {"title": "x"})
    await ann.agrees()
    await red.agrees()
    assert (red.heard, ann.heard) == (["entered", "changed"], ["entered"])
    await site.put("d", {"title": "x"}, "team:blue")
    await ann.agrees()
    await red.agrees()
    assert (red.heard[2:], ann.heard[1:]) == (["left"], ["left"])


async def test_who_comes_back_hears_what_was_missed(site: Site) -> None:
    """With its position, as long as the query was kept true; otherwise the state, and why."""
    first = await site.subscribe(ANN, {"text": "red"})
    await site.put("a", {"title": "red"})
    await first.agrees()
    at = first.answer
    site.engine.leave(first.socket)
    await site.put("b", {"title": "red"})
    again = await site.subscribe(ANN, {"text": "red"}, Position(at.epoch, at.offset, at.mark))
    await site.put("c", {"title": "red"})
    while not again.heard:
        again.socket.arrived.clear()
        await again.socket.arrived.wait()
    assert again.answer.recovered
    seen = [each["data"]["id"] for each in again.answer.publications]
    assert seen[0] == "a"
    lost = await site.subscribe(ANN, {"text": "red"}, Position("other", 1, 1))
    assert (lost.answer.recovered, lost.answer.reason) == (False, "epoch_changed")
    await lost.agrees()


async def test_changes_that_were_not_told_are_read(site: Site, monkeypatch: Any) -> None:
    """A lost notice costs time, no truth: the next one brings it; and where the log lost it, the window is fetched."""
    ann = await site.subscribe(ANN, {"limit": 2})
    follower = next(iter(site.search.live._register.followers.values()))
    with monkeypatch.context() as patched:
        patched.setattr(follower, "written", lambda changes: None)
        patched.setattr(follower, "_hear", lambda top: None)
        for n in range(5):
            await site.put(str(n), {"title": "x"})
    await site.put("0", {"title": "y"})
    await ann.agrees()
    with monkeypatch.context() as patched:
        patched.setattr(follower, "written", lambda changes: None)
        patched.setattr(follower, "_hear", lambda top: None)
        for n in range(3):
            await site.put(str(n), {"title": "z"})
        monkeypatch.setattr(site.search, "_limits", Limits(search_changes=1))
        await total(site.search.trim())
    await site.put("1", {"title": "last"})
    await ann.agrees()


async def test_a_collection_that_goes_ends_what_was_asked_of_it(site: Site) -> None:
    """With 3010: whoever comes back is told that there is none. Other fields make another collection."""
    ann = await site.subscribe(ANN, {"text": "red"})
    await site.search.collections.put("default", "c", Definition({"title": "keyword"}))
    while not ann.socket.ended:
        ann.socket.arrived.clear()
        await ann.socket.arrived.wait()
    assert ann.socket.ended[0]["code"] == 3010
    with pytest.raises(Invalid):
        await site.subscribe(ANN, {"text": "red"})
    await site.search.collections.remove("default", "c")
    with pytest.raises(NotFound):
        await site.subscribe(ANN, {})


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"query": {"text": "x " * 501}}, "/params/query/text"),
        ({"query": {"where": {"price": {"lt": "x"}}}}, "/params/query/where/price/lt"),
        ({"query": {"cursor": "x"}}, "/params/query/cursor"),
        ({"query": []}, "/params/query"),
        ({"quarry": {}}, "/params/quarry"),
    ],
)
async def test_what_is_no_query_is_told_where(site: Site, params: Any, pointer: str) -> None:
    """A pointer into the command."""
    wish = SubscribeArgs("search:c", params=params)
    with pytest.raises(Invalid) as caught:
        await site.engine.subscribe(Socket("s"), ANN, wish)
    assert caught.value.faults[0].pointer == pointer


async def test_a_monstrous_query_harms_nobody(tmp_path: Path) -> None:
    """What takes too long, asks for nothing in particular, or has too much to show is refused by name; the others' results stay true."""
    async with opened(tmp_path, search_unselective=1, search_window_bytes=2_000) as site:
        good = await site.subscribe(ANN, {"text": "red"})
        everything = await site.subscribe(ANN, {})
        with pytest.raises(TooMany):
            await site.subscribe(ANN, {"where": {"not": {"ok": True}}})
        for n in range(3):
            await site.put(str(n), {"title": "red", "other": "x" * 900})
        await good.agrees()
        await everything.agrees()
        with pytest.raises(TooCostly):
            await site.subscribe(ANN, {"text": "red"})
        assert (await site.subscribe(ANN, {"text": "red", "limit": 1})).answer.snapshot["more"]


async def test_a_query_is_kept_for_a_while_and_then_forgotten(tmp_path: Path) -> None:
    """Identical ones are one; so many may be there; who has left makes room."""
    async with opened(tmp_path, search_standing=2, search_linger_s=5) as site:
        site.search.live.start()
        one = await site.subscribe(ANN, {"text": "a"})
        await site.subscribe(ANN, {"text": "a"})
        await site.subscribe(ANN, {"text": "b"})
        with pytest.raises(TooMany, match="search_standing"):
            await site.subscribe(ANN, {"text": "c"})
        site.engine.leave(Socket("s2"))
        site.clock.advance(6)
        async with asyncio.timeout(5):
            while True:
                with contextlib.suppress(TooMany):
                    await site.subscribe(ANN, {"text": "c"})
                    break
                await asyncio.sleep(0.05)
        await site.put("x", {"title": "a"})
        await one.agrees()


async def test_nobody_takes_the_others_room(tmp_path: Path) -> None:
    """One caller may begin so many; what they look at no longer makes room at once, for themselves and for the others."""
    limits = {"search_standing": 4, "search_standing_caller": 2, "search_unselective": 1}
    async with opened(tmp_path, **limits, search_linger_s=1e6) as site:
        one = await site.subscribe(RED, {"text": "a"})
        two = await site.subscribe(RED, {"limit": 1})
        with pytest.raises(TooMany, match="search_standing_caller"):
            await site.subscribe(RED, {"text": "c"})
        site.engine.leave(one.socket)
        three = await site.subscribe(RED, {"text": "c"})
        site.engine.leave(two.socket)
        everything = await site.subscribe(ANN, {"limit": 2})  # in place of the idle one
        ann = await site.subscribe(ANN, {"text": "b"})
        await site.subscribe(BACK_END, {"text": "c"})
        with pytest.raises(TooMany, match="search_standing = 4"):
            await site.subscribe(BACK_END, {"text": "d"})
        site.engine.leave(three.socket)
        await site.subscribe(BACK_END, {"text": "d"})
        await site.put("x", {"title": "b"})
        await ann.agrees()
        await everything.agrees()


async def test_what_is_shown_together_is_bounded(tmp_path: Path) -> None:
    """Each document counts once, whoever sees it; what nobody looks at any longer makes room."""
    async with opened(tmp_path, search_windows_bytes=3_000, search_linger_s=1e6) as site:
        for n in range(3):
            await site.put(str(n), {"title": "a" if n < 2 else "b", "other": "x" * 900})
        first = await site.subscribe(ANN, {"text": "a"})
        same = await site.subscribe(RED, {"text": "a", "limit": 2})
        assert site.search.live._register.shelf.size < 2_000
        await site.subscribe(ANN, {"text": "b"})
        await site.put("3", {"title": "c", "other": "x" * 900})
        with pytest.raises(TooMany, match="search_windows_bytes"):
            await site.subscribe(ANN, {"text": "c"})
        site.engine.leave(first.socket)
        site.engine.leave(same.socket)
        assert (await site.subscribe(ANN, {"text": "c"})).answer.snapshot["counts"] == {"total": 1}


async def test_more_changes_than_may_wait_are_no_loss(site: Site, monkeypatch: Any) -> None:
    """While a window is fetched, the first time or again, more happens than is kept: it is fetched once more."""
    monkeypatch.setattr(standing, "WAITING", 2)
    finder, read, go = site.search._finder, asyncio.Event(), asyncio.Event()
    page, others = finder.page, await site.subscribe(ANN, {"where": {"price": 1}})

    async def slow(*given: Any, **more: Any) -> Any:
        found = await page(*given, **more)
        read.set()
        await go.wait()
        return found

    async def write(*titles: str) -> None:
        for n, title in enumerate(titles):
            await site.put(str(n), {"title": title})
        others.socket.arrived.clear()
        await site.put("other", {"price": 1, "other": titles})
        await others.socket.arrived.wait()  # so all before it was shown to those who wait

    monkeypatch.setattr(finder, "page", slow)
    async with asyncio.TaskGroup() as group:
        coming = group.create_task(site.subscribe(ANN, {"text": "red", "limit": 1}))
        await read.wait()
        await write(*["red"] * 30)
        go.set()
    ann = coming.result()
    await ann.agrees()
    read.clear()
    go.clear()
    await write(*["blue"] * 29)
    await read.wait()
    await write(*["red"] * 5)
    go.set()
    await ann.agrees()


@pytest.mark.parametrize("part", ["window", "log"])
async def test_a_bug_leaves_nobody_waiting(site: Site, monkeypatch: Any, part: str) -> None:
    """Whoever subscribes while the window or the log cannot be read hears that at once; the next one begins anew."""

    async def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("a bug")

    with monkeypatch.context() as patched:
        if part == "window":
            patched.setattr(site.search._finder, "page", broken)
        else:
            patched.setattr(LocalBus, "settle", broken)
        with pytest.raises(KeyError):
            await site.subscribe(ANN, {"text": "red"})
    ann = await site.subscribe(ANN, {"text": "red"})
    await site.put("a", {"title": "red"})
    await ann.agrees()


async def test_a_log_of_long_documents_is_a_short_one(site: Site, monkeypatch: Any) -> None:
    """It is bounded in bytes: who missed more gets the results anew, and is told so."""
    monkeypatch.setattr(standing, "LOG_BYTES", 2_500)
    ann = await site.subscribe(ANN, {})
    for n in range(4):
        await site.put("a", {"other": f"{n}" * 1_000})
    await ann.agrees()
    at = ann.answer
    late = await site.subscribe(ANN, {}, Position(at.epoch, at.offset, at.mark))
    assert (late.answer.recovered, late.answer.reason) == (False, "too_old")
