"""Subscribers and audiences: kept, changed, found, and erased with everything of theirs."""

from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from clarion.errors import Conflict, Invalid, NotFound
from clarion.notifications.audiences import AudienceDefinition, ChangeMembers
from clarion.notifications.people_shapes import Changed, Described
from clarion.notifications.preferences.document import Document
from clarion.notifications.recipients import Recipient
from clarion.storage import audiences as audience_sql
from clarion.storage.store import Sql
from tests.notifications.conftest import House, on_one_engine
from tests.notifications.office import BELL, Office


class Whose(Struct, frozen=True):
    """Whose row."""

    usr: str


@pytest.fixture
async def office(house: House) -> Office:
    return Office(house)


async def do_jobs(office: Office) -> None:
    while claimed := await office.queue.claim(10):
        for job in claimed:
            await office.engine.people.erase_all(job)
            await office.queue.finish(job)


async def test_a_subscriber_is_put_changed_and_found(office: Office) -> None:
    """Putting forgets what is not said, changing leaves it; null forgets, of attributes each member by itself."""
    people = office.engine.people
    ann = await people.put(
        "default", "ann", Described(name="Ann", phone="+4930123456", attributes={"a": 1, "b": 2})
    )
    assert (ann.name, ann.phone, ann.email, ann.attributes) == (
        "Ann",
        "+4930123456",
        None,
        {"a": 1, "b": 2},
    )
    changed = Changed(phone=None, email="ann@example.org", attributes={"a": None, "c": 3})
    ann = await people.change("default", "ann", changed)
    assert (ann.name, ann.phone, ann.email) == ("Ann", None, "ann@example.org")
    assert ann.attributes == {"b": 2, "c": 3}
    assert (await people.change("default", "ann", Changed(attributes=None))).attributes == {}
    ann = await people.put("default", "ann", Described(locale="de"))
    assert (ann.name, ann.email, ann.locale) == (None, None, "de")
    for stranger in (people.find("default", "ben"), people.change("default", "ben", Changed())):
        with pytest.raises(NotFound):
            await stranger
    with pytest.raises(NotFound):
        await people.find("other", "ann")
    with pytest.raises(Invalid):
        await people.change("default", "ann", Changed(attributes={"x": "y" * 5_000}))


@on_one_engine
async def test_a_time_zone_that_does_not_exist_is_refused(office: Office) -> None:
    """Wherever it is said, by its place and with the one that may have been meant: nobody hears of things at an hour that is not theirs."""
    people, lost = office.engine.people, "Europe/Berln"
    await office.workflow(BELL)
    doors: list[tuple[Coroutine[Any, Any, Any], str]] = [
        (people.put("default", "ann", Described(time_zone=lost)), ""),
        (people.know("default", [Recipient("ben"), Recipient("ann", time_zone=lost)]), "/subscribers/1"),
        (office.trigger("ben", {"id": "ann", "time_zone": lost}), "/recipients/1"),
    ]  # fmt: skip
    for door, at in doors:
        with pytest.raises(Invalid, match="did you mean 'Europe/Berlin'") as refused:
            await door
        assert [each.pointer for each in refused.value.faults] == [f"{at}/time_zone"]
    assert await office.count("subscriber") == 0
    await people.put("default", "ann", Described(time_zone="Europe/Berlin"))
    with pytest.raises(Invalid):
        await people.change("default", "ann", Changed(time_zone=lost))
    assert (await people.find("default", "ann")).time_zone == "Europe/Berlin"


async def test_subscribers_are_listed_in_pages_and_by_filters(office: Office) -> None:
    """In the order of their ids, each once; a filter is a condition."""
    people = office.engine.people
    said = [Recipient(id, locale="de" if id in "ac" else None) for id in ("a", "b", "c", "a")]
    assert await people.know("default", said) == 3
    page = await people.page("default", "", "", 2)
    assert ([each.id for each in page.items], page.next) == (["a", "b"], "b")
    page = await people.page("default", "", "b", 2)
    assert ([each.id for each in page.items], page.next) == (["c"], None)
    page = await people.page("default", 'recipient.locale == "de"', "", 10)
    assert [each.id for each in page.items] == ["a", "c"]
    with pytest.raises(Invalid):
        await people.page("default", "recipient.locale ==", "", 10)
    with pytest.raises(Invalid):
        await people.know("default", [Recipient(f"u{n}") for n in range(1_001)])


async def test_who_is_deleted_while_a_page_is_read(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not on it; the others are."""
    people = office.engine.people
    await people.know("default", [Recipient(id) for id in ("a", "b", "c")])
    find = people._targets.slice

    async def find_and_delete(*asked: Any) -> Any:
        found = await find(*asked)
        await people.erase("default", "b")
        return found

    monkeypatch.setattr(people._targets, "slice", find_and_delete)
    page = await people.page("default", "", "", 10)
    assert [each.id for each in page.items] == ["a", "c"]


async def test_what_was_written_for_one_alone_is_erased_with_them(office: Office) -> None:
    """What others were told in the same words stays theirs, whichever way it came to them."""
    await office.workflow({"inbox": {"title": "{{ payload.to or recipient.id }}"}})
    await office.trigger({"id": "ann"}, {"id": "ben"}, payload={"to": ""})
    await office.trigger("ann", "ben", payload={"to": "both"})
    await office.workflow({"inbox": {"title": "all"}})
    await office.trigger("ann", "ben")
    await office.house.send("=ann", title="hers")
    await office.engine.people.erase("default", "ann")
    [job] = await office.queue.claim(1)
    await office.engine.people.erase_all(job)
    assert await office.inbox("ben") == ["all", "both", "ben"]
    assert await office.count("notification") == 3


async def test_a_subscriber_deleted_between_steps(office: Office) -> None:
    """Their run ends at once and sends nothing more, others' runs go on; then everything of theirs is gone."""
    await office.workflow(
        {"inbox": {"title": "first"}},
        {"letter": {"text": "x"}},
        {"wait": "1h"},
        {"inbox": {"title": "second"}},
    )
    ann = {"id": "ann", "email": "ann@example.org"}
    await office.trigger(ann, {"id": "ben"})
    await office.engine.addresses.put("default", "ann", "push", "phone")
    await office.engine.audiences.put("default", "staff", AudienceDefinition())
    await office.engine.audiences.add("default", "staff", ["ann", "ben"])
    mute = msgspec.convert({"categories": {"news": False}}, Document)
    await office.engine.book.change("default", "ann", lambda _: mute)
    for row in (
        "capture VALUES ('default', 'c', 'letter', 'ann', 'a', 'w', '', 'm', '{}', 0)",
        "event VALUES ('default', 'e', 'ann', 'came', '', 0, 0, 1)",
        "event_person VALUES ('default', 'ann', 'came', 1, 0, 0)",
        "presence_contact VALUES ('default', 'ann', 'ben'), ('default', 'ben', 'ann')",
        "presence_visibility VALUES ('default', 'ann', 2)",
    ):
        async with office.house.store.transaction() as tx:
            await tx.execute(Sql(f"INSERT INTO {row}"))
    people = office.engine.people
    await people.erase("default", "ann")
    with pytest.raises(NotFound):
        await people.erase("default", "ann")
    await office.run(3600)
    assert await office.inbox("ben") == ["second", "first"]
    assert office.letters.sent == []
    await do_jobs(office)
    assert await office.inbox("ann") == []
    for table in (
        "run",
        "outgoing",
        "address",
        "audience_member",
        "preference",
        "capture",
        "event",
        "event_person",
        "presence_contact",
        "message",
        "inbox_head",
        "subscriber",
    ):
        column = "id" if table in ("presence_contact", "subscriber") else "usr"
        rows = await office.house.store.fetch(Sql(f"SELECT {column} FROM {table}", Whose))
        assert "ann" not in [row.usr for row in rows], table
    assert not await office.house.store.fetch(Sql("SELECT contact FROM presence_contact", Whose))
    # What hides an account that outlives the subscriber stays.
    assert await office.house.store.fetch(Sql("SELECT id FROM presence_visibility", Whose))
    assert (await office.engine.audiences.people("default", "staff", "", 10)).items == ["ben"]


async def test_who_comes_back_while_they_are_erased(office: Office) -> None:
    """What came after the deletion stays and goes on; what was begun before it does not come to whoever has the id now."""
    await office.house.send("ann", title="before")
    await office.workflow({"wait": "1h"}, BELL)
    await office.trigger("ann", payload={"n": "before"})
    await office.engine.people.erase("default", "ann")
    office.clock.advance(1)
    await office.trigger({"id": "ann", "name": "Ann again"}, payload={"n": "after"})
    await office.house.send("ann", title="after")
    await do_jobs(office)
    await office.run(3_600)
    assert await office.inbox("ann") == ["Hello Ann again", "after"]


@pytest.mark.parametrize("by", ["letter", "bell", "name"])
async def test_who_is_erased_while_they_are_written_to(
    office: Office, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """A send leaves them out, though it has read of them already; what was written for them all the same is erased a minute later."""
    people, carry = office.engine.people, office.runs.carry
    letter = {"letter": {"text": "x"}}
    await office.workflow(letter if by == "letter" else {"inbox": {"title": "x"}})
    ann = {"id": "ann", "email": "ann@example.org"}
    await people.know("default", [msgspec.convert(ann, Recipient), Recipient("ben")])

    async def erase_and_carry(*given: Any, **more: Any) -> None:
        monkeypatch.undo()
        await people.erase("default", "ann")
        office.clock.advance(1)
        for job in await office.queue.claim(10):
            if job.kind == "erase_subscriber":
                await people.erase_all(job)
                await office.queue.finish(job)
        await carry(*given, **more)

    monkeypatch.setattr(office.runs, "carry", erase_and_carry)
    if by == "name":
        await office.trigger("ann", "ben")
    else:
        await office.trigger(everyone=True)
    assert await office.inbox("ben") == ([] if by == "letter" else ["x"])
    assert await office.inbox("ann") == (["x"] if by == "name" else [])
    await office.run()
    assert office.letters.sent == []
    office.clock.advance(60)
    await do_jobs(office)
    for table in ("message", "inbox_change", "inbox_head", "outgoing", "run"):
        rows = await office.house.store.fetch(Sql(f"SELECT usr FROM {table}", Whose))
        assert "ann" not in [row.usr for row in rows], table


async def test_everything_of_a_subscriber_is_told(office: Office) -> None:
    """Who they are, their addresses, messages and runs, each a thing by itself."""
    await office.workflow({"inbox": {"title": "first"}}, {"wait": "1h"})
    await office.trigger({"id": "ann", "name": "Ann"})
    await office.engine.addresses.put("default", "ann", "push", "phone", {"key": 1})
    mute = msgspec.convert({"categories": {"news": False}}, Document)
    await office.engine.book.change("default", "ann", lambda _: mute)
    told = [each async for each in office.engine.people.tell_all("default", "ann")]
    kinds = [each["kind"] for each in told]
    assert kinds == ["subscriber", "address", "message", "preferences", "run"]
    assert (told[0]["name"], told[1]["data"], told[2]["title"]) == ("Ann", {"key": 1}, "first")
    with pytest.raises(NotFound):
        [each async for each in office.engine.people.tell_all("default", "ben")]


async def test_audiences_hold_people_and_each_other(office: Office) -> None:
    """Put in and taken out in bulk, nested, with a filter; who is not known is named; a circle is refused."""
    people, audiences = office.engine.people, office.engine.audiences
    await people.know("default", [Recipient(id) for id in ("ann", "ben", "cai")])
    await people.know("default", [Recipient("dee", locale="de")])
    await audiences.put("default", "inner", AudienceDefinition("Inner", 'recipient.locale == "de"'))
    outer = await audiences.put("default", "outer", AudienceDefinition(includes=["inner"]))
    assert (outer.includes, outer.members) == (["inner"], 0)
    changed = await audiences.change_members(
        "default", "inner", ChangeMembers(["ann", "zed", "ann"])
    )
    assert (changed.added, changed.unknown, changed.members) == (1, ["zed"], 1)
    changed = await audiences.change_members(
        "default", "outer", ChangeMembers(["ben", "cai"], ["cai"])
    )
    assert (changed.added, changed.members) == (2, 1)
    assert (await audiences.people("default", "outer", "", 10)).items == ["ann", "ben", "dee"]
    with pytest.raises(Conflict):
        await audiences.put("default", "inner", AudienceDefinition(includes=["outer"]))
    with pytest.raises(Conflict):
        await audiences.put("default", "inner", AudienceDefinition(includes=["inner"]))
    with pytest.raises(Conflict):
        await audiences.delete("default", "inner")
    await audiences.delete("default", "outer")
    assert [each.audience for each in (await audiences.page("default", "", 10)).items] == ["inner"]
    assert await office.count("audience_member") == 1


async def test_an_audience_that_is_made_anew_begins_empty(office: Office) -> None:
    """Even where its deletion broke off, or takes its members out still: who is put in now stays."""
    audiences, store = office.engine.audiences, office.house.store
    await office.engine.people.know("default", [Recipient("ann"), Recipient("ben")])
    async with store.transaction() as tx:
        await tx.execute(Sql("INSERT INTO audience_member VALUES ('default', 'a', 'ann', 0)"))
    await audiences.put("default", "a", AudienceDefinition())
    assert (await audiences.people("default", "a", "", 10)).items == []
    await audiences.add("default", "a", ["ben"])
    await audiences.put("default", "a", AudienceDefinition(name="A"))
    async with store.transaction() as tx:
        await tx.execute(audience_sql.REMOVE_MEMBERS, tenant="default", audience="a", n=10)
    assert (await audiences.people("default", "a", "", 10)).items == ["ben"]
    with pytest.raises(NotFound):
        await audiences.change_members("default", "gone", ChangeMembers(add=["ann"]))


@on_one_engine
async def test_what_is_no_audience(office: Office) -> None:
    """A filter that is none, an audience inside that is not there, one that nobody has made."""
    audiences = office.engine.audiences
    for wrong in (AudienceDefinition(filter="recipient.x"), AudienceDefinition(includes=["x"])):
        with pytest.raises(Invalid):
            await audiences.put("default", "a", wrong)
    for missing in (
        audiences.find("default", "a"),
        audiences.delete("default", "a"),
        audiences.people("default", "a", "", 1),
        audiences.change_members("default", "a", ChangeMembers()),
    ):
        with pytest.raises(NotFound):
            await missing


@on_one_engine
async def test_a_change_that_was_on_its_way_when_they_were_erased_goes_too(office: Office) -> None:
    """Whoever comes back under that name finds nothing of it; what they say then stays."""
    people, desk = office.engine.people, office.engine.desk
    await people.put("default", "ann", Described(name="Ann"))
    await people.erase("default", "ann")
    await desk.patch("default", "ann", {"channels": {"email": False}})
    await do_jobs(office)
    assert (await office.house.book.find("default", "ann")).revision == 0
    await people.put("default", "ann", Described(name="Ann"))
    await people.erase("default", "ann")
    office.clock.advance(1)
    await people.put("default", "ann", Described(name="Ann"))
    await desk.patch("default", "ann", {"channels": {"email": False}})
    await do_jobs(office)
    assert (await office.house.book.find("default", "ann")).revision == 1
