"""Delivery mode: what leaves, what is kept instead, and who sees it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from msgspec import Struct

from clarion.errors import Forbidden, NotFound
from clarion.ids import Ids
from clarion.notifications.channels import NotSent, Outgoing, Sent
from clarion.notifications.delivery import LINK_S, Delivery, Mode
from clarion.settings import Settings, load
from clarion.storage.store import Sql
from tests.notifications.conftest import House, on_one_engine
from tests.notifications.office import ANN, LETTER, Letters, Office


class Dead(Struct, frozen=True):
    """How a message ended."""

    status: str
    cause: str


def message(address: str = "ann@example.com", user: str = "ann", **content: Any) -> Outgoing:
    return Outgoing("default", "r.0.0", user, address, content or {"text": "x"}, "w", "c", 1)


@pytest.fixture
async def office(house: House) -> AsyncIterator[Office]:
    office = Office(house)
    yield office
    await office.triggers.settled()
    await office.sender.close()
    await office.outbound.close()


def delivery_of(house: House, mode: Mode, allow: Sequence[str] = (), keep: int = 10) -> Delivery:
    clock = house.clock
    return Delivery(house.store, mode, allow, keep=keep, clock=clock, ids=Ids.seeded(1))


async def test_nothing_leaves_and_everything_can_be_looked_at(office: Office) -> None:
    """With `capture` the provider gets nothing; the message counts as sent, by `capture`, and is there as it was rendered."""
    office.sender._diverts = delivery = delivery_of(office.house, "capture")
    await office.workflow(LETTER)
    await office.trigger(ANN, payload={"n": 1})
    await office.run()
    assert office.letters.sent == []
    [kept] = (await delivery.page("default")).items
    assert (kept.channel, kept.user, kept.address) == ("letter", "ann", "ann@example.com")
    assert kept.content == {"text": "Dear ann, 1"}
    assert (await delivery.find("default", kept.id)).html_url is None
    assert await office.count("attempt") == 1


@on_one_engine
async def test_only_those_who_are_listed_are_reached(house: House) -> None:
    """By address, by domain, by a URL's host, by user, whatever the case; everything else is kept."""
    allow = ["Ann@example.com", "@ours.test", "hooks.ours.test", "user:Dev", "+15550100"]
    delivery = delivery_of(house, "allowlist", allow)
    for address in ("ann@EXAMPLE.com", "x@ours.test", "https://hooks.ours.test/a?b", "+15550100"):
        assert delivery.is_real(message(address))
    assert delivery.is_real(message("anywhere", user="dev"))
    for address in (
        "ben@example.com",
        "x@ours.test.evil.test",
        "ours.test",
        "x@evil.test/@ours.test",
        "https://evil.test/hooks.ours.test",
        "https://hooks.ours.test@evil.test/",
        "https://[",
        "",
    ):
        assert not delivery.is_real(message(address)), address
    assert delivery_of(house, "live").is_real(message("anybody"))


async def test_the_newest_are_kept_up_to_the_limit(house: House) -> None:
    """In pages, newest first, by channel and by user; each tenant has its own; the oldest are forgotten."""
    delivery = delivery_of(house, "capture", keep=5)
    for n in range(8):
        house.clock.advance(1)
        await delivery.keep("sms" if n % 2 else "email", message(user=f"u{n % 3}", n=n))
    assert [n async for n in delivery.purge()] == [3]
    first = await delivery.page("default", limit=3)
    assert [each.content["n"] for each in first.items] == [7, 6, 5]
    assert first.next is not None
    rest = await delivery.page("default", limit=3, before=first.next)
    assert [each.content["n"] for each in rest.items] == [4, 3]
    assert rest.next is None
    sms = await delivery.page("default", channel="sms", user="u1")
    assert [each.content["n"] for each in sms.items] == [7]
    assert (await delivery.page("other")).items == []
    with pytest.raises(NotFound):
        await delivery.find("other", first.items[0].id)
    assert await delivery.clear("default") == 5


@on_one_engine
async def test_a_link_to_html_is_for_one_message_and_ten_minutes(house: House) -> None:
    """It is signed: another message, another time, a later hour, and it is refused."""
    delivery = delivery_of(house, "capture")
    await delivery.keep("email", message(html="<p>Hello</p>"))
    house.clock.advance(1)
    await delivery.keep("email", message(html="<p>Secret</p>"))
    one, two = (await delivery.page("default")).items
    assert one.html_url is not None
    asked = dict(pair.split("=") for pair in one.html_url.partition("?")[2].split("&"))
    until, signature = int(asked["until"]), asked["signature"]
    assert await delivery.html("default", one.id, until, signature) == "<p>Secret</p>"
    for tenant, id, at in (
        ("default", two.id, until),
        ("other", one.id, until),
        ("default", one.id, until + 1),
    ):
        with pytest.raises(Forbidden):
            await delivery.html(tenant, id, at, signature)
    with pytest.raises(Forbidden):
        await delivery.html("default", one.id, until, "ünsigned")
    house.clock.advance(LINK_S + 1)
    with pytest.raises(Forbidden, match="over"):
        await delivery.html("default", one.id, until, signature)


async def test_a_channel_without_a_provider_loses_nothing_unseen(office: Office) -> None:
    """Its messages are dead letters that say why, at once; they do not wait for ever."""
    lanes = office.sender._all()
    lanes[0].providers._lines.clear()
    await office.workflow(LETTER, {"inbox": {"title": "we could not"}, "if": "mail.failed"})
    await office.trigger(ANN, payload={"n": 1})
    await office.run()
    [dead] = await office.house.store.fetch(Sql("SELECT status, cause FROM outgoing", Dead))
    assert dead == Dead("failed", "there is no letter provider")


FALLBACK = {
    "id": "tell",
    "fallback": [{"letter": {"text": "hello"}, "within": "5m"}, {"inbox": {"title": "hello"}}],
}


async def test_the_next_channel_takes_over_when_one_fails(office: Office) -> None:
    """As soon as the message is a dead letter; the run's records tell the story."""
    office.letters.fails = [NotSent("no such house", provider="post", is_final=True)]
    await office.workflow(FALLBACK)
    trigger = await office.trigger(ANN)
    await office.run()
    await office.run()
    assert await office.inbox("ann") == ["hello"]
    assert await office.story(trigger) == [
        "tell_letter sent",
        "tell_wait_1 passed: tell_letter was not sent",
        "tell_inbox sent",
    ]


async def test_a_channel_that_takes_too_long_is_called_off(office: Office) -> None:
    """The provider is away for hours: after its time the next channel is used, and the message does not come late."""
    office.letters.fails = [NotSent("away", provider="post", retry_after_s=7_200)]
    await office.workflow(FALLBACK)
    await office.trigger(ANN)
    await office.run()
    assert await office.inbox("ann") == []
    await office.run(300)
    assert await office.inbox("ann") == ["hello"]
    await office.run(7_200)
    assert office.letters.sent == []
    [message] = await office.house.store.fetch(Sql("SELECT status, cause FROM outgoing", Dead))
    assert message == Dead("cancelled", "called off")


async def test_a_channel_that_is_called_off_in_hand_is_not_tried_again(office: Office) -> None:
    """The provider has the message when its time is over, and refuses it later: that was the last attempt."""

    async def refused(message: Outgoing) -> Sent:
        office.letters.sent.append(message)
        office.clock.advance(300)
        await office.runs.go_on()
        raise NotSent("away", provider="post", retry_after_s=1)

    office.letters.send = refused  # type: ignore[method-assign]
    await office.workflow(FALLBACK)
    await office.trigger(ANN)
    await office.sender.look()
    await office.sender.close()
    await office.run(7_200)
    assert (len(office.letters.sent), await office.inbox("ann")) == (1, ["hello"])
    [message] = await office.house.store.fetch(Sql("SELECT status, cause FROM outgoing", Dead))
    assert message == Dead("cancelled", "called off")


async def test_a_channel_that_has_it_is_enough(office: Office) -> None:
    """Nothing comes twice."""
    await office.workflow(FALLBACK)
    await office.trigger(ANN)
    await office.run()
    await office.run(300)
    assert (len(office.letters.sent), await office.inbox("ann")) == (1, [])


class Pigeons(Letters):
    """A channel that hangs: what it is given stays with it."""

    name = "pigeon"

    def __init__(self) -> None:
        super().__init__()
        self.is_released = asyncio.Event()

    async def send(self, message: Outgoing) -> Sent:
        self.sent.append(message)
        await self.is_released.wait()
        return Sent("loft")


async def test_a_channel_that_hangs_delays_no_other(office: Office) -> None:
    """With all of its places taken the rest of its messages wait in the store; the others' go out meanwhile, as many as there are."""
    pigeons = Pigeons()
    office.channels.add(pigeons)
    await office.workflow({"pigeon": {"text": "hello"}}, {"letter": {"text": "hello"}})
    people = [{"id": f"u{n}", "email": f"u{n}@example.com"} for n in range(20)]
    for _ in range(4):
        await office.trigger(*people)
    for _ in range(2):  # a message of every person and trigger: 80 of each channel, 64 places
        await office.sender.look()
        await asyncio.wait([task for lane in office.sender._all() if lane._channel.name == "letter" for task in lane._running])  # fmt: skip
    assert (len(pigeons.sent), len(office.letters.sent)) == (64, 80)
    assert [row.in_hand for row in office.sender.status()["pigeon"]] == [64]
    pigeons.is_released.set()
    await office.sender.close()
    await office.run()
    assert len({message.id for message in pigeons.sent}) == len(pigeons.sent) == 80


def test_a_list_without_its_mode_is_a_mistake() -> None:
    """Who lists people and sends to everybody is told so at the start."""
    assert load(env={"CLARION_DELIVERY": "capture"}).settings.delivery == "capture"
    assert Settings().delivery == "live"
    with pytest.raises(Exception, match="delivery_allow"):
        load(env={"CLARION_DELIVERY_ALLOW": "@example.com"})
    with pytest.raises(Exception, match="delivery"):
        load(env={"CLARION_DELIVERY": "maybe"})
