"""Events: taken in once, counted exactly, waited for, and asked about in conditions; on both engines."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from clarion.auth.principal import Principal
from clarion.clock import as_datetime
from clarion.errors import Forbidden, Invalid, TooLarge
from clarion.notifications.audiences import AudienceDefinition
from clarion.notifications.events.events import Event
from clarion.notifications.events.numbers import Numbers
from clarion.notifications.rules import Did
from clarion.storage import events as sql
from clarion.storage.slices import total
from tests.notifications.conftest import APP, House, on_one_engine, user
from tests.notifications.office import ANN, BELL, LETTER, Office


class Wanted(Struct, frozen=True):
    """What a widget asks."""

    tenant: str
    params: dict[str, Any]


@pytest.fixture
async def office(house: House) -> AsyncIterator[Office]:
    office = Office(house)
    yield office
    await office.triggers.settled()
    await office.sender.close()
    await office.outbound.close()


@pytest.fixture
def numbers(office: Office) -> Numbers:
    return Numbers(office.house.store, office.clock)


async def did(office: Office, name: str, who: str = "ann", **properties: Any) -> None:
    await office.events.track(APP, [Event(name, who, properties)])


# ── taken in ──
async def test_an_event_that_is_told_again_is_counted_once(
    office: Office, numbers: Numbers
) -> None:
    """By its id: in the same call, in another one; and the answer says how many were new."""
    paid = Event("order.paid", "ann", {"order": 1}, id="o-1")
    first = await office.events.track(APP, [paid, paid, Event("order.paid", "ben")])
    again = await office.events.track(APP, [paid])
    assert ((first.taken, first.repeated), (again.taken, again.repeated)) == ((2, 1), (0, 1))
    found = await numbers.find("default", "order.paid")
    assert (found.count, found.people, found.per_minute) == (2, 2, 0.033)
    assert [each.count for each in found.minutes] == [2]
    assert [each.event for each in (await numbers.names("default")).items] == ["order.paid"]
    elsewhere = Principal(id="app", tenant="other", kind="key", scopes=frozenset({"events:write"}))
    assert (await office.events.track(elsewhere, [paid])).taken == 1
    assert (await numbers.find("default", "order.paid")).count == 2


async def test_who_has_not_consented_is_counted_and_not_known(
    office: Office, numbers: Numbers
) -> None:
    """Neither who it was nor the properties are kept, and nothing waits for it."""
    await office.events.track(APP, [Event("page.viewed", "ann", {"a": 1}, consent=False)])
    found = await numbers.find("default", "page.viewed")
    assert (found.count, found.people) == (1, 0)
    [row] = (await office.events.export("default"))[0]
    assert (row.usr, row.properties) == ("", "")


async def test_a_client_tells_of_itself_and_of_what_it_may(office: Office) -> None:
    """Not of others, not of what only the back end knows; its ids are its own."""
    ann = user("ann")
    assert (await office.events.track(ann, [Event("page.viewed", id="1")])).taken == 1
    assert (await office.events.track(user("ben"), [Event("page.viewed", id="1")])).taken == 1
    assert (await office.events.track(ann, [Event("page.viewed", "ann", id="1")])).repeated == 1
    with pytest.raises(Forbidden):
        await office.events.track(ann, [Event("page.viewed", "ben")])
    with pytest.raises(Forbidden, match=r"order\.paid"):
        await office.events.track(ann, [Event("order.paid")])
    trusted = Principal(id="ann", scopes=frozenset({"events:write"}))
    assert (await office.events.track(trusted, [Event("order.paid", "ben")])).taken == 1
    rows, _ = await office.events.export("default", user="ben")
    assert {row.name: row.id for row in rows}["page.viewed"] == "ben/1"


@on_one_engine
async def test_what_is_no_event_is_refused_whole(office: Office) -> None:
    """Too many, too large, too early, too old; nothing of the call is written."""
    now = as_datetime(office.clock.now_ms())
    good = Event("a")
    for wrong, error in (
        ([good] * 1_001, Invalid),
        ([good, Event("a", properties={"a": "x" * 9_000})], TooLarge),
        ([good, Event("a", at=now + timedelta(minutes=6))], Invalid),
        ([good, Event("a", at=now - timedelta(days=401))], Invalid),
    ):
        with pytest.raises(error):
            await office.events.track(APP, wrong)
    assert await office.count("event") == 0
    ahead = await office.events.track(APP, [Event("a", at=now + timedelta(minutes=4))])
    assert ahead.taken == 1
    [row] = (await office.events.export("default"))[0]
    assert row.at_ms == office.clock.now_ms()
    for name in ("", "1a", "a b", "a\n", "a" * 101):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"event": name}, Event)


async def test_pages_of_an_export_meet(office: Office) -> None:
    """In the order in which they came, of all or of one person; a cursor of another page is refused."""
    await office.events.track(APP, [Event("a", "ann", {"n": n}, id=f"{n:02}") for n in range(7)])
    office.clock.advance(1)
    await did(office, "a", "ben")
    rows: list[str] = []
    after: str | None = ""
    while after is not None:
        page, after = await office.events.export("default", after=after, limit=3)
        rows += [row.id for row in page]
    assert rows[:7] == [f"{n:02}" for n in range(7)]
    assert len(rows) == 8
    assert len((await office.events.export("default", user="ann"))[0]) == 7
    with pytest.raises(Invalid):
        await office.events.export("default", after="x:1")


async def test_a_person_is_forgotten_and_counts_stay(office: Office, numbers: Numbers) -> None:
    """Nothing that names them is left."""
    await did(office, "a")
    await did(office, "a", "ben")
    assert await office.events.forget("default", "ann") == 1
    assert [row.usr for row in (await office.events.export("default"))[0]] == ["ben"]
    found = await numbers.find("default", "a")
    assert (found.count, found.people) == (2, 1)


async def test_what_is_old_goes(office: Office) -> None:
    """After `events.keep_days`, with its counts, of each name; what somebody has done again since is known still."""
    await did(office, "a")
    await did(office, "b")
    await did(office, "b", "ben")
    office.clock.advance(401 * 86_400)
    await did(office, "b")
    # Three events, who did what but ann's b, and the minutes of both names.
    assert await total(office.events.purge()) == 3 + 2 + 2
    assert [await office.count(table) for table in ("event", "event_minute", "event_person")] == [
        1
    ] * 3


async def test_dashboards_are_fed_with_numbers(office: Office, numbers: Numbers) -> None:
    """How often, how many people, how often a minute; points are of minutes that are over, none left out."""
    for who in ("ann", "ann", "ben"):
        await did(office, "a", who)
    office.clock.advance(180)
    await did(office, "a", "cleo")

    async def shown(show: str, within: str = "4m") -> Any:
        return await numbers.asked(
            Wanted("default", {"event": "a", "show": show, "within": within})
        )

    assert await shown("count") == 4
    assert await shown("people") == 3
    assert await shown("rate") == 1.0
    assert [(await shown(show))["v"][0][-3:] for show in ("counts", "people_by_minute")] == [
        [3, 0, 0],
        [2, 0, 0],
    ]
    for wrong in ({"show": "sum"}, {"within": "x"}, {"within": "10s"}, {"event": 1}):
        with pytest.raises(Invalid):
            await numbers.asked(Wanted("default", {"event": "a", **wrong}))
    with pytest.raises(Invalid):
        await shown("counts", "2d")


async def test_a_trigger_tells_those_who_did_it(office: Office) -> None:
    """Since a time, so often at least, beside others whom it names; each once."""
    for name in ("ann", "ben", "cleo", "dora"):
        await office.house.send(name)
    await did(office, "bought", "ann")
    office.clock.advance(40 * 86_400)
    await did(office, "bought", "ben")
    await did(office, "bought", "cleo")
    await did(office, "bought", "cleo")
    await office.workflow({"inbox": {"title": "thanks"}})

    async def told(**whom: Any) -> list[str]:
        before = {name: len(await office.inbox(name)) for name in ("ann", "ben", "cleo", "dora")}
        await office.trigger(**whom)
        await office.run()
        return [name for name in before if len(await office.inbox(name)) > before[name]]

    month = {"event": "bought", "within": "30d"}
    assert await told(did=[month]) == ["ben", "cleo"]
    assert await told(did=[{**month, "times": 2}]) == ["cleo"]
    assert await told(did=[{**month, "within": "60d"}], exclude=["ben"]) == ["ann", "cleo"]
    assert await told(did=[month], filter='recipient.id == "dora"') == ["ben", "cleo", "dora"]
    with pytest.raises(Invalid) as caught:
        await office.trigger(did=[{"event": "bought", "within": "soon"}])
    assert [fault.pointer for fault in caught.value.faults] == ["/did/0/within"]


async def test_an_audience_is_those_who_did_it(office: Office) -> None:
    """Since a time before their slice comes, and of them whom a filter lets through; in audiences that hold it, and where it is left out."""
    for name in ("ann", "ben", "cleo", "dora"):
        plan = {"plan": "pro" if name in ("ben", "dora") else "free"}
        await office.house.send({"id": name, "attributes": plan})
    await did(office, "bought", "ann")
    office.clock.advance(40 * 86_400)
    for name in ("ben", "cleo", "cleo"):
        await did(office, "bought", name)
    audiences, month = office.engine.audiences, {"event": "bought", "within": "30d"}

    async def put(key: str, **more: Any) -> list[str]:
        await audiences.put("default", key, msgspec.convert(more, AudienceDefinition))
        return (await audiences.people("default", key, "", 10)).items

    assert await put("buyers", did=[month]) == ["ben", "cleo"]
    assert (await audiences.find("default", "buyers")).did == [Did("bought", "30d")]
    pro = 'recipient.attributes.plan == "pro"'
    assert await put("pros", did=[month], filter=pro) == ["ben"]
    named = 'recipient.id in ["ann", "cleo"]'
    assert await put("few", did=[{**month, "times": 2}, {**month, "event": "seen"}], filter=named) == ["cleo"]  # fmt: skip
    assert await put("all", includes=["few", "pros"], filter='recipient.id == "dora"') == ["ben", "cleo", "dora"]  # fmt: skip
    await office.workflow({"inbox": {"title": "hello"}})
    for without, left in {"buyers": ["ann", "dora"], "pros": ["ann", "cleo", "dora"], "few": ["ann", "ben", "dora"]}.items():  # fmt: skip
        before = {name: len(await office.inbox(name)) for name in ("ann", "ben", "cleo", "dora")}
        await office.trigger(everyone=True, exclude_audiences=[without])
        await office.run()
        assert [name for name in before if len(await office.inbox(name)) > before[name]] == left
    office.clock.advance(31 * 86_400)
    assert (await audiences.people("default", "all", "", 10)).items == ["dora"]
    with pytest.raises(Invalid) as caught:
        await put("buyers", did=[{"event": "bought", "within": "soon"}])
    assert [fault.pointer for fault in caught.value.faults] == ["/did/0/within"]


# ── waited for ──
PAID = {
    "id": "paid",
    "wait": {"event": "order.paid", "where": "event.order == payload.order", "timeout": "2d"},
}
THANKS = (PAID, {"id": "end", "letter": {"text": "{{ paid.timed_out }} {{ paid.event.total }}"}})


async def test_a_wait_ends_when_the_recipient_does_it(office: Office) -> None:
    """That one, and nobody else's, and no other order; later steps know what it was."""
    await office.workflow(BELL, *THANKS)
    await office.trigger(ANN, payload={"order": 7, "n": 1})
    await did(office, "order.paid", order=8)
    await did(office, "order.paid", "ben", order=7)
    await did(office, "order.opened", order=7)
    await office.run(60)
    assert office.letters.sent == []
    await did(office, "order.paid", order=7, total=12)
    await office.run()
    assert [each.content["text"] for each in office.letters.sent] == ["False 12"]
    await office.run(3 * 86_400)
    assert len(office.letters.sent) == 1


async def test_a_wait_is_not_without_end(office: Office) -> None:
    """At its timeout the run goes on, and knows it."""
    await office.workflow(PAID, {"stop": "not paid.timed_out"}, LETTER)
    trigger = await office.trigger(ANN, payload={"order": 7, "n": 1})
    await office.run(2 * 86_400 - 1)
    assert office.letters.sent == []
    await office.run(1)
    assert len(office.letters.sent) == 1
    assert (await office.story(trigger))[0] == "paid passed: timed out"


async def test_what_was_done_since_the_trigger_counts(office: Office) -> None:
    """Between the trigger and the wait; not with `since: step`; and never what was done before."""
    await did(office, "order.paid", order=7)
    office.clock.advance(1)
    since = {"id": "s", "wait": {**PAID["wait"], "since": "step"}}  # type: ignore[dict-item]
    await office.workflow({"wait": "1h"}, PAID, LETTER, since, LETTER | {"id": "last"})
    await office.trigger(ANN, payload={"order": 7, "n": 1})
    await office.run(60)
    await did(office, "order.paid", order=7)
    await office.run(3540)
    await office.run()
    assert len(office.letters.sent) == 1
    office.clock.advance(1)
    await did(office, "order.paid", order=7)
    await office.run()
    assert len(office.letters.sent) == 2


async def test_somebody_else_may_have_to_do_it(office: Office) -> None:
    """Who stands at a path; where nobody does, nothing is waited for."""
    wait = {"id": "w", "wait": {"event": "signed", "user": "payload.boss", "timeout": "1d"}}
    await office.workflow(wait, LETTER)
    await office.trigger(ANN, payload={"boss": "zoe", "n": 1})
    await did(office, "signed")
    await office.run(1)
    assert office.letters.sent == []
    await did(office, "signed", "zoe")
    await office.run()
    assert len(office.letters.sent) == 1
    trigger = await office.trigger(ANN, payload={"n": 1})
    await office.run()
    assert (await office.story(trigger))[0] == "w skipped: payload.boss names nobody"


async def test_what_happens_while_the_wait_is_written_is_found(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the decision and the commit: nobody could see the wait when the event came, so the run looks once more."""
    await office.workflow(BELL, *THANKS)
    writer = office.runs._writer
    write = writer.write

    async def written(tx: Any, decided: Any, first: Any) -> Any:
        monkeypatch.setattr(writer, "write", write)
        now = office.clock.now_ms()
        row = sql.NewEvent(
            "default", "e", "ann", "order.paid", '{"order":7,"total":3}', now, now, 1, "event:order.paid:ann"
        )  # fmt: skip
        await tx.apply(sql.TRACK, [row])
        return await write(tx, decided, first)

    monkeypatch.setattr(writer, "write", written)
    await office.trigger(ANN, payload={"order": 7, "n": 1})
    await office.run()
    assert [each.content["text"] for each in office.letters.sent] == ["False 3"]


# ── asked about ──
async def test_conditions_and_templates_know_what_was_done(office: Office) -> None:
    """How often within a time, those for which a condition holds, and the newest."""
    await office.workflow(
        {"stop": "facts.bought.count < 2"},
        {"id": "mail", "letter": {"text": "{{ facts.big.count }} {{ facts.bought.last.total }}"}},
        facts={
            "bought": {"event": "bought", "within": "30d"},
            "big": {"event": "bought", "where": "event.total > payload.big"},
        },
    )
    await did(office, "bought", total=500)
    office.clock.advance(31 * 86_400)
    await did(office, "bought", total=5)
    await office.trigger(ANN, payload={"big": 100})
    office.clock.advance(1)
    await did(office, "bought", total=300)
    trigger = await office.trigger(ANN, payload={"big": 100})
    await office.run()
    assert [each.content["text"] for each in office.letters.sent] == ["2 300"]
    assert trigger


@on_one_engine
async def test_facts_and_waits_that_cannot_be_are_refused(office: Office) -> None:
    """Each fault points at its place."""
    for steps, more, pointer in (
        ([{"wait": {"event": "a"}}], {}, "/steps/0/wait"),
        ([{"wait": {"event": "a", "is": "read", "timeout": "1d"}}], {}, "/steps/0/wait/is"),
        ([{"wait": {"event": "a b", "timeout": "1d"}}], {}, "/steps/0/wait/event"),
        (
            [{"wait": {"event": "a", "where": "events.x", "timeout": "1d"}}],
            {},
            "/steps/0/wait/where",
        ),
        ([{"wait": {"for": "1d", "where": "event.x"}}], {}, "/steps/0/wait/where"),
        ([{"wait": "1d", "id": "event"}], {}, "/steps/0/id"),
        ([{"wait": "1d"}], {"facts": {"a": {"event": "a", "within": "x"}}}, "/facts/a/within"),
        ([{"wait": "1d"}], {"facts": {"a": {"event": "a", "where": "bell.x"}}}, "/facts/a/where"),
    ):
        with pytest.raises(Invalid) as caught:
            await office.workflow(*steps, **more)  # type: ignore[arg-type]
        assert [fault.pointer for fault in caught.value.faults] == [pointer]
