"""The same documents are found on SQLite, on PostgreSQL, and by the query as a function; in the same order."""

import asyncio
import base64
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.bus import LocalBus
from clarion.clock import Clock, ManualClock, SystemClock
from clarion.errors import Invalid, TooCostly
from clarion.features.search.collections import Definition
from clarion.features.search.document import prepare
from clarion.features.search.documents import Content, Written
from clarion.features.search.finding import seen_by
from clarion.features.search.matching import compile_query
from clarion.features.search.order import orders, place_of
from clarion.features.search.query import parse
from clarion.features.search.search import Search
from clarion.ids import Ids
from clarion.settings import Limits
from clarion.storage import open_store
from clarion.topics import Kinds, TopicEngine
from tests.features.search.strategies import CASES, FIELDS, documents, queries
from tests.support.services import Postgres
from tests.support.triggers import NotedTriggers

DEFINITION = Definition(FIELDS, ["state", "ok"])
CORPUS = st.dictionaries(
    st.sampled_from(["a", "B", "b", "é", "10", "9"]),
    st.tuples(documents, st.lists(st.sampled_from(["red", "blue"]), max_size=2)),
    min_size=2,
    max_size=6,
)
SORTS = st.lists(st.sampled_from(["price", "-price", "state", "-state", "at", "-ok"]), max_size=2)
VIEWERS = st.none() | st.lists(st.sampled_from(["red", "green"]), unique=True).map(
    lambda tags: tuple(sorted(tags))
)

ASKED = st.lists(st.tuples(queries, SORTS, VIEWERS), min_size=12, max_size=16)


@contextlib.asynccontextmanager
async def opened(
    where: Path | str, clock: Clock | None = None, **limits: Any
) -> AsyncIterator[Search]:
    clock = clock or ManualClock()
    if isinstance(where, str):
        store = await open_store(url=where, data_dir=Path("unused"), clock=clock)
    else:
        store = await open_store(data_dir=where, clock=clock)
    bus, ids, given_limits = LocalBus(), Ids(), Limits(**limits)
    engine = TopicEngine(lambda *event: event, Kinds(), bus, given_limits, clock=clock, ids=ids)
    search = Search(
        store, bus, engine, given_limits, clock=clock, ids=ids, triggers=NotedTriggers()
    )
    try:
        yield search
    finally:
        await search.close()
        await store.close()


async def all_of(search: Search, collection: str, query: Any, viewer: Any) -> tuple[list[str], int]:
    """The ids of all pages, and the total."""
    found, page = list[str](), await search.query("t", collection, query, viewer)
    while True:
        found += [each.id for each in page.items]
        if isinstance(page.next, str):
            page = await search.query("t", collection, {**query, "cursor": page.next}, viewer)
        else:
            return found, page.total


def wanted_of(corpus: Any, query: Any, viewer: Any) -> list[str]:
    asked = seen_by(parse(query, FIELDS), viewer)
    order, matches = orders(asked, FIELDS), compile_query(asked)
    prepared = [prepare(id, data, FIELDS, tags) for id, (data, tags) in corpus.items()]
    places = sorted(place_of(each, order) for each in prepared if matches(each))
    return [str(place[-1]) for place in places]


async def agree(search: Search, name: str, before: Any, after: Any, asked: Any) -> None:
    await search.collections.put("t", name, DEFINITION)
    for corpus in (before, after):
        given = [(id, Content(data, tags)) for id, (data, tags) in corpus.items()]
        gone = [(id, None) for id in before if id not in corpus]
        written = await search.write("t", name, [*given, *gone])
        assert all(isinstance(each, Written) for each in written)
    for query, sort, viewer in asked:
        query = {**query, "sort": sort, "limit": 2}
        wanted = wanted_of(after, query, viewer)
        assert await all_of(search, name, query, viewer) == (wanted, len(wanted))


async def decide_cases(search: Search) -> None:
    await search.collections.put("t", "cases", DEFINITION)
    for query, taken, not_taken in CASES:
        given = [(f"yes {n}", Content(data)) for n, data in enumerate(taken)]
        given += [(f"no {n}", Content(data)) for n, data in enumerate(not_taken)]
        await search.write("t", "cases", given)
        found, _ = await all_of(search, "cases", query, None)
        assert found == [id for id, _ in given[: len(taken)]], query
        await search.write("t", "cases", [(id, None) for id, _ in given])


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_three_ways_of_searching_agree(engine: str, tmp_path: Path, postgres: Postgres) -> None:
    """Whatever documents and whatever queries, in pages of two, seen by whomever; also after documents have changed and gone."""
    with asyncio.Runner() as runner:
        url = runner.run(postgres.new_database()) if engine == "postgresql" else None
        opening = opened(url or tmp_path)
        search = runner.run(opening.__aenter__())
        numbers = itertools.count()

        @settings(max_examples=40)
        @given(CORPUS, CORPUS, ASKED)
        def examples(before: Any, after: Any, asked: Any) -> None:
            runner.run(agree(search, f"c{next(numbers)}", before, after, asked))

        try:
            runner.run(decide_cases(search))
            examples()
        finally:
            runner.run(opening.__aexit__(None, None, None))


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_a_cursor_that_was_made_up_is_refused_by_name(
    engine: str, tmp_path: Path, postgres: Postgres
) -> None:
    """Whoever has one can make others of it: of values of other types, or that no database has; no question is asked with these."""
    where = tmp_path if engine == "sqlite" else await postgres.new_database()
    async with opened(where) as search:
        await search.collections.put("t", "c", DEFINITION)
        given = [(str(n), Content({"price": n, "state": "x"})) for n in range(3)]
        await search.write("t", "c", given)
        query = {"sort": ["price", "state"], "limit": 1}
        cursor = (await search.query("t", "c", query)).next
        assert isinstance(cursor, str)
        whose, values = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=="))
        assert values == [0.0, "x", "0"]
        for wrong in (
            [whose, ["0", "x", "0"]],
            [whose, [0.0, 1.0, "0"]],
            [whose, [0.0, "x", None]],
            [whose, [0.0, "x\0", "0"]],
            [whose, [0.0, "x", "\0"]],
            [whose, [0.0, "0"]],
            [whose, []],
            ["other", values],
        ):
            made = base64.urlsafe_b64encode(msgspec.json.encode(wrong)).decode()
            with pytest.raises(Invalid) as refused:
                await search.query("t", "c", {**query, "cursor": made})
            assert refused.value.faults[0].pointer == "/cursor"
        moved = base64.urlsafe_b64encode(msgspec.json.encode([whose, [None, "x", "0"]])).decode()
        assert (await search.query("t", "c", {**query, "cursor": moved})).items == []


@contextlib.asynccontextmanager
async def _held_up(where: Path | str) -> AsyncIterator[None]:
    """On PostgreSQL, which may be quicker than a millisecond, the documents cannot be read meanwhile."""
    if isinstance(where, Path):
        yield
        return
    db = await asyncpg.connect(where)
    try:
        async with db.transaction():
            await db.execute("LOCK TABLE search_document, search_value IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await db.close()


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_a_query_that_takes_too_long_is_given_up(
    engine: str, tmp_path: Path, postgres: Postgres
) -> None:
    """By name; whoever asks next, for something that is quick, is served."""
    where = tmp_path if engine == "sqlite" else await postgres.new_database()
    async with opened(where, SystemClock(), search_s=0.001) as search:
        await search.collections.put("t", "c", DEFINITION)
        await search.write("t", "c", [(str(n), Content({"price": n % 7})) for n in range(2_000)])
        monstrous = {"where": {"not": {"price": {"lt": 3}}}, "sort": ["-price", "at", "state"]}
        async with _held_up(where):
            with pytest.raises(TooCostly):
                await search.query("t", "c", monstrous)
        assert (await search.get("t", "c", "7")).data == {"price": 0}


async def test_many_questions_of_one_caller_keep_nobody_out(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """They wait for each other; who asks one question meanwhile has the next turn but one."""
    async with opened(tmp_path, SystemClock()) as search:
        await search.collections.put("t", "c", DEFINITION)
        store, asked, turns = search._store, list[str](), asyncio.Semaphore(0)
        first = asyncio.Event()
        fetch = store.fetch

        async def slow(statement: Any, **params: Any) -> Any:
            if statement.within_s:
                asked.append("other" if "other" in params.values() else "one")
                first.set()
                await turns.acquire()
            return await fetch(statement, **params)

        monkeypatch.setattr(store, "fetch", slow)
        async with asyncio.TaskGroup() as group:
            for n in range(20):
                query = {"where": {"price": n}}
                group.create_task(search.query("t", "c", query, whose=("t", "user", "one")))
            await first.wait()
            other = {"where": {"state": "other"}}
            group.create_task(search.query("t", "c", other, whose=("t", "user", "other")))
            for _ in range(21):
                turns.release()
        assert asked[:3].count("other") == 1
