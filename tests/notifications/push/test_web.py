"""Web Push from the workflow to the browser: a push service of our own checks the signature, and the browser decrypts."""

import json
from email.utils import formatdate

import pytest

from clarion.errors import Invalid
from clarion.ids import Ids
from clarion.notifications.channels.push.content import PushSaid, topic_of
from clarion.notifications.delivery import Delivery
from tests.notifications.conftest import on_one_engine
from tests.notifications.push.conftest import PushOffice
from tests.support.push_service import Answer

SAY = {
    "id": "p",
    "push": {"title": "Hello {{ recipient.id }}", "body": "{{ payload.text }}", "url": "/x"},
}
BEN = {"id": "ben", "name": "Ben"}


async def test_every_browser_of_a_person_gets_the_message(push_office: PushOffice) -> None:
    """Signed, encrypted, with all that was said; who has none is skipped; each device's message has a row of its own."""
    await push_office.workflow(SAY)
    browsers = [push_office.service.browser() for _ in range(2)]
    for browser in browsers:
        await push_office.sign_on("ben", browser)
    await push_office.trigger(BEN, payload={"text": "é ✓ 💬"})
    await push_office.run()
    for browser in browsers:
        [message] = browser.got
        report = message.pop("report")
        assert message == {"title": "Hello ben", "body": "é ✓ 💬", "url": "/x"}
        assert len(report) < 400
    rows = await push_office.rows()
    assert [(row.status, row.provider, row.attempts) for row in rows] == [
        ("sent", "webpush:127.0.0.1", 1)
    ] * 2
    [headers, _] = push_office.service.asked
    assert headers["ttl"] == "86400"
    assert headers["urgency"] == "high"
    assert "topic" not in headers
    skipped = await push_office.trigger({"id": "ann"}, payload={"text": ""})
    assert await push_office.story(skipped) == ["p skipped: no address"]


@on_one_engine
async def test_ttl_urgency_and_tag_are_the_push_services_headers(push_office: PushOffice) -> None:
    """What replaces what is told by a topic that every tag fits into; the payload has the tag itself."""
    tag = "build {{ payload.n }} " + "x" * 300
    await push_office.workflow(
        {"push": {"title": "t", "tag": tag, "ttl": 60, "urgency": "low", "badge": "{{ payload.n }}", "renotify": True}}
    )  # fmt: skip
    browser = push_office.service.browser()
    await push_office.sign_on("ben", browser)
    await push_office.trigger(BEN, payload={"n": 7})
    await push_office.run()
    [headers], [message] = push_office.service.asked, browser.got
    assert (headers["ttl"], headers["urgency"]) == ("60", "low")
    assert headers["topic"] == topic_of(message["tag"])
    assert message["tag"].startswith("build 7 xx")
    assert message["badge"] == 7
    assert message["renotify"] is True


@pytest.mark.parametrize("status", [404, 410])
async def test_a_subscription_that_is_gone_is_forgotten(
    push_office: PushOffice, status: int
) -> None:
    """404 and 410: the device is removed and the message is a dead letter; the person's other devices have theirs."""
    await push_office.workflow(SAY)
    gone, other = push_office.service.browser(), push_office.service.browser()
    await push_office.sign_on("ben", gone)
    push_office.clock.advance(1)
    kept = await push_office.sign_on("ben", other)
    push_office.service.answers = [Answer(status)]
    await push_office.trigger(BEN, payload={"text": "1"})
    await push_office.run()
    assert len(await push_office.devices("ben")) == 1
    assert {row.status for row in await push_office.rows()} == {"sent", "failed"}
    assert len(gone.got) + len(other.got) == 1
    assert kept.id in await push_office.devices("ben") or gone.got


@on_one_engine
@pytest.mark.parametrize("status", [400, 401, 403])
async def test_other_refusals_forget_a_device_only_after_several(
    push_office: PushOffice, status: int
) -> None:
    """A push service that refuses everything for an hour does not take every device with it; three in a row do (as set here)."""
    await push_office.workflow(SAY)
    browser = push_office.service.browser()
    await push_office.sign_on("ben", browser)

    async def refused() -> int:
        push_office.service.answers = [Answer(status, body="no")]
        await push_office.trigger(BEN, payload={"text": "1"})
        await push_office.run()
        return len(await push_office.devices("ben"))

    assert [await refused(), await refused()] == [1, 1]
    await push_office.trigger(BEN, payload={"text": "2"})
    await push_office.run()
    assert len(browser.got) == 1
    assert [await refused(), await refused(), await refused()] == [1, 1, 0]
    assert {row.cause for row in await push_office.rows() if row.status == "failed"} == {
        f"{status} no"
    }


@on_one_engine
@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
async def test_a_push_service_says_when_to_come_again(
    push_office: PushOffice, status: int, form: str
) -> None:
    """Retry-After is obeyed in both forms (RFC 9110): not before, and then it is sent once."""
    await push_office.workflow(SAY)
    browser = push_office.service.browser()
    await push_office.sign_on("ben", browser)
    at_s = push_office.clock.now_ms() // 1000 + 120
    wait = "120" if form == "seconds" else formatdate(at_s, usegmt=True)
    push_office.service.answers = [Answer(status, {"Retry-After": wait})]
    await push_office.trigger(BEN, payload={"text": "1"})
    await push_office.run()
    [row] = await push_office.rows()
    assert row.run_ms is not None
    assert 119 <= (row.run_ms - push_office.clock.now_ms()) / 1000 <= 121
    await push_office.run(118)
    assert browser.got == []
    await push_office.run(4)
    assert len(browser.got) == 1
    assert len(await push_office.devices("ben")) == 1


@on_one_engine
@pytest.mark.parametrize("wait", ["soon", "-1", "Fri, 99 Foo 2026", "9" * 400])
async def test_a_retry_after_that_says_nothing_is_no_trap(
    push_office: PushOffice, wait: str
) -> None:
    """Nonsense is as if it were absent, and nobody makes a message wait for longer than a day."""
    await push_office.workflow(SAY)
    browser = push_office.service.browser()
    await push_office.sign_on("ben", browser)
    push_office.service.answers = [Answer(503, {"Retry-After": wait})]
    await push_office.trigger(BEN, payload={"text": "1"})
    await push_office.run()
    await push_office.run(86_402)
    assert len(browser.got) == 1


@on_one_engine
async def test_too_long_for_the_push_service_is_final(push_office: PushOffice) -> None:
    """413: not tried again, and not the device's fault."""
    await push_office.workflow(SAY)
    await push_office.sign_on("ben", push_office.service.browser())
    push_office.service.answers = [Answer(413)]
    await push_office.trigger(BEN, payload={"text": "1"})
    await push_office.run()
    await push_office.run(3600)
    [row] = await push_office.rows()
    assert (row.status, row.attempts) == ("failed", 1)
    assert len(await push_office.devices("ben")) == 1


@on_one_engine
async def test_what_never_fits_is_refused_when_it_is_saved(push_office: PushOffice) -> None:
    """A constant text of 4 KB is a fault of the workflow, which points at it."""
    with pytest.raises(Invalid) as refused:
        await push_office.workflow({"push": {"title": "t", "body": "x" * 3_900}})
    [fault] = refused.value.faults
    assert fault.pointer.startswith("/steps/0/push")
    assert "4096" in fault.detail
    await push_office.workflow({"push": {"title": "t", "body": "x" * 3_500}})


@on_one_engine
async def test_what_does_not_fit_for_one_person_fails_for_nobody_else(
    push_office: PushOffice,
) -> None:
    """The step of that run has failed, with the size as its reason, and the run goes on."""
    await push_office.workflow(SAY, {"inbox": {"title": "too long"}, "if": "p.failed"})
    browser = push_office.service.browser()
    await push_office.sign_on("ben", browser)
    trigger = await push_office.trigger(BEN, payload={"text": "✓" * 1_300})
    await push_office.run()
    assert browser.got == []
    assert await push_office.inbox("ben") == ["too long"]
    [failed, _] = await push_office.story(trigger)
    assert "4096 when encrypted" in failed
    # The longest that is taken arrives, whatever else is in the payload.
    longest = 3_593 - len(
        json.dumps({"title": "Hello ben", "body": "", "url": "/x"}, separators=(",", ":"))
    )
    await push_office.trigger(BEN, payload={"text": "x" * longest})
    await push_office.run()
    assert len(browser.got[0]["body"]) == longest


@on_one_engine
async def test_a_device_that_moved_on_gets_nothing_of_its_former_owner(
    push_office: PushOffice,
) -> None:
    """Between the step and the sending somebody else has signed in on it: the message fails, and is not shown to them."""
    await push_office.workflow(SAY)
    browser = push_office.service.browser()
    await push_office.sign_on("ben", browser)
    await push_office.trigger(BEN, payload={"text": "secret"})
    await push_office.sign_on("ann", browser)
    await push_office.run()
    assert browser.got == []
    [row] = await push_office.rows()
    assert (row.status, row.cause) == ("failed", "the device is no longer the user's")
    assert await push_office.devices("ben") == []


@on_one_engine
async def test_a_device_that_signed_on_anew_outlives_an_old_refusal(
    push_office: PushOffice,
) -> None:
    """410 for a message on its way does not forget what came meanwhile."""
    device = await push_office.sign_on("ben", browser := push_office.service.browser())
    target = await push_office.push.devices.target("default", "ben", device.id)
    assert target is not None
    push_office.clock.advance(1)
    await push_office.sign_on("ben", browser)
    await push_office.push.devices.gone("default", device.id, target.updated_ms)
    assert await push_office.devices("ben") == [device.id]


@on_one_engine
async def test_a_push_service_that_is_down_delays_no_other(push_office: PushOffice) -> None:
    """Each known push service has a breaker of its own: when ours is left alone, the others are not."""
    await push_office.workflow(SAY)
    await push_office.sign_on("ben", push_office.service.browser())
    push_office.service.answers = [Answer(500)] * 5
    await push_office.trigger(BEN, payload={"text": "1"})
    for _ in range(5):
        await push_office.run(600)
    states = {each.provider: each.state for each in push_office.push.channel.providers.status()}
    assert states.pop("webpush:127.0.0.1") == "open"
    assert set(states.values()) == {"closed"}
    assert "webpush:fcm.googleapis.com" in states


def test_a_badge_is_a_number_or_nothing() -> None:
    """A template that renders to nothing leaves the badge as it is."""
    assert PushSaid(title="t", badge=" 3 ").number == 3
    assert PushSaid(title="t", badge="").number is None
    assert PushSaid(title="t", badge=0).number == 0


@on_one_engine
async def test_what_is_kept_instead_of_sent_says_nothing_of_the_device(
    push_office: PushOffice,
) -> None:
    """With `delivery = "capture"` nothing reaches the push service, and the device has not worked."""
    house = push_office.house
    push_office.sender._diverts = Delivery(
        house.store, "capture", clock=push_office.clock, ids=Ids()
    )
    await push_office.workflow(SAY)
    await push_office.sign_on("ben", push_office.service.browser())
    await push_office.trigger(BEN, payload={"text": "1"})
    await push_office.run()
    assert push_office.service.asked == []
    [device] = (await push_office.push.devices.list("default", "ben")).items
    assert device.last_ok_at is None
