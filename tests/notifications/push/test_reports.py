"""Reports: what a device says becomes the message's life, and whoever waits for it goes on."""

from clarion.notifications.channels.push.reports import Report
from tests.notifications.conftest import on_one_engine
from tests.notifications.push.conftest import PushOffice
from tests.support.push_service import Answer

PUSH = {"id": "p", "push": {"title": "t"}}


async def test_a_device_reports_what_became_of_a_message(push_office: PushOffice) -> None:
    """Shown, then clicked; the first of each counts, and conditions know of it."""
    await push_office.workflow(
        PUSH,
        {"wait": {"message": "p", "is": "delivered", "timeout": "1h"}},
        {"inbox": {"title": "shown"}, "if": "p.delivered"},
        {"wait": "1m"},
        {"inbox": {"title": "clicked"}, "if": "p.clicked"},
    )
    browser = push_office.service.browser()
    await push_office.sign_on("ben", browser)
    await push_office.trigger({"id": "ben"})
    await push_office.run()
    token = browser.got[0]["report"]
    push_office.clock.advance(5)
    shown_ms = push_office.clock.now_ms()
    await push_office.push.reports.take(Report(token, "delivered"))
    await push_office.run()
    assert await push_office.inbox("ben") == ["shown"]
    push_office.clock.advance(5)
    for event in ("clicked", "delivered", "clicked"):
        await push_office.push.reports.take(Report(token, event))
        push_office.clock.advance(1)
    await push_office.run(60)
    assert await push_office.inbox("ben") == ["clicked", "shown"]
    [row] = await push_office.rows()
    assert row.status == "delivered"
    assert (row.delivered_ms, row.clicked_ms) == (shown_ms, shown_ms + 5_000)


@on_one_engine
async def test_a_report_that_comes_before_the_answer_stays(push_office: PushOffice) -> None:
    """The device was faster than the push service's 500: the message was shown, and is not sent again."""
    await push_office.workflow(PUSH)
    browser = push_office.service.browser()
    await push_office.sign_on("ben", browser)
    await push_office.trigger({"id": "ben"})
    [row] = await push_office.rows()
    token = push_office.push.channel._tokens.make("report", "default", row.id)
    push_office.service.answers = [Answer(500)]
    answered = push_office.push.channel.providers.send

    async def reports_first(*args: object) -> object:
        await push_office.push.reports.take(Report(token, "delivered"))
        return await answered(*args)  # type: ignore[arg-type]

    push_office.push.channel.providers.send = reports_first  # type: ignore[assignment,method-assign]
    await push_office.run()
    await push_office.run(3600)
    [row] = await push_office.rows()
    assert (row.status, row.run_ms, row.attempts) == ("delivered", None, 1)
    assert len(push_office.service.asked) == 1
