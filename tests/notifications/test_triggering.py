"""What can be triggered, once, and what is refused."""

import pytest

from clarion.errors import (
    Conflict,
    IdempotencyConflict,
    Invalid,
)
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
    monkeypatch.setattr("clarion.notifications.triggering.PLANNING", 0)
    await office.workflow(BELL)
    await office.trigger(ANN, payload={"n": 1})
    assert await office.inbox("ann") == []
    [job] = await office.queue.claim(1)
    await office.engine.planner.plan(job)
    assert await office.inbox("ann") == ["Hello Ann"]
