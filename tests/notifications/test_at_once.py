"""Small triggers are accepted and planned in one commit, with the others of their workflow that come meanwhile; each is its own all the same."""

import asyncio
from typing import Any

import msgspec
import pytest

from clarion.auth.principal import Principal
from clarion.errors import (
    ClarionError,
    Conflict,
    IdempotencyConflict,
    Invalid,
    OutcomeUnknown,
    Unavailable,
)
from clarion.notifications.knowing import Knowing
from clarion.notifications.trigger_shapes import CreateTrigger, TriggerAccepted
from clarion.telemetry import spawn
from tests.notifications.office import ANN, BELL, LETTER, Office, office

__all__ = ["office"]

APP = Principal(id="app", kind="key", scopes=frozenset({"*"}))


async def ask(
    office: Office, who: Any, n: Any, key: str | None = None, **more: Any
) -> TriggerAccepted | ClarionError:
    """Trigger it; an error is what it answers."""
    body = {"workflow": "w", "recipients": [who], "payload": {"n": n}, **more}
    try:
        return await office.triggers.accept(APP, msgspec.convert(body, CreateTrigger), key)
    except ClarionError as exc:
        return exc


@pytest.fixture
async def known(office: Office) -> Office:
    """Ann and Ben are known, and the workflow has been triggered before."""
    await office.workflow(BELL)
    await office.trigger(ANN, {"id": "ben"}, payload={"n": 0})
    return office


async def test_what_comes_at_once_is_accepted_and_planned_in_one_commit(known: Office) -> None:
    """When the answer is there so is the message, and there is no job left to do; whoever stands in the way of one is in nobody else's."""
    answers = await asyncio.gather(
        ask(known, "ann", 1, key="a"),
        ask(known, "ben", 2),
        ask(known, "eve", 3),  # whom nobody knows
        ask(known, "ann", 1, key="a"),  # once more
        ask(known, "ann", 4, key="a"),  # another body
        ask(known, "ben", 5, exclude=["ben"]),
        ask(known, {"id": "dan", "name": "Dan"}, 6),
    )
    assert await known.count("job") == 0
    kinds = [type(each) for each in answers]
    T = TriggerAccepted
    assert kinds == [T, T, Invalid, T, IdempotencyConflict, T, T], answers
    assert answers[0] == answers[3]
    found = {
        who: [item.body for item in (await known.house.inbox.page(_of(who))).items]
        for who in ("ann", "ben", "dan")
    }
    assert found == {"ann": ["1", "0"], "ben": ["2", "0"], "dan": ["6"]}
    for each, people in zip(answers, (1, 1, 0, 1, 0, 0, 1), strict=True):
        if isinstance(each, TriggerAccepted):
            trigger = await known.triggers.find("default", each.id)
            assert (trigger.state, trigger.recipients) == ("planned", people)


async def test_a_trigger_gets_the_version_that_is_current(known: Office) -> None:
    """Also where another process has put a new one, or said that it is not active any more; and its payload is what this one asks for."""
    other = Office(known.house)
    schema = {"type": "object", "properties": {"n": {"type": "string"}}}
    assert isinstance(await ask(known, "ann", 1), TriggerAccepted)
    await other.workflow({**BELL, "inbox": {"title": "New {{ payload.n }}"}}, payload=schema)
    assert isinstance(await ask(known, "ann", 2), Invalid)
    assert isinstance(await ask(known, "ann", "two"), TriggerAccepted)
    await known.triggers.settled()
    assert (await known.inbox("ann"))[0] == "New two"
    await other.workflow(BELL)
    assert isinstance(await ask(known, "ann", 3), TriggerAccepted)
    await other.catalog.set_active("default", "w", False)
    assert isinstance(await ask(known, "ann", 4), Conflict)


async def test_nobody_waits_for_the_answer_until_workers_have_rendered(
    known: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text that is more than words and names is a worker's, who may take their time: it is accepted first."""
    await known.workflow(
        {**BELL, "inbox": {"title": "{% if payload.n %}{{ payload.n }}{% endif %}"}}
    )
    renders, may_go = known.engine.renders, asyncio.Event()
    render = renders.render

    async def slow(asked: Any) -> Any:
        await may_go.wait()
        return await render(asked)

    monkeypatch.setattr(renders, "render", slow)
    for n in (1, 2):
        assert isinstance(await ask(known, "ann", n), TriggerAccepted)
    assert len(await known.inbox("ann")) == 1
    may_go.set()
    await known.triggers.settled()
    assert (await known.inbox("ann"))[:2] == ["2", "1"]


async def test_what_is_sent_and_what_waits_is_written_with_the_trigger(known: Office) -> None:
    """A letter, and a run that has steps left."""
    await known.workflow(LETTER, {"wait": "5m"}, BELL)
    for n in (1, 2):
        assert isinstance(await ask(known, ANN, n), TriggerAccepted)
    await known.triggers.settled()
    assert (await known.count("outgoing"), await known.count("run")) == (2, 2)
    await known.run(300)
    assert sorted(each.content["text"] for each in known.letters.sent) == [
        "Dear ann, 1",
        "Dear ann, 2",
    ]
    assert len(await known.inbox("ann")) == 3


async def test_what_fails_after_the_commit_does_not_fail_the_trigger(
    known: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written: a caller who heard of an error would send it once more."""

    async def lost(*_: Any) -> Any:
        raise Unavailable("the database is gone")

    monkeypatch.setattr(Knowing, "have_happened", lost)
    assert isinstance(await ask(known, "ann", 1), TriggerAccepted)
    assert len(await known.inbox("ann")) == 2


async def test_who_is_still_in_line_is_not_told_that_it_may_be_written(
    known: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write whose end was not seen is that of its own callers; those behind them go on by themselves."""
    first, may_fail = asyncio.Event(), asyncio.Event()
    carry = known.runs.carry

    async def lost(*goings: Any, **more: Any) -> None:
        if may_fail.is_set():
            return await carry(*goings, **more)
        first.set()
        await may_fail.wait()
        raise OutcomeUnknown

    monkeypatch.setattr(known.runs, "carry", lost)
    one = spawn(ask(known, "ann", 1), name="test")
    await first.wait()
    two = spawn(ask(known, "ann", 2), name="test")
    for _ in range(100):
        await asyncio.sleep(0.001)
    may_fail.set()
    assert isinstance(await one, OutcomeUnknown)
    assert isinstance(await two, TriggerAccepted)
    await known.triggers.settled()
    assert len(await known.inbox("ann")) == 2


def _of(name: str) -> Principal:
    return Principal(id=name, tenant="default")
