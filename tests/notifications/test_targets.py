"""Whom a trigger is for: audiences, filters, everybody, minus who is left out; each person once, slice by slice."""

from typing import Any

import msgspec
import pytest

from clarion.errors import Invalid
from clarion.storage import audiences as sql
from clarion.storage import subscribers as people_sql
from tests.notifications.conftest import House, build, on_one_engine
from tests.notifications.office import Office

BELL = {"inbox": {"title": "Hello {{ payload.n }}"}}
OWN_BELL = {"inbox": {"title": "Hello {{ recipient.id }}"}}


@pytest.fixture
async def office(house: House) -> Office:
    return Office(house)


async def people(office: Office, *ids: str, **said: Any) -> None:
    columns = {
        "name": "",
        "email": "",
        "phone": "",
        "locale": "",
        "time_zone": "",
        "attributes": "",
    }
    rows = [people_sql.Described("default", id, **{**columns, **said}, at_ms=1) for id in ids]
    await office.house.store.apply(people_sql.DESCRIBE, rows)


async def audience(
    office: Office, name: str, *ids: str, filter: str = "", inside: tuple[str, ...] = ()
) -> None:
    async with office.house.store.transaction() as tx:
        await tx.execute(
            sql.PUT, tenant="default", audience=name, name="", filter=filter, did="", now_ms=1
        )
        for child in inside:
            await tx.execute(sql.ADD_CHILD, tenant="default", audience=name, child=child)
    if ids:
        rows = [sql.Membership("default", name, id, 1) for id in ids]
        await office.house.store.apply(sql.ADD_MEMBERS, rows)


async def plan_on(office: Office) -> None:
    """What a worker does with the slices that are left."""
    while claimed := await office.queue.claim(10):
        for job in claimed:
            await office.engine.planner.plan(job)


async def told(office: Office, *ids: str) -> list[str]:
    return [id for id in ids if await office.inbox(id)]


@pytest.mark.parametrize("step", [BELL, OWN_BELL], ids=["alike", "each their own"])
async def test_everybody_of_all_sides_gets_it_once(
    office: Office, step: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named, in an audience, in one inside it, by a filter: once, minus those who are left out, and who did it."""
    monkeypatch.setattr("clarion.notifications.planning.SLICE", 2)
    monkeypatch.setattr("clarion.notifications.planning.ALIKE_SLICE", 2)
    await people(office, "ann", "ben", "cai", "dee", "eve", "fay")
    await people(office, "gus", "hal", attributes='{"plan": "pro"}')
    await people(office, "ida", attributes='{"plan": ["pro"]}')
    await audience(office, "inner", "ben", "cai", "gus")
    await audience(office, "staff", "ann", "ben", "dee", inside=("inner",))
    await audience(office, "off", "dee")
    await office.workflow(step)
    trigger = await office.trigger(
        "ann",
        "fay",
        audiences=["staff"],
        filter='recipient.attributes.plan == "pro"',
        exclude=["cai"],
        exclude_audiences=["off"],
        actor="ann",
        payload={"n": 1},
    )
    await plan_on(office)
    everybody = ("ann", "ben", "cai", "dee", "eve", "fay", "gus", "hal", "ida")
    assert await told(office, *everybody) == ["ben", "fay", "gus", "hal"]
    for id in ("ben", "gus"):
        assert len(await office.inbox(id)) == 1
    found = await office.triggers.find("default", trigger)
    assert (found.state, found.recipients) == ("planned", 4)
    assert await office.count("run") == 0


async def test_everyone(office: Office) -> None:
    """All subscribers of the tenant, and of no other."""
    await people(office, "ann", "ben")
    row = people_sql.Described("other", "zed", "", "", "", "", "", "", 1)
    await office.house.store.apply(people_sql.DESCRIBE, [row])
    await office.workflow(BELL)
    await office.trigger(everyone=True, payload={"n": 1}, exclude=["ben"])
    assert await told(office, "ann", "ben", "zed") == ["ann"]


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ('recipient.locale == "de"', ["ann"]),
        ('recipient.locale != "de"', ["ben", "cai"]),
        ('recipient.locale in ["de", "fr"]', ["ann", "ben"]),
        ('recipient.locale not in ["de", "fr"]', ["cai"]),
        ("recipient.locale", ["ann", "ben"]),
        ("not recipient.locale", ["cai"]),
        ("recipient.locale == none", ["cai"]),
        ('"de" == recipient.locale', ["ann"]),
        ('recipient.id > "b"', ["ben", "cai"]),
        ("recipient.attributes.age >= 18", ["ann", "cai"]),
        ("recipient.attributes.age == 17", ["ben"]),
        ('recipient.attributes.age == "17"', []),
        ("recipient.attributes.is_admin", ["cai"]),
        ("recipient.attributes.is_admin == true", ["cai"]),
        ("recipient.attributes.is_admin == false", ["ben"]),
        ("not recipient.attributes.is_admin", ["ann", "ben"]),
        ('recipient.attributes.team.name == "red"', ["ann"]),
        ('recipient.attributes.team.name == "red" and recipient.locale == "fr"', []),
        ('recipient.attributes.team.name == "red" or recipient.locale == "fr"', ["ann", "ben"]),
        ('recipient.attributes.team.name in ["red", "blue"]', ["ann", "ben"]),
        ('"e" in recipient.locale', ["ann"]),
        ("recipient.locale in 'de fr'", ["ann", "ben"]),
        ("not (recipient.locale == 'de' and recipient.id == 'ann')", ["ben", "cai"]),
    ],
)
async def test_filters_mean_what_conditions_mean(
    office: Office, filter: str, expected: list[str]
) -> None:
    """What SQL decides, and what it leaves to the condition itself, come to the same on both engines."""
    await people(office, "ann", locale="de", attributes='{"age": 18, "team": {"name": "red"}}')
    await people(
        office,
        "ben",
        locale="fr",
        attributes='{"age": 17, "team": {"name": "blue"}, "is_admin": false}',
    )
    await people(office, "cai", attributes='{"age": 30.5, "is_admin": true}')
    await office.workflow(BELL)
    await office.trigger(filter=filter, payload={"n": 1})
    assert await told(office, "ann", "ben", "cai") == expected


async def test_an_audience_that_changes_during_the_send(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether somebody is in it is looked at when their slice comes, and nobody gets anything twice."""
    monkeypatch.setattr("clarion.notifications.planning.ALIKE_SLICE", 2)
    await people(office, "ann", "ben", "cai", "dee", "eve")
    await audience(office, "staff", "ann", "ben", "dee")
    await office.workflow(BELL)
    await office.trigger(audiences=["staff"], payload={"n": 1})
    assert await told(office, "ann", "ben", "cai", "dee", "eve") == ["ann", "ben"]
    gone = [sql.Membership("default", "staff", id, 1) for id in ("ann", "dee")]
    await office.house.store.apply(sql.TAKE_OUT, gone)
    await audience(office, "staff", "ann", "cai", "eve")
    await plan_on(office)
    assert await told(office, "ann", "ben", "cai", "dee", "eve") == ["ann", "ben", "cai", "eve"]
    assert len(await office.inbox("ann")) == 1


async def test_an_empty_audience_is_nobody(office: Office) -> None:
    """It is planned at once, for nobody."""
    await audience(office, "staff")
    await office.workflow(BELL)
    trigger = await office.trigger(audiences=["staff"])
    found = await office.triggers.find("default", trigger)
    assert (found.state, found.recipients) == ("planned", 0)


@on_one_engine
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/recipients"),
        ({"exclude": ["ann"]}, "/recipients"),
        ({"audiences": ["nobody"]}, "/audiences/0"),
        ({"everyone": True, "exclude_audiences": ["nobody"]}, "/exclude_audiences/0"),
        ({"filter": "recipient.age == 3"}, "/filter"),
        ({"filter": "payload.n == 3"}, "/filter"),
        ({"filter": "recipient.locale =="}, "/filter"),
    ],
)
async def test_who_cannot_be_meant(office: Office, body: dict[str, Any], pointer: str) -> None:
    """A trigger says whom it is for, by audiences that are there and filters over subscribers."""
    await office.workflow(BELL)
    with pytest.raises(Invalid) as caught:
        await office.trigger(**body)
    assert caught.value.faults[0].pointer == pointer


async def test_who_looks_at_their_inbox_sees_what_is_told_in_bulk(office: Office) -> None:
    """They get the same publication as from a message of their own, at the next offset of their log."""
    await people(office, "ann", "ben")
    await office.workflow(BELL)
    reader = await office.house.subscribe("ann")
    await office.trigger("ann", "ben", payload={"n": 1})
    await office.trigger("ann", "ben", payload={"n": 2})
    await office.house.settle()
    seen = [
        (each.offset, each.event, each.data["message"]["title"], each.data["unread"])
        for each in reader.publications
    ]
    assert seen == [(1, "added", "Hello 1", 1), (2, "added", "Hello 2", 2)]
    await office.house.engine.check_positions()
    await office.house.caught_up()
    assert len(reader.publications) == 2


async def test_who_looks_at_their_inbox_on_another_process_sees_it_as_well(office: Office) -> None:
    """At once, by what the processes tell each other; nobody else there is told, and no other tenant's."""
    await people(office, "ann", "ben", "cat")
    await office.workflow(BELL)
    other = build(office.house.store)
    there = Office(other).engine.bulk
    readers = [await other.subscribe(name) for name in ("ann", "ben", "cat")]
    office.engine.bulk.tell_others = lambda told: there.hear(
        msgspec.json.decode(msgspec.json.encode(told))
    )
    await office.trigger(everyone=True, exclude=["ben"], payload={"n": 1})
    await there._tasks.finish()
    seen = [[each.data["message"]["title"] for each in reader.publications] for reader in readers]
    assert seen == [["Hello 1"], [], ["Hello 1"]]
    await other.engine.close()


async def test_several_messages_told_alike(office: Office) -> None:
    """A workflow of several messages puts each into each inbox, in order."""
    await people(office, "ann", "ben")
    await office.workflow(BELL, {"inbox": {"title": "and again"}})
    await office.trigger(everyone=True, payload={"n": 1})
    for id in ("ann", "ben"):
        assert await office.inbox(id) == ["and again", "Hello 1"]


async def test_planning_in_bulk_goes_on_where_a_process_died(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody gets it once: the cursor is committed with the messages."""
    monkeypatch.setattr("clarion.notifications.planning.ALIKE_SLICE", 3)
    ids = [f"u{n}" for n in range(8)]
    await people(office, *ids)
    await office.workflow(BELL)
    write = office.engine.bulk.write
    left = 2

    async def dies(*args: Any) -> None:
        nonlocal left
        left -= 1
        await write(*args)
        if left == 0:
            raise RuntimeError("killed before the commit")

    with monkeypatch.context() as patch:
        patch.setattr(office.engine.bulk, "write", dies)
        await office.trigger(everyone=True, payload={"n": 1})
        [job] = await office.queue.claim(1)
        with pytest.raises(RuntimeError):
            await office.engine.planner.plan(job)
    assert await told(office, *ids) == ["u0", "u1", "u2"]
    office.clock.advance(31)
    await plan_on(office)
    for id in ids:
        assert await office.inbox(id) == ["Hello 1"]
