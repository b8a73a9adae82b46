"""What operators see of a message of an inbox: its step, that it was put off and came back, which button was pressed."""

from datetime import timedelta

from clarion.clock import as_datetime
from clarion.notifications.sight.finding import Wanted
from clarion.notifications.sight.stats import Asked
from tests.notifications.conftest import user
from tests.notifications.office import Office, office

__all__ = ["office"]

USER = user("ann")
ASK = {
    "id": "ask",
    "inbox": {
        "title": "Lunch, {{ recipient.id }}?",
        "actions": [{"id": "yes", "label": "Yes"}, {"id": "no", "label": "No"}],
    },
}


async def _timeline(office: Office, id: str) -> list[str]:
    story = await office.engine.finder.message("default", id, "ann")
    assert [each.at for each in story.timeline] == sorted(each.at for each in story.timeline)
    return [f"{each.status} {each.cause}".strip() for each in story.timeline]


async def _found(office: Office, **wanted: str) -> list[str]:
    items = (await office.engine.finder.messages("default", Wanted(**wanted))).items
    return [f"{each.user} {each.status} {each.step}" for each in items]


async def test_a_message_that_was_put_off_and_answered_says_so(office: Office) -> None:
    """In its timeline, in searches by status and by button, and in the numbers."""
    await office.workflow(ASK)
    await office.trigger({"id": "ann"}, {"id": "ben"}, payload={})
    house = office.house
    [message] = (await house.inbox.page(USER)).items
    made = ["queued step ask", "sent", "delivered in the inbox"]
    assert await _timeline(office, message.id) == made
    office.clock.advance(5)
    await house.inbox.mark(USER, message.id, "read")
    office.clock.advance(5)
    until_ms = office.clock.now_ms() + 3_600_000
    await house.inbox.snooze(USER, message.id, until_ms)
    said = f"snoozed until {as_datetime(until_ms).isoformat()}"
    assert await _timeline(office, message.id) == [*made, "seen", "read", said]
    assert await _found(office, status="snoozed") == ["ann snoozed ask"]
    [found] = (await office.engine.finder.messages("default", Wanted(status="snoozed"))).items
    assert found.snoozed_until == as_datetime(until_ms)
    office.clock.advance(3_600)
    await house.inbox.look()
    assert await _timeline(office, message.id) == [*made, "snoozed", "returned"]
    assert await _found(office, status="snoozed") == []
    office.clock.advance(5)
    await house.inbox.press(USER, message.id, "yes")
    back = [*made, "snoozed", "returned", "seen", "read"]
    assert await _timeline(office, message.id) == [*back, "clicked button yes"]
    assert await _found(office, button="yes") == ["ann clicked ask"]
    assert await _found(office, button="no") == []
    assert sorted(await _found(office)) == ["ann clicked ask", "ben delivered ask"]
    since = as_datetime(office.clock.now_ms()) - timedelta(days=1)
    [numbers] = (await office.engine.counts.find("default", Asked(since=since))).items
    assert numbers.counts == {
        "sent": 2, "delivered": 2, "seen": 1, "read": 1, "clicked": 1, "snoozed": 1
    }  # fmt: skip


async def test_a_link_that_was_followed_before_a_button_was_pressed(office: Office) -> None:
    """Both are told; one that was brought back early returned then."""
    await office.workflow(ASK)
    await office.trigger({"id": "ann"}, payload={})
    [message] = (await office.house.inbox.page(USER)).items
    await office.house.inbox.mark(USER, message.id, "clicked")
    office.clock.advance(5)
    await office.house.inbox.press(USER, message.id, "no")
    office.clock.advance(5)
    await office.house.inbox.snooze(USER, message.id, office.clock.now_ms() + 60_000)
    office.clock.advance(5)
    await office.house.inbox.mark(USER, message.id, "unsnooze")
    assert (await _timeline(office, message.id))[3:] == [
        "seen",
        "read",
        "clicked",
        "clicked button no",
        "snoozed",
        "returned",
    ]


async def test_what_many_are_told_alike_says_its_step(office: Office) -> None:
    """Two steps with the same words are two messages, each of its own step."""
    await office.workflow(
        {"id": "one", "inbox": {"title": "Hello"}}, {"id": "two", "inbox": {"title": "Hello"}}
    )
    await office.trigger({"id": "ann"}, {"id": "ben"}, payload={})
    assert sorted(await _found(office)) == [
        "ann delivered one",
        "ann delivered two",
        "ben delivered one",
        "ben delivered two",
    ]
