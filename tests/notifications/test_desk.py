"""The desk: what holds for a person and who says so, and why a message would be sent or not."""

import msgspec
import pytest

from clarion.errors import Invalid
from clarion.notifications.preferences.document import Defaults
from clarion.notifications.workflows.times import moment
from tests.notifications.conftest import on_one_engine
from tests.notifications.test_workflows import Office, office

__all__ = ["office"]


async def prepared(office: Office) -> None:
    await office.workflow(
        {"inbox": {"title": "bell"}},
        {"letter": {"text": "hello"}},
        category="social",
        preferences={"letter": "payload.urgent"},
    )
    await office.trigger({"id": "ann", "email": "ann@x"}, payload={"urgent": True})


@on_one_engine
async def test_the_overview_says_what_holds_and_who_says_so(office: Office) -> None:
    """Each workflow and category on each channel, and what of the document has no effect."""
    await prepared(office)
    desk = office.engine.desk
    defaults = msgspec.convert({"required": ["security"]}, Defaults)
    await office.house.book.put_defaults("default", defaults)
    patch = {
        "categories": {"social": {"inbox": False}, "security": False},
        "workflows": {"gone": False},
        "time_zone": "Asia/Tokyo",
    }
    found = await desk.patch("default", "ann", patch)
    assert (found.revision, found.time_zone) == (1, "Asia/Tokyo")
    cells = {(row.key, cell.channel): cell for row in found.items for cell in row.channels}
    assert cells["w", "inbox"].wanted is False
    assert cells["w", "inbox"].source == "user:/categories/social/inbox"
    letter = cells["w", "letter"]
    assert (letter.condition, letter.source) == ("payload.urgent", "workflow:/preferences/letter")
    assert cells["security", "inbox"].source == "required"
    assert sorted(each.at for each in found.without_effect) == [
        "/categories/security",
        "/workflows/gone",
    ]
    taken_back = await desk.patch(
        "default", "ann", {"categories": None, "workflows": None, "time_zone": None}
    )
    assert msgspec.to_builtins(taken_back.document) == {}
    with pytest.raises(Invalid):
        await desk.patch("default", "ann", {"channels": {"email": 7}})
    assert (await desk.overview("default", "ann")).revision == 2


@on_one_engine
async def test_explaining_goes_through_the_rules_of_sending(office: Office) -> None:
    """The answer is what a message of now would meet; nothing is counted or written by asking."""
    await prepared(office)
    desk, book = office.engine.desk, office.house.book
    urgent = {"urgent": True}
    found = await desk.explain("default", "ann", "letter", workflow="w")
    assert (found.verdict, found.why) == (
        "skip",
        "workflow:/preferences/letter: not payload.urgent",
    )
    assert [rule.rule for rule in found.rules if rule.decides] == ["choice"]
    assert (
        await desk.explain("default", "ann", "letter", workflow="w", payload=urgent)
    ).verdict == "send"
    caps = [{"channel": "letter", "limit": 1, "per": "1h"}]
    quiet = [{"from": "22:00", "to": "07:00"}]
    await book.put_defaults("default", msgspec.convert({"caps": caps}, Defaults))
    for _ in range(2):
        asked = await desk.explain("default", "ann", "letter", workflow="w", payload=urgent)
        assert asked.verdict == "send"
    await office.trigger("ann", payload=urgent)
    await office.run()
    over = await desk.explain("default", "ann", "letter", workflow="w", payload=urgent)
    assert (over.verdict, over.why) == ("skip", "over the cap of 1 on letter within 1h")
    await book.put_defaults("default", msgspec.convert({"quiet": quiet}, Defaults))
    office.clock.advance(((moment("2027-01-10T23:00:00Z") or 0) - office.clock.now_ms()) / 1000)
    held = await desk.explain("default", "ann", "letter", workflow="w", payload=urgent)
    assert held.verdict == "defer"
    assert held.until is not None
    assert held.until.isoformat() == "2027-01-11T07:00:00+00:00"
    assert (await desk.explain("default", "nobody", "inbox", workflow="w")).why == (
        "there is no such subscriber"
    )
    for wrong in ({"channel": "fax"}, {"channel": "inbox", "workflow": "gone"}):
        with pytest.raises(Invalid):
            await desk.explain("default", "ann", **wrong)
