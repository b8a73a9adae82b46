"""Timelines on both engines: what is merged page by page is all that is followed, in order, each once."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.bus import LocalBus
from clarion.clock import ManualClock, as_datetime
from clarion.errors import Invalid, TooMany
from clarion.features.activity import NewActivity, Streams, Timelines
from clarion.ids import Ids
from clarion.settings import Limits
from clarion.storage import Sql, Store, open_store
from clarion.topics import Kinds, TopicEngine
from tests.support.services import Postgres


class Counting:
    """A store that says how many reads it was asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def fetch(self, sql: Sql[Any], **params: Any) -> list[Any]:
        self.reads += 1
        return await self._store.fetch(sql, **params)


class House:
    """Streams and timelines, put together as the server does."""

    def __init__(self, store: Store) -> None:
        clock, ids, limits = ManualClock(), Ids.seeded(1), Limits(activity_follows=20)
        engine = TopicEngine(
            lambda event, data: (event, data), Kinds(), LocalBus(), limits, clock=clock, ids=ids
        )
        self.store: Any = Counting(store)
        self.streams = Streams(self.store, engine, limits, clock=clock, ids=ids)
        self.timelines = Timelines(self.store, limits, clock)

    async def add(self, stream: str, ms: int) -> str:
        new = NewActivity(actor="a", verb="v", object="o", published=as_datetime(ms))
        return (await self.streams.add("default", stream, new)).activity.id

    async def all(self, user: str, limit: int, **more: Any) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        cursor: str | None = None
        while True:
            page = await self.timelines.page("default", user, cursor, limit, **more)
            assert len(page.items) <= limit
            found += [(told.stream, told.activity.id) for told in page.items]
            if (cursor := page.next) is None:
                return found


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
        folder = tmp_path_factory.mktemp("timelines")
        store = runner.run(open_store(url=url, data_dir=folder, clock=ManualClock()))
        yield runner, House(store)
        runner.run(store.close())


numbers = itertools.count()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 6)), max_size=14),
    st.sets(st.integers(0, 4)),
    st.integers(1, 5),
)
def test_a_timeline_is_all_that_is_followed_in_order(
    runs: tuple[asyncio.Runner, House], added: Any, followed: Any, limit: int
) -> None:
    """Page by page, by time and id, with many in one millisecond: nothing is missing, nothing comes twice, nothing else is there."""
    runner, house = runs
    runner.run(merge(house, added, followed, limit))


async def merge(house: House, added: Any, followed: Any, limit: int) -> None:
    n = next(numbers)
    user, names = f"user{n}", [f"s{n}-{which}" for which in range(5)]
    there = [(ms, await house.add(names[which], ms), names[which]) for which, ms in added]
    for which in followed:
        await house.timelines.follow("default", user, names[which])
    hidden = names[0]
    for may_see in (lambda stream: True, lambda stream: stream != hidden):
        expected = [
            (stream, id)
            for _, id, stream in sorted(there, reverse=True)
            if names.index(stream) in followed and may_see(stream)
        ]
        assert await house.all(user, limit, may_see=may_see) == expected


async def following(house: House) -> None:
    user = f"user{next(numbers)}"
    names = [f"{user}-{n:02}" for n in range(21)]
    ids = [await house.add(name, n + 1) for n, name in enumerate(names)]
    first = await house.timelines.follow("default", user, names[0])
    assert await house.timelines.follow("default", user, names[0]) == first
    made = (house.timelines.follow("default", user, name) for name in names)
    outcomes = await asyncio.gather(*made, return_exceptions=True)
    assert [type(each) for each in outcomes if isinstance(each, Exception)] == [TooMany]
    await house.timelines.unfollow("default", user, names[0])
    await house.timelines.unfollow("default", user, names[0])
    missed = next(n for n, each in enumerate(outcomes) if isinstance(each, Exception))
    await house.timelines.follow("default", user, names[missed])
    page = await house.timelines.follows("default", user, names[1], 3)
    assert ([each.stream for each in page.items], page.more) == (names[2:5], True)
    before = house.store.reads
    top = await house.timelines.page("default", user, limit=2)
    assert [told.activity.id for told in top.items] == [ids[20], ids[19]]
    assert (
        house.store.reads - before == 4
    )  # of 20 streams the newest three, and where they all begin
    assert (await house.timelines.page("other", user)).items == []
    assert (await house.timelines.page("default", "nobody")).items == []
    for bad in ({"limit": 0}, {"limit": 101}, {"cursor": "x"}):
        with pytest.raises(Invalid):
            await house.timelines.page("default", user, **bad)  # type: ignore[arg-type]


def test_following_is_bounded_and_repeatable(runs: tuple[asyncio.Runner, House]) -> None:
    """Twice is once, also at the same time; a limit; and a page reads only the streams that have something on it."""
    runner, house = runs
    runner.run(following(house))
