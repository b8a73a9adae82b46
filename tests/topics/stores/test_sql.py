"""What the store in a database promises beyond the conformance suite: many callers, several nodes, restarts, slices."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import msgspec
import pytest

from clarion.clock import ManualClock, SystemClock
from clarion.errors import Internal, Invalid, TooMany, UsageError
from clarion.ids import Ids
from clarion.storage import Sql, Store, open_store
from clarion.telemetry import spawn
from clarion.topics.changes import ABSENT, Change, Outcome
from clarion.topics.kinds import Topic
from clarion.topics.stores import Appended, Items, Keep, SqlStore
from clarion.topics.stores.tidying import ENTRIES, TOPICS
from clarion.topics.stream import Recovered, recover
from tests.support.services import Postgres
from tests.support.subscribers import state_after
from tests.topics.stores.makers import database

KEEP = Keep(size=1_000, age_s=60.0, keys=50)
MAP = Topic("default", "map", "a")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(name="database", params=["sqlite", "postgresql"])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with database(request.param, request) as found:
        yield found


@pytest.fixture
async def nodes(database: Store, clock: ManualClock) -> AsyncIterator[list[SqlStore]]:
    """Two nodes on one database."""
    nodes = [SqlStore(database, clock=clock, ids=Ids.seeded(seed)) for seed in (1, 2)]
    yield nodes
    for node in nodes:
        await node.close()


def put(key: str, data: object, **more: object) -> Change:
    return Change(event="set", key=key, data=data, **more)  # type: ignore[arg-type]


async def test_many_callers_on_two_nodes_leave_one_log(nodes: list[SqlStore]) -> None:
    """Everybody gets the offset that their entry has; the log has no gap; its entries lead to the state; a key is taken once."""
    topics = [Topic("default", "map", name) for name in "abc"]

    async def call(number: int) -> tuple[Topic, int, Appended]:
        topic = topics[number % 3]
        changes = [put(f"k{number}", number), put("lock", number, guard=ABSENT)]
        return topic, number, await nodes[number % 2].append(topic, changes, KEEP)

    made = await asyncio.gather(*(call(number) for number in range(60)))
    for topic in topics:
        read = await nodes[0].read(topic, 0, 1_000)
        start = msgspec.structs.replace(read.top, offset=0, mark=0)
        found = recover(start, read.top, read.entries, 1_000)
        assert isinstance(found, Recovered)
        assert len(found.entries) == 21
        by_offset = {entry.offset: entry for entry in found.entries}
        for mine, number, appended in made:
            if mine == topic:
                entry = by_offset[appended.outcomes[0].offset]
                assert (entry.key, entry.data) == (f"k{number}", number)
                assert appended.entries == [by_offset[e.offset] for e in appended.entries]
                assert appended.position.offset == appended.entries[-1].offset
        takers = [each for mine, _, each in made if mine == topic and not each.outcomes[1].refused]
        assert len(takers) == 1
        page = await nodes[1].items(topic, "", 100)
        state = {key: item.data for key, item in page.items}
        assert state_after({}, found.entries) == state
        assert page.position == read.top


async def test_who_writes_together_is_refused_alone(nodes: list[SqlStore]) -> None:
    """A state that is full, a text that no database takes, data that is no JSON: the others of the same moment are served."""
    node, few = nodes[0], Keep(10, 60.0, 2)
    changes = {
        "fine": [put("a", 1)],
        "full": [put("b", 1), put("c", 1)],
        "nul": [put("a\0b", 1)],
        "half": [put("a\ud800", 1)],
        "no json": [put("a", object())],
        "same": [put("a", 2)],
    }
    calls = [node.append(MAP, some, few) for some in changes.values()]
    answers = dict(zip(changes, await asyncio.gather(*calls, return_exceptions=True), strict=True))
    kinds = {name: type(answer) for name, answer in answers.items()}
    assert kinds == {
        "fine": Appended, "full": TooMany, "nul": Invalid, "half": Invalid, "no json": TypeError, "same": Appended,
    }  # fmt: skip
    assert [(key, item.data) for key, item in (await node.items(MAP, "", 9)).items] == [("a", 2)]


async def test_what_only_one_engine_refuses_costs_nobody_else_anything(
    nodes: list[SqlStore], database: Store
) -> None:
    """PostgreSQL has no index over a key of 8,000 characters: who wants one is told, the others of the moment are served."""
    long = Ids.seeded(1).token(6_000)
    calls = [nodes[0].append(MAP, [put(key, 1)], KEEP) for key in ("a", long, "b")]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    refused = Appended if database.engine == "sqlite" else Internal
    assert [type(answer) for answer in answers] == [Appended, refused, Appended]


async def test_what_expires_is_given_to_one_node(nodes: list[SqlStore], clock: ManualClock) -> None:
    """Two nodes that look at the same moment share what is over between them; a removal is written once."""
    topics = [Topic("default", "map", str(number)) for number in range(20)]
    for topic in topics:
        await nodes[0].append(topic, [put("a", 1, expires_ms=clock.now_ms() + 1)], KEEP)
    clock.advance(1)
    found = await asyncio.gather(*(node.expire(100) for node in nodes * 3))
    gone = [each.topic for some in found for each in some]
    assert sorted(gone, key=lambda topic: topic.name) == sorted(
        topics, key=lambda topic: topic.name
    )
    assert {top.offset for top in await nodes[1].top(topics)} == {2}


async def test_renewing_and_expiring_at_once_agree(
    nodes: list[SqlStore], clock: ManualClock
) -> None:
    """An item is either renewed and stays, or removed and is not renewed."""
    keys = [f"k{number}" for number in range(20)]
    end = clock.now_ms() + 1_000
    await nodes[0].append(MAP, [put(key, 1, expires_ms=end) for key in keys], KEEP)
    clock.advance(2)
    renewed, expired = await asyncio.gather(
        asyncio.gather(*(nodes[1].renew(MAP, [key], end + 60_000) for key in keys)),
        nodes[0].expire(100),
    )
    gone = {entry.key for each in expired for entry in each.entries}
    assert gone == {key for key, count in zip(keys, renewed, strict=True) if not count}
    assert {key for key, _ in (await nodes[0].items(MAP, "", 100)).items} == set(keys) - gone


async def test_a_caller_that_goes_away_has_lost_the_answer_only(nodes: list[SqlStore]) -> None:
    """As with every write of the store; and closing waits for it."""
    calls = [
        spawn(nodes[0].append(MAP, [put(str(number), number)], KEEP), name="caller")
        for number in range(5)
    ]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await nodes[0].close()
    assert len((await nodes[1].items(MAP, "", 10)).items) == 5


async def test_inside_a_transaction_nothing_is_appended(
    nodes: list[SqlStore], database: Store
) -> None:
    """It would wait for its own end: the mistake is named, and those who come later are served."""
    async with database.transaction():
        with pytest.raises(UsageError):
            await nodes[0].append(MAP, [put("a", 1)], KEEP)
    assert (await nodes[0].append(MAP, [put("a", 1)], KEEP)).position.offset == 1


async def test_topics_outlive_the_process(tmp_path: Path, clock: ManualClock) -> None:
    """After a restart everything goes on in the same epoch: log, state, versions, and ids."""
    made: list[Appended] = []
    pages: list[Items] = []
    for _ in range(2):
        found = await open_store(data_dir=tmp_path, clock=clock)
        node = SqlStore(found, clock=clock, ids=Ids())
        changes = [put("a", 1, id="x", version=3), put("b", [2], tags={"t": "1"})]
        made.append(await node.append(MAP, changes, KEEP))
        pages.append(await node.items(MAP, "", 10))
        await node.close()
        await found.close()
    first, again = made
    assert again.position.epoch == first.position.epoch
    assert again.outcomes[0] == msgspec.structs.replace(first.outcomes[0], refused="duplicate")
    assert [(key, item.data, item.version, item.tags) for key, item in pages[1].items] == [
        ("a", 1, 3, None), ("b", [2], 0, {"t": "1"}),
    ]  # fmt: skip


class Count(msgspec.Struct):
    rows: int


async def rows(database: Store, table: str) -> int:
    return (await database.fetch(Sql(f"SELECT count(*) FROM {table}", Count)))[0].rows


async def test_trimming_takes_what_is_not_kept_and_no_more(
    nodes: list[SqlStore], database: Store, clock: ManualClock
) -> None:
    """However many slices it takes: of more topics and longer logs than one slice has. What is kept can be read as before."""
    node, few = nodes[0], Keep(10, 60.0, 50)
    topics = [Topic("default", "stream", str(number)) for number in range(TOPICS + 5)]
    said = [Change(event="said", data=number, id=f"i{number}") for number in range(12)]
    await asyncio.gather(*(node.append(topic, said, few) for topic in topics))
    many = [Change(event="said", data=number) for number in range(ENTRIES * 2 + 50)]
    await node.append(topics[0], many, few)
    before = [await node.read(topic, 0, 1_000) for topic in topics]
    assert [len(read.entries) for read in before] == [10] * len(topics)
    assert await node.trim() == len(many) + 12 - 10 + (len(topics) - 1) * 2
    assert [await node.read(topic, 0, 1_000) for topic in topics] == before
    assert await rows(database, "topic_entry") == 10 * len(topics)
    assert await node.trim() == 0
    assert await rows(database, "topic_id") == 12 * len(topics)
    clock.advance(301)
    assert await node.trim() == 10 * len(topics)
    assert await rows(database, "topic_id") == 0


async def test_a_forgotten_topic_comes_back_in_another_epoch(
    nodes: list[SqlStore], database: Store, clock: ManualClock
) -> None:
    """Who knew its last life is told so. It is forgotten when it is empty and nobody has looked at it for five minutes."""
    node = nodes[0]
    made = await node.append(MAP, [put("a", 1), Change(event="remove", key="a")], KEEP)
    for _ in range(4):
        clock.advance(200)
        assert await node.top([MAP]) == [made.position]
        await node.trim()
    await node.trim()
    clock.advance(301)
    await node.trim()
    assert await rows(database, "topic_head") == 0
    read = await node.read(MAP, made.position.offset, 10)
    assert (read.top.offset, read.entries) == (0, [])
    assert read.top.epoch != made.position.epoch


async def test_clearing_leaves_no_row_behind(nodes: list[SqlStore], database: Store) -> None:
    """Log, state and ids go; only the head stays, in a new epoch."""
    await nodes[0].append(MAP, [put("a", 1, id="x"), put("b", 2)], KEEP)
    new = await nodes[0].clear(MAP)
    assert [await rows(database, f"topic_{name}") for name in ("entry", "item", "id")] == [0] * 3
    assert await nodes[1].top([MAP]) == [new]
    made = await nodes[1].append(MAP, [put("a", 1, id="x")], KEEP)
    assert made.outcomes == [Outcome(1, made.position.mark)]


async def test_many_topics_and_keys_are_found_at_once(nodes: list[SqlStore]) -> None:
    """More than a statement has names for, of several tenants; those that nobody has used begin."""
    topics = [
        Topic(tenant, "map", str(number)) for tenant in ("acme", "default") for number in range(150)
    ]
    keep = Keep(1_000, 60.0, 1_000)
    made = await asyncio.gather(*(nodes[0].append(topic, [put("a", 1)], keep) for topic in topics))
    strangers = [Topic("default", "map", "x"), Topic("default", "map", "y")]
    tops = await nodes[1].top([*topics, *strangers])
    assert tops[:-2] == [each.position for each in made]
    assert [top.offset for top in tops[-2:]] == [0, 0]
    assert await nodes[0].top(strangers) == tops[-2:]
    keys = [f"k{number}" for number in range(250)]
    await nodes[0].append(MAP, [put(key, key) for key in keys], keep)
    found = await nodes[0].get(MAP, [*keys, "nobody", keys[0]])
    assert [None if item is None else item.data for item in found] == [*keys, None, keys[0]]


async def test_keys_sort_by_their_bytes_whatever_the_database_says(
    postgres: Postgres, tmp_path: Path
) -> None:
    """Pages must be the same on every engine; the language of a PostgreSQL database may sort otherwise."""
    admin = await asyncpg.connect(postgres.url("postgres"))
    await admin.execute(
        "CREATE DATABASE icu TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C'"
    )
    await admin.close()
    found = await open_store(url=postgres.url("icu"), data_dir=tmp_path, clock=SystemClock())
    node = SqlStore(found, clock=ManualClock(), ids=Ids.seeded(1))
    keys = ["B", "a", "_", "Z", "é", "e", "-", "10", "9"]
    await node.append(MAP, [put(key, 1) for key in keys], KEEP)
    pages: list[str] = []
    while (page := await node.items(MAP, pages[-1] if pages else "", 2)).items:
        pages += [key for key, _ in page.items]
    assert pages == sorted(keys)
    await node.close()
    await found.close()
