"""Dead letters: found by what they died of, sent again once, or given up; who did it is known."""

import asyncio
from typing import Any

import pytest

from clarion.errors import IdempotencyConflict, Invalid
from clarion.notifications.channels import NotSent
from clarion.notifications.sight import letters
from clarion.notifications.sight.finding import Wanted
from clarion.notifications.sight.letters import Letters
from clarion.storage import outgoing as sent_sql
from clarion.storage import push as push_sql
from clarion.storage.store import Sql
from tests.notifications.conftest import APP
from tests.notifications.office import ANN, BELL, LETTER, Office, office

__all__ = ["office"]


def _no(why: str) -> NotSent:
    return NotSent(why, provider="post office", is_final=True)


async def _statuses(office: Office) -> dict[str, str]:
    page = await office.engine.finder.messages("default", Wanted(channel="letter"))
    return {each.user: each.status for each in page.items}


async def test_dead_letters_are_sent_again_once(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what they died of; with fresh attempts, numbered after the former ones. What died meanwhile, and what is on its way, stays."""
    monkeypatch.setattr(letters, "SLICE", 2)
    await office.workflow(LETTER)
    names = ["ann", "ben", "cleo", "dora"]
    office.letters.fails = [_no("Full: 5%"), _no("Full: 5%"), _no("Full: 5%"), _no("moved")]
    for name in names:
        await office.trigger({"id": name, "email": "x@y"}, payload={"n": 1})
        await office.run(1)
    dead = office.engine.letters
    groups = [
        (each.channel, each.provider, each.reason, each.letters)
        for each in await dead.groups("default", Letters())
    ]
    assert groups == [
        ("letter", "post office", "Full: 5%", 3),
        ("letter", "post office", "moved", 1),
    ]
    asked = Letters(channel="letter", workflow="w", reason="FULL: 5%")
    done = await dead.do(APP, "replay", asked, "k")
    assert (done.letters, done.more) == (3, False)
    # Twice changes nothing: they are on their way. The same call has the same answer.
    assert (await dead.do(APP, "replay", asked)).letters == 0
    assert await dead.do(APP, "replay", asked, "k") == done
    with pytest.raises(IdempotencyConflict):
        await dead.do(APP, "drop", asked, "k")
    office.letters.fails = [RuntimeError("fell"), _no("Full: 5%")]
    await office.run(1)
    # One has died again: the call that is repeated leaves it alone.
    assert await dead.do(APP, "replay", asked, "k") == done
    await office.run(10)
    statuses = await _statuses(office)
    assert sorted(statuses.values()) == ["failed", "failed", "sent", "sent"]
    # The one that fell has been tried three times in all; each is on record.
    counts = sorted(
        [
            len((await office.engine.finder.message("default", each.id)).attempts)
            for each in (await office.engine.finder.messages("default", Wanted())).items
        ]
    )
    assert counts == [1, 2, 2, 3]
    [gone] = (await office.engine.finder.messages("default", Wanted(user="dora"))).items
    assert (await dead.do(APP, "drop", Letters(ids=[gone.id]))).letters == 1
    assert (await _statuses(office))["dora"] == "cancelled"
    acts = [(each.who, each.act, each.letters) for each in await dead.acts("default", "", 10)]
    assert sorted(acts) == [
        ("key:app", "drop", 1),
        ("key:app", "replay", 0),
        ("key:app", "replay", 3),
    ]
    assert await dead.groups("elsewhere", Letters()) == []
    assert (await dead.do(APP, "replay", Letters(ids=["nothing"]))).letters == 0
    with pytest.raises(Invalid, match="ids"):
        await dead.do(APP, "drop", Letters(ids=[]))


async def test_a_call_that_broke_off_goes_on(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its key: what was sent again is not sent once more, and all of them are counted."""
    monkeypatch.setattr(letters, "SLICE", 1)
    await office.workflow(LETTER)
    office.letters.fails = [_no("full")] * 3
    for name in ("ann", "ben", "cleo"):
        await office.trigger({"id": name, "email": "x@y"}, payload={"n": 1})
    await office.run(1)
    dead = office.engine.letters
    with monkeypatch.context() as patch:
        patch.setattr(letters, "TURN_S", -1.0)
        assert (await dead.do(APP, "replay", Letters(), "k")).more
    done = await dead.do(APP, "replay", Letters(), "k")
    assert (done.letters, done.more) == (3, False)
    await office.run(1)
    assert len(office.letters.sent) == 3


async def test_the_same_call_twice_at_once_is_one(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each letter is sent again by one of them, and all of them are told by whoever ends last."""
    monkeypatch.setattr(letters, "SLICE", 1)
    await office.workflow(LETTER)
    office.letters.fails = [_no("full")] * 4
    for name in ("ann", "ben", "cleo", "dan"):
        await office.trigger({"id": name, "email": "x@y"}, payload={"n": 1})
    await office.run(1)
    dead = office.engine.letters
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(dead.do(APP, "replay", Letters(), "k")) for _ in range(3)]
    assert max(call.result().letters for call in calls) == 4
    await office.run(1)
    assert len(office.letters.sent) == 4


async def test_runs_and_jobs_die_too(office: Office) -> None:
    """A run that nobody could carry on goes on from where it stood, and a job begins again; both are seen with their reason."""
    await office.workflow({"wait": "5m"}, BELL)
    await office.trigger(ANN, payload={"n": 1})
    office.clock.advance(300)
    for _ in range(11):  # it takes the process with it, again and again
        office.clock.advance(31)
        async with office.house.store.transaction() as tx:
            await tx.execute(Sql("UPDATE run SET attempts = 11"))
    await office.run()
    dead = office.engine.letters
    [group] = await dead.groups("default", Letters("run"))
    assert (group.workflow, group.letters) == ("w", 1)
    assert "died each time" in group.reason
    assert (await dead.do(APP, "replay", Letters("run", workflow="w"))).letters == 1
    await office.run()
    assert await office.inbox("ann") == ["Hello Ann"]
    await office.queue.enqueue(office.queue.job("import", {"n": 1}, max_attempts=1))
    [job] = await office.queue.claim(10)
    await office.queue.fail(job, "no such file")
    [shown] = await dead.jobs("default", "", 10)
    assert (shown.job, shown.reason, shown.payload) == ("import", "no such file", {"n": 1})
    assert (await dead.do(APP, "replay", Letters("job", job="import", reason="file"))).letters == 1
    [again] = await office.queue.claim(10)
    assert (again.id, again.attempt) == (job.id, 1)
    await office.queue.fail(again, "no such file")
    assert (await dead.do(APP, "drop", Letters("job"))).letters == 1
    assert await dead.jobs("default", "", 10) == []


async def test_what_a_device_has_shown_is_not_sent_again(office: Office) -> None:
    """Though the process died that had it in hand, before it wrote down what the provider said."""
    store, now_ms = office.house.store, office.clock.now_ms()
    row = sent_sql.NewOutgoing(
        "default", "r.0.0", "r.0", "r", "t", "w", "", "s", "ann", "push", "x", "{}", now_ms, now_ms
    )
    await store.apply(sent_sql.ADD, [row])
    asked: dict[str, Any] = {"lane": "push", "priority": 2, "tenant": "default", "limit": 9}
    async with store.transaction() as tx:
        [mine] = await tx.fetch(sent_sql.CLAIM, **asked, now=now_ms, until=now_ms + 9, node="n")
    await store.apply(push_sql.REPORTED, [push_sql.Reported("default", "r.0.0", now_ms, None)])
    assert await store.fetch(sent_sql.WAITING, lane="push") == []
    async with store.transaction() as tx:
        later: dict[str, Any] = {"now": now_ms + 99, "until": now_ms + 999, "node": "m"}
        assert await tx.fetch(sent_sql.CLAIM, **asked, **later) == []
    # If it is alive after all, it may still say who has it.
    handed = sent_sql.Handed(
        "default", mine.id, mine.token, "sent", 10, "", None, "web push", "", "sent", "201", 1, 0, now_ms, 5, now_ms, now_ms
    )  # fmt: skip
    await store.apply(sent_sql.HANDED, [handed])
    story = await office.engine.finder.message("default", "r.0.0")
    assert (story.message.status, story.message.provider) == ("delivered", "web push")
