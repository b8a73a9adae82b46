"""Preferences where messages are sent: what people want is asked before anything leaves, and again after it has waited."""

import asyncio
from typing import Any

import msgspec
import pytest

from clarion.errors import Stale
from clarion.notifications.preferences.book import Book
from clarion.notifications.preferences.document import Defaults, Document, Muted
from clarion.notifications.workflows.definition import Definition
from clarion.notifications.workflows.times import moment
from tests.notifications.conftest import APP, House, on_one_engine, user
from tests.notifications.office import Office, office

__all__ = ["office"]

ANN = {"id": "ann", "email": "ann@x"}


async def wants(office: Office, who: str = "ann", **document: Any) -> int:
    """Say what a person wants; returns the revision."""
    given = msgspec.convert(document, Document)
    return (await office.house.book.change("default", who, lambda _: given)).revision


async def all_want(office: Office, **document: Any) -> None:
    await office.house.book.put_defaults("default", msgspec.convert(document, Defaults))


def at(office: Office, text: str) -> float:
    """Seconds until then."""
    return ((moment(text) or 0) - office.clock.now_ms()) / 1000


async def letters(office: Office) -> list[str]:
    return [message.content["text"] for message in office.letters.sent]


BOTH = ({"inbox": {"title": "bell"}}, {"letter": {"text": "letter {{ payload.n }}"}})


async def test_what_is_not_wanted_is_skipped_and_says_why(office: Office) -> None:
    """The record names the word that decided, and the revision that was read."""
    await office.workflow(*BOTH, category="social")
    assert await wants(office, categories={"social": {"letter": False}}) == 1
    id = await office.trigger(ANN, payload={"n": 1})
    await office.run()
    assert (await office.inbox("ann"), await letters(office)) == (["bell"], [])
    assert await office.story(id) == [
        "inbox_1 sent",
        "letter_2 skipped: user:/categories/social/letter",
    ]
    [listed], _ = await office.history.runs("default", id, "", 10)
    steps = (await office.history.run("default", listed.id)).steps or []
    assert steps[-1].read == {"preferences": 1, "defaults": 0}


async def test_a_workflow_says_where_it_is_wanted_unless_told_otherwise(office: Office) -> None:
    """`preferences: {letter: off}` in its definition; the deployment's word for it, and a person's, come before."""
    await office.workflow(*BOTH, preferences={"letter": False})
    await office.trigger(ANN, payload={"n": 1})
    await all_want(office, workflows={"w": {"letter": True}})
    await office.trigger(ANN, payload={"n": 2})
    await office.run()
    await wants(office, channels={"letter": False})
    await office.trigger(ANN, payload={"n": 3})
    await office.run()
    assert await letters(office) == ["letter 2"]


async def test_a_critical_workflow_cannot_be_turned_off(office: Office) -> None:
    """Nor paused, nor held by quiet hours."""
    await office.workflow(*BOTH, critical=True)
    await wants(
        office,
        channels={"letter": False, "inbox": False},
        paused_until="2030-01-01T00:00:00Z",
        quiet=[{"from": "00:00", "to": "23:59"}],
    )
    await office.trigger(ANN, payload={"n": 1})
    await office.run()
    assert (await office.inbox("ann"), await letters(office)) == (["bell"], ["letter 1"])


async def test_a_muted_thread(office: Office) -> None:
    """Of one thread nothing comes any more, not even to the inbox; of others everything."""
    await office.workflow(*BOTH)
    await wants(office, muted=[{"path": "payload.thread", "value": "t1"}])
    for thread in ("t1", "t2"):
        await office.trigger(ANN, payload={"n": thread, "thread": thread})
    await office.run()
    assert (await office.inbox("ann"), await letters(office)) == (["bell"], ["letter t2"])


@on_one_engine
async def test_a_digest_leaves_a_muted_thread_out(office: Office) -> None:
    """Also if it was muted while the digest was open, and whichever came first; the others still come. All muted: nothing does."""
    collected = "{{ digest.count }}: {% for each in digest['items'] %}{{ each.thread }}{% endfor %}"
    await office.workflow({"digest": {"window": "10m"}}, {"letter": {"text": collected}})
    first = [await office.trigger(ANN, payload={"thread": thread}) for thread in ("t1", "t2", "t1")]
    await wants(office, muted=[{"path": "payload.thread", "value": "t1"}])
    await office.run(601)
    assert await letters(office) == ["1: t2"]
    assert await office.story(first[0]) == ["digest_1 passed: muted: payload.thread"]
    last = await office.trigger(ANN, payload={"thread": "t1"})
    await office.run(601)
    assert len(await letters(office)) == 1
    assert await office.story(last) == ["digest_1 passed: muted: payload.thread"]


@on_one_engine
async def test_a_condition_holds_of_a_digest_if_it_does_of_any_of_it(office: Office) -> None:
    """It is not the first that decides for those behind it."""
    await office.workflow({"digest": {"window": "10m"}}, {"letter": {"text": "{{ digest.count }}"}})
    await wants(office, channels={"letter": "payload.urgent"})
    for urgent in (False, True):
        await office.trigger(ANN, payload={"urgent": urgent})
    await office.run(601)
    assert await letters(office) == ["2"]
    await office.trigger(ANN, payload={"urgent": False})
    await office.run(601)
    assert await letters(office) == ["2"]


async def test_quiet_hours_hold_a_message_until_they_end(office: Office) -> None:
    """In the recipient's zone; the inbox goes through, the rest waits in the run, and is asked again with the preferences of then."""
    await office.workflow(*BOTH)
    await wants(office, quiet=[{"from": "22:00", "to": "07:00"}])
    await office.run(at(office, "2027-01-10T21:30:00Z"))
    berlin = {**ANN, "time_zone": "Europe/Berlin"}  # 22:30 there
    ids = [await office.trigger(berlin, payload={"n": n}) for n in (1, 2)]
    await office.run()
    assert (await office.inbox("ann"), await letters(office)) == (["bell", "bell"], [])
    assert (await office.story(ids[0]))[-1] == "letter_2 waiting: quiet until 2027-01-11T06:00:00Z"
    await office.run(at(office, "2027-01-11T05:59:59Z"))
    assert await letters(office) == []
    await office.run(2)
    assert sorted(await letters(office)) == ["letter 1", "letter 2"]

    await office.run(at(office, "2027-01-11T22:30:00Z"))
    last = await office.trigger(berlin, payload={"n": 3})
    await wants(office, channels={"letter": False})
    await office.run(at(office, "2027-01-12T06:00:01Z"))
    assert len(await letters(office)) == 2
    assert (await office.story(last))[-1] == "letter_2 skipped: user:/channels/letter"


@pytest.mark.parametrize(
    ("night", "end"),
    [
        ("2027-03-27T22:00:00Z", "2027-03-28T05:00:00Z"),
        ("2027-10-30T21:00:00Z", "2027-10-31T06:00:00Z"),
    ],
)
@on_one_engine
async def test_the_nights_in_which_the_clock_is_set(office: Office, night: str, end: str) -> None:
    """Seven o'clock is seven o'clock, an hour sooner or later."""
    await office.workflow({"letter": {"text": "hello"}})
    await wants(office, quiet=[{"from": "22:00", "to": "07:00"}], time_zone="Europe/Berlin")
    await office.run(at(office, night))
    await office.trigger(ANN)
    await office.run(at(office, end) - 1)
    assert await letters(office) == []
    await office.run(1)
    assert await letters(office) == ["hello"]


async def test_a_cap_over_all_workflows(office: Office) -> None:
    """At most N on a channel within a span, whatever sends them; what is over is skipped and says so. The next span is a new one."""
    await office.workflow({"letter": {"text": "one {{ payload.n }}"}})
    await office.catalog.put(
        APP, Definition("other", [{"letter": {"text": "other {{ payload.n }}"}}])
    )
    await all_want(office, caps=[{"channel": "letter", "limit": 2, "per": "1h"}])
    await office.trigger(ANN, {"id": "ben", "email": "ben@x"}, payload={"n": 1})
    await office.run()
    await office.trigger(ANN, payload={"n": 2}, workflow="other")
    await office.run()
    last = await office.trigger(ANN, payload={"n": 3})
    await office.run()
    assert sorted(await letters(office)) == ["one 1", "one 1", "other 2"]
    assert (await office.story(last))[-1] == (
        "letter_1 skipped: over the cap of 2 on letter within 1h"
    )
    await office.run(3600)
    await office.trigger(ANN, payload={"n": 4})
    await office.run()
    assert "one 4" in await letters(office)


async def test_what_is_over_a_cap_is_collected(office: Office) -> None:
    """With `over: digest` the rest comes as one message when the span ends."""
    text = "{% if digest %}{{ digest.count }} more{% else %}{{ payload.n }}{% endif %}"
    await office.workflow({"letter": {"text": text}})
    await all_want(office, caps=[{"channel": "letter", "limit": 1, "per": "1h", "over": "digest"}])
    ids = []
    for n in range(4):
        ids.append(await office.trigger(ANN, payload={"n": n}))
        await office.run(1)
    assert await letters(office) == ["0"]
    assert (await office.story(ids[1]))[-1].startswith("letter_1 waiting: over the cap of 1")
    await office.run(3600)
    assert await letters(office) == ["0", "3 more"]
    assert (await office.story(ids[2]))[-1].startswith("letter_1 passed: went on with")


async def test_the_recipient_chooses_when_digests_come(office: Office) -> None:
    """`schedule: recipient` closes at the times of each; who has not said gets the window."""
    await office.workflow(
        {"digest": {"schedule": "recipient", "window": "10m"}},
        {"letter": {"text": "{{ recipient.id }} {{ digest.count }}"}},
    )
    await wants(office, digests={"at": ["17:00", "09:00"], "days": ["mon"]}, time_zone="Asia/Tokyo")
    await office.run(at(office, "2027-01-10T10:00:00Z"))  # Sunday evening in Tokyo
    for _ in range(2):
        await office.trigger(ANN, {"id": "ben", "email": "ben@x"})
    await office.run(600)
    assert await letters(office) == ["ben 2"]
    await office.run(at(office, "2027-01-10T23:59:59Z"))
    assert len(await letters(office)) == 1
    await office.run(1)  # 09:00 on Monday
    assert await letters(office) == ["ben 2", "ann 2"]


async def test_the_short_way_obeys(house: House) -> None:
    """A notification with a category is put into the inboxes of those who want it, and its answer says how many do not."""
    book = house.book
    no = msgspec.convert({"categories": {"news": {"inbox": "payload.top"}}}, Document)
    await book.change("default", "ann", lambda _: no)
    reader = await house.subscribe("ann")
    sent = await house.send("ann", "ben", category="news", key="k")
    assert (sent.recipients, sent.skipped) == (2, 1)
    assert await house.send("ann", "ben", category="news", key="k") == sent
    await house.send("ann", category="news", data={"top": True}, title="Top")
    await house.send("ann", category="sport", title="Sport")
    page = await house.inbox.page(user("ann"))
    assert [item.title for item in page.items] == ["Sport", "Top"]
    await house.settle()
    assert [p.data["message"]["title"] for p in reader.publications] == ["Top", "Sport"]
    nobody = await house.send("ann", category="news")
    assert (nobody.recipients, nobody.skipped) == (1, 1)


async def test_a_cap_holds_on_the_short_way(house: House) -> None:
    """A call that is repeated with its key, or refused, does not count."""
    caps = [{"channel": "inbox", "limit": 2, "per": "1h"}]
    await house.book.put_defaults("default", msgspec.convert({"caps": caps}, Defaults))
    first = await house.send("ann", key="k")
    assert await house.send("ann", key="k") == first
    with pytest.raises(Exception, match="not known"):
        await house.send("ann", "=nobody")
    assert (await house.send("ann")).skipped == 0
    assert (await house.send("ann", "ben")).skipped == 1
    assert len((await house.inbox.page(user("ann"))).items) == 2


async def test_open_pages_are_told(house: House) -> None:
    """A change is an entry of the inbox's log, so that no page misses it; counts and messages stay."""
    await house.send("ann")
    reader = await house.subscribe("ann")
    kept = await house.book.change("default", "ann", lambda _: Document(channels={"email": False}))
    await house.settle()
    [told] = reader.publications
    assert (told.event, told.data) == (
        "preferences",
        {"revision": kept.revision, "unread": 1, "unseen": 1},
    )
    stranger = await house.subscribe("new")
    await house.book.change("default", "new", lambda _: Document(channels={"email": False}))
    await house.settle()
    assert [p.data for p in stranger.publications] == [{"revision": 1, "unread": 0, "unseen": 0}]


async def test_of_writers_at_the_same_time_none_is_lost(house: House) -> None:
    """Each change sees the ones before it, and who names a revision that has passed is refused."""

    def adds(n: int) -> Any:
        def change(found: Document) -> Document:
            return msgspec.structs.replace(found, channels={**found.channels, f"c{n}": False})

        return change

    await asyncio.gather(*(house.book.change("default", "ann", adds(n)) for n in range(5)))
    kept = await house.book.find("default", "ann")
    assert kept.revision == 5
    assert set(kept.document.channels) == {f"c{n}" for n in range(5)}

    def is_first(revision: int) -> None:
        if revision != 1:
            raise Stale

    with pytest.raises(Stale):
        await house.book.change("default", "ann", adds(9), is_first)
    assert (await house.book.find("default", "ann")).revision == 5
    assert (await house.book.find("other", "ann")).revision == 0


async def test_another_process_sees_the_first_preferences_within_a_second(house: House) -> None:
    """Whether a tenant has any at all is looked up once a second; after that each send reads them."""
    other = Book(house.store, house.inbox, house.limits, clock=house.clock)
    found, _ = await other.of("default", ["ann"])
    assert found == {}
    await house.book.change("default", "ann", lambda _: Document(channels={"email": False}))
    house.clock.advance(1.0)
    found, _ = await other.of("default", ["ann"])
    assert found["ann"].revision == 1
    await house.book.change("default", "ann", lambda _: Document())
    found, _ = await other.of("default", ["ann"])
    assert found["ann"].revision == 2


async def test_what_is_the_same_for_all_is_not_for_those_who_do_not_want_it(office: Office) -> None:
    """A bulk send asks those who have preferences, and writes the others' set by set; each gets it once, or not at all."""
    await office.workflow({"inbox": {"title": "news"}}, category="news")
    await wants(office, "ann", categories={"news": False})
    await wants(office, "ben", categories={"news": {"inbox": "recipient.attributes.vip"}})
    await wants(office, "cat", channels={"letter": False})
    people = [{"id": name} for name in ("ann", "cat", "dan")]
    id = await office.trigger(*people, {"id": "ben", "attributes": {"vip": True}})
    await office.run()
    got = [name for name in ("ann", "ben", "cat", "dan") if await office.inbox(name) == ["news"]]
    assert got == ["ben", "cat", "dan"]
    assert (await office.triggers.find("default", id)).recipients == 4

    await all_want(office, categories={"news": False})
    await office.trigger("ann", "ben", "cat", "dan")
    await office.run()
    assert [len(await office.inbox(name)) for name in ("ann", "ben", "cat", "dan")] == [0, 2, 1, 1]


async def test_changes_of_one_document_that_come_at_once_all_hold(office: Office) -> None:
    """Each is made of what the one before has left, also the first, when there was nothing yet."""
    desk = office.engine.desk
    threads = [Muted("payload.thread", n) for n in range(30)]
    kept = await asyncio.gather(*(desk.mute("default", "ann", each) for each in threads))
    assert sorted(each.revision for each in kept) == list(range(1, 31))
    found = await office.house.book.find("default", "ann")
    assert sorted(each.value for each in found.document.muted) == list(range(30))
