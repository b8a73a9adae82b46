"""Topics, measured: subscribing, one publication to all, coming back after a restart, a presence room, changes below standing queries.

All is `clarion serve` on its defaults. What there is nothing to compare with at others' is measured beside the plain way on the same server and the same
sockets, and the ratio of both is a row of its own.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.measures import MANY, PACE, Figures, Metric, Scenario, token, whole_product
from benchmarks.peers import OURS
from benchmarks.running import Failed, Server, in_a_process, loading, started
from clarion.client import AsyncClient

STATES = (0, 100, 1_000)
"""Items of a map that is subscribed to."""
STANDING = (1_000, 10_000, 100_000)
MEMBERS, JOINS = 100_000, 10_000
UPDATES, VIEWERS = 1_000, 1_000
SMALLER = 1
"""Of these numbers only a part, for a test."""
NEWS = 20
"""Publications while the server dies and comes back."""

METRICS = {
    **{
        f"subscribe-{items}-{q}": Metric(
            "subscribe", f"subscribe until a state of {items:,} items is here: {q}", "ms"
        )
        for items in STATES
        for q in ("p50", "p99")
    },
    "subscribe-ack": Metric(
        "subscribe", "beside it: an event with ack of the same sockets: p50", "ms"
    ),
    "subscribe-ratio": Metric("subscribe", "subscribe, no items: its ratio to that", "×"),
    "publish": Metric(
        "publish", f"a publication to {MANY:,} subscribers, until the last has it", "ms"
    ),
    "publish-durable": Metric("publish", "the same, on disk before anybody has it", "ms"),
    "publish-plain": Metric("publish", "beside it: a plain broadcast to the same sockets", "ms"),
    "publish-ratio": Metric("publish", "a publication: its ratio to the plain broadcast", "×"),
    "recovery": Metric(
        "recovery",
        f"{MANY:,} subscribers of a durable topic after kill -9 and restart, until all are back",
        "s",
    ),
    "recovery-plain": Metric(
        "recovery", "beside it: the same sockets without topics, until all are connected", "s"
    ),
    "recovery-ratio": Metric("recovery", "coming back with topics: its ratio to that", "×"),
    "recovery-missed": Metric(
        "recovery",
        f"of {NEWS} publications meanwhile to each, missed by all together",
        "publications",
    ),
    "presence": Metric(
        "presence", f"{MANY:,} users enter one room", "joins/s", less_is_better=False
    ),
    "presence-told": Metric(
        "presence", "from the last one's answer until all know how many there are", "s"
    ),
    "presence-plain": Metric(
        "presence", "beside it: they subscribe to a stream", "subscriptions/s", less_is_better=False
    ),
    "presence-ratio": Metric("presence", "entering: its ratio to that", "×", less_is_better=False),
    "crowd": Metric(
        "crowd",
        "100,000 users enter one room, offered 10,000 a second, made-up sockets: until all are in",
        "s",
    ),
    "crowd-cpu": Metric(
        "crowd", "such an entry: processor time, with all that the others hear of it", "µs"
    ),
    "dashboard-age-p50": Metric(
        "dashboard",
        f"a dashboard of 100 widgets, {UPDATES:,} updates/s, {VIEWERS:,} viewers: age of what they are told: p50",
        "ms",
    ),
    "dashboard-age-p99": Metric("dashboard", "the same: p99", "ms"),
    "dashboard-cpu": Metric("dashboard", "the same: the server's processor time", "% of a core"),
    "dashboard-ratio": Metric(
        "dashboard", "the same: deliveries, against one for each update and viewer", "×"
    ),
    **{
        f"search-{count}": Metric(
            "search",
            f"a document's change that 10 of {count:,} standing queries must hear of: processor time",
            "µs",
        )
        for count in STANDING
    },
    "search-ratio": Metric("search", f"with {STANDING[-1]:,}: its ratio to {STANDING[0]:,}", "×"),
}


async def subscribe(_peer: str, brief: bool) -> Figures:
    """One after another, so that nobody waits for another one."""
    clients = 100 if brief else 500
    async with serving() as (server, clarion), loading(server, "clarion", TOKEN=token()) as load:
        for items in STATES[1:]:
            given = (
                {"topic": f"map:{items}", "key": f"{n:04}", "data": {"n": n}} for n in range(items)
            )
            await clarion.publish_many(given)
        await load.ask("connect", clients, *PACE)
        plain = (await load.ask("plain", 1))["p50_ms"]
        for items in STATES:
            await load.ask("topic", f"map:{items}")
            answer = await load.ask("subscribe", 1)
            yield f"subscribe-{items}-p50", answer["p50_ms"]
            yield f"subscribe-{items}-p99", answer["p99_ms"]
            if items == 0:
                yield "subscribe-ack", plain
                yield "subscribe-ratio", answer["p50_ms"] / plain


async def publish(_peer: str, brief: bool) -> Figures:
    """One of ten thousand publishes, all get it; and the same sockets get a plain event."""
    rounds = 3 if brief else 7
    async with serving() as (server, _), loading(server, "clarion", TOKEN=token()) as load:
        await load.ask("connect", MANY, *PACE)
        took = {}
        for row, topic in (("publish", "stream:all"), ("publish-durable", "durable:all")):
            await load.ask("topic", topic)
            await load.ask("subscribe", 64)
            took[row] = (await load.ask("publish", rounds, 64))["last"]["p50_ms"]
        took["publish-plain"] = (await load.ask("broadcast", rounds, 64))["last"]["p50_ms"]
        for figure in took.items():
            yield figure
        yield "publish-ratio", took["publish"] / took["publish-plain"]


async def recovery(_peer: str, _brief: bool) -> Figures:
    """All are thrown out by `kill -9`, and come back as socket.io-client does; each must have had every publication, once and in order."""
    took = {}
    for topic in ("", "durable:news"):
        async with (
            serving() as (server, clarion),
            loading(server, "clarion", TOKEN=token()) as load,
        ):
            await load.ask("connect", MANY, *PACE)
            if topic:
                await load.ask("topic", topic)
                await load.ask("subscribe", 64)
            storm = asyncio.ensure_future(load.ask("storm", NEWS if topic else 0))
            await _restart_under_news(server, clarion, topic)
            took[topic] = await storm
    with_topics, plain = took["durable:news"], took[""]
    if with_topics["anew"] or with_topics["recovered"] != MANY:
        raise Failed(f"not all recovered from their position: {with_topics}")
    yield "recovery", with_topics["seconds"]
    yield "recovery-plain", plain["seconds"]
    yield "recovery-ratio", with_topics["seconds"] / plain["seconds"]
    yield "recovery-missed", with_topics["missed"]


async def _restart_under_news(server: Server, clarion: AsyncClient, topic: str) -> None:
    """Publish on; kill the server a quarter of the way, start it, and publish the rest."""
    for n in range(NEWS):
        if n == NEWS // 4:
            await server.end()
            await server.start()
        if topic:
            await clarion.publish(topic, "tick", {"n": n + 1, "t": 0})
            await asyncio.sleep(0.05)


async def presence(_peer: str, _brief: bool) -> Figures:
    """Everybody at once, each another user, each told how many there are."""
    with tempfile.NamedTemporaryFile("w") as file:
        granted = {"presence:*": ["subscribe", "publish"]}
        file.writelines(f"{token(f'u{n}', topics=granted)}\n" for n in range(MANY))
        file.flush()
        async with serving() as (server, _), loading(server, "clarion", TOKENS=file.name) as load:
            await load.ask("connect", MANY, *PACE)
            await load.ask("topic", "stream:all")
            plain = MANY / (await load.ask("subscribe", 64))["seconds"]
            await load.ask("topic", "presence:lobby", '{"enter":{},"mode":"count"}')
            joins = MANY / (await load.ask("subscribe", 64))["seconds"]
            yield "presence", joins
            yield "presence-told", (await load.ask("settle", MANY))["seconds"]
            yield "presence-plain", plain
            yield "presence-ratio", joins / plain


async def crowd(_peer: str, _brief: bool) -> Figures:
    """In one process, without a network: what the server does itself."""
    members = MEMBERS // SMALLER
    [found] = await in_a_process("presence_crowd", "--members", members, "--joins", JOINS)
    yield "crowd", found["all_in_s"]
    yield "crowd-cpu", found["cpu_us"]


async def dashboard(_peer: str, brief: bool) -> Figures:
    """Updates by HTTP, viewers on WebSockets; ten of them read and check what they get."""
    viewers, seconds = VIEWERS // SMALLER, 1 if SMALLER > 1 else 4 if brief else 10
    [found] = await in_a_process(
        "topics_dashboard", "--updates", UPDATES, "--viewers", viewers, "--seconds", seconds
    )
    yield "dashboard-age-p50", found["age_p50_ms"]
    yield "dashboard-age-p99", found["age_p99_ms"]
    yield "dashboard-cpu", found["cpu_share"] * 100
    yield "dashboard-ratio", found["deliveries_per_s"] / (found["updates_per_s"] * viewers)


async def search(_peer: str, brief: bool) -> Figures:
    """In a process by itself, the fewest first."""
    queries = ",".join(str(count // SMALLER) for count in STANDING)
    changes = 40 if brief else 400
    found = await in_a_process("search_standing", "--standing", queries, "--changes", changes)
    took = [each["p50_us"] for each in found]
    for count, us in zip(STANDING, took, strict=True):
        yield f"search-{count}", us
    yield "search-ratio", took[-1] / took[0]


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Server, AsyncClient]]:
    """The whole product with kinds of topics of the simplest sort, and a back end that speaks to it."""
    with tempfile.TemporaryDirectory() as folder:
        environment = whole_product(folder)
        async with started(OURS, environment, "whole") as server:
            url, key = f"http://127.0.0.1:{server.port}", await _key(folder)
            async with AsyncClient(url, key=key) as clarion:
                yield server, clarion


async def _key(folder: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "clarion", "keys", "create", "bench", "--scope", "topics:*"),
        *("--data-dir", folder),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return out.decode().split()[-1]


SCENARIOS = (
    Scenario(subscribe, 8, peers=(OURS,)),
    Scenario(publish, 20, peers=(OURS,)),
    Scenario(recovery, 50, rounds=1, peers=(OURS,)),
    Scenario(presence, 15, peers=(OURS,)),
    Scenario(crowd, 40, rounds=1, peers=(OURS,)),
    Scenario(dashboard, 20, rounds=1, peers=(OURS,)),
    Scenario(search, 60, rounds=1, peers=(OURS,)),
)
