"""A bulk send keeps nobody waiting: counted in what goes before what, whatever the machine is doing."""

import asyncio

import msgspec
import pytest

from clarion.auth.principal import Principal
from clarion.notifications import lanes, planning
from clarion.notifications.trigger_shapes import CreateTrigger
from clarion.notifications.workflows.definition import Definition
from clarion.outbound import Answer
from tests.notifications.conftest import APP, on_one_engine
from tests.notifications.office import LETTER, Office, office

__all__ = ["office"]

ACME = Principal(id="app", kind="key", tenant="acme", scopes=frozenset({"*"}))
SLOTS = 4


def person(name: str) -> dict[str, str]:
    return {"id": name, "email": f"{name}@example.com"}


CROWD = [person(f"c{n:02}") for n in range(20)]


async def ask(
    office: Office, caller: Principal, name: str, *steps: object, priority: str | None = None
) -> None:
    """Somebody asks for something of their own."""
    given = {"workflow": name, "steps": list(steps) or [LETTER]}
    await office.catalog.put(caller, msgspec.convert(given, Definition))
    body = {"workflow": name, "recipients": [person(name)], "priority": priority}
    await office.triggers.accept(caller, msgspec.convert(body, CreateTrigger))
    await office.triggers.settled()


async def plan(office: Office) -> None:
    """Plan all that was accepted."""
    while jobs := await office.queue.claim(10):
        for job in jobs:
            await office.engine.planner.plan(job)


async def hand_over(office: Office) -> list[str]:
    """Who is written to when the next slots are free."""
    before = len(office.letters.sent)
    await office.sender.look()
    await office.sender.close()
    return [each.user for each in office.letters.sent[before:]]


@pytest.fixture
async def bulk(office: Office, monkeypatch: pytest.MonkeyPatch) -> Office:
    """Twenty letters of one trigger wait to be sent, four at a time; the first five of them are as urgent as anybody's."""
    monkeypatch.setattr(planning, "SLICE", 5)
    monkeypatch.setattr(lanes, "CONCURRENCY", SLOTS)
    await office.workflow(LETTER)
    await office.trigger(*CROWD)
    await plan(office)
    assert await office.count("outgoing") == len(CROWD)
    office.clock.advance(1)
    return office


async def test_a_bulk_send_keeps_neither_its_own_tenant_nor_another_waiting(bulk: Office) -> None:
    """Whoever asks while it is on its way is written to with the next free slots; all the others still are."""
    await hand_over(bulk)
    await hand_over(bulk)
    await ask(bulk, APP, "reset")
    await ask(bulk, ACME, "other")
    assert {"reset", "other"} <= set(await hand_over(bulk))
    while await hand_over(bulk):
        pass
    sent = [each.user for each in bulk.letters.sent]
    assert sorted(sent) == sorted([*(each["id"] for each in CROWD), "reset", "other"])


@on_one_engine
async def test_a_trigger_or_its_workflow_says_what_is_urgent(bulk: Office) -> None:
    """Among equals the oldest goes first; what is critical before all of them, what is low after them."""
    await ask(bulk, APP, "late", priority="low")
    await ask(bulk, APP, "now", priority="critical")
    assert "now" in await hand_over(bulk)
    await hand_over(bulk)
    await bulk.workflow(LETTER, critical=True)
    await bulk.trigger(person("critical"))
    assert "critical" in await hand_over(bulk)
    while "late" not in await hand_over(bulk):
        pass
    assert await hand_over(bulk) == []
    assert len(bulk.letters.sent) == len(CROWD) + 3


async def test_runs_that_wait_for_the_same_moment_take_turns(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty that are due before one, of a bulk send: of four that are carried on it is one, of whichever tenant."""
    monkeypatch.setattr(planning, "SLICE", 5)
    bell = {"inbox": {"title": "{{ recipient.id }}"}}
    await office.workflow({"wait": "10s"}, bell)
    await office.trigger(*CROWD)
    await plan(office)
    office.clock.advance(5)
    await ask(office, APP, "reset", {"wait": "6s"}, bell)
    await ask(office, ACME, "other", {"wait": "6s"}, bell)
    office.clock.advance(7)
    for _ in range(3):
        assert await office.runs.go_on(SLOTS) == SLOTS
    assert await office.inbox("reset") == ["reset"]
    [message] = (await office.house.inbox.page(Principal(id="other", tenant="acme"))).items
    assert message.title == "other"


@on_one_engine
async def test_planning_a_bulk_send_keeps_no_other_trigger_waiting(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its first recipients it goes behind whatever else is to be planned."""
    monkeypatch.setattr(planning, "SLICE", 5)
    monkeypatch.setattr("clarion.notifications.soon.PLANNING", 1)
    await office.workflow(LETTER)
    first = await office.trigger(*CROWD)
    monkeypatch.setattr("clarion.notifications.soon.PLANNING", 0)
    second = await office.trigger(person("reset"))
    [job] = await office.queue.claim(1)
    assert job.id == second != first


@on_one_engine
async def test_a_slow_endpoint_of_a_workflow_keeps_no_other_run_waiting_and_is_not_flooded(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many calls at a time as `limits.fetches`; those who find no room come again, without losing an attempt; others go on."""
    office.runs._fetching._limits = msgspec.structs.replace(office.house.limits, fetches=3)
    asked, most = 0, 0
    answer = asyncio.Event()

    async def request(*_: object, **__: object) -> Answer:
        nonlocal asked, most
        asked += 1
        most = max(most, asked)
        await answer.wait()
        asked -= 1
        return Answer(200, (), b'{"n": 1}')

    monkeypatch.setattr(office.outbound, "request", request)
    bell = {"inbox": {"title": "{{ recipient.id }} {{ ask.body.n }}"}}
    await office.workflow({"id": "ask", "http": {"url": "https://example.com/"}}, bell)
    await office.trigger(*CROWD)
    await ask(office, APP, "reset", {"wait": "1s"}, {"inbox": {"title": "now"}})
    for _ in range(8):
        office.clock.advance(4)
        await office.runs.go_on()
        for _ in range(5):
            await asyncio.sleep(0)
    assert most == asked == 3
    assert await office.inbox("reset") == ["now"]
    answer.set()
    while await office.runs.due_ms() is not None:
        await office.runs.fetched()
        office.clock.advance(4)
        await office.runs.go_on()
        await office.runs.fetched()
    for each in CROWD:
        assert await office.inbox(each["id"]) == [f"{each['id']} 1"]
    assert most == 3
