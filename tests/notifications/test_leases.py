"""Runs are carried on once, though processes die, stand still, or are killed by what they carry."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from msgspec import Struct

from clarion.errors import Conflict
from clarion.ids import Ids
from clarion.jobs import Worker
from clarion.notifications.channels import Outgoing, Sent
from clarion.notifications.channels.inbox import InboxChannel
from clarion.notifications.going import Going
from clarion.notifications.rendering import Wish
from clarion.storage.runs import ClaimedRun
from tests.notifications.office import ANN, BELL, LETTER, Office, office

__all__ = ["office"]


class Anything(Struct, frozen=True):
    """Any content."""


async def test_two_processes_carry_a_run_on_once(office: Office) -> None:
    """Also when one of them wakes up long after its lease has ended: what it writes then is not written at all."""
    await office.workflow({"wait": "5m"}, BELL)
    await office.trigger(ANN, payload={"n": 1})
    office.clock.advance(300)
    [slow] = await office.runs.load(await office.runs._claim(10))
    assert await office.runs._claim(10) == []
    office.clock.advance(31)
    await office.run()
    assert await office.inbox("ann") == ["Hello Ann"]
    await office.runs.carry([slow])
    assert await office.inbox("ann") == ["Hello Ann"]


async def test_planning_goes_on_where_a_process_died(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody gets it once, however often the process dies between two slices."""
    monkeypatch.setattr("clarion.notifications.planning.SLICE", 3)
    await office.workflow(BELL)
    carry, left = office.runs.carry, 2

    async def dies(*args: Any, **how: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise asyncio.CancelledError
        await carry(*args, **how)

    recipients = [{"id": f"u{n}"} for n in range(8)]
    worker = Worker(office.queue, office.clock, Ids())
    worker.handle("plan_trigger", office.engine.planner.plan)
    with monkeypatch.context() as patch:
        patch.setattr(office.runs, "carry", dies)
        await office.trigger(*recipients, payload={"n": 1})
        [job] = await office.queue.claim(1)
        with pytest.raises(asyncio.CancelledError):
            await office.engine.planner.plan(job)
    assert await office.inbox("u5") == ["Hello u5"]
    assert await office.inbox("u6") == []
    office.clock.advance(31)
    [again] = await office.queue.claim(1)
    await office.engine.planner.plan(again)
    with pytest.raises(Conflict):
        await office.engine.planner.plan(job)
    for n in range(8):
        assert await office.inbox(f"u{n}") == [f"Hello u{n}"]


async def test_a_run_that_the_store_refuses_holds_up_no_other(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has failed, and says why; those that were due with it go on."""
    await office.workflow({"wait": "5m"}, BELL)
    bad = await office.trigger({"id": "eve", "name": "bad"}, payload={"n": 1})
    await office.trigger(ANN, payload={"n": 1})

    # What a bug elsewhere might let through: a text that no database keeps.
    async def render(wishes: Sequence[Wish], **_: object) -> list[dict[str, Any]]:
        who = [wish.facts["recipient"]["id"] for wish in wishes]
        return [{"title": "a\0" if each == "eve" else "fine"} for each in who]

    monkeypatch.setattr(office.runs._decider._renderer, "render", render)
    monkeypatch.setattr(InboxChannel, "said", Anything)
    await office.run(300)
    assert await office.inbox("ann") == ["fine"]
    assert await office.inbox("eve") == []
    [run], _ = await office.history.runs("default", bad, "", 10)
    assert (run.status, run.due_at) == ("failed", None)
    assert str(run.error).startswith("invalid: ")


async def test_a_run_that_takes_its_process_with_it_is_given_up(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many deaths, the last of them with nothing else in hand; those that were in hand with it go on."""
    await office.workflow({"wait": "1m"}, BELL)
    bad = await office.trigger({"id": "eve"}, payload={"n": 1})
    for user in ("ann", "ben"):
        await office.trigger({"id": user, "name": user}, payload={"n": 1})
    office.clock.advance(60)
    load, in_hand = office.runs.load, list[int]()

    async def die(claimed: Sequence[ClaimedRun]) -> list[Going]:
        goings = await load(claimed)
        if any(going.usr == "eve" for going in goings):
            in_hand.append(len(goings))
            raise _Died
        return goings

    monkeypatch.setattr(office.runs, "load", die)
    for _ in range(20):
        with suppress(_Died):
            await office.run(31)
            break
        office.runs._is_careful = False  # as the next process begins
    assert in_hand == [3] * 5 + [1] * 4
    [run], _ = await office.history.runs("default", bad, "", 10)
    assert (run.status, run.error) == ("failed", "the process died each time it was carried on")
    for user in ("ann", "ben"):
        assert await office.inbox(user) == [f"Hello {user}"]


async def test_runs_in_hand_at_many_deaths_are_not_given_up(office: Office) -> None:
    """A server that is killed for a reason of its own has many in hand each time: not one of them is to blame."""
    await office.workflow({"wait": "1m"}, BELL)
    for n in range(5):
        await office.trigger({"id": f"u{n}", "name": f"u{n}"}, payload={"n": 1})
    office.clock.advance(60)
    for _ in range(30):
        assert len(await office.runs._claim(10)) == 5
        office.clock.advance(31)
    await office.run()
    for n in range(5):
        assert await office.inbox(f"u{n}") == [f"Hello u{n}"]


async def test_messages_and_jobs_in_hand_at_many_deaths_are_not_given_up(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that dies every second for a while, and begins anew with what it had in hand: later all of it is done."""
    monkeypatch.setattr(office.letters, "max_attempts", 6)
    died = asyncio.Event()
    handed: list[Outgoing] = []

    async def dies(message: Outgoing) -> Sent:
        handed.append(message)
        await died.wait()
        raise asyncio.CancelledError

    await office.workflow(LETTER)
    await office.trigger(ANN, payload={"n": 1})
    await office.queue.enqueue(office.queue.job("count", id="job"))
    with monkeypatch.context() as patch:
        patch.setattr(office.letters, "send", dies)
        for _ in range(20):
            await office.queue.claim(1)
            await office.sender.look()
            for lane in office.sender._all():
                await lane.close(0.01)
            office.clock.advance(1)
            await office.engine.release()
    assert len(handed) == 4
    await office.run(600)
    assert len(office.letters.sent) == 1
    [job] = await office.queue.claim(1)
    assert job.attempt == 5


class _Died(Exception):
    """As a process does: whatever it had in hand keeps its lease."""
