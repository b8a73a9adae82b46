"""How fast a trigger reaches an audience: messages into inboxes, and runs of an escalation workflow, on both databases.

    python -m benchmarks.bulk [--people 100000] [--folder …]

The databases are those of `databases.py`. Beside each send a caller who writes one message to one inbox says what it costs others.
"""

import argparse
import asyncio
import time
from pathlib import Path

import msgspec

from benchmarks.databases import on_each
from clarion.auth.principal import Principal
from clarion.bus import LocalBus
from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.jobs import Queue, Worker
from clarion.notifications import CreateNotification, Inbox, Notifications, inbox_kind
from clarion.notifications.engine import Engine
from clarion.notifications.preferences.book import Book
from clarion.notifications.triggering import CreateTrigger
from clarion.notifications.workflows.definition import Definition
from clarion.outbound import Outbound
from clarion.settings import Limits
from clarion.storage import Sql, Store
from clarion.topics.engine import TopicEngine
from clarion.topics.kinds import Kinds

APP = Principal(id="app", kind="key", scopes=frozenset({"*"}))
BELL = {"id": "bell", "inbox": {"title": "Release {{ payload.n }}", "body": "It is there."}}
WORKFLOWS = {
    "inbox, alike": [BELL],
    "inbox, each their own": [{"inbox": {"title": "Hello {{ recipient.id }}"}}],
    "escalation": [
        BELL,
        {"wait": "1h"},
        {"stop": "bell.read"},
        {"inbox": {"title": "Still there"}},
    ],
}
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT CAST(:first AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :last)"
PEOPLE = f"""INSERT INTO subscriber (tenant, id, name, email, locale, time_zone, attributes, created_ms, updated_ms)
    {NUMBERS} SELECT 'default', 'user' || i, 'Somebody', '', 'en', '', '{{"plan": "pro"}}', 1, 1 FROM n"""
MEMBERS = f"""INSERT INTO audience_member (tenant, audience, usr, added_ms)
    {NUMBERS} SELECT 'default', 'all', 'user' || i, 1 FROM n"""
AUDIENCE = "INSERT INTO audience (tenant, audience, name, filter, created_ms, updated_ms) VALUES ('default', 'all', '', '', 1, 1)"


async def measure(people: int, engine: str, store: Store) -> None:
    """One database."""
    clock, ids, limits, bus = SystemClock(), Ids(), Limits(), LocalBus()
    kinds = Kinds()
    kinds.add(inbox_kind(store))
    topics = TopicEngine(
        lambda event, data: (event, data), kinds, bus, limits, clock=clock, ids=ids
    )
    inbox = Inbox(store, topics, clock=clock, ids=ids)
    queue = Queue(store, clock, ids, node="bench")
    outbound = Outbound(clock)
    book = Book(store, inbox, limits, clock=clock)
    parts = Engine(store, inbox, queue, limits, outbound, book, clock=clock, ids=ids, node="bench")
    one = Notifications(store, inbox, book, limits, clock=clock, ids=ids)
    worker = Worker(queue, clock, ids)
    parts.install(worker)
    async with store.transaction() as tx:
        await tx.execute(Sql(AUDIENCE))
    for first in range(0, people, 20_000):
        for text in (PEOPLE, MEMBERS):
            async with store.transaction() as tx:
                await tx.execute(Sql(text), first=first, last=min(first + 20_000, people) - 1)
    if store.engine == "postgresql":
        async with store.transaction() as tx:
            await tx.execute(Sql("ANALYZE"))
    await worker.start()
    for n, (name, steps) in enumerate(WORKFLOWS.items()):
        await parts.catalog.put(APP, Definition(f"w{n}", steps))
        body = {"workflow": f"w{n}", "audiences": ["all"], "payload": {"n": n}}
        began = time.monotonic()
        accepted = await parts.triggers.accept(APP, msgspec.convert(body, CreateTrigger))
        waits: list[float] = []
        while (found := await parts.triggers.find("default", accepted.id)).state == "planning":
            at = time.monotonic()
            single = {"recipients": [{"id": "somebody"}], "title": "Now"}
            await one.send(APP, msgspec.convert(single, CreateNotification))
            waits.append((time.monotonic() - at) * 1000)
            await asyncio.sleep(0.02)
        took = time.monotonic() - began
        assert found.recipients == people, found
        waits.sort()
        print(
            f"{engine:10} {name:22} {people:,} in {took:.2f} s = {people / took:,.0f}/s; one message meanwhile:"
            f" p50 {waits[len(waits) // 2]:.1f} ms, p99 {waits[len(waits) * 99 // 100]:.1f} ms",
            flush=True,
        )
    await worker.close()
    await parts.close()
    await outbound.close()
    await topics.close()


def main() -> None:
    """Both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    asyncio.run(on_each(lambda name, store: measure(given.people, name, store), given.folder))


if __name__ == "__main__":
    main()
