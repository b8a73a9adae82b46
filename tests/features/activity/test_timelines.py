"""Timelines on both engines: page by page they are all that is followed, in order, each once, whatever is written out by then."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clarion.bus import LocalBus
from clarion.clock import ManualClock, as_datetime
from clarion.errors import Invalid, TooMany
from clarion.features.activity import Feeds, NewActivity, writing
from clarion.ids import Ids
from clarion.jobs import Queue
from clarion.settings import Limits
from clarion.storage import Procedure, Sql, Store, open_store
from clarion.storage import timelines as sql
from clarion.storage.slices import total
from clarion.topics import Kinds, TopicEngine
from tests.support.law import assert_law
from tests.support.services import Postgres

DAY_MS = 24 * 3_600_000


class Counting:
    """A store that says how many reads it was asked for, and what was written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reads = 0
        self.applied: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def fetch(self, sql: Sql[Any], **params: Any) -> list[Any]:
        self.reads += 1
        return await self._store.fetch(sql, **params)

    async def apply(self, procedure: Procedure, rows: Any) -> list[Any]:
        self.applied.append(procedure.name)
        return await self._store.apply(procedure, rows)


class House:
    """Streams and timelines, put together as the server does; jobs run when the test says so."""

    def __init__(self, store: Store) -> None:
        self.clock, ids = ManualClock(), Ids.seeded(1)
        limits = Limits(activity_follows=20, activity_written_followers=3)
        bus = LocalBus()
        engine = TopicEngine(
            lambda event, data: (event, data), Kinds(), bus, limits, clock=self.clock, ids=ids
        )
        self.store: Any = Counting(store)
        self.queue = Queue(store, self.clock, ids, node="n")
        self.feeds = Feeds(self.store, bus, engine, self.queue, limits, clock=self.clock, ids=ids)
        self.streams, self.timelines = self.feeds.streams, self.feeds.timelines

    async def add(self, stream: str, ms: int) -> str:
        new = NewActivity(actor="a", verb="v", object="o", published=as_datetime(ms))
        return (await self.streams.add("default", stream, new)).activity.id

    async def all(self, user: str, limit: int, **more: Any) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        cursor: str | None = None
        while True:
            page = await self.timelines.page("default", user, cursor, limit, **more)
            assert len(page.items) <= limit
            found += [(told.stream, told.id) for told in page.items]
            if (cursor := page.next) is None:
                return found

    async def work(self) -> int:
        """Run all jobs that are due."""
        count = 0
        while jobs := await self.queue.claim(100):
            for job in jobs:
                run = {
                    "timelines.write": self.feeds.writer._run_write,
                    "timelines.fill": self.feeds.writer._run_fill,
                }[job.kind]
                await run(job)
                await self.queue.finish(job)
                count += 1
        return count

    async def written(self, user: str) -> int:
        count = Sql("SELECT count(*) FROM activity_timeline WHERE usr = :usr", sql.Behind)
        rows: list[Any] = await self.store.fetch(
            Sql(count.text.replace("count(*)", "count(*), 0, 0"), sql.Behind), usr=user
        )
        return int(rows[0].top)


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


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few activities make a long timeline, and a few followers many slices."""
    monkeypatch.setattr(writing, "KEPT", 4)
    monkeypatch.setattr("clarion.features.activity.timelines.KEPT", 4)
    monkeypatch.setattr(writing, "SLICE", 2)
    monkeypatch.setattr(writing, "NEWS", 2)
    monkeypatch.setattr(writing, "PAUSE_S", 0.0)


STREAMS, USERS = 4, 5
steps = st.one_of(
    st.tuples(st.just("add"), st.integers(0, STREAMS - 1), st.integers(1, 8)),
    st.tuples(st.just("add"), st.integers(0, STREAMS - 1), st.integers(1, 8)),
    st.tuples(st.just("remove"), st.integers(0, STREAMS - 1), st.just(0)),
    st.tuples(st.just("follow"), st.integers(0, USERS - 1), st.integers(0, STREAMS - 1)),
    st.tuples(st.just("follow"), st.integers(0, USERS - 1), st.integers(0, STREAMS - 1)),
    st.tuples(st.just("unfollow"), st.integers(0, USERS - 1), st.integers(0, STREAMS - 1)),
    st.tuples(st.just("read"), st.integers(0, USERS - 1), st.just(0)),
    st.tuples(st.just("write"), st.integers(0, STREAMS - 1), st.just(0)),
    st.tuples(st.just("fill"), st.integers(0, USERS - 1), st.just(0)),
    st.tuples(st.just("work"), st.just(0), st.just(0)),
    st.tuples(st.just("trim"), st.just(0), st.just(0)),
    st.tuples(st.just("long time"), st.just(0), st.just(0)),
)


# Somebody follows, has looked, and is written for; one stream has more than a timeline keeps.
BEGIN = (
    *(("add", 0, ms) for ms in range(2, 8)),
    ("add", 1, 3),
    *(("follow", user, stream) for user in (0, 1) for stream in (0, 1)),
    ("read", 0, 0),
    ("work", 0, 0),
)


@settings(max_examples=12, deadline=None)
@given(st.lists(steps, max_size=30), st.integers(1, 5))
@example([("add", 1, 8), ("trim", 0, 0), ("add", 1, 7), ("write", 1, 0)], 2)
@example([("unfollow", 0, 0), ("fill", 0, 0), ("follow", 0, 0)], 2)
@example([("unfollow", 0, 1), ("unfollow", 1, 1), ("add", 1, 8), ("follow", 0, 1)], 2)
def test_a_timeline_is_all_that_is_followed_in_order(
    runs: tuple[asyncio.Runner, House], script: Any, limit: int
) -> None:
    """Page by page, by time and id, with many in one millisecond; for few followers and many, for who looks often and who was long away."""
    runner, house = runs
    runner.run(living(house, script, limit))


async def living(house: House, script: Any, limit: int) -> None:
    n = next(numbers)
    streams = [f"s{n}-{which}" for which in range(STREAMS)]
    users = [f"u{n}-{which}" for which in range(USERS)]
    there: list[tuple[int, str, str]] = []
    followed: dict[str, set[str]] = {user: set() for user in users}

    async def check(user: str, **more: Any) -> None:
        may_see = more.get("may_see", lambda stream, readers: True)
        expected = [
            (stream, id)
            for _, id, stream in sorted(there, reverse=True)
            if stream in followed[user] and may_see(stream, "")
        ]
        assert await house.all(user, limit, **more) == expected

    for what, one, other in (*BEGIN, *script):
        match what:
            case "add":
                there.append((other, await house.add(streams[one], other), streams[one]))
            case "remove":
                mine = [each for each in there if each[2] == streams[one]]
                if mine:
                    await house.streams.remove("default", streams[one], mine[-1][1])
                    there.remove(mine[-1])
            case "follow":
                await house.timelines.follow("default", users[one], streams[other])
                followed[users[one]].add(streams[other])
            case "unfollow":
                await house.timelines.unfollow("default", users[one], streams[other])
                followed[users[one]].discard(streams[other])
            case "read":
                await check(users[one])
            case "write":
                await house.feeds.writer.write("default", streams[one])
            case "fill":
                await house.feeds.writer.fill("default", users[one])
            case "work":
                await house.work()
            case "trim":
                house.clock.advance(8 * 86_400)
                await total(house.streams.trim())
            case _:
                house.clock.advance(31 * 86_400)
                await total(house.feeds.writer.forget_away())
        await check(users[0])
    await house.work()
    for user in users:
        await check(user)
        await check(user, may_see=lambda stream, _: stream != streams[0])


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
    for reads in (6, 2):
        # Of 20 streams the newest three; then what is written out, and which streams are behind.
        before = house.store.reads
        top = await house.timelines.page("default", user, limit=2)
        assert [told.id for told in top.items] == [ids[20], ids[19]]
        assert house.store.reads - before == reads
        await house.work()
    assert (await house.timelines.page("other", user)).items == []
    assert (await house.timelines.page("default", "nobody")).items == []
    for bad in ({"limit": 0}, {"limit": 101}, {"cursor": "x"}):
        with pytest.raises(Invalid):
            await house.timelines.page("default", user, **bad)  # type: ignore[arg-type]


def test_following_is_bounded_and_repeatable(runs: tuple[asyncio.Runner, House]) -> None:
    """Twice is once, also at the same time; a limit; and a page reads only the streams that have something on it."""
    runner, house = runs
    runner.run(following(house))


async def many(house: House) -> None:
    n = next(numbers)
    few, star = f"few{n}", f"star{n}"
    users = [f"u{n}-{which}" for which in range(4)]
    for user in users:
        await house.timelines.follow("default", user, star)
        await house.timelines.page("default", user)
    for user in users[:3]:
        await house.timelines.follow("default", user, few)
    await house.work()
    house.store.applied.clear()
    for stream in (few, star):
        await house.add(stream, 5)
    assert house.store.applied == ["add_activity"] * 2
    assert [await house.written(user) for user in users] == [0, 0, 0, 0]
    assert await house.work() == 1
    assert [await house.written(user) for user in users] == [1, 1, 1, 0]
    for user in users:
        streams = {told.stream for told in (await house.timelines.page("default", user)).items}
        assert streams == ({few, star} if user in users[:3] else {star})
    house.clock.advance(31 * 86_400)
    assert await total(house.feeds.writer.forget_away()) >= 3
    assert [await house.written(user) for user in users] == [0, 0, 0, 0]


def test_adding_writes_nothing_for_followers(runs: tuple[asyncio.Runner, House]) -> None:
    """A job does, where there are few; where there are many nobody does, nor for those who are long away; all see it at once."""
    runner, house = runs
    runner.run(many(house))


shares = st.lists(
    st.lists(
        st.tuples(st.sampled_from("st"), st.integers(1, 3), st.sampled_from(["", "b"])),
        min_size=1,
        max_size=3,
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=20, deadline=None)
@given(shares)
def test_writing_joined_or_one_by_one_is_the_same(calls: Any) -> None:
    """The procedures' law."""
    follows = Procedure(
        "follows",
        sql.Away,
        (
            Sql("INSERT INTO activity_follower (tenant, usr, follows, floor_ms, wants_ms) SELECT r.tenant, r.usr, 1, 1, 1 FROM {rows r}"),
            Sql("INSERT INTO activity_follow (tenant, usr, stream, since_ms) SELECT r.tenant, r.usr, 's', 0 FROM {rows r}"),
            Sql("INSERT INTO activity_stream (tenant, stream, epoch, top, mark, items) SELECT 't', r.usr, '0', 9, 0, 0 FROM {rows r}"),
        ),
    )  # fmt: skip
    there = [(follows, [sql.Away("t", user) for user in "abcs"])]
    for procedure, rows in (
        (sql.WRITE, [[sql.Share("t", s, f"i{ms}", ms, after, "c") for s, ms, after in call] for call in calls]),
        (sql.COPY, [[sql.Copy("t", s, ms, f"i{ms}", s) for s, ms, _ in call] for call in calls]),
        (sql.WRITTEN, [[sql.Progress("t", s, ms) for s, ms, _ in call] for call in calls]),
    ):  # fmt: skip
        assert_law(procedure, rows, given=there)
