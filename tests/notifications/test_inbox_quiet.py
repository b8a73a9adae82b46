"""Messages that take an earlier one's place without asking for attention anew."""

from clarion.notifications.changes import Action
from tests.notifications.conftest import House, user
from tests.notifications.office import Office, office

__all__ = ["office"]

ANN = user("ann")


async def test_what_takes_a_place_quietly_is_as_that_was(house: House) -> None:
    """Read, seen, pinned, archived or snoozed; the numbers are right in every entry, and a first message is like any other."""
    done: dict[str, Action] = {"r": "read", "s": "seen", "p": "pin", "a": "archive"}
    for key in (*done, "z", "n"):
        await house.send("ann", title=key, key_=key, quiet=True)
    page = await house.inbox.page(ANN)
    assert (page.unread, page.unseen) == (6, 6)
    items = {item.title: item for item in page.items}
    for key, action in done.items():
        await house.inbox.mark(ANN, items[key].id, action)
    await house.inbox.snooze(ANN, items["z"].id, house.clock.now_ms() + 60_000)
    former = await house.inbox.page(ANN)
    reader = await house.subscribe("ann")
    house.clock.advance(5)
    for key in (*done, "z", "n"):
        await house.send("ann", title=f"{key}2", key_=key, quiet=True)
    page = await house.inbox.page(ANN)
    assert [item.title for item in page.items] == ["n2", "p2", "s2", "r2"]
    assert (page.unread, page.unseen) == (former.unread, former.unseen) == (3, 2)
    new = {item.title: item for item in page.items}
    was = {item.title: item for item in former.items}
    for key in ("n", "p", "s", "r"):
        one, other = new[f"{key}2"], was[key]
        assert (one.read_at, one.seen_at, one.pinned_at) == (
            other.read_at,
            other.seen_at,
            other.pinned_at,
        )
    for filter, title in (("archived", "a2"), ("snoozed", "z2")):
        [item] = (await house.inbox.page(ANN, filter=filter)).items  # type: ignore[arg-type]
        assert item.title == title
    await house.settle()
    told = [(p.event, p.data["unread"]) for p in reader.publications]
    assert told[:3] == [("added", 4), ("changed", 3), ("removed", 3)]
    assert told[-2:] == [("added", 4), ("removed", 3)], "what nobody touched changes nothing"
    house.clock.advance(60)
    await house.inbox.look()
    assert (await house.inbox.page(ANN)).items[0].title == "z2"


async def test_a_pressed_button_is_not_taken_over(house: House) -> None:
    buttons = [{"id": "yes", "label": "Yes"}]
    await house.send("ann", key_="k", actions=buttons)
    [item] = (await house.inbox.page(ANN)).items
    await house.inbox.press(ANN, item.id, "yes")
    await house.send("ann", key_="k", actions=buttons, quiet=True)
    [item] = (await house.inbox.page(ANN)).items
    assert item.read_at is not None
    assert not item.done
    assert not item.clicked_at
    assert (await house.inbox.press(ANN, item.id, "yes")).done


async def test_a_step_of_a_workflow_may_be_quiet(office: Office) -> None:
    await office.workflow({"inbox": {"title": "{{ payload.n }} %", "key": "k", "quiet": True}})
    await office.trigger({"id": "ann"}, payload={"n": 40})
    await office.house.inbox.mark_all(ANN, "read")
    office.clock.advance(5)
    await office.trigger({"id": "ann"}, payload={"n": 70})
    page = await office.house.inbox.page(ANN)
    assert ([item.title for item in page.items], page.unread) == (["70 %"], 0)
    story = await office.engine.finder.message("default", page.items[0].id, "ann")
    told = [each.status for each in story.timeline]
    assert told == ["queued", "sent", "delivered", "seen", "read"], "read before it was made"
