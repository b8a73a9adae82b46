"""Messages are handed to providers until they say yes, or that is hopeless."""

from typing import Any

import pytest
from msgspec import Struct

from clarion.errors import (
    OutcomeUnknown,
    Unavailable,
)
from clarion.notifications import lanes
from clarion.notifications.channels import NotSent, Outgoing, Sent
from clarion.storage import outgoing as sent_sql
from clarion.storage.store import Sql
from tests.notifications.office import ANN, LETTER, Office, office

__all__ = ["office"]


class Whose(Struct, frozen=True):
    """A trigger's id."""

    id: str


STATUS = Sql("SELECT status FROM outgoing", Whose)


async def test_a_provider_that_fails_is_tried_again(office: Office) -> None:
    """With backoff, or when it says; the message's id is the same each time."""
    await office.workflow(LETTER)
    office.letters.fails = [
        NotSent("full", provider="post office", retry_after_s=90),
        RuntimeError("fell"),
    ]
    await office.trigger(ANN, payload={"n": 1})
    await office.run()
    await office.run(89)
    assert len(office.letters.fails) == 1
    await office.run(1)
    assert office.letters.fails == []
    await office.run(10)
    [letter] = office.letters.sent
    assert letter.attempt == 3


async def test_what_cannot_be_sent_is_a_dead_letter_and_later_steps_know(office: Office) -> None:
    """A final failure, or the last attempt; a wait for the message ends then."""
    await office.workflow(
        LETTER,
        {"wait": {"message": "mail", "is": "settled", "timeout": "1d"}},
        {"inbox": {"title": "we tried"}, "if": "mail.failed"},
    )
    office.letters.fails = [NotSent("no such house", provider="post office", is_final=True)]
    await office.trigger(ANN, payload={"n": 1})
    await office.run()
    await office.run()
    assert await office.inbox("ann") == ["we tried"]
    office.letters.fails = [RuntimeError("fell")] * 3
    await office.trigger({"id": "ben", "email": "b@example.com"}, payload={"n": 1})
    for _ in range(4):
        await office.run(20)
    assert await office.inbox("ben") == ["we tried"]
    assert office.letters.sent == []


async def test_what_a_provider_said_is_written_as_soon_as_it_can_be(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store is away nothing is forgotten: the message is not sent again for that."""
    monkeypatch.setattr(lanes, "SETTLE_S", 0.01)
    await office.workflow(LETTER)
    await office.trigger(ANN, payload={"n": 1})
    apply, failures = office.house.store.apply, [Unavailable("away"), OutcomeUnknown("gone")]

    async def failing(procedure: Any, rows: Any) -> Any:
        if procedure is sent_sql.HANDED and failures:
            raise failures.pop()
        return await apply(procedure, rows)

    office.house.store.apply = failing  # type: ignore[method-assign]
    await office.run()
    await office.run(121)
    assert (len(office.letters.sent), failures) == (1, [])
    [status] = await office.house.store.fetch(STATUS)
    assert status.id == "sent"


async def test_a_lease_that_is_too_old_is_not_used(office: Office) -> None:
    """A process that stood still after it had taken a message sends nothing: somebody else may be at it."""
    await office.workflow(LETTER)
    await office.trigger(ANN, payload={"n": 1})
    send = office.letters.send

    async def nobody(message: Outgoing) -> Sent:
        raise AssertionError("it was sent")

    office.letters.send = nobody  # type: ignore[method-assign]
    assert await office.sender.look() == 0.0
    office.clock.advance(118)  # its task has not begun yet
    await office.sender.close()
    office.letters.send = send  # type: ignore[method-assign]
    await office.run(2)
    [letter] = office.letters.sent
    assert letter.attempt == 2
