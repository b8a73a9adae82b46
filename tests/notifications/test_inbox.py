"""The inbox: pages, counts, and changes of one message or all, each told once."""

import asyncio

import msgspec
import pytest
from msgspec import UNSET

from clarion.auth.principal import Principal
from clarion.clock import as_datetime
from clarion.errors import Conflict, Invalid, NotFound
from clarion.notifications.log import LOG_AGE_S, LOG_SIZE, NOTHING, WINDOW
from clarion.storage.slices import total
from clarion.storage.store import Sql
from clarion.topics.arguments import SubscribeArgs
from clarion.topics.stream import Position
from tests.notifications.conftest import House, on_one_engine, user

ANN = user("ann")


async def titles(house: House, filter: str = "all") -> list[str]:
    page = await house.inbox.page(ANN, filter=filter)  # type: ignore[arg-type]
    return [item.title for item in page.items]


async def fill(house: House, count: int) -> list[str]:
    """Messages 1…count for ann; their ids, oldest first."""
    for number in range(1, count + 1):
        await house.send("ann", title=str(number))
    items, cursor = [], None
    while True:
        page = await house.inbox.page(ANN, cursor, 100)
        items += page.items
        cursor = page.next
        if cursor is None:
            return [item.id for item in reversed(items)]


async def test_an_inbox_to_which_nothing_was_sent(house: House) -> None:
    """Empty, and a position from which the first message can be recovered."""
    page = await house.inbox.page(ANN)
    assert (page.items, page.next, page.unread, page.position) == ([], None, 0, NOTHING)
    assert (await house.inbox.mark_all(ANN, "read")).changed == 0
    assert (await house.subscribe("ann", NOTHING)).answer.publications == []
    await house.send("ann")
    reader = await house.subscribe("ann", NOTHING)
    assert reader.answer.recovered
    assert len(reader.answer.publications) == 1


async def test_pages_are_newest_first_and_meet_without_gap_or_overlap(house: House) -> None:
    """Also when messages come in between."""
    await fill(house, 7)
    first = await house.inbox.page(ANN, limit=3)
    await house.send("ann", title="8")
    second = await house.inbox.page(ANN, first.next, 3)
    third = await house.inbox.page(ANN, second.next, 3)
    assert [[item.title for item in page.items] for page in (first, second, third)] == [
        ["7", "6", "5"],
        ["4", "3", "2"],
        ["1"],
    ]
    assert third.next is None
    assert (third.unread, third.position.offset) == (8, 8)
    exact = await house.inbox.page(ANN, limit=8)
    assert exact.next is None


async def test_filters(house: House) -> None:
    ids = await fill(house, 4)
    await house.inbox.mark(ANN, ids[1], "read")
    await house.inbox.mark(ANN, ids[2], "archive")
    assert await titles(house) == ["4", "2", "1"]
    assert await titles(house, "unread") == ["4", "1"]
    assert await titles(house, "archived") == ["3"]
    assert (await house.inbox.page(ANN, filter="archived")).unread == 2


@on_one_engine
@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "9" * 16, "٣", "1 "])
async def test_a_cursor_that_no_page_has_given(house: House, cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        await house.inbox.page(ANN, cursor)
    assert refused.value.faults[0].pointer == "?cursor"


@on_one_engine
async def test_the_size_of_a_page_is_bounded(house: House) -> None:
    for limit in (0, 101):
        with pytest.raises(Invalid):
            await house.inbox.page(ANN, limit=limit)


async def test_a_change_is_answered_stored_and_told(house: House) -> None:
    [id] = await fill(house, 1)
    reader = await house.subscribe("ann")
    house.clock.advance(3)
    now = as_datetime(house.clock.now_ms())
    message = await house.inbox.mark(ANN, id, "read")
    assert (message.id, message.read_at, message.archived_at) == (id, now, None)
    page = await house.inbox.page(ANN)
    assert (page.items[0], page.unread) == (message, 0)
    await house.settle()
    [publication] = reader.publications
    assert publication.event == "changed"
    assert publication.data == {
        "id": id,
        "read_at": now.isoformat().replace("+00:00", "Z"),
        "archived_at": None,
        "seen_at": now.isoformat().replace("+00:00", "Z"),
        "unread": 0,
        "unseen": 0,
    }
    [_, stored] = (await house.kind.log.read(house.topic("ann"), 0, 9)).entries
    assert (await house.kind.log.read(house.topic("ann"), 2, 9)).entries == []
    assert stored.data == publication.data


async def test_what_changes_nothing_leaves_no_trace(house: House) -> None:
    [id] = await fill(house, 1)
    read = await house.inbox.mark(ANN, id, "read")
    position = (await house.inbox.page(ANN)).position
    house.clock.advance(3)
    assert await house.inbox.mark(ANN, id, "read") == read
    assert await house.inbox.mark(ANN, id, "unarchive") == read
    assert (await house.inbox.page(ANN)).position == position


async def test_the_same_change_at_the_same_time_is_one_change(house: House) -> None:
    [id] = await fill(house, 1)
    await asyncio.gather(*(house.inbox.mark(ANN, id, "read") for _ in range(8)))
    page = await house.inbox.page(ANN)
    assert (page.unread, page.position.offset) == (0, 2)


async def test_what_was_decided_on_is_looked_at_again_when_nobody_can_change_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look is without the lock: somebody else may do the same in between."""
    [id] = await fill(house, 1)
    stale = await house.inbox._find(house.store, ANN, id)
    await house.inbox.mark(ANN, id, "read")

    async def former(*args: object, **params: object) -> list[object]:
        return [stale]

    with monkeypatch.context() as patch:
        patch.setattr(house.store, "fetch", former)
        message = await house.inbox.mark(ANN, id, "read")
    assert message.read_at is not None
    assert (await house.inbox.page(ANN)).position.offset == 2


async def test_foreign_and_unknown_messages_do_not_exist(house: House) -> None:
    """In one answer, so that nobody learns which of the two it was; nor is anything written."""
    [id] = await fill(house, 1)
    await house.send("bob")
    position = (await house.inbox.page(ANN)).position
    said = set()
    for caller, wanted in (
        (user("bob"), id),
        (user("ann", "acme"), id),
        (user("eve"), id),
        (ANN, "nothing"),
    ):
        with pytest.raises(NotFound) as refused:
            await house.inbox.mark(caller, wanted, "archive")
        said.add(str(refused.value))
    assert len(said) == 1
    assert (await house.inbox.page(ANN)).position == position


async def test_unread_counts_what_is_neither_read_nor_archived(house: House) -> None:
    ids = await fill(house, 3)
    counts = []
    for id, action in (
        (ids[0], "read"),
        (ids[0], "unread"),
        (ids[1], "archive"),
        (ids[1], "read"),
        (ids[1], "unarchive"),
        (ids[1], "unread"),
    ):
        await house.inbox.mark(ANN, id, action)  # type: ignore[arg-type]
        counts.append((await house.inbox.page(ANN)).unread)
    assert counts == [2, 3, 2, 2, 2, 3]


async def test_all_at_once_is_one_entry_of_the_log(house: House) -> None:
    ids = await fill(house, 5)
    await house.inbox.mark(ANN, ids[0], "archive")
    reader = await house.subscribe("ann")
    house.clock.advance(1)
    read = await house.inbox.mark_all(ANN, "read")
    assert (read.changed, read.unread) == (4, 0)
    assert (await house.inbox.mark_all(ANN, "read")).changed == 0
    put_away = await house.inbox.mark_all(ANN, "archive")
    assert (put_away.changed, put_away.unread) == (4, 0)
    assert (await house.inbox.mark_all(ANN, "archive")).changed == 0
    await house.settle()
    assert [p.event for p in reader.publications] == ["all_read", "all_archived"]
    assert [p.data["unread"] for p in reader.publications] == [0, 0]
    assert await titles(house) == []
    archived = (await house.inbox.page(ANN, filter="archived")).items
    assert [item.read_at is None for item in archived] == [False, False, False, False, True]


async def test_archiving_all_leaves_nothing_unread(house: House) -> None:
    await fill(house, 2)
    assert (await house.inbox.mark_all(ANN, "archive")).unread == 0
    assert (await house.inbox.page(ANN)).unread == 0
    await house.send("ann")
    assert (await house.inbox.page(ANN)).unread == 1


async def test_the_state_is_the_newest_messages_and_says_if_there_are_more(house: House) -> None:
    await fill(house, WINDOW)
    snapshot = (await house.subscribe("ann")).answer.snapshot
    assert [item["title"] for item in snapshot["items"]] == [str(n) for n in range(WINDOW, 0, -1)]
    assert (snapshot["more"], snapshot["unread"]) == (False, WINDOW)
    await house.send("ann", title="more")
    snapshot = (await house.subscribe("ann")).answer.snapshot
    assert (len(snapshot["items"]), snapshot["more"]) == (WINDOW, True)
    page = await house.inbox.page(ANN, limit=WINDOW)
    assert [item["id"] for item in snapshot["items"]] == [item.id for item in page.items]


async def test_a_message_that_enters_the_window_comes_with_the_change(house: House) -> None:
    """Archiving one of the newest 50 pulls the 51st in; archiving what lies below pulls nothing."""
    ids = await fill(house, WINDOW + 2)
    await house.inbox.mark(ANN, ids[1], "read")
    reader = await house.subscribe("ann")
    await house.inbox.mark(ANN, ids[-1], "archive")
    await house.inbox.mark(ANN, ids[0], "archive")
    await house.inbox.mark(ANN, ids[-1], "unarchive")
    await house.settle()
    one, two, three = [p.data for p in reader.publications]
    assert one["entered"]["id"] == ids[1]
    assert one["entered"]["read_at"] is not None
    assert "entered" not in two
    assert three["message"]["id"] == ids[-1]
    stored = (await house.kind.log.read(house.topic("ann"), WINDOW + 3, 9)).entries
    assert [entry.data for entry in stored] == [one, two, three]


async def test_only_its_owner_may_subscribe(house: House) -> None:
    from clarion.errors import Forbidden

    reader = await house.subscribe("ann")
    for principal in (user("bob"), Principal(id="ann", kind="key", scopes=frozenset({"*"}))):
        with pytest.raises(Forbidden):
            await house.engine.subscribe(reader, principal, SubscribeArgs("inbox:ann"))


async def test_a_lost_announcement_is_found_by_the_position_check(house: House) -> None:
    """`kill -9` between commit and announcement, or a bus that loses one: the inbox catches up by itself."""
    reader = await house.subscribe("ann")
    await house.bus.close()
    await house.send("ann", title="unheard")
    await house.engine.check_positions()
    await house.caught_up()
    assert [p.data["message"]["title"] for p in reader.publications] == ["unheard"]


async def test_positions_are_asked_for_in_bulk(house: House) -> None:
    """Of several tenants, known and unknown, more than one statement takes."""
    await house.send("ann")
    await house.send("ann")
    topics = [house.topic(f"u{i}") for i in range(150)]
    topics.insert(120, house.topic("ann"))
    found = await house.kind.log.top(topics)
    assert found[120] == (await house.inbox.page(ANN)).position
    assert found[120].offset == 2
    del found[120]
    assert found == [NOTHING] * 150


async def test_logs_are_trimmed_by_size_and_by_age(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest 1,000 entries of the last 7 days; who knows less gets the state, with the reason."""
    monkeypatch.setattr("clarion.notifications.inbox.inbox.LOG_SIZE", 5)
    monkeypatch.setattr("clarion.storage.logs.HEADS", 2)
    start = NOTHING
    for number in range(1, 8):
        await house.send("ann", "bob", f"other{number}")
    assert await total(house.inbox.trim()) == 4
    assert await total(house.inbox.trim()) == 0
    assert [e.offset for e in (await house.kind.log.read(house.topic("ann"), 0, 9)).entries] == [3, 4, 5, 6, 7]  # fmt: skip
    late = await house.subscribe("ann", start)
    assert (late.answer.recovered, late.answer.reason) == (False, "too_old")
    assert len(late.answer.snapshot["items"]) == 7
    house.clock.advance(LOG_AGE_S - 1)
    await house.send("ann")
    house.clock.advance(2)
    await total(house.inbox.trim())
    top = (await house.inbox.page(ANN)).position
    assert [e.offset for e in (await house.kind.log.read(house.topic("ann"), 0, 9)).entries] == [8]
    assert (await house.subscribe("ann", top)).answer.recovered
    assert (await house.subscribe("bob", Position("0", 6, 1))).answer.reason == "too_old"
    assert LOG_SIZE == 1_000


async def test_entries_whose_message_is_gone_are_gone_as_well(house: House) -> None:
    """A log that cannot say what was added does not pretend that nothing was."""
    await fill(house, 3)
    async with house.store.transaction() as tx:
        await tx.execute(
            Sql("DELETE FROM message WHERE tenant = :tenant AND usr = 'ann' AND seq = 2"),
            tenant="default",
        )
    reader = await house.subscribe("ann", NOTHING)
    assert (reader.answer.recovered, reader.answer.reason) == (False, "too_old")


async def test_a_category_is_listed_and_read_by_itself(house: House) -> None:
    for title, category in (("1", "news"), ("2", ""), ("3", "news")):
        await house.send("ann", title=title, category=category)
    page = await house.inbox.page(ANN, category="news")
    assert [m.title for m in page.items] == ["3", "1"]
    reader = await house.subscribe("ann")
    read = await house.inbox.mark_all(ANN, "read", "news")
    assert (read.changed, read.unread, read.unseen) == (2, 1, 1)
    assert (await house.inbox.mark_all(ANN, "read", "news")).changed == 0
    assert await titles(house, "unread") == ["2"]
    await house.settle()
    assert [(p.event, p.data["category"]) for p in reader.publications] == [("some_read", "news")]


async def test_what_came_meanwhile_or_is_about_something_else_stays(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading and seeing up to a place is one entry; putting away by a filter is one for each, so that no list gets a hole."""
    monkeypatch.setattr("clarion.notifications.inbox.many.ARCHIVED_AT_ONCE", 2)
    for n in range(1, 8):
        await house.send("ann", title=str(n), category="news" if n % 2 else "")
    reader, upto = await house.subscribe("ann"), (await house.inbox.page(ANN)).items[2].seq
    seen = await house.inbox.mark_all(ANN, "seen", upto=upto)
    assert (seen.changed, seen.unread, seen.unseen) == (5, 7, 2)
    read = await house.inbox.mark_all(ANN, "read", upto=upto)
    assert (read.changed, read.unread, read.unseen) == (5, 2, 2)
    assert await titles(house, "unread") == ["7", "6"]
    away = await house.inbox.mark_all(ANN, "archive", "news", upto)
    assert (away.changed, away.more, away.unread) == (2, True, 2)
    assert await titles(house, "archived") == ["5", "3"]
    away = await house.inbox.mark_all(ANN, "archive", "news", upto)
    assert (away.changed, away.more, await titles(house)) == (1, UNSET, ["7", "6", "4", "2"])
    assert (await house.inbox.mark_all(ANN, "archive", "news", upto)).changed == 0
    assert (await house.inbox.mark_all(ANN, "read", upto=0)).changed == 0
    await house.settle()
    assert [p.event for p in reader.publications] == ["all_seen", "all_read", *["changed"] * 3]
    assert [p.data["upto"] for p in reader.publications[:2]] == [upto, upto]


async def test_who_follows_a_message_has_read_it(house: House) -> None:
    """The first time stays; a message that was pinned is no more once it is unpinned."""
    [id] = await fill(house, 1)
    first = await house.inbox.mark(ANN, id, "clicked")
    assert first.clicked_at == first.read_at == first.seen_at is not None
    house.clock.advance(3)
    assert await house.inbox.mark(ANN, id, "clicked") == first
    assert (await house.inbox.mark(ANN, id, "pin")).pinned_at is not UNSET
    assert await titles(house, "pinned") == ["1"]
    assert (await house.inbox.mark(ANN, id, "unpin")).pinned_at is UNSET


async def test_a_later_message_of_a_key_takes_the_place_of_the_earlier_one(house: House) -> None:
    """On top, unread and unseen; the earlier one is gone from every list and the numbers, for who was there and who was away."""
    there, before = await house.subscribe("ann"), (await house.inbox.page(ANN)).position
    for done in (40, 70):
        await house.send("ann", "bob", title=f"{done} %", key_="upload")
        [message] = (await house.inbox.page(ANN)).items
        await house.inbox.mark(ANN, message.id, "read")
    await house.send("ann", title="another", key_="build")
    first = await house.send("ann", title="done", key="once", key_="upload")
    assert await house.send("ann", title="done", key="once", key_="upload") == first
    page = await house.inbox.page(ANN)
    assert [(m.title, m.key, m.read_at) for m in page.items] == [
        ("done", "upload", None),
        ("another", "build", None),
    ]
    assert (page.unread, page.unseen) == (2, 2)
    assert [m.title for m in (await house.inbox.page(user("bob"))).items] == ["70 %"]
    await house.inbox.snooze(ANN, page.items[0].id, house.clock.now_ms() + 1_000)
    await house.send("ann", title="again", key_="upload")
    assert (await titles(house), await titles(house, "snoozed")) == (["again", "another"], [])
    await house.settle()
    told = there.publications[-1].data
    assert (told["unread"], told["unseen"]) == (2, 2)
    away = await house.subscribe("ann", before)
    assert [m["title"] for m in away.answer.snapshot["items"]] == ["again", "another"]


async def test_what_expires_leaves_every_inbox_at_its_time(house: House) -> None:
    """Once, with an entry in each log: also for those who have put it off or away; what enters the window comes along."""
    await fill(house, 1)
    await house.send("ann", "bob", title="sale", expires="1m")
    for n in range(WINDOW - 1):
        await house.send("ann", title=f"more {n}")
    page, reader = await house.inbox.page(ANN), await house.subscribe("ann")
    assert page.items[-1].expires_at == as_datetime(house.clock.now_ms() + 60_000)
    house.clock.advance(59.999)
    assert await house.inbox.look() == pytest.approx(0.001)
    assert (await house.inbox.page(ANN)).position == page.position
    house.clock.advance(0.001)
    await asyncio.gather(house.inbox.look(), house.inbox.look())
    after = await house.inbox.page(ANN)
    assert (len(after.items), after.unread, after.unseen) == (WINDOW, WINDOW, WINDOW)
    assert after.position.offset == page.position.offset + 1
    await house.settle()
    [told] = reader.publications
    assert (told.event, told.data["ids"]) == ("removed", [page.items[-1].id])
    assert told.data["entered"]["title"] == "1"
    bob = await house.inbox.page(user("bob"))
    assert (bob.items, bob.unread, bob.unseen) == ([], 0, 0)
    assert await house.inbox.look() > 0


@on_one_engine
@pytest.mark.parametrize(
    "expires", ["soon", "0s", "2020-01-01T00:00:00Z", "2030-01-01T00:00:00", "2030-99-01", "1m 2"]
)
async def test_an_expiry_that_is_none(house: House, expires: str) -> None:
    with pytest.raises(Invalid) as refused:
        await house.send("ann", expires=expires)
    assert refused.value.faults[0].pointer == "/expires"


async def test_one_button_of_a_message_is_pressed_once(house: House) -> None:
    """That is to follow it; every tab sees which it was, and a second one, or somebody else's, changes nothing."""
    buttons = [
        {"id": "yes", "label": "Accept", "style": "primary", "url": "/ok"},
        {"id": "no", "label": "Decline"},
    ]
    await house.send("ann", "bob", actions=buttons)
    reader, [message] = await house.subscribe("ann"), (await house.inbox.page(ANN)).items
    assert msgspec.to_builtins(message.actions) == buttons
    pressed = await asyncio.gather(
        *(house.inbox.press(ANN, message.id, button) for button in ("yes", "yes", "no")),
        return_exceptions=True,
    )
    [refused] = [each for each in pressed if isinstance(each, BaseException)]
    assert isinstance(refused, Conflict)
    page = await house.inbox.page(ANN)
    [shown] = page.items
    assert (shown.done, page.unread, page.unseen) == (pressed[0].done, 0, 0)  # type: ignore[union-attr]
    assert shown.done
    assert (shown.done.action, shown.done.at) == ("yes", shown.clicked_at)
    for who, button in ((ANN, "maybe"), (user("bob"), "yes")):
        with pytest.raises(NotFound):
            await house.inbox.press(who, message.id, button)
    assert (await house.inbox.page(user("bob"))).unread == 1
    await house.settle()
    [told] = reader.publications
    done = msgspec.to_builtins(shown.done)
    assert (told.event, told.data["done"], told.data["unread"]) == ("changed", done, 0)
    fresh = await house.subscribe("ann")
    assert fresh.answer.snapshot["items"][0]["done"] == done


@on_one_engine
async def test_buttons_that_are_none(house: House) -> None:
    two = [{"id": "a", "label": "A"}, {"id": "a", "label": "B"}]
    with pytest.raises(Invalid) as refused:
        await house.send("ann", actions=two)
    assert refused.value.faults[0].pointer == "/actions"
    for wrong in (
        {"id": "a b", "label": "A"},
        {"id": "a"},
        {"id": "a", "label": "A", "url": "javascript:x"},
    ):
        with pytest.raises(msgspec.ValidationError):
            await house.send("ann", actions=[wrong])
