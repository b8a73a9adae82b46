"""The workflow engine: what a run does next, given what has come."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from clarion.clock import as_ms
from clarion.notifications.workflows import advance as engine
from clarion.notifications.workflows.definition import Definition, Step, Workflow
from clarion.notifications.workflows.moves import (
    Advanced,
    Answered,
    Await,
    Begin,
    Closed,
    Collect,
    Count,
    Counted,
    Decision,
    Due,
    End,
    Event,
    Fetch,
    Sleep,
    State,
)
from clarion.notifications.workflows.reading import read_workflow

NOW = 1_790_000_000_000  # 2026-09-21T14:13:20Z, a Monday
MINUTE, HOUR = 60_000, 3_600_000


class Text(Struct, frozen=True, forbid_unknown_fields=True):
    """What is said on the channels of these tests."""

    title: str


CHANNELS = {"inbox": Text, "push": Text, "email": Text}


def workflow(*steps: dict[str, Any]) -> Workflow:
    """A workflow of these steps."""
    return read_workflow(Definition("w", list(steps)), CHANNELS)


class Playbook:
    """A run under test: gives it events, and shows what it answers as short texts."""

    def __init__(self, *steps: dict[str, Any], **facts: Any) -> None:
        self.workflow = workflow(*steps)
        self.facts: dict[str, Any] = {"payload": {}, "recipient": {}, **facts}
        self.now_ms = NOW
        self.state = State()
        self.decisions: dict[str, Decision] = {}
        self.last: Advanced

    def decide(self, step: Step) -> Decision:
        return self.decisions.get(step.id, Decision("send"))

    def give(self, event: Event, after_ms: int = 0, **facts: Mapping[str, Any]) -> list[str]:
        self.now_ms += after_ms
        self.facts |= facts
        # What is kept between two calls goes through JSON, as it does in the store.
        state = msgspec.json.decode(msgspec.json.encode(self.state), type=State)
        self.last = engine.advance(
            self.workflow,
            state,
            event,
            self.facts,
            run="r",
            now_ms=self.now_ms,
            decide=self.decide,
        )
        self.state = self.last.state
        return [f"{each.step}: {each.outcome}" for each in self.last.records]


MENTION = (
    {"id": "bell", "inbox": {"title": "hello"}},
    {"wait": "5m"},
    {"stop": "bell.seen"},
    {"id": "phone", "push": {"title": "hello"}},
    {"wait": "1h"},
    {"id": "mail", "email": {"title": "hello"}, "if": "not bell.read"},
)


def test_somebody_who_looks_is_left_alone() -> None:
    """Inbox at once; seen within five minutes: nothing else happens."""
    run = Playbook(*MENTION)
    assert run.give(Begin()) == ["bell: sent", "wait_2: waiting"]
    assert [each.message for each in run.last.sends] == ["r.0"]
    assert run.last.next == Sleep(NOW + 5 * MINUTE)
    assert run.give(Due(), 5 * MINUTE, bell={"seen": True}) == ["wait_2: passed", "stop_3: stopped"]
    assert run.last.next == End()
    assert run.last.records[-1].read == {"bell.seen": True}


def test_somebody_who_does_not_is_reached_step_by_step() -> None:
    """Not seen: push; not read an hour later: email."""
    run = Playbook(*MENTION)
    run.give(Begin())
    assert run.give(Due(), 5 * MINUTE, bell={"seen": False}) == [
        "wait_2: passed",
        "stop_3: passed",
        "phone: sent",
        "wait_5: waiting",
    ]
    assert run.give(Due(), HOUR, bell={"seen": True, "read": False}) == [
        "wait_5: passed",
        "mail: sent",
    ]
    assert (run.last.next, [each.step for each in run.last.sends]) == (End(), [5])
    assert run.last.records[-1].read == {"bell.read": False}


def test_a_condition_that_does_not_hold_skips_its_step_and_says_why() -> None:
    """The record has the condition and all that it read; later steps may ask whether it was skipped."""
    run = Playbook(
        {"id": "mail", "email": {"title": "x"}, "if": "payload.total > 10"},
        {"inbox": {"title": "x"}, "if": "mail.skipped"},
        payload={"total": 3},
    )
    assert run.give(Begin()) == ["mail: skipped", "inbox_2: sent"]
    assert run.last.records[0].why == "not: payload.total > 10"
    assert run.last.records[0].read == {"payload.total": 3}


def test_preferences_send_skip_or_put_off() -> None:
    """What was put off is asked anew when its time has come."""
    run = Playbook({"id": "mail", "email": {"title": "x"}}, {"id": "bell", "inbox": {"title": "x"}})
    run.decisions["mail"] = Decision("defer", "quiet hours", NOW + HOUR, {"zone": "UTC"})
    assert run.give(Begin()) == ["mail: waiting"]
    assert run.last.next == Sleep(NOW + HOUR)
    run.decisions["mail"] = Decision("skip", "turned off")
    assert run.give(Due(), HOUR) == ["mail: skipped", "bell: sent"]
    assert [each.why for each in run.last.records] == ["turned off", ""]


@pytest.mark.parametrize(
    ("wait", "until"),
    [
        ({"for": "90s"}, NOW + 90_000),
        ({"until": "payload.at"}, NOW + 2 * HOUR),
        ({"until": "payload.at", "plus": "-30m"}, NOW + 90 * MINUTE),
        ({"until": "payload.at", "plus": "1h"}, NOW + 3 * HOUR),
        # "Never", as some write it: what is shown of a run is a date.
        ({"until": "payload.never", "plus": "2d"}, as_ms(datetime(9999, 12, 31, tzinfo=UTC))),
        # 09:00 in Berlin is 07:00 in UTC, which has passed on this Monday.
        ({"at": "09:00"}, 1_790_060_400_000),
        ({"at": "09:00", "zone": "recipient"}, 1_790_060_400_000),
        ({"at": "09:00", "days": ["sat"]}, 1_790_406_000_000),
        ({"at": "15:00", "zone": "UTC"}, NOW + 2_800_000),
    ],
)
def test_a_wait_ends_when_it_says(wait: dict[str, Any], until: int) -> None:
    """For a span, until a time of the payload, or until an hour where the recipient lives."""
    run = Playbook(
        {"wait": wait},
        payload={"at": "2026-09-21T16:13:20Z", "never": "9999-12-31T23:59:59-12:00"},
        recipient={"time_zone": "Europe/Berlin"},
    )
    run.give(Begin())
    assert run.last.next == Sleep(until)


@pytest.mark.parametrize("at", [None, "yesterday", "2020-01-01T00:00:00Z", True, [1], -1])
def test_a_time_that_is_past_or_none_is_not_waited_for(at: Any) -> None:
    """The run goes on at once; its record says why."""
    run = Playbook({"wait": {"until": "payload.at"}}, payload={"at": at})
    assert run.give(Begin()) == ["wait_1: passed"]
    assert (run.last.next, run.last.records[0].read) == (End(), {"payload.at": at})


def test_waiting_for_a_message_ends_when_it_is_so() -> None:
    """At once if it is so already, or was never sent."""
    steps = (
        {"id": "bell", "inbox": {"title": "x"}},
        {"id": "w", "wait": {"message": "bell", "is": "seen", "timeout": "5m"}},
    )
    run = Playbook(*steps)
    assert run.give(Begin()) == ["bell: sent"]
    assert run.last.next == Await("r.0", NOW + 5 * MINUTE)
    assert run.give(Due(), MINUTE) == []
    assert run.give(Due(), MINUTE, bell={"seen": True}) == ["w: passed"]
    assert run.state.left["w"] == {"timed_out": False}
    late = Playbook(*steps)
    late.give(Begin())
    assert late.give(Due(), 5 * MINUTE, bell={"seen": False}) == ["w: passed"]
    assert late.state.left["w"] == {"timed_out": True}
    run = Playbook(*steps)
    run.decisions["bell"] = Decision("skip", "turned off")
    assert run.give(Begin()) == ["bell: skipped", "w: passed"]
    run = Playbook(*steps, bell={"seen": True})
    run.state = State(1, {"bell": {"message": "r.0"}})
    assert run.give(Begin()) == ["w: passed"]


def test_what_was_fetched_is_known_to_later_steps() -> None:
    """An error ends the run or not, as the step says."""
    steps = (
        {"id": "order", "http": {"url": "https://shop/1"}},
        {"inbox": {"title": "x"}, "if": "order.body.open"},
    )
    run = Playbook(*steps)
    run.give(Begin())
    assert run.last.next == Fetch(0)
    assert run.give(Answered({"status": 200, "body": {"open": True}})) == [
        "order: passed",
        "inbox_2: sent",
    ]
    run = Playbook(*steps)
    run.give(Begin())
    assert run.give(Answered({}, "timed out")) == ["order: failed"]
    assert run.last.next == End()
    run = Playbook(
        {"id": "order", "http": {"url": "u", "on_error": "continue"}}, {"inbox": {"title": "x"}}
    )
    run.give(Begin())
    assert run.give(Answered({}, "timed out")) == ["order: failed", "inbox_2: sent"]


def test_a_throttle_lets_so_many_through() -> None:
    """Beyond its limit the run ends, and the record has the count."""
    run = Playbook(
        {"throttle": {"limit": 2, "per": "1h", "key": "payload.thread"}}, payload={"thread": 5}
    )
    run.give(Begin())
    assert run.last.next == Count(0, "workflow:w:throttle_1:3600:5")
    assert run.give(Counted(False, 3)) == ["throttle_1: stopped"]
    assert run.last.records[0].read == {"count": 3}
    run.state = State(0, {}, True)
    assert run.give(Counted(True, 2)) == ["throttle_1: passed"]


def test_a_digest_goes_on_with_what_was_collected() -> None:
    """Later steps know the items and how many there were."""
    run = Playbook(
        {"digest": {"window": "1h", "key": "payload.thread"}},
        {"inbox": {"title": "x"}, "if": "digest.count > 1"},
        payload={"thread": "a"},
    )
    run.give(Begin())
    assert run.last.next == Collect(0, "a", NOW + HOUR, NOW + HOUR)
    assert run.give(Closed({"count": 2, "items": [1, 2]}), HOUR) == [
        "digest_1: passed",
        "inbox_2: sent",
    ]


def test_an_event_for_another_step_changes_nothing() -> None:
    """What comes late finds the run waiting for what it waited for."""
    run = Playbook({"throttle": {"limit": 2, "per": "1h"}})
    run.give(Begin())
    assert run.give(Due()) == []
    assert run.last.next == Count(0, "workflow:w:throttle_1:3600:")


def test_a_step_that_is_repeated_makes_the_same_message() -> None:
    """After a crash a step runs again: the id of its message is the same, so that the store has it once."""
    one, other = Playbook(*MENTION), Playbook(*MENTION)
    one.give(Begin())
    other.give(Begin())
    assert one.last == other.last
