"""Fallback: one channel after the other, until one has the message."""

from typing import Any

import pytest

from clarion.errors import Invalid
from clarion.notifications.workflows.fallback import written_out
from clarion.notifications.workflows.moves import Await, Begin, Decision, Due, End
from tests.notifications.workflows.test_advance import MINUTE, NOW, Playbook, workflow

TELL = {
    "id": "tell",
    "fallback": [
        {"push": {"title": "hello"}, "within": "5m"},
        {"email": {"title": "hello"}},
        {"inbox": {"title": "hello"}},
    ],
}
CHANNELS = ("inbox", "email", "push")
SENT = {"sent": True, "settled": True}
FAILED = {"failed": True, "settled": True}


def test_it_stands_for_steps_that_could_be_written_out() -> None:
    """Each channel is a step, with a wait behind it; the last has none."""
    assert [each.step for each in written_out({**TELL, "if": "payload.a or payload.b"}, "/steps/0", 0, CHANNELS)] == [
        {"id": "tell_push", "push": {"title": "hello"}, "if": "(payload.a or payload.b)"},
        {"id": "tell_wait_1", "wait": {"message": "tell_push", "is": "sent", "timeout": "5m", "call_off": True}},
        {"id": "tell_email", "email": {"title": "hello"}, "if": "(payload.a or payload.b) and not tell_push.sent"},
        {"id": "tell_wait_2", "wait": {"message": "tell_email", "is": "sent", "timeout": "10m", "call_off": True}},
        {"id": "tell_inbox", "inbox": {"title": "hello"}, "if": "(payload.a or payload.b) and not tell_push.sent and not tell_email.sent"},
    ]  # fmt: skip
    [other] = written_out({"wait": "5m"}, "/steps/3", 3, CHANNELS)
    assert (other.step, other.at) == ({"wait": "5m"}, "/steps/3")


def test_the_first_that_is_sent_is_enough() -> None:
    """The others are skipped, and their records say why."""
    run = Playbook(TELL)
    assert run.give(Begin()) == ["tell_push: sent"]
    assert run.last.next == Await("r.0", NOW + 5 * MINUTE)
    assert run.give(Due(), MINUTE, tell_push=SENT) == [
        "tell_wait_1: passed",
        "tell_email: skipped",
        "tell_wait_2: passed",
        "tell_inbox: skipped",
    ]
    assert run.last.next == End()
    assert run.last.records[1].read == {"tell_push.sent": True}


def test_the_next_is_asked_when_one_fails() -> None:
    """As soon as it has; nothing is called off, for there is nothing left of it."""
    run = Playbook(TELL)
    run.give(Begin())
    assert run.give(Due(), MINUTE, tell_push=FAILED) == ["tell_wait_1: passed", "tell_email: sent"]
    assert run.last.calls_off == ()
    assert run.give(Due(), MINUTE, tell_email=FAILED) == ["tell_wait_2: passed", "tell_inbox: sent"]
    assert run.last.next == End()


def test_who_cannot_be_reached_on_one_is_reached_on_the_next_at_once() -> None:
    """No address, a preference, a template that fails: nobody waits for that."""
    run = Playbook(TELL)
    run.decisions = {
        "tell_push": Decision("skip", "no address"),
        "tell_email": Decision("fail", "no such variable"),
    }
    assert run.give(Begin()) == [
        "tell_push: skipped",
        "tell_wait_1: passed",
        "tell_email: failed",
        "tell_wait_2: passed",
        "tell_inbox: sent",
    ]


def test_one_that_takes_too_long_is_called_off() -> None:
    """After its time, and the next is asked."""
    run = Playbook(TELL)
    run.give(Begin())
    assert run.give(Due(), 5 * MINUTE, tell_push={}) == ["tell_wait_1: passed", "tell_email: sent"]
    assert run.last.calls_off == ("r.0",)


def test_its_condition_is_asked_before_each() -> None:
    """Who has seen it meanwhile is not told on the next channel either."""
    run = Playbook({"id": "bell", "inbox": {"title": "hello"}}, {**TELL, "if": "not bell.seen"})
    run.give(Begin())
    assert (
        run.give(Due(), MINUTE, tell_push=FAILED, bell={"seen": True})[1] == "tell_email: skipped"
    )


@pytest.mark.parametrize(
    ("step", "pointer"),
    [
        ({"fallback": []}, "/steps/0/fallback"),
        ({"fallback": [{"push": {"title": "x"}}]}, "/steps/0/fallback"),
        ({"fallback": {"push": {"title": "x"}}}, "/steps/0/fallback"),
        ({"fallback": [{"push": {"title": "x"}}] * 7}, "/steps/0/fallback"),
        ({**TELL, "push": {"title": "x"}}, "/steps/0"),
        ({**TELL, "id": "x" * 21}, "/steps/0/id"),
        ({**TELL, "id": 5}, "/steps/0/id"),
        ({**TELL, "id": "no space"}, "/steps/0/fallback/0/id"),
        ({**TELL, "if": True}, "/steps/0/if"),
        ({**TELL, "if": "nothing.known"}, "/steps/0/fallback/0/if"),
        ({"fallback": ["push", "email"]}, "/steps/0/fallback/0"),
        ({"fallback": [{}, {"email": {"title": "x"}}]}, "/steps/0/fallback/0"),
        ({"fallback": [{"push": {"title": 5}}, {"email": {"title": "x"}}]}, "/steps/0/fallback/0/push/title"),
        ({"fallback": [{"fax": {}}, {"email": {"title": "x"}}]}, "/steps/0/fallback/0/fax"),
        ({"fallback": [{"wait": "5m"}, {"email": {"title": "x"}}]}, "/steps/0/fallback/0/wait"),
        ({"fallback": [{"email": {"title": "x"}}, {"http": {"url": "https://x.example"}}]}, "/steps/0/fallback/1/http"),
        ({"fallback": [{"push": {"title": "x"}}, {"push": {"title": "x"}}]}, "/steps/0/fallback/1/id"),
        ({"fallback": [{"push": {"title": "x"}, "within": "soon"}, {"email": {"title": "x"}}]}, "/steps/0/fallback/0/wait/timeout"),
        ({"fallback": [{"push": {"title": "x"}}, {"email": {"title": "x"}, "within": "5m"}]}, "/steps/0/fallback/1/within"),
        ({"wait": {"for": "5m", "call_off": True}}, "/steps/0/wait/call_off"),
    ],
)  # fmt: skip
def test_what_is_no_fallback_is_refused_with_a_pointer(step: dict[str, Any], pointer: str) -> None:
    """Where it is written, not where it would stand if it were written out."""
    with pytest.raises(Invalid) as caught:
        workflow(step)
    assert [fault.pointer for fault in caught.value.faults] == [pointer]


def test_what_it_stands_for_counts_as_steps() -> None:
    """A workflow is no longer than it may be."""
    many = [{**TELL, "id": f"t{n}"} for n in range(11)]
    with pytest.raises(Invalid, match="55 steps"):
        workflow(*many)
