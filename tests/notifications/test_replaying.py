"""A run under its own version is that run, whatever it went through; what nobody has recorded is as it is now, and named."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from clarion.notifications.events.events import Event
from clarion.notifications.preferences.document import Defaults, Document
from clarion.notifications.replaying import Replay
from clarion.storage import runs as run_sql
from tests.notifications.conftest import APP, on_one_engine, user
from tests.notifications.office import ANN, BELL, LETTER, Office, office
from tests.support.http_target import HttpTarget, target

__all__ = ["office", "target"]

MINUTE = 60.0
Happens = Callable[[Office], Awaitable[object]]


async def passes(office: Office, minutes: int = 1) -> None:
    """Time passes, a minute at a time."""
    for _ in range(minutes):
        await office.run(MINUTE)


async def replayed(office: Office, run: str, version: int | None = None) -> Replay:
    return await office.engine.replays.replay("default", run, version)


async def is_itself(office: Office) -> int:
    """Whether each run, under its own version, is what is recorded of it; returns how many steps that were."""
    rows = await office.house.store.fetch(
        run_sql.OF_USER, tenant="default", usr="ann", after="", n=50
    )
    seen = 0
    for row in rows:
        run = await office.history.run("default", row.id)
        again = await replayed(office, row.id, row.version)
        got = [(s.step, s.outcome, s.why, s.read, s.at) for s in again.steps]
        assert got == [(s.step, s.outcome, s.why, s.read, s.at) for s in run.steps or []]
        assert [(s.differs, s.assumed) for s in again.steps] == [(False, [])] * len(got)
        assert (again.status, again.due_at) == (row.status, run.due_at)
        assert (again.version, again.run_version, again.left_out) == (row.version, row.version, [])
        seen += len(got)
    return seen


async def reads(office: Office) -> None:
    [message, *_] = (await office.house.inbox.page(user("ann"))).items
    await office.house.inbox.mark(user("ann"), message.id, "read")


async def is_read_in_time(office: Office) -> None:
    await passes(office, 3)
    await reads(office)
    await passes(office, 90)


async def moves_and_has_other_wishes(office: Office) -> None:
    """What is known of her now is not what was known then."""
    await passes(office, 30)
    await office.house.send({**ANN, "time_zone": "Asia/Tokyo", "attributes": {"plan": "free"}})
    await office.engine.desk.put(
        "default", "ann", msgspec.convert({"channels": {"letter": False}}, Document)
    )


async def comes_again(office: Office) -> None:
    for minutes in (1, 2, 20):
        await passes(office, minutes)
        await office.trigger("ann", payload={"n": minutes}, actor="cleo")
        await office.run()
    await passes(office, 30)


async def pays(office: Office) -> None:
    await passes(office, 2)
    await office.events.track(APP, [Event("order.paid", "ann", {"order": 2})])
    await passes(office, 2)
    await office.events.track(APP, [Event("order.paid", "ann", {"order": 1})])
    await passes(office, 5)


async def has_a_cap(office: Office) -> None:
    caps = [{"channel": "letter", "limit": 1, "per": "1h", "over": "digest"}]
    await office.house.book.put_defaults("default", msgspec.convert({"caps": caps}, Defaults))
    for _ in range(3):
        await office.trigger("ann", payload={"n": 1})
        await office.run()
    await passes(office, 70)


async def sleeps(office: Office) -> None:
    quiet = {"quiet": [{"from": "00:00", "to": "23:59"}], "time_zone": "UTC"}
    await office.engine.desk.put("default", "ann", msgspec.convert(quiet, Document))
    await office.trigger("ann", payload={"n": 1})
    await office.run()
    for _ in range(25):
        await office.run(3_600)


async def is_refused(office: Office) -> None:
    office.letters.fails = [ValueError("no")] * 20
    for _ in range(30):
        await passes(office)


PAID = {
    "id": "paid",
    "wait": {"event": "order.paid", "where": "event.order == payload.n", "timeout": "1h"},
}
LIVES: dict[str, tuple[list[dict[str, Any]], Happens]] = {
    "read": (
        [
            BELL,
            {"wait": {"message": "bell", "is": "read", "timeout": "1h"}},
            {"stop": "bell.read"},
            LETTER,
        ],
        is_read_in_time,
    ),
    "timed out": (
        [
            BELL,
            {"wait": {"message": "bell", "is": "seen", "timeout": "10m"}},
            {"stop": "bell.seen"},
            LETTER,
        ],
        lambda office: passes(office, 20),
    ),
    "another life": (
        [
            {**BELL, "if": 'recipient.attributes.plan != "free"'},
            {"wait": {"at": "09:00"}},
            {**LETTER, "if": "inbox.unread > 0 and not bell.sent"},
            {"id": "more", "letter": {"text": "x"}},
        ],
        moves_and_has_other_wishes,
    ),
    "throttled": ([{"throttle": {"limit": 2, "per": "10m"}}, LETTER], comes_again),
    "collected": (
        [{"digest": {"window": "5m"}}, {**LETTER, "if": "digest.count > 1"}],
        comes_again,
    ),
    "led": ([{"digest": {"window": "5m", "lead": True}}, {**LETTER, "if": "actor"}], comes_again),
    "done": ([PAID, {**LETTER, "if": "not paid.timed_out"}], pays),
    "not done": (
        [PAID, {"id": "none", "wait": {"event": "b", "timeout": "2m"}}, {"stop": "none.timed_out"}],
        pays,
    ),
    "capped": ([LETTER, {"wait": "1m"}], has_a_cap),
    "asleep": ([LETTER, {"wait": "1m"}], sleeps),
    "fallen back": (
        [
            {
                "id": "tell",
                "fallback": [{"letter": {"text": "x"}, "within": "2m"}, {"inbox": {"title": "x"}}],
            }
        ],
        is_refused,
    ),
    "waiting": ([BELL, {"wait": "2h"}, LETTER], lambda office: passes(office, 2)),
}


@on_one_engine
@pytest.mark.parametrize("life", LIVES)
async def test_a_run_under_its_own_version_is_that_run(office: Office, life: str) -> None:
    """Step by step, with what was read, and when; nothing of it is assumed."""
    steps, happens = LIVES[life]
    await office.workflow(*steps)
    await office.trigger(ANN, payload={"n": 1}, actor="ben")
    await office.run()
    await happens(office)
    assert await is_itself(office) > 1


@on_one_engine
async def test_what_was_fetched_is_known_and_nobody_is_asked_again(
    office: Office, target: HttpTarget
) -> None:
    """An answer is taken as it was; of what was never asked the replay says that it would ask, and goes on as `on_error` says."""
    target.answers = [(200, b'{"stock": 3}'), (404, b"{}")]
    fetch = {"id": "shop", "http": {"url": f"{target.url}/a"}}
    lost = {"id": "lost", "http": {"url": f"{target.url}/b", "on_error": "continue"}}
    await office.workflow(fetch, lost, {**LETTER, "if": "shop.body.stock > 2"})
    id = await office.trigger(ANN, payload={"n": 1})
    await office.run()
    assert await is_itself(office) == 3
    [run] = (await office.history.runs("default", id, "", 1))[0]
    asked = len(target.calls)
    await office.workflow({**lost, "id": "other"}, {**fetch, "id": "third"}, LETTER)
    again = await replayed(office, run.id)
    assert [(s.step, s.outcome, s.why.split("/")[0], s.assumed) for s in again.steps] == [
        ("other", "failed", "would ask GET http:", ["other"]),
        ("third", "failed", "would ask GET http:", ["third"]),
    ]
    assert (again.status, again.left_out) == ("failed", ["shop", "lost", "mail"])
    assert len(target.calls) == asked


@on_one_engine
async def test_what_no_record_tells_is_as_it_is_now(office: Office) -> None:
    """And each step names it: facts, wishes, counts, digests, what would have become of messages."""
    await office.workflow({"wait": "1m"}, {"stop": 'recipient.name == "Ben"'})
    id = await office.trigger(ANN, payload={"n": 1})
    await passes(office, 2)
    [run] = (await office.history.runs("default", id, "", 1))[0]
    await office.workflow(
        {"digest": {"window": "10s"}},
        {"throttle": {"limit": 1, "per": "1h"}},
        {**BELL, "if": 'recipient.email == "ann@example.com" and recipient.name'},
        {"wait": {"message": "bell", "is": "read", "timeout": "30s"}},
        {"stop": "bell.read or digest.count > 1"},
        {"wait": "1d"},
    )
    again = await replayed(office, run.id)
    assert [(s.step, s.outcome, s.differs, s.assumed) for s in again.steps] == [
        ("digest_1", "passed", True, ["digest"]),
        ("throttle_2", "passed", True, ["count"]),
        ("bell", "sent", True, ["defaults", "preferences", "recipient.email"]),
        ("wait_4", "passed", True, []),
        ("stop_5", "passed", True, ["bell.read"]),
        ("wait_6", "waiting", True, []),
    ]
    assert (again.status, again.left_out) == ("running", ["wait_1", "stop_2"])
    assert again.due_at is not None


@on_one_engine
async def test_what_was_counted_and_collected_is_what_another_version_is_told(
    office: Office,
) -> None:
    """The third within the hour is the third for a stricter throttle too; the digest has what it had, and what else was read."""
    digest = {"id": "all", "digest": {"window": "5m"}}
    once = {"id": "few", "throttle": {"limit": 3, "per": "1h"}}
    await office.workflow(once, digest, LETTER)
    id = await office.trigger(ANN, payload={"n": 1}, actor="ben")
    await office.run()
    await office.trigger("ann", payload={"n": 2}, actor="cleo")
    await passes(office, 10)
    await office.workflow(
        once, digest, {"stop": 'digest.count == 2 and digest.actors == ["ben", "cleo"]'}
    )
    [run] = (await office.history.runs("default", id, "", 1))[0]
    again = await replayed(office, run.id)
    assert [(s.step, s.outcome, s.assumed) for s in again.steps] == [
        ("few", "passed", []),
        ("all", "passed", []),
        ("stop_3", "stopped", []),
    ]
    third = await office.trigger("ann", payload={"n": 3})
    await passes(office, 10)
    [run] = (await office.history.runs("default", third, "", 1))[0]
    await office.workflow({"id": "few", "throttle": {"limit": 2, "per": "1h"}}, LETTER)
    again = await replayed(office, run.id)
    assert [(s.step, s.outcome, s.read, s.differs) for s in again.steps] == [
        ("few", "stopped", {"count": 3}, True)
    ]
