"""What is measured: scenarios, each a conversation of the load generator with one fresh server, and the figures they yield."""

import asyncio
import tempfile

from benchmarks import notifications, topics
from benchmarks.measures import (
    MANY,
    PACE,
    SECRET,
    Figures,
    Metric,
    Scenario,
    percentiles,
    token,
    whole_product,
)
from benchmarks.peers import NULL, OURS
from benchmarks.running import Failed, loading, started

SIZES = (64, 1_024, 16_384)


def _size(size: int) -> str:
    return f"{size // 1024} KB" if size >= 1024 else f"{size} B"


METRICS = {
    **{
        f"fanout-{clients}-{size}": Metric(
            "many" if clients == MANY else "fanout",
            f"{_size(size)} to {clients:,} socket{'s' * (clients > 1)}, until the last has it",
            "ms",
        )
        for clients in (1, 100, 1_000, MANY)
        for size in SIZES
    },
    "fanout-cpu": Metric(
        "many", f"{_size(64)} to {MANY:,}: the server's processor time a delivery", "µs"
    ),
    "burst": Metric(
        "burst", "a burst of 100 events to 1,000 sockets", "deliveries/s", less_is_better=False
    ),
    "ack": Metric(
        "ack", "event with ack, 100 sockets, one under way each", "acks/s", less_is_better=False
    ),
    "ack-load": Metric(
        "ack", "the same: how busy the load generator is", "% of a core", less_is_better=None
    ),
    "ack-cpu": Metric("ack", "event with ack: the server's processor time", "µs"),
    **{
        f"echo-{q}": Metric("ack", f"event with ack, 5,000/s offered by 100 sockets: {q}", "ms")
        for q in ("p50", "p99", "p99.9")
    },
    **{
        f"rooms-{q}": Metric(
            "many", f"{MANY:,} sockets, 1,000 events/s into rooms of 10: {q}", "ms"
        )
        for q in ("p50", "p99", "p99.9")
    },
    "storm": Metric(
        "storm", "2,000 sockets connect with a JWT", "connects/s", less_is_better=False
    ),
    "storm-cpu": Metric("storm", "such a connect: the server's processor time", "µs"),
    "memory": Metric("many", "memory of an idle socket", "KB"),
    "whole": Metric("whole", f"memory of the whole product with {MANY:,} sockets", "MB"),
    **{
        f"ping-{clients}": Metric(
            "heartbeat",
            f"a heartbeat, {clients:,} idle sockets, one every 5 s: processor time",
            "µs",
        )
        for clients in (5_000, MANY)
    },
    **topics.METRICS,
    **notifications.METRICS,
}


# ── the scenarios; a brief run says less ──
async def fanout(peer: str, brief: bool) -> Figures:
    """One event to 1, 100 and 1,000."""
    rounds = 10 if brief else 50
    async with started(peer) as server, loading(server) as load:
        connected = 0
        for clients in (1, 100, 1_000):
            await load.ask("connect", clients - connected)
            connected = clients
            for size in SIZES:
                answer = await load.ask("broadcast", rounds, size)
                yield f"fanout-{clients}-{size}", answer["last"]["p50_ms"]


async def burst(peer: str, brief: bool) -> Figures:
    """A hundred events at once to 1,000."""
    async with started(peer) as server, loading(server) as load:
        await load.ask("connect", 1_000)
        await load.ask("broadcast", 3, 64)
        yield "burst", (await load.ask("burst", 2 if brief else 5, 100))["deliveries_per_s"]


async def ack(peer: str, brief: bool) -> Figures:
    """As many events with an ack as go, and a fixed rate of them."""
    seconds = 1 if brief else 2
    async with started(peer) as server, loading(server) as load:
        await load.ask("connect", 100)
        used = server.cpu_s()
        answer = await load.ask("ack", seconds, 1)
        yield "ack", answer["acks_per_s"]
        yield "ack-load", answer["load"] * 100
        yield "ack-cpu", (server.cpu_s() - used) / answer["acks"] * 1e6
        for figure in percentiles("echo", await load.ask("echo", seconds, 5_000)):
            yield figure


async def storm(peer: str, _brief: bool) -> Figures:
    """Connecting as fast as it goes, 64 at a time, each with a token in its CONNECT."""
    async with (
        started(peer, {"JWT_SECRET": SECRET}) as server,
        loading(server, TOKEN=token()) as load,
    ):
        used = server.cpu_s()
        yield "storm", (await load.ask("connect", 2_000))["connects_per_s"]
        yield "storm-cpu", (server.cpu_s() - used) / 2_000 * 1e6


async def many(peer: str, brief: bool) -> Figures:
    """Ten thousand: their memory, one event to all, rooms at a fixed rate."""
    async with started(peer) as server:
        async with loading(server) as warm:
            await warm.ask("connect", 10)
        await asyncio.sleep(0.5)
        before = server.rss_bytes()
        async with loading(server) as load:
            await load.ask("connect", MANY, *PACE)
            await load.ask("idle", 1)  # what was used only while they came has been given back
            yield "memory", (server.rss_bytes() - before) / MANY / 1000
            for size in SIZES:
                used = server.cpu_s()
                answer = await load.ask("broadcast", 3 if brief else 7, size)
                yield f"fanout-{MANY}-{size}", answer["last"]["p50_ms"]
                if size == SIZES[0]:
                    deliveries = MANY * (answer["rounds"] + 1)
                    yield "fanout-cpu", (server.cpu_s() - used) / deliveries * 1e6
            if server.peer.dialect == "socket.io":
                await load.ask("join")
                answer = await load.ask("rooms", 2 if brief else 4, 1_000)
                for figure in percentiles("rooms", answer):
                    yield figure


async def heartbeat(peer: str, brief: bool) -> Figures:
    """Nothing but pings and pongs: processor time of the server by ping."""
    async with started(peer, {"PING_INTERVAL_S": "5"}) as server, loading(server) as load:
        for clients in (5_000,) if brief else (5_000, MANY):
            await load.ask("connect", 5_000, *PACE)
            used = server.cpu_s()
            pings = (await load.ask("idle", 10))["pings"]
            yield f"ping-{clients}", (server.cpu_s() - used) / pings * 1e6


async def whole(peer: str, _brief: bool) -> Figures:
    """Ten thousand that came with a token to `clarion serve`, with recovery, compression and the admin page on."""
    with tempfile.TemporaryDirectory() as folder:
        environment = whole_product(
            folder,
            CLARION_REALTIME_RECOVERY_S="120",
            CLARION_REALTIME_DEFLATE="true",
            CLARION_ADMIN_UI_PASSWORD=SECRET,
            CLARION_ADMIN_UI_MODE="development",
        )
        async with (
            started(peer, environment, "whole") as server,
            loading(server, TOKEN=token()) as load,
        ):
            await load.ask("connect", MANY, *PACE)
            await load.ask("join")
            await load.ask("rooms", 1, 1_000)
            yield "whole", server.rss_bytes() / 1e6


SCENARIOS = {
    each.run.__name__: each
    for each in (
        Scenario(fanout, 4.5),
        Scenario(burst, 3),
        Scenario(ack, 5),
        Scenario(storm, 2),
        Scenario(many, 15),
        Scenario(whole, 9, rounds=1, peers=(OURS,)),
        Scenario(heartbeat, 27, rounds=1),
        *topics.SCENARIOS,
        *notifications.SCENARIOS,
    )
}


# ── is the generator right? ──
FAULTS = ("lose", "double", "swap", "stray")


async def check_generator() -> None:
    """It must pass a server that makes no mistake, and notice one that makes a single one.

    Raises:
        SystemExit: Nothing that the generator says can be believed.
    """
    if complaint := await complaint_about():
        raise SystemExit(f"the load generator complains about a server without fault: {complaint}")
    for fault in FAULTS:
        if not await complaint_about(fault):
            raise SystemExit(f"the load generator did not notice a server with a fault: {fault}")


async def complaint_about(fault: str = "") -> str:
    """What the generator says about the null server with a fault (servers/sendloop.c); empty: all is well."""
    # The fault is in the first of 200 deliveries, which are always asked for: no time runs out before it.
    patience = {"PATIENCE_S": "1"} if fault else {}
    arguments = filter(None, [fault])
    async with started(NULL, None, *arguments) as server, loading(server, **patience) as load:
        await load.ask("connect", 100)
        try:
            await load.ask("burst", 1, 2)
        except Failed as exc:
            return str(exc)
    return ""
