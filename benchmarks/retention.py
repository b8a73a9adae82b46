"""What ten million messages do to who reads and who sends, on PostgreSQL: a database that is empty, one that is full, and that one while it is purged.

    python -m benchmarks.retention [--messages 10000000] [--rounds 12] [--only claims] [--json]

Two databases of one PostgreSQL, set up as one for that much is, each with a server of its own (`clarion serve`); asked by turns, a block
of requests each, so that a machine that slows down slows all of them. "Empty" has a page of messages for those who are asked for one.
Purging goes on while it is measured and stops then; old enough for it are a tenth of the rows or more.
"""

import argparse
import asyncio
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec
from tests.support.quick_wire import HttpLine, http
from tests.support.server import Server, running
from tests.support.services import Postgres

from benchmarks.measures import SECRET, token
from benchmarks.notified import part
from benchmarks.retention_fill import fill
from clarion.app import App
from clarion.clock import SystemClock
from clarion.jobs.purging import Purger
from clarion.jobs.turns import Turns, take
from clarion.notifications.retention import Retention
from clarion.settings import Limits
from clarion.storage import Sql, Store, open_store
from clarion.storage import jobs as job_sql
from clarion.storage import outgoing as sent_sql
from clarion.telemetry import spawn

PEOPLE: Final = 200  # who are asked for
BLOCK: Final = 250  # requests of a turn
CLAIMS: Final = 4_000  # rows that are claimed in a turn
AT_ONCE: Final = 64  # … at a time, as a lane takes them
WARM: Final = 2  # turns that do not count
LIMIT: Final = 1.2
WAYS: Final = ("empty", "full", "purging")
KEPT: Final = {
    "CLARION_LIMITS_RUN_DAYS": "90",
    "CLARION_LIMITS_MESSAGE_DAYS": "90",
    "CLARION_LIMITS_TRIGGER_DAYS": "90",
    "CLARION_LIMITS_INBOX_DAYS": "90",
}
POSTGRESQL: Final = """shared_buffers = 2GB
max_wal_size = 8GB
checkpoint_timeout = 15min
effective_cache_size = 8GB
random_page_cost = 1.1
autovacuum = on
full_page_writes = on
wal_compression = lz4"""
# Nobody's server purges by itself.
NOT_YET: Final = """INSERT INTO job (tenant, id, kind, payload, run_ms, max_attempts, created_ms)
    VALUES ('default', 'every:purge', 'purge', 'null', 4102444800000, 12, 0) ON CONFLICT DO NOTHING"""
DUE: Final = """INSERT INTO outgoing (tenant, id, message, run, trigger_id, workflow, category, step, usr, channel, address, content,
      provider, provider_id, status, rank, cause, run_ms, created_ms)
    SELECT 'default', 'due' || i, 'due' || i, '', '', 'one', '', 'post', 'user' || i, 'bench', 'x', '{}', '', '', 'queued', 0, '', 1, $2
    FROM generate_series(1, $1::bigint) AS i"""
WORK: Final = """INSERT INTO job (tenant, id, kind, payload, run_ms, max_attempts, created_ms)
    SELECT 'default', 'due' || i, 'bench', '{}', 1, 12, $2 FROM generate_series(1, $1::bigint) AS i"""


def setup(app: App) -> None:
    """What the servers do beside serving: purge from one signal to the next."""
    purging: asyncio.Task[None] | None = None

    def turn() -> None:
        nonlocal purging
        if purging is None:
            purging = spawn(app.purger.run(), name="purge")
        else:
            purging.cancel()
            purging = None

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, turn)


class Side:
    """One of the two databases, and its server."""

    def __init__(self, url: str, people: list[str]) -> None:
        self.url, self.people = url, people
        self._tokens: list[str] = [token(usr) for usr in people]
        self.server: Server | None = None
        self._line: HttpLine | None = None
        self._key = ""
        self._n = 0

    async def begin(self, server: Server) -> None:
        """Have it served."""
        part(server.pid)
        self.server = server
        self._key = server.key("notifications:send", "workflows:*", "subscribers:*")
        steps = [{"inbox": {"title": "{{ payload.n }}"}}]
        await self._ask("PUT", "/v1/workflows/one", self._key, {"workflow": "one", "steps": steps})

    async def list(self) -> None:
        """The newest page of somebody's inbox."""
        self._n += 1
        found = await self._ask("GET", "/v1/inbox", self._tokens[self._n % len(self.people)])
        assert len(found["items"]) == 50, "not a whole page"

    async def trigger(self) -> None:
        """A workflow for one person."""
        self._n += 1
        whom = [self.people[self._n % len(self.people)]]
        body = {"workflow": "one", "recipients": whom, "payload": {"n": self._n}}
        await self._ask("POST", "/v1/triggers", self._key, body)

    def turn_purge(self) -> None:
        """Begin to purge, or leave off."""
        assert self.server is not None
        self.server.send(signal.SIGUSR1)

    async def _ask(self, method: str, path: str, bearer: str, body: Any = None) -> Any:
        assert self.server is not None
        if (
            self._line is None or self._line.gone.done()
        ):  # the server hangs up on who is silent for long
            self._line = await http(self.server.port)
        content = b"" if body is None else msgspec.json.encode(body)
        head = f"Authorization: Bearer {bearer}\r\nContent-Type: application/json\r\n"
        status, answer = await self._line.ask(method, path, content, headers=head)
        assert status < 300, (method, path, status, answer)
        return msgspec.json.decode(answer)


Found = dict[str, dict[str, list[float]]]
"""What was measured, by what and by way."""


async def requests(sides: dict[str, Side], rounds: int) -> Found:
    """Pages and triggers, one after another, in ms."""
    found: Found = {what: {way: [] for way in WAYS} for what in ("list", "trigger")}
    for turn in range(-WARM, rounds):
        for way in WAYS if turn % 2 else reversed(WAYS):
            side = sides["empty" if way == "empty" else "full"]
            if way == "purging":
                side.turn_purge()
            asks: dict[str, Callable[[], Awaitable[None]]] = {
                "list": side.list,
                "trigger": side.trigger,
            }
            for what, ask in asks.items():
                for _ in range(BLOCK):
                    began = time.perf_counter()
                    await ask()
                    if turn >= 0:
                        found[what][way].append(1000 * (time.perf_counter() - began))
                    await asyncio.sleep(0.002)
            if way == "purging":
                side.turn_purge()
            await asyncio.sleep(0.3)
    return found


async def claims(sides: dict[str, Side], rounds: int) -> Found:
    """How many rows a second are claimed and settled, of the messages of a channel and of jobs."""
    found: Found = {what: {way: [] for way in WAYS} for what in ("outgoing claims", "job claims")}
    async with AsyncExitStack() as open:
        stores = {
            name: await open.enter_async_context(_opened(side.url)) for name, side in sides.items()
        }
        for turn in range(-WARM, rounds):
            for way in WAYS if turn % 2 else reversed(WAYS):
                name = "empty" if way == "empty" else "full"
                purging = None
                if way == "purging":
                    purging = spawn(_purge(stores[name]), name="purge")
                for what, table in (("outgoing claims", "outgoing"), ("job claims", "job")):
                    rate = await _claim(stores[name], sides[name].url, table)
                    if turn >= 0:
                        found[what][way].append(rate)
                if purging is not None:
                    assert not purging.done(), "there was nothing left to purge"
                    purging.cancel()
    return found


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(url=url, data_dir=Path(folder), clock=SystemClock())
        try:
            yield store
        finally:
            await store.close()


async def _purge(store: Store) -> None:
    purger = Purger(SystemClock())
    days = Limits(run_days=90, message_days=90, trigger_days=90)
    purger.add("workflows", Retention(store, days, SystemClock()).purge)
    await purger.run()


async def _claim(store: Store, url: str, table: str) -> float:
    """Claim and settle what is due, as a lane does, or a worker; rows a second."""
    now_ms = SystemClock().now_ms()
    db = await asyncpg.connect(url)
    await db.execute(DUE if table == "outgoing" else WORK, CLAIMS, now_ms)
    is_job = table == "job"
    waits = job_sql.WAITING if is_job else sent_sql.WAITING
    claim: Sql[Any] = job_sql.CLAIM if is_job else sent_sql.CLAIM
    lane = {} if is_job else {"lane": "bench"}
    turns, done = Turns(), 0
    began = time.perf_counter()
    while done < CLAIMS:
        waiting = await store.fetch(waits, **lane)
        rows = await take(
            store,
            turns,
            waiting,
            claim,
            now_ms=now_ms,
            lease_s=60,
            node="bench",
            limit=AT_ONCE,
            **lane,
        )
        if is_job:
            held = [job_sql.Held(row.tenant, row.id, row.token) for row in rows]
            await store.apply(job_sql.FINISH, held)
        else:
            await store.apply(sent_sql.PUT_BACK, [_ended(row) for row in rows])
        done += len(rows)
    rate = done / (time.perf_counter() - began)
    await db.execute(f"DELETE FROM {table} WHERE id LIKE 'due%'")
    await db.close()
    return rate


def _ended(row: sent_sql.ClaimedOutgoing) -> job_sql.Settlement:
    return job_sql.Settlement(row.tenant, row.id, row.token, None, row.attempts, None)


async def made(postgres: Postgres, messages: int) -> dict[str, Side]:
    """Both databases."""
    sides: dict[str, Side] = {}
    for name, count, people in (
        ("empty", PEOPLE * 200, PEOPLE),
        ("full", messages, messages // 100),
    ):
        url, began = await postgres.new_database(), time.monotonic()
        async with _opened(url):
            pass  # with all tables
        there = await fill(url, count, people, SystemClock().now_ms())
        sides[name] = Side(url, there[:: max(1, len(there) // PEOPLE)])
        await _run(url, NOT_YET)
        took = time.monotonic() - began
        print(f"{name}: {count:,} messages made in {took:.0f} s", file=sys.stderr, flush=True)
    return sides


async def asked(sides: dict[str, Side], rounds: int, only: Sequence[str]) -> Found:
    """Measure both."""
    found: Found = {}
    if "claims" in only:
        found |= await claims(sides, rounds)
    if "requests" in only:
        async with AsyncExitStack() as open:
            for side in sides.values():
                await side.begin(open.enter_context(_serving(side.url)))
            found |= await requests(sides, rounds)
    return found


async def measure(messages: int, rounds: int, only: Sequence[str]) -> Found:
    """All of it."""
    postgres = Postgres(fsync=True, settings=POSTGRESQL)
    try:
        return await asked(await made(postgres, messages), rounds, only)
    finally:
        postgres.remove()


@contextmanager
def _serving(url: str) -> Iterator[Server]:
    settings = {
        "CLARION_DATABASE_URL": url,
        "CLARION_AUTH_JWT_SECRET": SECRET,
        "CLARION_AUTH_ISSUER": "bench",
        "CLARION_LIMITS_API_REQUESTS": "1000000",
        "CLARION_LOG_LEVEL": "warning",
        **KEPT,
    }
    here = str(Path(__file__).parents[1])
    with (
        tempfile.TemporaryDirectory() as folder,
        running(
            Path(folder),
            "--app",
            "benchmarks.retention:setup",
            PYTHONPATH=f"{here}/src:{here}",
            **settings,
        ) as server,
    ):
        yield server


async def _run(url: str, text: str) -> None:
    db = await asyncpg.connect(url)
    await db.execute(text)
    await db.close()


def figures(found: Found) -> dict[str, dict[str, float]]:
    """What counts: of requests p50 and p99, of claims the median rate; by way, with the ratios to the empty one (more is worse)."""
    rows: dict[str, dict[str, float]] = {}
    for what, by_way in found.items():
        if what.endswith("claims"):
            rows[what] = {way: statistics.median(rates) for way, rates in by_way.items()}
        else:
            for q in (50, 99):
                rows[f"{what} p{q}"] = {way: _at(sorted(times), q) for way, times in by_way.items()}
    for what, row in rows.items():
        for way in WAYS[1:]:
            ratio = row[way] / row["empty"]
            row[f"{way} ratio"] = 1 / ratio if what.endswith("claims") else ratio
    return rows


def _at(times: Sequence[float], percent: int) -> float:
    return times[len(times) * percent // 100]


def show(rows: dict[str, dict[str, float]]) -> None:
    """A table, and what is beyond the limit."""
    print(f"{'':18}{'empty':>10}{'full':>10}{'ratio':>8}{'purging':>10}{'ratio':>8}")
    for what, row in rows.items():
        is_rate = what.endswith("claims")
        told = [f"{row[way]:,.0f}/s" if is_rate else f"{row[way]:.2f} ms" for way in WAYS]
        ratios = [f"{row[f'{way} ratio']:.2f}" for way in WAYS[1:]]
        said = f"{what:18}{told[0]:>10}{told[1]:>10}{ratios[0]:>8}{told[2]:>10}{ratios[1]:>8}"
        is_met = is_rate or what.endswith("p99")
        worst = max(row[f"{way} ratio"] for way in WAYS[1:])
        print(said + (f"   beyond {LIMIT}" if is_met and worst > LIMIT else ""))


def main() -> None:
    """Measure, and say what is beyond the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument(
        "--only", nargs="*", choices=("claims", "requests"), default=["claims", "requests"]
    )
    parser.add_argument("--json", action="store_true", help="for a program")
    given = parser.parse_args()
    rows = figures(asyncio.run(measure(given.messages, given.rounds, given.only)))
    if given.json:
        print(json.dumps(rows))
        return
    show(rows)


if __name__ == "__main__":
    main()
