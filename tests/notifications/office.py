"""Everything that carries workflows, put together as the server does, with a clock that tests move and a channel that they hold."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from clarion.ids import Ids
from clarion.jobs import Queue
from clarion.notifications.channels import Outgoing, Sent
from clarion.notifications.engine import Engine
from clarion.notifications.events.events import Events
from clarion.notifications.knowing import Presence
from clarion.notifications.trigger_shapes import CreateTrigger
from clarion.notifications.workflows.definition import Definition
from clarion.outbound import Outbound
from clarion.settings import Events as EventSettings
from clarion.settings import Templates
from clarion.storage import runs as run_sql
from clarion.storage.store import Sql
from tests.notifications.conftest import APP, House, user
from tests.support.renders import Inside

BELL = {
    "id": "bell",
    "inbox": {"title": "Hello {{ recipient.name or recipient.id }}", "body": "{{ payload.n }}"},
}
LETTER = {"id": "mail", "letter": {"text": "Dear {{ recipient.id }}, {{ payload.n }}"}}
ANN = {"id": "ann", "name": "Ann", "email": "ann@example.com"}
ESCALATE = (
    BELL,
    {"wait": "5m"},
    {"stop": "bell.read"},
    LETTER,
)


class Count(Struct, frozen=True):
    """How many rows."""

    count: int


class LetterContent(Struct, frozen=True, forbid_unknown_fields=True):
    """What a letter says."""

    text: str


class Letters:
    """A channel that keeps what it is given, and fails when it is told to."""

    name, content, said, timeout_s, max_attempts = "letter", LetterContent, LetterContent, 5.0, 3
    needs_addresses = False

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.fails: list[Exception] = []

    def addresses(self, recipient: Mapping[str, Any]) -> Sequence[str]:
        return [recipient["email"]] if "email" in recipient else []

    async def send(self, message: Outgoing) -> Sent:
        if self.fails:
            raise self.fails.pop(0)
        self.sent.append(message)
        return Sent("post office", f"no. {len(self.sent)}")


class Office:
    """Everything that carries workflows, put together as the server does."""

    def __init__(self, house: House, presence: Presence | None = None) -> None:
        self.house, self.clock = house, house.clock
        store, clock, ids = house.store, house.clock, Ids()
        self.letters = Letters()
        self.queue = Queue(store, clock, ids, node="n")
        # The tests' own endpoints are on this machine, where strangers' URLs must not lead.
        self.outbound = Outbound(
            clock, allow_private=("127.0.0.1/32",), allow_http=True, ports=range(1, 65536)
        )
        self.events = Events(store, EventSettings(), clock=clock, ids=ids)
        self.engine = engine = Engine(
            store,
            house.inbox,
            self.queue,
            house.limits,
            self.outbound,
            house.book,
            clock=clock,
            ids=ids,
            node="n",
            renders=Inside(Templates()),
            presence=presence,
            events=self.events,
        )
        self.channels = engine.channels
        engine.channels.add(self.letters)
        self.catalog, self.triggers = engine.catalog, engine.triggers
        self.runs, self.digests, self.sender = engine.runs, engine.digests, engine.sender
        self.history, self.retention = engine.history, engine.retention

    async def workflow(self, *steps: dict[str, Any], **more: Any) -> None:
        given = {"workflow": "w", "steps": list(steps), **more}
        await self.catalog.put(APP, msgspec.convert(given, Definition))

    async def trigger(self, *recipients: Any, key: str | None = None, **more: Any) -> str:
        body = msgspec.convert(
            {"workflow": "w", "recipients": list(recipients), **more}, CreateTrigger
        )
        accepted = await self.triggers.accept(APP, body, key)
        await self.triggers.settled()
        return accepted.id

    async def run(self, seconds: float = 0.0) -> None:
        """Let time pass, and do all that is due then."""
        self.clock.advance(seconds)
        while await self.runs.go_on() or await self.digests.close():
            await self.runs.fetched()
        while await self.sender.look() == 0.0:
            await self.sender.close()

    async def inbox(self, name: str) -> list[str]:
        return [item.title for item in (await self.house.inbox.page(user(name))).items]

    async def count(self, table: str) -> int:
        """Rows of a table."""
        [found] = await self.house.store.fetch(Sql(f"SELECT count(*) FROM {table}", Count))
        return found.count

    async def story(self, trigger: str) -> list[str]:
        """What became of each step of a trigger's only run."""
        [run] = await self.house.store.fetch(
            run_sql.OF_TRIGGER, tenant="default", trigger_id=trigger, after="", n=10
        )
        found = await self.house.store.fetch(run_sql.RECORDS, tenant="default", run=run.id)
        return [f"{row.step} {row.outcome}" + (f": {row.why}" if row.why else "") for row in found]


@pytest.fixture
async def office(house: House) -> AsyncIterator[Office]:
    office = Office(house)
    yield office
    await office.triggers.settled()
    await office.sender.close()
    await office.outbound.close()
