"""What was on the screen, and what is put off for later."""

import asyncio

import pytest
from msgspec import UNSET

from clarion.clock import as_datetime
from clarion.errors import Invalid, NotFound
from clarion.storage.store import Sql
from clarion.topics.publishing import Call, Publish
from tests.notifications.conftest import House, on_one_engine, user
from tests.notifications.test_inbox import fill, titles

ANN = user("ann")


async def test_what_was_on_the_screen_is_seen_and_not_read(house: House) -> None:
    """Some of them in one entry, or all; counted by itself; what is not there is passed over."""
    ids = await fill(house, 4)
    reader = await house.subscribe("ann")
    some = await house.inbox.mark_seen(ANN, [ids[0], ids[1], ids[1], "nothing"])
    assert (some.changed, some.unread, some.unseen) == (2, 4, 2)
    again = await house.inbox.mark_seen(ANN, ids[:2])
    assert (again.changed, again.unread, again.unseen) == (0, 4, 2)
    one = await house.inbox.mark(ANN, ids[2], "seen")
    assert (one.seen_at is not None, one.read_at) == (True, None)
    every = await house.inbox.mark_all(ANN, "seen")
    assert (every.changed, every.unread, every.unseen) == (1, 4, 0)
    page = await house.inbox.page(ANN)
    assert (page.unread, page.unseen) == (4, 0)
    await house.settle()
    assert [
        (each.event, each.data["unread"], each.data["unseen"]) for each in reader.publications
    ] == [
        ("seen", 4, 2),
        ("changed", 4, 1),
        ("all_seen", 4, 0),
    ]
    assert reader.publications[0].data["ids"] == ids[:2]


async def test_whoever_reads_has_seen_for_good(house: House) -> None:
    """Also after it is marked as unread; and what is put away is not among the unseen."""
    ids = await fill(house, 3)
    await house.inbox.mark(ANN, ids[0], "read")
    unread = await house.inbox.mark(ANN, ids[0], "unread")
    assert unread.seen_at is not None
    await house.inbox.mark(ANN, ids[1], "archive")
    page = await house.inbox.page(ANN)
    assert (page.unread, page.unseen) == (2, 1)
    assert (await house.inbox.mark_all(ANN, "read")).unseen == 0
    assert [item.seen_at is None for item in (await house.inbox.page(ANN)).items] == [False, False]


@on_one_engine
async def test_a_socket_says_what_was_seen(house: House) -> None:
    """On its own inbox; anything else, or too much, is refused."""
    ids = await fill(house, 3)
    call = Call(house.topic("ann"), ANN)
    at = await house.inbox.publish(call, Publish(event="seen", data={"ids": ids[:1]}))
    assert (at.topic, at.offset) == ("inbox:ann", 4)
    assert (await house.inbox.page(ANN)).unseen == 2
    await house.inbox.publish(call, Publish(event="seen"))
    assert (await house.inbox.page(ANN)).unseen == 0
    for wrong in (
        Publish(event="read"),
        Publish(event="seen", key="k"),
        Publish(event="seen", data={"ids": []}),
        Publish(event="seen", data={"ids": ["x"] * 101}),
        Publish(event="seen", data=7),
    ):
        with pytest.raises(Invalid):
            await house.inbox.publish(call, wrong)
    with pytest.raises(Invalid):
        await house.inbox.mark_seen(ANN, ["x"] * 101)


async def test_what_is_snoozed_is_out_of_sight_and_comes_back_on_top_as_unread(
    house: House,
) -> None:
    """Exactly at its time, once, and to every tab alike: who was away meanwhile is told the same as who was there."""
    ids = await fill(house, 3)
    await house.inbox.mark(ANN, ids[0], "read")
    await house.inbox.mark(ANN, ids[0], "pin")
    there, before = await house.subscribe("ann"), (await house.inbox.page(ANN)).position
    until_ms = house.clock.now_ms() + 60_000
    put_off = await house.inbox.snooze(ANN, ids[0], until_ms)
    assert put_off.snoozed_until == as_datetime(until_ms)
    await house.inbox.snooze(ANN, ids[1], until_ms)
    assert (await titles(house), await titles(house, "snoozed")) == (["3"], ["2", "1"])
    assert (await house.inbox.mark_all(ANN, "archive")).changed == 1
    house.clock.advance(59.999)
    assert await house.inbox.look() == pytest.approx(0.001)
    assert await titles(house) == []
    house.clock.advance(0.001)
    await asyncio.gather(house.inbox.look(), house.inbox.look())
    page = await house.inbox.page(ANN)
    assert [(m.title, m.read_at, m.seen_at) for m in page.items] == [
        ("2", None, None),
        ("1", None, None),
    ]
    assert (page.unread, page.unseen) == (2, 2)
    assert len(await titles(house, "pinned")) == 1
    await house.settle()
    away = await house.subscribe("ann", before)
    assert [p.data for p in there.publications] == [p["data"] for p in away.answer.publications]
    assert [p.event for p in there.publications][-2:] == ["added", "added"]
    fresh = await house.subscribe("ann")
    shown = [p.data["message"] for p in there.publications[-2:]]
    assert fresh.answer.snapshot["items"] == shown[::-1]


async def test_snoozing_in_vain(house: House) -> None:
    """In the past, too far away, or what is not theirs: nothing is written. Twice is once; a new time replaces the old one."""
    [id] = await fill(house, 1)
    now_ms, position = house.clock.now_ms(), (await house.inbox.page(ANN)).position
    for until_ms in (now_ms, now_ms - 1, now_ms + 366 * 86_400_000 + 1):
        with pytest.raises(Invalid) as refused:
            await house.inbox.snooze(ANN, id, until_ms)
        assert refused.value.faults[0].pointer == "/until"
    with pytest.raises(NotFound):
        await house.inbox.snooze(user("bob"), id, now_ms + 1)
    assert (await house.inbox.page(ANN)).position == position
    for until_ms in (now_ms + 5, now_ms + 5, now_ms + 9_000):
        await house.inbox.snooze(ANN, id, until_ms)
    assert (await house.inbox.page(ANN)).position.offset == position.offset + 2
    house.clock.advance(8)
    assert await house.inbox.look() == pytest.approx(1)
    assert (await house.inbox.mark(ANN, id, "archive")).snoozed_until is UNSET
    house.clock.advance(8)
    await house.inbox.look()
    assert await titles(house, "archived") == ["1"]


async def test_who_was_erased_while_something_was_put_off_keeps_nobody_waiting(
    house: House,
) -> None:
    """Of what comes back at one time, that of the others does."""
    for name in ("ann", "bob"):
        await house.send(name)
        [message] = (await house.inbox.page(user(name))).items
        await house.inbox.snooze(user(name), message.id, house.clock.now_ms() + 1_000)
    async with house.store.transaction() as tx:
        await tx.execute(Sql("DELETE FROM inbox_head WHERE usr = 'ann'"))
    house.clock.advance(1)
    await house.inbox.look()
    assert len((await house.inbox.page(user("bob"))).items) == 1
