"""How long one urgent message takes to its provider while a bulk send to an audience is on its way, on both databases.

    python -m benchmarks.urgent [--people 100000] [--seconds 20] [--folder …]

Everybody of the audience is told in the inbox and by a provider that takes 20 ms for a message, 16 at a time. Meanwhile somebody else
of the same tenant, and of another one, asks for a password reset now and then, as an ordinary workflow.
"""

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.databases import on_each
from clarion.auth.principal import Principal
from clarion.bus import LocalBus
from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.jobs import Queue, Worker
from clarion.notifications import Inbox, inbox_kind
from clarion.notifications.channels import Allowed, Outgoing, Provided, Providers, Sent
from clarion.notifications.engine import Engine
from clarion.notifications.preferences.book import Book
from clarion.notifications.trigger_shapes import CreateTrigger
from clarion.notifications.workflows.definition import Definition
from clarion.outbound import Outbound
from clarion.settings import Limits, Sending
from clarion.storage import Sql, Store
from clarion.topics.engine import TopicEngine
from clarion.topics.kinds import Kinds

TAKES_S: Final = 0.02
TENANTS: Final = ("default", "acme")
NEWS: Final[list[dict[str, Any]]] = [
    {"inbox": {"title": "Hello {{ recipient.id }}"}},
    {"post": {"text": "News for {{ recipient.id }}"}},
]
RESET: Final[list[dict[str, Any]]] = [{"post": {"text": "reset {{ payload.n }}"}}]

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT CAST(:first AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :last)"
PEOPLE = f"""INSERT INTO subscriber (tenant, id, name, email, locale, time_zone, attributes, created_ms, updated_ms)
    {NUMBERS} SELECT 'default', 'user' || i, 'Somebody', '', 'en', '', '{{"plan": "pro"}}', 1, 1 FROM n"""
MEMBERS = f"""INSERT INTO audience_member (tenant, audience, usr, added_ms)
    {NUMBERS} SELECT 'default', 'all', 'user' || i, 1 FROM n"""
AUDIENCE = "INSERT INTO audience (tenant, audience, name, filter, created_ms, updated_ms) VALUES ('default', 'all', '', '', 1, 1)"


class Text(msgspec.Struct, frozen=True):
    """What the provider is given."""

    text: str


class Post(Provided):
    """A channel whose provider takes its time."""

    name, content, said, max_attempts, needs_addresses = "post", Text, Text, 3, False

    def __init__(self, providers: Providers) -> None:
        super().__init__(providers)
        self.at: dict[str, float] = {}
        self.count = 0
        providers.add(self, Allowed())

    def addresses(self, recipient: Mapping[str, Any]) -> Sequence[str]:
        """Where they are."""
        return [str(recipient["id"])]

    async def send(self, message: Outgoing) -> Sent:
        """Take it."""
        if message.workflow == "reset":
            self.at.setdefault(message.content["text"], time.monotonic())
        self.count += 1
        await asyncio.sleep(TAKES_S)
        return Sent("post", "")


class _Asked(Provided):
    def __init__(self, post: Post) -> None:
        super().__init__(post.providers)
        self.name, self.content, self.said = post.name, post.content, post.said
        self.max_attempts, self.needs_addresses = post.max_attempts, post.needs_addresses
        self.addresses = post.addresses


async def measure(people: int, seconds: float, engine: str, store: Store) -> None:
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
    post = Post(Providers("post", Sending(), clock=clock, ids=ids))
    parts.channels.add(_Asked(post))
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
    callers = {
        tenant: Principal(id="app", kind="key", tenant=tenant, scopes=frozenset({"*"}))
        for tenant in TENANTS
    }
    for caller in callers.values():
        await parts.catalog.put(caller, Definition("reset", RESET))
    app = callers["default"]
    await parts.catalog.put(app, Definition("news", NEWS))
    await worker.start()
    parts.start()

    async def reset(tenant: str, n: int) -> tuple[str, float, float]:
        body = {
            "workflow": "reset",
            "recipients": [{"id": "somebody"}],
            "payload": {"n": f"{tenant}{n}"},
        }
        at = time.monotonic()
        await parts.triggers.accept(callers[tenant], msgspec.convert(body, CreateTrigger))
        return f"reset {tenant}{n}", at, time.monotonic()

    body = {"workflow": "news", "audiences": ["all"]}
    accepted = await parts.triggers.accept(app, msgspec.convert(body, CreateTrigger))
    await asyncio.sleep(1.0)
    asked: dict[str, list[tuple[str, float, float]]] = {tenant: [] for tenant in TENANTS}
    began, n = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        for tenant in TENANTS:
            n += 1
            asked[tenant].append(await reset(tenant, n))
        await asyncio.sleep(0.2)
    await asyncio.sleep(1.0)
    found = await parts.triggers.find("default", accepted.id)
    print(
        f"{engine:10} {found.recipients:,} of {people:,} planned, {post.count:,} sent in {seconds + 2:.0f} s"
    )
    for tenant, each in asked.items():
        waits = sorted(1000 * (post.at[key] - at) for key, at, _ in each if key in post.at)
        accepts = sorted(1000 * (then - at) for _, at, then in each)
        missing = len(each) - len(waits)
        said = f"p50 {_at(waits, 50)}, p99 {_at(waits, 99)}" if waits else "none"
        print(
            f"    {'same' if tenant == 'default' else 'other'} tenant: {len(waits)} of {len(each)} handed over: {said};"
            f" {missing} still waiting; accepted p50 {_at(accepts, 50)}, p99 {_at(accepts, 99)}",
            flush=True,
        )
    await parts.triggers.cancel("default", accepted.id)
    await worker.close()
    await parts.close()
    await outbound.close()
    await topics.close()


def _at(sorted_ms: Sequence[float], percent: int) -> str:
    return f"{sorted_ms[len(sorted_ms) * percent // 100]:.1f} ms"


def main() -> None:
    """Both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    asyncio.run(
        on_each(lambda name, store: measure(given.people, given.seconds, name, store), given.folder)
    )


if __name__ == "__main__":
    main()
