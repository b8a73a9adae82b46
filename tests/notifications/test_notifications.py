"""The trigger: in every inbox once, on disk before the answer, or nowhere."""

import asyncio
from typing import Any

import msgspec
import pytest

from clarion.auth.principal import Principal
from clarion.errors import IdempotencyConflict, Invalid, Unavailable
from clarion.notifications import CreateNotification, Notifications
from clarion.notifications.content import DATA_BYTES, DATA_DEPTH
from clarion.notifications.notifications import KEY_KEPT_MS
from clarion.storage import subscribers
from clarion.storage.notifications import Outcome
from clarion.storage.slices import total
from clarion.storage.store import Sql
from tests.notifications.conftest import APP, House, on_one_engine, user


class Count(msgspec.Struct):
    n: int


async def rows(house: House, table: str) -> int:
    found = await house.store.fetch(Sql(f"SELECT count(*) FROM {table}", Count))
    return found[0].n


TABLES = ("notification", "message", "inbox_head", "inbox_change", "subscriber", "idempotency")


async def state(house: House) -> list[int]:
    return [await rows(house, table) for table in TABLES]


async def test_everybody_named_finds_the_message_in_their_inbox(house: House) -> None:
    answer = await house.send(
        "ann", "bob", title="Build failed", body="main is red", data={"build": 7}, action_url="/b/7"
    )
    assert (answer.recipients, answer.durability) == (2, "fsync")
    for name in ("ann", "bob"):
        page = await house.inbox.page(user(name))
        [message] = page.items
        assert message.notification_id == answer.id
        assert (message.title, message.body) == ("Build failed", "main is red")
        assert (message.data, message.action_url) == ({"build": 7}, "/b/7")
        assert (message.created_at, message.read_at) == (answer.created_at, None)
        assert (page.unread, page.position.offset, message.seq) == (1, 1, 1)
    assert (await house.inbox.page(user("eve"))).items == []


async def test_a_person_named_twice_gets_it_once(house: House) -> None:
    answer = await house.send("ann", "=ann", {"id": "ann", "name": "Ann"})
    assert answer.recipients == 1
    assert (await house.inbox.page(user("ann"))).unread == 1


async def test_an_unknown_recipient_is_said_by_its_place_and_nothing_is_written(
    house: House,
) -> None:
    """422 with pointers; not even the key, the recipients that were described, or those that are known."""
    await house.send("ann")
    before = await state(house)
    for key in (None, "k"):
        with pytest.raises(Invalid) as refused:
            await house.send("=ann", "=bob", "carl", "=dora", "=bob", key=key)
        assert [fault.pointer for fault in refused.value.faults] == [
            "/recipients/1",
            "/recipients/3",
        ]
    assert await state(house) == before
    await house.send("=ann", "bob", "carl", "dora", key="k")
    assert (await house.send("=bob")).recipients == 1


async def test_who_was_described_is_known_from_then_on(house: House) -> None:
    """A later description changes what it says and leaves the rest."""
    await house.send(
        {"id": "ann", "name": "Ann", "email": "ann@example.org", "attributes": {"plan": "pro"}}
    )
    house.clock.advance(5)
    await house.send({"id": "ann", "locale": "de", "name": "Anna"})
    await house.send("=ann")
    [ann] = await house.store.fetch(subscribers.FIND, tenant="default", id="ann")
    assert (ann.name, ann.email, ann.locale, ann.time_zone) == ("Anna", "ann@example.org", "de", "")
    assert ann.attributes == '{"plan":"pro"}'
    assert ann.updated_ms - ann.created_ms == 5000


async def test_tenants_do_not_meet(house: House) -> None:
    """Neither recipients, nor inboxes, nor keys."""
    await house.send("ann", key="k")
    acme = Principal(id="app", tenant="acme", kind="key")
    body = CreateNotification(recipients=["ann"], title="Hello")
    with pytest.raises(Invalid):
        await house.notifications.send(acme, body, "k")
    assert (await house.inbox.page(user("ann", "acme"))).unread == 0


async def test_the_same_key_and_body_have_one_effect_and_one_answer(house: House) -> None:
    first = await house.send("ann", title="Paid", data={"b": 1, "a": 2}, key="order-7")
    before = await state(house)
    house.clock.advance(60)
    again = await house.send("ann", title="Paid", data={"a": 2, "b": 1}, key="order-7")
    assert again == first
    assert await state(house) == before
    assert (await house.inbox.page(user("ann"))).unread == 1


async def test_the_answer_is_kept_when_the_server_is_not(house: House) -> None:
    """A new process knows the key: it was in the same commit."""
    first = await house.send("ann", key="k")
    restarted = Notifications(
        house.store, house.inbox, house.book, house.limits, clock=house.clock, ids=house.inbox._ids
    )
    body = CreateNotification(recipients=[{"id": "ann"}], title="Hello")  # type: ignore[list-item]
    body = msgspec.convert(msgspec.to_builtins(body), CreateNotification)
    assert await restarted.send(APP, body, "k") == first


async def test_the_same_key_with_another_body_is_a_conflict(house: House) -> None:
    await house.send("ann", title="One", key="k")
    before = await state(house)
    with pytest.raises(IdempotencyConflict):
        await house.send("ann", title="Two", key="k")
    with pytest.raises(IdempotencyConflict):
        await house.send("=nobody", title="One", key="k")
    assert await state(house) == before


async def test_a_key_belongs_to_its_caller(house: House) -> None:
    body = msgspec.convert({"recipients": [{"id": "ann"}], "title": "Hello"}, CreateNotification)
    answers = [
        await house.notifications.send(caller, body, "k")
        for caller in (APP, Principal(id="other", kind="key"), Principal(id="app", kind="user"))
    ]
    assert len({answer.id for answer in answers}) == 3


async def test_concurrent_calls_with_one_key_have_one_effect(house: House) -> None:
    answers = await asyncio.gather(*(house.send("ann", "bob", key="k") for _ in range(20)))
    assert len({answer.id for answer in answers}) == 1
    assert (await house.inbox.page(user("ann"))).unread == 1
    assert await rows(house, "notification") == 1


async def test_concurrent_calls_with_one_key_and_two_bodies_have_one_winner(house: House) -> None:
    results = await asyncio.gather(
        *(house.send("ann", title=f"{i % 2}", key="k") for i in range(10)), return_exceptions=True
    )
    refused = [r for r in results if isinstance(r, IdempotencyConflict)]
    assert len(refused) == 5
    assert len({r.id for r in results if not isinstance(r, BaseException)}) == 1
    assert (await house.inbox.page(user("ann"))).unread == 1


async def test_keys_are_forgotten_after_a_day(house: House) -> None:
    await house.send("ann", key="old")
    house.clock.advance(KEY_KEPT_MS / 1000 - 1)
    assert await total(house.notifications.forget_keys()) == 0
    await house.send("ann", key="new")
    house.clock.advance(2)
    assert await total(house.notifications.forget_keys()) == 1
    await house.send("ann", key="old")
    assert (await house.inbox.page(user("ann"))).unread == 3


async def test_forgetting_goes_slice_by_slice(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many keys there are, nobody waits long behind it."""
    monkeypatch.setattr("clarion.notifications.notifications._SLICE", 2)
    for number in range(5):
        await house.send("ann", key=f"k{number}")
    house.clock.advance(KEY_KEPT_MS / 1000 + 1)
    assert await total(house.notifications.forget_keys()) == 5
    assert await rows(house, "idempotency") == 0


@on_one_engine
async def test_a_call_whose_recipients_are_being_described_asks_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither accepted nor refused: somebody described its recipient in the same run. That ends, or it is told to come later."""
    await house.send("ann")
    apply, runs = house.store.apply, []

    async def undecided(procedure: Any, rows: Any) -> Any:
        runs.append(rows[0].notification)
        if len(runs) < wanted:
            return [Outcome(1, 0, 1, None, None, None, "", 0, 0, 0, 0)]
        return await apply(procedure, rows)

    monkeypatch.setattr(house.store, "apply", undecided)
    wanted = 3
    assert (await house.send("=ann")).id == runs[-1]
    wanted = 99
    with pytest.raises(Unavailable):
        await house.send("=ann")


async def test_who_is_described_and_named_at_the_same_moment_gets_both(house: House) -> None:
    """Calls that run together are in some order: the one that only names either comes second or is refused."""
    for round in range(10):
        name = f"new{round}"
        described, named = await asyncio.gather(
            house.send(name), house.send(f"={name}"), return_exceptions=True
        )
        assert not isinstance(described, BaseException)
        got = (await house.inbox.page(user(name))).unread
        assert got == (1 if isinstance(named, Invalid) else 2)


async def test_concurrent_senders_leave_gapless_logs_and_exact_counts(house: House) -> None:
    """Offsets 1…n, each mark the sum so far, unread what a count says: for every user, whoever sends at the same time."""
    names = [f"u{i}" for i in range(5)]
    await house.send(*names)

    async def sender(number: int) -> None:
        for i in range(6):
            await house.send(*{f"={names[(number + j) % 5]}": 0 for j in range(1 + i % 3)})
            page = await house.inbox.page(user(names[number % 5]))
            if i % 2 and page.items:
                await house.inbox.mark(user(names[number % 5]), page.items[-1].id, "read")

    await asyncio.gather(*(sender(number) for number in range(12)))
    log = house.kind.log
    for name in names:
        topic = house.topic(name)
        read = await log.read(topic, 0, 1000)
        assert [entry.offset for entry in read.entries] == list(range(1, read.top.offset + 1))
        mark = 0
        for entry in read.entries:
            assert entry.prior == mark
            mark = entry.mark
        assert mark == read.top.mark
        items, cursor = [], None
        while True:
            page = await house.inbox.page(user(name), cursor, 7)
            items += page.items
            if (cursor := page.next) is None:
                break
        assert page.unread == sum(item.read_at is None for item in items)
        assert read.entries[-1].data["unread"] == page.unread
        added = [e.data["message"]["id"] for e in read.entries if e.event == "added"]
        assert added == [item.id for item in reversed(items)]


async def test_who_is_online_hears_of_it_after_the_commit(house: House) -> None:
    ann = await house.subscribe("ann")
    await house.send("ann", "bob", title="Hi")
    await house.settle()
    [publication] = ann.publications
    assert (publication.event, publication.data["unread"]) == ("added", 1)
    [stored] = (await house.kind.log.read(house.topic("ann"), 0, 9)).entries
    assert publication.data == stored.data
    assert publication.data["message"]["title"] == "Hi"


@on_one_engine
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"data": {"x": "y" * DATA_BYTES}}, "/data"),
        ({"data": {"x": 2**53}}, "/data"),
        ({"data": {"x": [{"y": -(2**53)}]}}, "/data"),
        (
            {"recipients": [{"id": "a", "attributes": {"x": "y" * 5000}}]},
            "/recipients/0/attributes",
        ),
        ({"recipients": [f"u{i}" for i in range(21)]}, "/recipients"),
    ],
)
async def test_what_is_too_much_is_refused_by_its_place(
    house: House, body: dict[str, Any], pointer: str
) -> None:
    whole = {"recipients": [{"id": "ann"}], "title": "Hello", **body}
    with pytest.raises(Invalid) as refused:
        await house.notifications.send(APP, msgspec.convert(whole, CreateNotification))
    assert [fault.pointer for fault in refused.value.faults] == [pointer]
    assert await state(house) == [0] * len(TABLES)


async def test_what_is_just_not_too_much_is_accepted(house: House) -> None:
    data: Any = {"x": 2**53 - 1, "y": -1.5, "z": None, "text": "y" * (DATA_BYTES - 250)}
    for _ in range(DATA_DEPTH - 1):
        data = {"d": data}
    await house.send(*(f"u{i}" for i in range(20)), data=data)
    assert (await house.inbox.page(user("u19"))).items[0].data == data
    with pytest.raises(Invalid):
        await house.send("ann", data={"d": data})


@on_one_engine
@pytest.mark.parametrize("key", ["", "a b", "ä", "k" * 256, "a\n"])
async def test_what_is_no_key(house: House, key: str) -> None:
    with pytest.raises(Invalid) as refused:
        await house.send("ann", key=key)
    assert refused.value.faults[0].pointer == "Idempotency-Key"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("title", ""),
        ("title", "x" * 201),
        ("title", "a\x00"),
        ("body", "x" * 8193),
        ("body", "a\x00"),
        ("recipients", []),
        ("data", []),
        ("extra", 1),
        ("action_url", ""),
        ("action_url", "javascript:alert(1)"),
        ("action_url", "data:text/html,x"),
        ("action_url", "//evil.example"),
        ("action_url", "/\\evil.example"),
        ("action_url", "/\t/evil.example"),
        ("action_url", "/\ufeff/evil.example"),
        ("action_url", "https://x.example/\u2028"),
        ("action_url", "mailto:a@b\x7f"),
        ("action_url", "relative"),
        ("action_url", "https://"),
        ("action_url", " https://x.example"),
        ("action_url", "https://x.example/\n"),
        ("action_url", "/" + "x" * 2048),
    ],
)
def test_what_is_no_notification(member: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(
            {"recipients": ["ann"], "title": "Hello", member: value}, CreateNotification
        )


@pytest.mark.parametrize(
    "url", ["/", "/orders/7?x=1#y", "https://x.example/a", "http://x.example", "mailto:a@b.example"]
)
def test_where_a_button_may_lead(url: str) -> None:
    msgspec.convert({"recipients": ["a"], "title": "x", "action_url": url}, CreateNotification)
