"""What can be triggered, once, and what is refused."""

from collections.abc import Sequence

import pytest

from clarion.errors import (
    Conflict,
    IdempotencyConflict,
    Invalid,
)
from clarion.notifications.trigger_shapes import CreateTrigger
from clarion.storage.triggers import ACCEPT_TRIGGER, NewTrigger
from tests.notifications.office import ANN, BELL, Office, office

__all__ = ["office"]


async def test_a_repeated_trigger_has_one_effect(office: Office) -> None:
    """The same key and body get the same answer; another body is refused."""
    await office.workflow(BELL)
    first = await office.trigger(ANN, payload={"n": 1}, key="k")
    assert await office.trigger(ANN, payload={"n": 1}, key="k") == first
    assert await office.inbox("ann") == ["Hello Ann"]
    with pytest.raises(IdempotencyConflict):
        await office.trigger(ANN, payload={"n": 2}, key="k")


async def test_a_payload_is_what_the_workflow_asks_for(office: Office) -> None:
    """Each fault points at the member, and nothing is triggered."""
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    await office.workflow(BELL, payload=schema)
    for payload, pointer in (({}, "/payload"), ({"n": "x"}, "/payload/n")):
        with pytest.raises(Invalid) as caught:
            await office.trigger(ANN, payload=payload)
        assert caught.value.faults[0].pointer == pointer
    assert await office.inbox("ann") == []
    with pytest.raises(Invalid) as caught:
        await office.workflow(BELL, payload={"type": "nonsense"})
    assert caught.value.faults[0].pointer == "/payload"


async def test_what_cannot_be_triggered_says_so(office: Office) -> None:
    """No such workflow, one that is not active, a recipient that nobody knows; the actor is not told."""
    with pytest.raises(Invalid):
        await office.trigger(ANN)
    await office.workflow(BELL)
    with pytest.raises(Invalid):
        await office.trigger("zoe")
    trigger = await office.trigger(ANN, {"id": "ben"}, actor="ann", payload={"n": 1})
    assert (await office.triggers.find("default", trigger)).recipients == 1
    assert await office.inbox("ann") == []
    await office.catalog.set_active("default", "w", False)
    with pytest.raises(Conflict):
        await office.trigger(ANN, payload={"n": 1})


async def test_what_is_too_much_is_refused_by_its_place(office: Office) -> None:
    """Payloads, attributes, keys: as for every notification."""
    await office.workflow(BELL)
    for wrong, pointer in (
        ({"payload": {"n": 2**53}}, "/payload"),
        ({"payload": {"n": "x" * 65_536}}, "/payload"),
        ({"key": "a b"}, "Idempotency-Key"),
    ):
        with pytest.raises(Invalid) as caught:
            await office.trigger(ANN, **wrong)
        assert caught.value.faults[0].pointer == pointer
    with pytest.raises(Invalid) as caught:
        await office.trigger({"id": "ann", "attributes": {"x": "y" * 5000}})
    assert caught.value.faults[0].pointer == "/recipients/0/attributes"


async def test_more_triggers_than_can_be_planned_at_once_are_planned_by_the_worker(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are accepted all the same, and due at once."""
    monkeypatch.setattr("clarion.notifications.soon.PLANNING", 0)
    await office.workflow(BELL)
    await office.trigger(ANN, payload={"n": 1})
    assert await office.inbox("ann") == []
    [job] = await office.queue.claim(1)
    await office.engine.planner.plan(job)
    assert await office.inbox("ann") == ["Hello Ann"]


async def test_what_is_called_off_of_many_triggers_keeps_nothing_of_the_others(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small ones of a workflow are planned together; if one of them may not be, each of the others is planned once all the same."""
    together, planned = office.engine.planner.together, []

    async def noted(rows: Sequence[NewTrigger]) -> bool:
        planned.append((len(rows), done := await together(rows)))
        return done

    monkeypatch.setattr(office.engine.planner, "together", noted)
    await office.workflow(BELL)
    await office.trigger(ANN, {"id": "ben"}, payload={"n": 0})
    bodies = [
        CreateTrigger("w", recipients=[who], payload={"n": n}, exclude=exclude)
        for n, (who, exclude) in enumerate([("ann", []), ("ben", []), ("ann", ["ann"]), ("ann", [])])
    ]  # fmt: skip
    for called_off in (None, 1):
        rows = [await office.triggers.prepare("default", "key:app", each) for each in bodies]
        outcomes = [(await office.house.store.apply(ACCEPT_TRIGGER, [row]))[0] for row in rows]
        if called_off is not None:
            await office.triggers.cancel("default", rows[called_off].id)
        for row, outcome in zip(rows, outcomes, strict=True):
            office.triggers.begin(row, outcome)
        await office.triggers.settled()
        found = [await office.triggers.find("default", row.id) for row in rows]
        states = ["cancelled" if n == called_off else "planned" for n in range(4)]
        assert [(each.state, each.recipients) for each in found] == [
            (state, 0 if n == 2 or n == called_off else 1) for n, state in enumerate(states)
        ]
    assert planned == [(1, True), (4, True), (4, False)]
    assert len(await office.inbox("ann")) == 1 + 2 + 2
    assert len(await office.inbox("ben")) == 1 + 1 + 0
    assert await office.count("job") == 0
