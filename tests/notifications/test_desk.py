"""The desk: what holds for a person and who says so, and why a message would be sent or not."""

import msgspec
import pytest
from msgspec import Struct

from clarion.clock import as_datetime
from clarion.errors import Invalid, TooMany
from clarion.notifications.channels import NotSent
from clarion.notifications.preferences.document import MUTED, Defaults, Document, Muted
from clarion.notifications.preferences.links import Page, Unsubscribe
from clarion.notifications.workflows.times import moment
from clarion.storage.store import Sql
from tests.notifications.conftest import on_one_engine, user
from tests.notifications.office import ANN, Office, office

__all__ = ["office"]


class Fate(Struct, frozen=True):
    """What became of a message."""

    status: str
    cause: str


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
    await desk.patch("default", "ann", patch)
    found = await desk.overview("default", "ann")
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
    explainer, book = office.engine.explainer, office.house.book
    urgent = {"urgent": True}
    found = await explainer.explain("default", "ann", "letter", workflow="w")
    assert (found.verdict, found.why) == (
        "skip",
        "workflow:/preferences/letter: not payload.urgent",
    )
    assert [rule.rule for rule in found.rules if rule.decides] == ["choice"]
    assert (
        await explainer.explain("default", "ann", "letter", workflow="w", payload=urgent)
    ).verdict == "send"
    caps = [{"channel": "letter", "limit": 1, "per": "1h"}]
    quiet = [{"from": "22:00", "to": "07:00"}]
    await book.put_defaults("default", msgspec.convert({"caps": caps}, Defaults))
    for _ in range(2):
        asked = await explainer.explain("default", "ann", "letter", workflow="w", payload=urgent)
        assert asked.verdict == "send"
    await office.trigger("ann", payload=urgent)
    await office.run()
    over = await explainer.explain("default", "ann", "letter", workflow="w", payload=urgent)
    assert (over.verdict, over.why) == ("skip", "over the cap of 1 on letter within 1h")
    await book.put_defaults("default", msgspec.convert({"quiet": quiet}, Defaults))
    office.clock.advance(((moment("2027-01-10T23:00:00Z") or 0) - office.clock.now_ms()) / 1000)
    held = await explainer.explain("default", "ann", "letter", workflow="w", payload=urgent)
    assert held.verdict == "defer"
    assert held.until is not None
    assert held.until.isoformat() == "2027-01-11T07:00:00+00:00"
    assert (await explainer.explain("default", "nobody", "inbox", workflow="w")).why == (
        "there is no such subscriber"
    )
    for wrong in ({"channel": "fax"}, {"channel": "inbox", "workflow": "gone"}):
        with pytest.raises(Invalid):
            await explainer.explain("default", "ann", **wrong)


@on_one_engine
async def test_muting_a_thread(office: Office) -> None:
    """Once is enough, until a later time if that is said; what has run out makes room, and what is the same makes no revision."""
    desk = office.engine.desk
    soon = as_datetime(office.clock.now_ms() + 60_000)
    thread = Muted("payload.thread", 1)
    await desk.mute("default", "ann", Muted("payload.thread", True, until=soon))
    await desk.mute("default", "ann", thread)
    found = await desk.mute("default", "ann", thread)
    assert (found.revision, [each.value for each in found.document.muted]) == (2, [True, 1])
    office.clock.advance(61)
    kept = await desk.unmute("default", "ann", "payload.thread", "1")
    assert kept.document.muted == [thread]
    assert (await desk.unmute("default", "ann", "payload.thread", 1)).document.muted == []
    full = Document(muted=[Muted("payload.thread", n) for n in range(MUTED)])
    await desk.put("default", "ann", full)
    with pytest.raises(TooMany):
        await desk.mute("default", "ann", Muted("payload.thread", "one more"))


@on_one_engine
async def test_what_is_turned_off_while_it_waits_is_not_sent(office: Office) -> None:
    """A message whose provider was down is asked about once more, with its payload; others still come, and a critical one does."""
    await office.workflow({"id": "mail", "letter": {"text": "{{ payload.thread }}"}})
    told = {}
    for thread in ("t-1", "t-2"):
        office.letters.fails.append(NotSent("closed", provider="post office"))
        told[thread] = await office.trigger(ANN, payload={"thread": thread})
    await office.run()
    assert office.letters.sent == []
    await office.engine.desk.mute("default", "ann", Muted("payload.thread", "t-1"))
    await office.run(60)
    assert [each.content["text"] for each in office.letters.sent] == ["t-2"]
    [message] = await office.house.store.fetch(
        Sql("SELECT status, cause FROM outgoing WHERE trigger_id = :id", Fate), id=told["t-1"]
    )
    assert message == Fate("suppressed", "turned off meanwhile: muted: payload.thread")


@on_one_engine
async def test_a_retry_does_not_wake_anybody(office: Office) -> None:
    """What was made before the quiet hours and could not be sent then waits for their end; that is no attempt, and no failure."""
    await office.workflow({"id": "mail", "letter": {"text": "x"}})
    office.clock.advance(((moment("2027-01-10T21:49:00Z") or 0) - office.clock.now_ms()) / 1000)
    await office.engine.desk.patch("default", "ann", {"quiet": [{"from": "22:00", "to": "07:00"}]})
    office.clock.advance(600)
    office.letters.fails.append(NotSent("closed", provider="post office", retry_after_s=120.0))
    await office.trigger(ANN)
    await office.run()
    await office.run(121)
    await office.run(8 * 3600)
    assert (office.letters.fails, office.letters.sent) == ([], [])
    await office.run(3600)
    assert [each.attempt for each in office.letters.sent] == [2]


@on_one_engine
async def test_what_is_critical_is_sent_although_it_waited(office: Office) -> None:
    """Whatever was turned off meanwhile."""
    await office.workflow({"id": "mail", "letter": {"text": "x"}}, critical=True)
    office.letters.fails.append(NotSent("closed", provider="post office"))
    await office.trigger(ANN)
    await office.run()
    await office.engine.desk.patch("default", "ann", {"channels": {"letter": False}})
    await office.run(60)
    assert len(office.letters.sent) == 1


@on_one_engine
async def test_messages_show_the_ways_out(office: Office) -> None:
    """Everybody their own, by the message's channel; what cannot be turned off shows none. A condition does not know them."""
    links = office.engine.links
    text = "{{ links.unsubscribe }} {{ links.preferences }}"
    await office.workflow({"inbox": {"title": "x", "body": text}}, {"letter": {"text": text}})
    await office.trigger(ANN, {"id": "ben", "email": "ben@example.com"})
    await office.run()
    bodies = [(await office.house.inbox.page(user(name))).items[0].body for name in ("ann", "ben")]
    told = {each.user: each.content["text"] for each in office.letters.sent}
    for name, channel, said in (
        ("ann", "inbox", bodies[0]),
        ("ben", "inbox", bodies[1]),
        ("ann", "letter", told["ann"]),
    ):
        out, page = (each.rsplit("/", 1)[1] for each in str(said).split())
        assert links.read(out, Unsubscribe) == Unsubscribe("default", name, channel, "", "w")
        assert links.read(page, Page).usr == name
    await office.workflow({"letter": {"text": f"[{text}]"}}, critical=True)
    await office.trigger(ANN)
    await office.run()
    assert office.letters.sent[-1].content["text"].startswith("[ /preferences/")
    with pytest.raises(Invalid):
        await office.workflow({"inbox": {"title": "x"}, "if": "links.unsubscribe"})
