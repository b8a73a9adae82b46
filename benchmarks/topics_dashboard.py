"""A dashboard under load: 1,000 updates/s on 100 widgets, watched by 1,000 sockets; what the server spends on it, and how old what a viewer is told is.

    python -m benchmarks.topics_dashboard [--seconds 10] [--viewers 1000] [--updates 1000] [--json]

`clarion serve` on the first processor, publishers (HTTP, batches of 50) and viewers (WebSocket) on the second. Half of the widgets are gauges, which are set to the
time; a quarter numbers that are counted up, a quarter charts that get points. Ten viewers read and check everything they get; of the others the bytes are counted, which must be as many.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
from tests.support.quick_client import Client
from tests.support.server import Server, running

WIDGETS = 100
READING = 10
BATCH = 50
TOPIC = "dashboard:load"


def definition() -> dict[str, Any]:
    chart = {"type": "series", "lines": [{"name": "x"}], "window_s": 300}
    made = [
        {"type": "gauge"} if n % 2 else {"type": "stat"} if n % 4 else chart for n in range(WIDGETS)
    ]
    return {"widgets": [{**widget, "id": f"w{n}"} for n, widget in enumerate(made)]}


def publication(n: int) -> dict[str, Any]:
    """The next update: of each widget in turn."""
    widget = n % WIDGETS
    given: dict[str, Any] = {"topic": TOPIC, "key": f"w{widget}"}
    now = time.time()
    if widget % 2:
        return {**given, "event": "set", "data": round(now * 1000)}
    if widget % 4:
        return {**given, "event": "increment", "data": 1}
    return {**given, "event": "append", "data": {"v": [[n % 97]]}}


class Counted(asyncio.Protocol):
    """A viewer of whom only the bytes are counted."""

    def __init__(self) -> None:
        self.bytes = 0

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)


class Reading:
    """A viewer that reads."""

    def __init__(self) -> None:
        self.bytes = self.publications = self.offset = 0
        self.ages_ms: list[float] = []
        self.is_measured = False

    def hear(self, _: Client, event: Any) -> None:
        if event[0] != "publication":
            return
        told = event[1]
        if self.offset and told.get("after", told["offset"] - 1) != self.offset:
            raise AssertionError(f"after {self.offset} came {told['offset']}")
        self.offset = told["offset"]
        if not self.is_measured or "event" not in told:
            return
        self.publications += 1
        data = told.get("data", {})
        value = data.get("value", data.get("add", {}).get("value"))
        if value is not None and value > 1e12:
            self.ages_ms.append(time.time() * 1000 - value)


def _count(reading: Reading, client: Client) -> None:
    line = client.line
    take = line.data_received

    def counted(data: bytes) -> None:
        if reading.is_measured:
            reading.bytes += len(data)
        take(data)

    line.data_received = counted  # type: ignore[method-assign]


def cpu_s(pid: int) -> float:
    """Processor time of a process."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in threads) / 1e9


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


async def publish(http: httpx.AsyncClient, per_s: int, until: asyncio.Event) -> int:
    """Publish at a steady rate, waiting for answers beside it; returns how many were accepted."""
    accepted = 0
    tasks: dict[asyncio.Task[None], None] = {}

    async def give(batch: list[dict[str, Any]]) -> None:
        nonlocal accepted
        answer = await http.post(
            "/v1/publications", content=msgspec.json.encode({"publications": batch})
        )
        results = answer.json()["results"]
        assert all("published" in each for each in results), results[:3]
        accepted += len(results)

    begun, n = time.perf_counter(), 0
    while not until.is_set():
        task = asyncio.get_running_loop().create_task(
            give([publication(n + i) for i in range(BATCH)])
        )
        tasks[task] = None
        task.add_done_callback(lambda done: tasks.pop(done, None))
        n += BATCH
        await asyncio.sleep(max(0.0, begun + n / per_s - time.perf_counter()))
    await asyncio.gather(*tasks)
    return accepted


async def measure(
    server: Server, viewers: int, updates: int, seconds: float, *, wants_json: bool
) -> None:
    key = server.key("dashboards:*", "topics:*")
    pid = server.pid
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(
        base_url=server.url, headers=headers, timeout=30, limits=limits
    ) as http:
        (await http.put("/v1/dashboards/load", json=definition())).raise_for_status()
        empty = rss_mb(pid)
        reading = [Reading() for _ in range(min(READING, viewers))]
        counted: list[Counted] = []
        clients: list[Client] = []
        latencies = []
        for n in range(viewers):
            reader = reading[n] if n < len(reading) else None
            client = Client(server.port, "/clarion", on_event=reader.hear if reader else None)
            clients.append(await client.connect(token=key))
            begun = time.perf_counter()
            answer = (await client.ask("subscribe", {"topic": TOPIC}))[0]
            latencies.append(time.perf_counter() - begun)
            assert "snapshot" in answer, answer
            if reader is not None:
                _count(reader, client)
            else:
                drain = Counted()
                client.line.transport.set_protocol(drain)  # type: ignore[attr-defined]
                counted.append(drain)
        done = asyncio.Event()
        publishing = asyncio.get_running_loop().create_task(publish(http, updates, done))
        warm_s = min(2, seconds)  # charts have begun, and everything has been there once
        await asyncio.sleep(warm_s)
        before, used, begun = [each.bytes for each in counted], cpu_s(pid), time.perf_counter()
        own = time.process_time()
        for reader in reading:
            reader.is_measured = True
        await asyncio.sleep(seconds)
        async with asyncio.timeout(30):  # a short time may have been too short for anything
            while not any(each.ages_ms for each in reading):  # noqa: ASYNC110  a measurement
                await asyncio.sleep(0.1)
        took = time.perf_counter() - begun
        used = (cpu_s(pid) - used) / took
        own = (time.process_time() - own) / took
        for reader in reading:
            reader.is_measured = False
        after = [each.bytes for each in counted]
        done.set()
        accepted = await publishing
        got = sum(each.publications for each in reading) / len(reading)
        size = sum(each.bytes for each in reading) / len(reading)
        others = [now - then for now, then in zip(after, before, strict=True)] or [size]
        ages = sorted(age for each in reading for age in each.ages_ms)
        for client in clients:
            client.close()
    if wants_json:
        figures = {
            "updates_per_s": accepted / (took + warm_s),
            "deliveries_per_s": got / took * viewers,
            "age_p50_ms": ages[len(ages) // 2],
            "age_p99_ms": ages[len(ages) * 99 // 100],
            "cpu_share": used,
        }
        print(json.dumps(figures))
        return
    print(
        f"{viewers:,} viewers, {WIDGETS} widgets, {accepted / (took + warm_s):,.0f} updates/s accepted, {seconds:g} s"
    )
    print(f"  publications to a viewer      {got / took:8,.0f} /s")
    print(f"  deliveries                    {got / took * viewers:8,.0f} /s")
    print(
        f"  bytes to a viewer             {size / took / 1024:8,.1f} KB/s (others {min(others) / took / 1024:,.1f} to {max(others) / took / 1024:,.1f})"
    )
    print(
        f"  age of what a viewer is told  {ages[len(ages) // 2]:8,.0f} ms p50, {ages[len(ages) * 99 // 100]:,.0f} ms p99"
    )
    print(
        f"  the server's processor time   {used * 100:8,.0f} % of a core ({own * 100:.0f} % the load's)"
    )
    print(f"  the server's memory           {rss_mb(pid):8,.0f} MB ({empty:.0f} before)")


def main() -> None:
    given = argparse.ArgumentParser()
    given.add_argument("--seconds", type=float, default=10)
    given.add_argument("--viewers", type=int, default=1_000)
    given.add_argument("--updates", type=int, default=1_000)
    given.add_argument("--json", action="store_true", help="for a program")
    args = given.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running(
            Path(folder),
            CLARION_LIMITS_SESSIONS_PER_USER="0",  # they all are one key
            CLARION_LIMITS_API_REQUESTS="1000000",
            CLARION_LOG_LEVEL="warning",
        ) as server,
    ):
        os.sched_setaffinity(server.pid, {0})
        os.sched_setaffinity(0, {1})
        asyncio.run(measure(server, args.viewers, args.updates, args.seconds, wants_json=args.json))


if __name__ == "__main__":
    main()
