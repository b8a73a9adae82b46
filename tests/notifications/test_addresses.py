"""Addresses of subscribers: where channels that have their own reach them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from clarion.errors import Invalid
from clarion.notifications.addresses import address_id
from clarion.notifications.channels import Outgoing, Sent
from clarion.storage import addresses as sql
from tests.notifications.conftest import House
from tests.notifications.office import LetterContent, Office


class Bells:
    """A channel that rings at addresses of its own."""

    name, content, said, timeout_s, max_attempts = "bell", LetterContent, LetterContent, 5.0, 3
    needs_addresses = True

    def __init__(self) -> None:
        self.rung: list[str] = []

    def addresses(self, recipient: Mapping[str, Any]) -> Sequence[str]:
        return [each["address"] for each in recipient["addresses"].get("bell", [])]

    async def send(self, message: Outgoing) -> Sent:
        self.rung.append(message.address)
        return Sent("church")


@pytest.fixture
async def office(house: House) -> Office:
    return Office(house)


async def test_messages_go_to_every_address_of_the_channel(office: Office) -> None:
    """A step of a channel with addresses sends to each of them; who has none is skipped, and the run says so."""
    bells = Bells()
    office.engine.channels.add(bells)
    await office.workflow({"bell": {"text": "ding"}}, {"wait": "1m"}, {"bell": {"text": "dong"}})
    addresses = office.engine.addresses
    await addresses.put("default", "ann", "bell", "porch", {"tone": "a"})
    await addresses.put("default", "ann", "bell", "attic")
    await addresses.put("default", "ann", "other", "elsewhere")
    await addresses.put("other tenant", "ben", "bell", "not theirs")
    await office.trigger({"id": "ann"})
    alone = await office.trigger({"id": "ben"})
    await office.run()
    assert sorted(bells.rung) == ["attic", "porch"]
    assert "bell_1 skipped: no address" in await office.story(alone)
    await addresses.put("default", "ben", "bell", "barn")
    await office.run(60)
    assert sorted(bells.rung) == ["attic", "attic", "barn", "porch", "porch"]


async def test_an_address_is_one_persons_at_a_time(office: Office) -> None:
    """Who puts an address next has it; it can be forgotten by its owner alone, or by whoever may all."""
    addresses = office.engine.addresses
    id = await addresses.put("default", "ann", "bell", "porch", label="Front door")
    assert id == address_id("bell", "porch") != address_id("other", "porch")
    [kept] = await addresses.of_user("default", "ann")
    assert (kept.address, kept.label, kept.last_ok_ms) == ("porch", "Front door", None)
    assert await addresses.put("default", "ben", "bell", "porch") == id
    assert await addresses.of_user("default", "ann") == []
    await addresses.remove("default", id, "ann")
    assert len(await addresses.of_user("default", "ben")) == 1
    await addresses.remove("default", id)
    assert await addresses.of_user("default", "ben") == []


async def test_what_a_channel_needs_beside_an_address_is_bounded(office: Office) -> None:
    """Each run of its owner loads it."""
    with pytest.raises(Invalid) as refused:
        await office.engine.addresses.put("default", "ann", "bell", "porch", {"x": "y" * 5_000})
    assert [each.pointer for each in refused.value.faults] == ["/data"]


async def test_an_address_tells_how_it_fares(office: Office) -> None:
    """What worked last and what has failed since stands with the address; success forgives."""
    id = await office.engine.addresses.put("default", "ann", "bell", "porch")
    await office.house.store.apply(sql.WORKED, [sql.Worked("default", id, 5)])
    gone = sql.Failed("default", id, "gone")
    await office.house.store.apply(sql.FAILED, [gone, gone])
    [kept] = await office.house.store.fetch(sql.FIND, tenant="default", id=id)
    assert (kept.last_ok_ms, kept.failures, kept.error) == (5, 2, "gone")
    await office.house.store.apply(sql.WORKED, [sql.Worked("default", id, 6)])
    [kept] = await office.house.store.fetch(sql.FIND, tenant="default", id=id)
    assert (kept.last_ok_ms, kept.failures, kept.error) == (6, 0, None)


async def test_inboxes_do_not_pay_for_addresses(office: Office) -> None:
    """A workflow whose channels need no addresses does not look for any."""
    asked: list[str] = []
    apply = office.house.store.apply

    async def watched(procedure: Any, rows: Any) -> Any:
        asked.append(procedure.name)
        return await apply(procedure, rows)

    office.house.store.apply = watched  # type: ignore[method-assign]
    await office.workflow({"inbox": {"title": "Hello"}})
    await office.trigger({"id": "ann"})
    assert sql.OF_USERS.name not in asked
    assert await office.inbox("ann") == ["Hello"]
