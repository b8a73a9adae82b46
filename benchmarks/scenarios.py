"""What is measured: scenarios, each a conversation of the load generator with one fresh server, and the figures they yield."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import jwt

from benchmarks.running import Failed, loading, started

SIZES = (64, 1_024, 16_384)
MANY = 10_000
# Connecting to prepare something else: below what Clarion admits in a second by default.
PACE = (64, 1_900)
SECRET = "a secret of the benchmarks, 32 bytes or more"

Figures = AsyncIterator[tuple[str, float]]


@dataclass(frozen=True)
class Metric:
    """One row: what it says, its unit, and whether less is better."""

    title: str
    unit: str
    less_is_better: bool = True


def _size(size: int) -> str:
    return f"{size // 1024} KB" if size >= 1024 else f"{size} B"


METRICS = {
    **{
        f"fanout-{clients}-{size}": Metric(
            f"{_size(size)} to {clients:,} socket{'s' * (clients > 1)}, until the last has it", "ms"
        )
        for clients in (1, 100, 1_000, MANY)
        for size in SIZES
    },
    "burst": Metric("a burst of 100 events to 1,000 sockets", "deliveries/s", less_is_better=False),
    "ack": Metric(
        "event with ack, 100 sockets, one under way each", "acks/s", less_is_better=False
    ),
    "ack-cpu": Metric("event with ack: the server's processor time", "µs"),
    **{
        f"echo-{q}": Metric(f"event with ack, 5,000/s offered by 100 sockets: {q}", "ms")
        for q in ("p50", "p99", "p99.9")
    },
    **{
        f"rooms-{q}": Metric(f"{MANY:,} sockets, 1,000 events/s into rooms of 10: {q}", "ms")
        for q in ("p50", "p99", "p99.9")
    },
    "storm": Metric("2,000 sockets connect with a JWT", "connects/s", less_is_better=False),
    "storm-cpu": Metric("such a connect: the server's processor time", "µs"),
    "memory": Metric("memory of an idle socket", "KB"),
    **{
        f"ping-{clients}": Metric(
            f"a heartbeat, {clients:,} idle sockets, one every 5 s: processor time", "µs"
        )
        for clients in (5_000, MANY)
    },
}


# ── the scenarios ──
async def fanout(peer: str) -> Figures:
    """One event to 1, 100 and 1,000."""
    async with started(peer) as server, loading(server) as load:
        connected = 0
        for clients in (1, 100, 1_000):
            await load.ask("connect", clients - connected)
            connected = clients
            for size in SIZES:
                answer = await load.ask("broadcast", 50, size)
                yield f"fanout-{clients}-{size}", answer["last"]["p50_ms"]


async def burst(peer: str) -> Figures:
    """A hundred events at once to 1,000."""
    async with started(peer) as server, loading(server) as load:
        await load.ask("connect", 1_000)
        await load.ask("broadcast", 3, 64)
        yield "burst", (await load.ask("burst", 5, 100))["deliveries_per_s"]


async def ack(peer: str) -> Figures:
    """As many events with an ack as go, and a fixed rate of them."""
    async with started(peer) as server, loading(server) as load:
        await load.ask("connect", 100)
        used = server.cpu_s()
        answer = await load.ask("ack", 3, 1)
        yield "ack", answer["acks_per_s"]
        yield "ack-cpu", (server.cpu_s() - used) / answer["acks"] * 1e6
        for figure in _percentiles("echo", await load.ask("echo", 3, 5_000)):
            yield figure


async def storm(peer: str) -> Figures:
    """Connecting as fast as it goes, 64 at a time, each with a token in its CONNECT."""
    claims = {
        "iss": "bench",
        "sub": "somebody",
        "aud": "clarion",
        "exp": datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1),
    }
    token = jwt.encode(claims, SECRET, "HS256")
    async with (
        started(peer, {"JWT_SECRET": SECRET}) as server,
        loading(server, TOKEN=token) as load,
    ):
        used = server.cpu_s()
        yield "storm", (await load.ask("connect", 2_000))["connects_per_s"]
        yield "storm-cpu", (server.cpu_s() - used) / 2_000 * 1e6


async def many(peer: str) -> Figures:
    """Ten thousand: their memory, rooms at a fixed rate, one event to all."""
    async with started(peer) as server:
        async with loading(server) as warm:
            await warm.ask("connect", 10)
        await asyncio.sleep(0.5)
        before = server.rss_bytes()
        async with loading(server) as load:
            await load.ask("connect", MANY, *PACE)
            await load.ask("idle", 2)  # what was used only while they came has been given back
            yield "memory", (server.rss_bytes() - before) / MANY / 1000
            if server.peer.dialect == "socket.io":
                await load.ask("join")
                for figure in _percentiles("rooms", await load.ask("rooms", 5, 1_000)):
                    yield figure
            for size in SIZES:
                answer = await load.ask("broadcast", 10, size)
                yield f"fanout-{MANY}-{size}", answer["last"]["p50_ms"]


async def heartbeat(peer: str) -> Figures:
    """Nothing but pings and pongs: processor time of the server by ping."""
    async with started(peer, {"PING_INTERVAL_S": "5"}) as server, loading(server) as load:
        for clients in (5_000, MANY):
            await load.ask("connect", 5_000, *PACE)
            used = server.cpu_s()
            pings = (await load.ask("idle", 10))["pings"]
            yield f"ping-{clients}", (server.cpu_s() - used) / pings * 1e6


SCENARIOS: dict[str, Callable[[str], Figures]] = {
    each.__name__: each for each in (fanout, burst, ack, storm, many, heartbeat)
}
FOR_ALL = (fanout.__name__, many.__name__)  # whatever the server speaks


def _percentiles(name: str, answer: dict[str, float]) -> list[tuple[str, float]]:
    keys = {"p50": "p50_ms", "p99": "p99_ms", "p99.9": "p999_ms"}
    return [(f"{name}-{q}", answer[key]) for q, key in keys.items()]


# ── is the generator right? ──
async def check_generator() -> None:
    """It must notice a delivery that is left out, and one that comes twice.

    Raises:
        SystemExit: It did not: nothing that it says can be believed.
    """
    for fault in ("lose", "double"):
        async with (
            started("send(2)", None, fault) as server,
            loading(server, PATIENCE_S="1") as load,
        ):
            await load.ask("connect", 100)
            try:
                await load.ask("broadcast", 20, 64)
            except Failed:
                continue
        raise SystemExit(
            f"the load generator did not notice a server that would {fault} deliveries"
        )
