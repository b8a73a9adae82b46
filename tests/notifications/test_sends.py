"""Bulk sends while they go on: how far they are, paused, resumed, called off half-way, and what failed of them."""

from typing import Any

import pytest

from clarion.errors import Conflict, NotFound
from clarion.notifications.channels import NotSent
from clarion.notifications.recipients import Recipient
from clarion.notifications.trigger_shapes import Cancelled
from tests.notifications.conftest import on_one_engine
from tests.notifications.office import LETTER, Office, office

__all__ = ["office"]

CROWD = [{"id": f"c{n}", "email": f"c{n}@example.com"} for n in range(6)]
NAMES = [each["id"] for each in CROWD]


async def plan(office: Office, *, slices: int = 99) -> None:
    """Plan what waits to be planned, so many slices of it."""
    for job in await office.queue.claim(1) if slices else ():
        while slices and await office.engine.planner.slice(job):
            slices -= 1
        await office.queue.put_off(job, 0.0, attempts=0)


async def crowd(office: Office, monkeypatch: pytest.MonkeyPatch, *steps: Any) -> str:
    """A trigger for everybody, whose first two recipients are planned."""
    monkeypatch.setattr("clarion.notifications.planning.SLICE", 2)
    monkeypatch.setattr("clarion.notifications.planning.ALIKE_SLICE", 2)
    given = [Recipient(each["id"], email=each["email"]) for each in CROWD]
    await office.engine.people.know("default", given)
    await office.workflow(*steps)
    return await office.trigger(everyone=True, payload={"n": 1})


def letters(office: Office) -> list[str]:
    return sorted(each.user for each in office.letters.sent)


async def test_a_send_stands_still_while_it_is_paused(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing more is planned or handed over, no run goes on, what failed once is not tried again; resumed, everybody gets it once."""
    sends = office.engine.sends
    id = await crowd(office, monkeypatch, LETTER, {"wait": "1m"}, {"inbox": {"title": "Well?"}})
    office.letters.fails = [NotSent("not now", provider="post office")]
    await office.run()
    job = await sends.find("default", id)
    assert (job.state, job.total, job.done, job.failed) == ("running", 6, 0, 0)
    assert len(office.letters.sent) == 1
    assert (await sends.pause("default", id)).state == "paused"
    assert (await sends.pause("default", id)).state == "paused"
    await plan(office)
    await office.run(3600)
    assert (len(office.letters.sent), await office.count("run")) == (1, 2)
    assert await office.inbox("c0") == await office.inbox("c1") == []
    assert await office.queue.claim(9) == []

    assert (await sends.resume("default", id)).state == "running"
    await plan(office)
    await office.run()
    await office.run(3600)
    assert letters(office) == NAMES
    assert [await office.inbox(name) for name in NAMES] == [["Well?"]] * 6
    job = await sends.find("default", id)
    assert (job.state, job.total, job.done, job.failed) == ("done", 6, 6, 0)
    assert (await sends.resume("default", id)).state == "done"


async def test_what_is_in_hand_when_it_is_paused_waits_or_arrives(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planner that has begun a slice writes nothing of it; a message that was claimed is given back."""
    sends = office.engine.sends
    id = await crowd(office, monkeypatch, LETTER)
    [job] = await office.queue.claim(1)
    carry, hand = office.runs.carry, office.letters.send

    async def paused_before(*args: Any) -> None:
        await sends.pause("default", id)
        await carry(*args)

    with monkeypatch.context() as patch:
        patch.setattr(office.runs, "carry", paused_before)
        assert not await office.engine.planner.slice(job)
    assert await office.count("outgoing") == 2
    await sends.resume("default", id)

    async def paused_meanwhile(message: Any) -> Any:
        await sends.pause("default", id)
        office.letters.send = hand  # type: ignore[method-assign]
        raise NotSent("not now", provider="post office", retry_after_s=1)

    office.letters.send = paused_meanwhile  # type: ignore[method-assign, assignment]
    await office.run()
    await office.run(60)
    assert len(office.letters.sent) <= 1, "the other one was in hand as well, or was given back"
    await sends.resume("default", id)
    await plan(office)
    await office.run()
    assert letters(office) == NAMES


@on_one_engine
async def test_a_send_whose_last_message_arrives_while_it_is_paused(office: Office) -> None:
    """It is over, and nobody waits for it to be resumed."""
    sends, hand = office.engine.sends, office.letters.send
    await office.workflow(LETTER)
    id = await office.trigger(CROWD[0], payload={"n": 1})

    async def paused_meanwhile(message: Any) -> Any:
        assert (await sends.pause("default", id)).state == "paused"
        return await hand(message)

    office.letters.send = paused_meanwhile  # type: ignore[method-assign]
    await office.run()
    assert (await sends.find("default", id)).state == "done"


async def test_a_send_that_is_called_off_half_way(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has it keeps it, nobody else gets it; it cannot be paused any more, also if it was when it was called off."""
    sends = office.engine.sends
    id = await crowd(office, monkeypatch, {"inbox": {"title": "News"}})
    await plan(office, slices=1)
    await sends.pause("default", id)
    await office.triggers.cancel("default", id)
    await plan(office)
    got = [name for name in NAMES if await office.inbox(name)]
    assert got in (NAMES[:2], NAMES[:4])
    job = await sends.resume("default", id)
    assert (job.state, job.done, job.rate) == ("cancelled", len(got), 0)
    with pytest.raises(Conflict, match="called off"):
        await sends.pause("default", id)
    for unknown in (sends.find, sends.pause, sends.resume, sends.report):
        with pytest.raises(NotFound):
            await unknown("default", "nothing")
    with pytest.raises(NotFound):
        await anext(sends.failures("default", "nothing"))


async def test_what_is_over_stays_as_it_came_out(office: Office) -> None:
    """It cannot be paused, and calling it off calls nothing off and says so, by its id and its key; what was called off is so a second time."""
    await office.workflow({"inbox": {"title": "News"}})
    sends, triggers = office.engine.sends, office.triggers
    id = await office.trigger(*({"id": name} for name in NAMES), cancel_key="k")
    await office.run()
    assert (await sends.find("default", id)).state == "done"
    with pytest.raises(Conflict, match="is over"):
        await sends.pause("default", id)
    assert await triggers.cancel("default", id) == Cancelled(0, 0, 0)
    assert (await sends.find("default", id)).state == "done"
    await office.workflow({"wait": "1h"}, {"inbox": {"title": "News"}}, LETTER)
    waits = await office.trigger(CROWD[0], cancel_key="k")
    assert await triggers.cancel_by_key("default", "k") == Cancelled(1, 1, 0)
    assert await triggers.cancel("default", waits) == Cancelled(1, 0, 0)
    told = [(await sends.report("default", each)).messages for each in (id, waits)]
    assert told == [{"inbox": {"delivered": len(NAMES)}}, {}]
    states = [(await sends.find("default", each)).state for each in (id, waits)]
    assert states == ["done", "cancelled"]


@on_one_engine
async def test_a_send_that_nobody_plans_on_has_failed(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its job is dead, or was dropped; paused and resumed, it is planned on."""
    sends = office.engine.sends
    id = await crowd(office, monkeypatch, LETTER)
    for drop in (False, True):
        [job] = await office.queue.claim(1)
        await (office.queue.finish(job) if drop else office.queue.fail(job, "x", is_final=True))
        assert (await sends.find("default", id)).state == "failed"
        if not drop:
            await office.queue.replay("default", id)
    await sends.pause("default", id)
    assert (await sends.resume("default", id)).state == "running"
    await plan(office)
    await office.run()
    assert letters(office) == NAMES


async def test_the_report_tells_why(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reasons with how often, and each that failed: messages that nobody got, and steps that made none."""
    monkeypatch.setattr("clarion.notifications.sends.SLICE", 1)
    bell = {"id": "bell", "inbox": {"title": "{{ 1 // recipient.attributes.n }}"}}
    await office.workflow(LETTER, bell)
    people = [{**each, "attributes": {"n": n % 3}} for n, each in enumerate(CROWD)]
    gone = NotSent("no such box", provider="p", is_final=True, cause="bounced")
    office.letters.fails = [gone, gone, NotSent("full", provider="p", is_final=True)]
    id = await office.trigger(*people, payload={"n": 1})
    await office.run()
    report = await office.engine.sends.report("default", id)
    assert (report.state, report.recipients, report.done) == ("done", 6, 6)
    letters = {"bounced": 2, "failed": 1, "sent": 3}
    assert report.messages == {"letter": letters, "inbox": {"delivered": 4}}
    assert report.runs["failed"] == 2
    whole = {(each.channel, each.status, each.reason): each.count for each in report.reasons}
    assert whole[("letter", "bounced", "no such box")] == 2
    assert whole[("letter", "failed", "full")] == 1
    [(_, _, why)] = [key for key in whole if key[0] is None]
    assert whole[(None, "failed", why)] == 2
    failures = [each async for each in office.engine.sends.failures("default", id)]
    assert sorted((each.channel or "", each.step, each.reason) for each in failures) == sorted(
        [("", "bell", why)] * 2
        + [("letter", "mail", "no such box")] * 2
        + [("letter", "mail", "full")]
    )
    bounced = next(each for each in failures if each.status == "bounced")
    assert (bounced.attempts, bounced.address) == (1, f"{bounced.user}@example.com")


@on_one_engine
async def test_a_rate_is_that_of_the_last_seconds(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At first the average since the beginning; a pause of an hour does not make it slow for ever."""
    sends = office.engine.sends
    id = await crowd(office, monkeypatch, {"inbox": {"title": "News"}})
    office.clock.advance(2)
    job = await sends.find("default", id)
    assert (job.done, job.rate, job.eta_s) == (2, 1.0, 4)
    await sends.pause("default", id)
    office.clock.advance(3600)
    assert (await sends.find("default", id)).eta_s is None
    await sends.resume("default", id)
    office.clock.advance(1)
    await plan(office, slices=1)
    job = await sends.find("default", id)
    assert job.done == 4
    assert job.rate == pytest.approx(2.0)
    assert job.eta_s == 1
