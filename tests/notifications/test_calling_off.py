"""What is called off does not happen, wherever it is by then."""

import asyncio
from typing import Any

import pytest
from msgspec import Struct

from clarion.errors import NotFound
from clarion.notifications.channels import NotSent, Outgoing, Sent
from clarion.storage.store import Sql
from tests.notifications.office import ANN, BELL, ESCALATE, LETTER, Office, office

__all__ = ["office"]


class Whose(Struct, frozen=True):
    """A trigger's id."""

    id: str


STATUS = Sql("SELECT status FROM outgoing", Whose)
PLANNING = Sql("SELECT id FROM trigger_call WHERE state = 'planning'", Whose)


async def test_what_is_cancelled_does_not_happen(office: Office) -> None:
    """When the answer is there, nothing more begins; by the trigger's id, or a key that several share."""
    await office.workflow(*ESCALATE)
    first = await office.trigger(ANN, {"id": "ben"}, payload={"n": 1})
    assert (await office.triggers.cancel("default", first)).runs == 2
    await office.trigger(ANN, payload={"n": 2}, cancel_key="order-7")
    await office.trigger(ANN, payload={"n": 3}, cancel_key="order-7")
    await office.trigger(ANN, payload={"n": 4}, cancel_key="order-8")
    done = await office.triggers.cancel_by_key("default", "order-7")
    assert (done.triggers, done.runs) == (2, 2)
    await office.run(300)
    assert [each.content["text"] for each in office.letters.sent] == ["Dear ann, 4"]
    with pytest.raises(NotFound):
        await office.triggers.cancel("default", "nothing")


async def test_a_message_that_nobody_has_sent_yet_can_be_cancelled(office: Office) -> None:
    """What waits for its turn is not handed over."""
    await office.workflow(LETTER)
    trigger = await office.trigger(ANN, payload={"n": 1})
    assert (await office.triggers.cancel("default", trigger)).messages == 1
    await office.run(60)
    assert office.letters.sent == []


@pytest.mark.parametrize("answer", ["yes", "no", "nothing"])
async def test_a_message_in_a_providers_hands_is_not_tried_again_once_it_is_cancelled(
    office: Office, answer: str
) -> None:
    """A yes is a yes; after a no, or the end of the lease of who died with it, nobody is asked again."""
    await office.workflow(LETTER)
    trigger = await office.trigger(ANN, payload={"n": 1})
    send = office.letters.send
    asked: list[int] = []

    async def cancelled_meanwhile(message: Outgoing) -> Sent:
        asked.append(message.attempt)
        assert (await office.triggers.cancel("default", trigger)).messages == 0
        if answer == "nothing":
            raise asyncio.CancelledError
        if answer == "no":
            raise NotSent("come back", provider="post office", retry_after_s=1)
        return await send(message)

    office.letters.send = cancelled_meanwhile  # type: ignore[method-assign]
    await office.run()
    await office.run(121)
    [status] = await office.house.store.fetch(STATUS)
    assert status.id == ("sent" if answer == "yes" else "cancelled")
    assert asked == [1]


async def test_what_is_cancelled_while_a_process_has_it_in_hand_is_not_written(
    office: Office,
) -> None:
    """The cancellation was answered first: it holds."""
    await office.workflow({"wait": "5m"}, BELL)
    trigger = await office.trigger(ANN, payload={"n": 1})
    office.clock.advance(300)
    [in_hand] = await office.runs.load(await office.runs._claim(10))
    assert (await office.triggers.cancel("default", trigger)).runs == 1
    await office.runs.carry([in_hand])
    assert await office.inbox("ann") == []
    await office.runs.carry([in_hand])
    assert await office.inbox("ann") == []


async def test_what_is_cancelled_while_it_is_planned_is_not_written(office: Office) -> None:
    """Nobody of whom it was not yet planned gets anything."""
    await office.workflow(BELL)
    carry = office.runs.carry

    async def cancelled_first(*args: Any) -> None:
        [row] = await office.house.store.fetch(PLANNING)
        await office.triggers.cancel("default", row.id)
        await carry(*args)

    office.runs.carry = cancelled_first  # type: ignore[method-assign]
    trigger = await office.trigger(ANN, payload={"n": 1})
    assert await office.inbox("ann") == []
    assert (await office.triggers.find("default", trigger)).state == "cancelled"
    assert await office.queue.next_due_ms() is None
