"""What inboxes keep for so long: after that it is gone from pages, numbers and devices alike."""

import msgspec
import pytest

from clarion.ids import Ids
from clarion.notifications.ageing import Ageing
from clarion.storage import Sql
from clarion.storage import inbox_retention as sql
from clarion.storage.slices import total
from tests.notifications.conftest import House, user

DAY_S = 86_400


class Count(msgspec.Struct, frozen=True):
    n: int


async def test_messages_that_are_too_old_go_from_everywhere(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read or not, of every tenant, slice by slice; who looks at their inbox is told, the numbers are right, and what others have still stays."""
    monkeypatch.setattr("clarion.notifications.ageing.AT_ONCE", 2)
    for title in ("read", "archived", "seen", "new"):
        await house.send("ann", title=title)
    ann = user("ann")
    read, archived, seen, _ = reversed((await house.inbox.page(ann)).items)
    await house.inbox.mark(ann, read.id, "read")
    await house.inbox.mark(ann, archived.id, "archive")
    await house.inbox.mark_seen(ann, [seen.id])
    await house.send("ann", "ben", title="for both")
    house.clock.advance(2 * DAY_S)
    await house.send("ann", "ben", title="young")
    reader = await house.subscribe("ann")
    before = (await house.inbox.page(ann)).position

    limits = msgspec.structs.replace(house.limits, inbox_days=1)
    ageing = Ageing(house.store, house.inbox, limits, clock=house.clock, ids=Ids.seeded(2))
    assert await total(ageing.purge()) == 6
    assert await total(ageing.purge()) == 0
    await house.settle()

    for name in ("ann", "ben"):
        page = await house.inbox.page(user(name))
        assert ([item.title for item in page.items], page.unread, page.unseen) == (["young"], 1, 1)
    assert (await house.inbox.page(ann, filter="archived")).items == []
    told = [each.data for each in reader.publications if each.event == "removed"]
    gone = [id for each in told for id in each["ids"]]
    assert len(gone) == len(set(gone)) == 5
    assert (told[-1]["unread"], told[-1]["unseen"]) == (1, 1)
    missed = (await house.subscribe("ann", before)).answer
    assert missed.recovered
    assert [each["data"] for each in missed.publications] == told
    [left] = await house.store.fetch(Sql("SELECT count(*) FROM notification", Count))
    assert left.n == 1, "what nobody has any more was kept"

    forever = msgspec.structs.replace(house.limits, inbox_days=0)
    house.clock.advance(1_000 * DAY_S)
    assert await total(Ageing(house.store, house.inbox, forever, clock=house.clock, ids=Ids.seeded(3)).purge()) == 0  # fmt: skip


async def test_what_is_pinned_or_put_off_stays_and_what_came_back_is_young(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its return is its time; unpinned, it goes with the next purge."""
    monkeypatch.setattr("clarion.notifications.ageing.AT_ONCE", 2)
    for title in ("pinned", "put off", "early", "late", "plain"):
        await house.send("ann", title=title)
    ann = user("ann")
    items = {item.title: item.id for item in (await house.inbox.page(ann)).items}
    await house.inbox.mark(ann, items["pinned"], "pin")
    for title, days in (("put off", 9), ("early", 1), ("late", 3)):
        await house.inbox.snooze(ann, items[title], house.clock.now_ms() + days * DAY_S * 1000)
    house.clock.advance(DAY_S)
    await house.inbox.look()
    house.clock.advance(2 * DAY_S)
    await house.inbox.look()
    limits = msgspec.structs.replace(house.limits, inbox_days=1)
    ageing = Ageing(house.store, house.inbox, limits, clock=house.clock, ids=Ids.seeded(2))

    async def kept() -> list[str]:
        await total(ageing.purge())
        page = await house.inbox.page(ann)
        assert page.unread == len(page.items)
        return [item.title for item in page.items]

    assert await kept() == ["late", "pinned"]
    assert len((await house.inbox.page(ann, filter="snoozed")).items) == 1
    await house.inbox.mark(ann, items["pinned"], "unpin")
    assert await kept() == ["late"]
    house.clock.advance(6 * DAY_S)
    await house.inbox.look()
    assert await kept() == ["put off"]


async def test_what_is_pinned_while_it_is_being_taken_stays(house: House) -> None:
    """It is looked at again once nobody else can change it."""
    await house.send("ann", title="dear")
    [item] = (await house.inbox.page(user("ann"))).items
    house.clock.advance(2 * DAY_S)
    limits = msgspec.structs.replace(house.limits, inbox_days=1)
    ageing = Ageing(house.store, house.inbox, limits, clock=house.clock, ids=Ids.seeded(2))
    aged = await house.store.fetch(
        sql.AGED, tenant="default", after=0, before=house.clock.now_ms(), n=9
    )
    await house.inbox.mark(user("ann"), item.id, "pin")
    assert await ageing._slice("default", aged) == 0
    assert len((await house.inbox.page(user("ann"))).items) == 1
