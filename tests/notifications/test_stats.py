"""Numbers are exact: whatever becomes of a message is counted once, and what is taken back is taken back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.clock import as_datetime
from clarion.errors import Invalid
from clarion.notifications.channels import NotSent
from clarion.notifications.sight.letters import Letters
from clarion.notifications.sight.stats import Asked, Stats, bucket
from clarion.storage import message_events as told_sql
from clarion.storage import stats as sql
from tests.notifications.conftest import APP, user
from tests.notifications.office import ANN, BELL, LETTER, Office, office
from tests.support.law import assert_law

__all__ = ["office"]


async def _counts(office: Office, **asked: Any) -> dict[str, int]:
    found = await office.engine.counts.find("default", Asked(**asked))
    return found.items[0].counts if found.items else {}


async def test_whatever_becomes_of_messages_is_counted(office: Office) -> None:
    """Sent alike or one by one, read and unread again, delivered, bounced, failed and sent again; before and after it is added up."""
    await office.workflow(BELL, category="social")
    people = [{"id": f"u{n}"} for n in range(5)]
    await office.trigger(*people, payload={"n": 1})  # one by one: it asks who is told
    await office.workflow({"inbox": {"title": "alike"}}, category="social")
    office.clock.advance(2)
    await office.trigger(*people, payload={"n": 1})
    await office.house.send("ann", "u0", category="news")
    inbox = await _counts(office, channel="inbox")
    assert inbox == {"sent": 12, "delivered": 12}
    assert (await _counts(office, category="news"))["sent"] == 2
    assert (await _counts(office, workflow="w"))["sent"] == 10
    office.clock.advance(10)
    first, second = (await office.house.inbox.page(user("u1"))).items
    await office.house.inbox.mark(user("u1"), first.id, "read")
    await office.house.inbox.mark(user("u1"), second.id, "archive")
    await office.house.inbox.mark_all(user("u0"), "read")
    marked = await _counts(office, channel="inbox")
    assert (marked["seen"], marked["read"], marked["archived"]) == (4, 4, 1)
    await office.house.inbox.mark(user("u1"), first.id, "unread")
    assert (await _counts(office, channel="inbox"))["read"] == 3

    await office.workflow(LETTER)
    office.letters.fails = [NotSent("gone", provider="post", is_final=True), RuntimeError("fell")]
    for name in ("ann", "ben", "cleo"):
        await office.trigger({"id": name, "email": "x@y"}, payload={"n": 1})
        await office.run(1)
    await office.run(20)
    expected = {"queued": 3, "sent": 2, "failed": 1}
    assert await _counts(office, channel="letter") == expected
    while await office.engine.counts.add_up() == 0.0:
        pass
    assert await office.count("stat_change") == 0
    assert await _counts(office, channel="letter") == expected
    found = await office.engine.counts.find("default", Asked(what="attempt", by="provider"))
    assert {each.name: each.counts for each in found.items} == {
        "letter": {"retry": 1},
        "post": {"failed": 1},
        "post office": {"sent": 2},
    }
    await office.engine.letters.do(APP, "replay", Letters())
    assert (await _counts(office, channel="letter"))["sent"] == 2
    assert "failed" not in await _counts(office, channel="letter")
    await office.run(1)
    [ann] = [letter for letter in office.letters.sent if letter.user == "ann"]
    told = [
        told_sql.NewEvent("default", ann.id, kind, office.clock.now_ms(), "", status, rank, read, 0)
        for kind, status, rank, read in (
            ("opened", "delivered", 20, 1),
            ("bounced", "bounced", 30, 0),
        )
    ]
    await office.house.store.apply(told_sql.TELL, told)
    assert await _counts(office, channel="letter") == {
        "queued": 3, "sent": 3, "delivered": 1, "seen": 1, "read": 1, "bounced": 1
    }  # fmt: skip
    assert (await office.engine.counts.find("elsewhere", Asked())).items == []


async def test_how_long_it_took(office: Office) -> None:
    """Percentiles of merged hours, within 5 %; by the hour, by the day and all together."""
    rows = [
        sql.Change("default", hour * sql.HOUR_MS, "message", "w", "email", "", "", "sent", bucket(ms), 1)
        for hour, ms in [(480_000, ms) for ms in range(1, 501)] + [(480_001, ms) for ms in range(501, 1001)]
    ]  # fmt: skip
    await office.house.store.apply(sql.ADD, rows)
    at: dict[str, Any] = {
        "since": as_datetime(480_000 * sql.HOUR_MS),
        "until": as_datetime(480_001 * sql.HOUR_MS) + timedelta(minutes=1),
    }

    async def find(**asked: Any) -> Stats:
        return await office.engine.counts.find("default", Asked(**at, **asked))

    [whole] = (await find()).items
    took = whole.took_ms["sent"]
    assert took.p50 == pytest.approx(500, rel=0.05)
    assert took.p90 == pytest.approx(900, rel=0.05)
    assert took.p99 == pytest.approx(990, rel=0.05)
    hours = (await find(interval="hour")).items
    assert [each.counts["sent"] for each in hours] == [500, 500]
    assert hours[0].took_ms["sent"].p99 == pytest.approx(495, rel=0.05)
    for wrong in (
        {"since": at["until"], "until": at["since"]},
        {"since": at["since"] - timedelta(days=15), "until": at["until"], "interval": "hour"},
    ):
        with pytest.raises(Invalid):
            await office.engine.counts.find("default", Asked(**wrong))


async def test_what_share_has_failed(office: Office) -> None:
    """Also where a bounce is told in an hour in which nothing was sent, or a server refuses all at once: never more than all."""

    async def share(**counts: int) -> dict[str, float]:
        hour_ms = office.clock.now_ms() // sql.HOUR_MS * sql.HOUR_MS
        rows = [
            sql.Change("default", hour_ms, "message", "w", "email", "", "", status, 0, count)
            for status, count in counts.items()
        ]
        await office.house.store.apply(sql.ADD, rows)
        [found] = (await office.engine.counts.find("default", Asked(interval="hour"))).items[-1:]
        office.clock.advance(3_600)
        return found.rates

    assert await share(bounced=3) == {"failed": 1.0}
    assert await share(sent=10, bounced=30) == {"failed": 0.75}
    assert await share(sent=6, failed=1, bounced=1, read=3) == {"failed": 0.25, "read": 0.5}
    assert await share(sent=4) == {"failed": 0.0}
    assert await share(queued=4) == {}


@dataclass
class Widget:
    """What a widget asks for."""

    params: dict[str, Any]
    tenant: str = "default"


async def test_runs_that_failed(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their last step, which nothing else counts, or because they cannot go on; one that goes on behind a failed step has not."""
    broken = {"id": "bell", "inbox": {"title": "{{ 1 // recipient.attributes.n }}"}}
    people = [{"id": f"u{n}", "attributes": {"n": n % 2}} for n in range(4)]
    await office.workflow(broken)
    await office.trigger(*people)
    assert await _counts(office, what="run") == {"failed": 2}
    await office.workflow(broken, {"wait": "1m"}, {"inbox": {"title": "x"}})
    await office.trigger(*people)
    assert await _counts(office, what="run") == {"failed": 2}
    gone = Invalid("this version reads no more")
    monkeypatch.setattr(office.catalog, "version", AsyncMock(side_effect=gone))
    await office.run(60)
    found = await office.engine.counts.find("default", Asked(what="run", by="workflow"))
    [numbers] = found.items
    assert (numbers.name, numbers.counts, numbers.rates) == ("w", {"failed": 6}, {})
    assert await _counts(office) == {"sent": 4, "delivered": 4}


async def test_dashboards_show_them(office: Office) -> None:
    """A number, or points by the hour."""
    await office.workflow(LETTER)
    await office.trigger(ANN, payload={"n": 1})
    await office.run(1)
    asked = office.engine.counts.asked
    assert await asked(Widget({"show": "sent", "channel": "letter"})) == 1
    assert await asked(Widget({"show": "failure_rate"})) == 0.0
    assert await asked(Widget({"show": "p99"})) == pytest.approx(1_000, rel=0.05)
    points = await asked(Widget({"show": "sent", "within": "2h", "series": True}))
    assert (len(points["t"]), points["v"][0][-1]) == (2, 1)
    for wrong in ({}, {"show": "luck"}, {"show": "sent", "within": "soon"}):
        with pytest.raises(Invalid):
            await asked(Widget(wrong))


async def test_old_numbers_are_forgotten(office: Office) -> None:
    """After `limits.stats_days`."""
    now_ms = office.clock.now_ms()
    old = now_ms - 367 * 24 * sql.HOUR_MS
    for at_ms in (old, now_ms):
        row = sql.Change("default", at_ms, "message", "w", "email", "", "", "sent", 0, 1)
        await office.house.store.apply(sql.RAISE, [row])
    assert [count async for count in office.engine.counts.purge()] == [1]
    assert await _counts(office) == {"sent": 1}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.lists(
            st.builds(
                sql.Change,
                st.sampled_from("tu"),
                st.integers(0, 1),
                st.just("message"),
                *[st.just("")] * 4,
                st.sampled_from("ab"),
                st.integers(0, 1),
                st.integers(-2, 2),
            ),
            max_size=3,
        ),
        max_size=4,
    )
)
def test_adding_up(rows: Sequence[Sequence[object]]) -> None:
    """Sums do not depend on how they are gathered."""
    assert_law(sql.RAISE, rows)
    assert_law(sql.ADD, rows)
