"""What inboxes keep for so long: after that it is gone from pages, numbers and devices alike."""

import msgspec
import pytest

from clarion.ids import Ids
from clarion.jobs.purging import total
from clarion.notifications.ageing import Ageing
from clarion.storage import Sql
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
