"""Workflows as they are written: what is read from them, and what is refused, where."""

from typing import Any

import pytest
from msgspec import Struct

from clarion.errors import Invalid
from clarion.notifications.workflows import durations
from clarion.notifications.workflows.definition import Definition, Say, Stop, Wait, Workflow
from clarion.notifications.workflows.reading import read_workflow


class Text(Struct, frozen=True, forbid_unknown_fields=True):
    """What is said on the channels of these tests."""

    title: str


SAY = {"inbox": {"title": "x"}}


class Page(Struct, frozen=True):
    """As an application may declare what is said on its own channel: it says nothing of other members."""

    text: str


def read(*steps: dict[str, Any]) -> Workflow:
    """A workflow of these steps."""
    return read_workflow(Definition("w", list(steps)), {"inbox": Text, "pager": Page})


def test_a_member_that_a_channel_does_not_know_is_refused() -> None:
    """Whatever the channel's type says of such members, and told before what is missing: that is what was meant."""
    for content in ({"text": "x", "txet": "y"}, {"txet": "y"}):
        with pytest.raises(Invalid) as refused:
            read({"pager": content})
        [fault] = refused.value.faults
        assert fault.pointer == "/steps/0/pager/txet"
        assert fault.detail == "is not known here: did you mean 'text'?"


def test_a_workflow_is_read_as_it_is_written() -> None:
    """Steps have their ids, acts and conditions; who has no id gets one from its act and place."""
    found = read(
        {"id": "bell", **SAY},
        {"wait": "5m"},
        {"stop": "bell.seen"},
        {"inbox": {"title": "y"}, "if": "payload.a"},
    )
    assert [step.id for step in found.steps] == ["bell", "wait_2", "stop_3", "inbox_4"]
    assert found.steps[0].act == Say("inbox", {"title": "x"})
    assert found.steps[1].act == Wait(for_="5m")
    assert found.steps[2].act == Stop("bell.seen")
    assert found.paths == {"bell.seen", "payload.a"}
    assert found.index("stop_3") == 2


@pytest.mark.parametrize(
    ("step", "pointer", "why"),
    [
        ({}, "", "has one act"),
        ({"inbox": {"title": "x"}, "wait": "5m"}, "", "has one act"),
        ({"fax": {}}, "/fax", "there is no act or channel 'fax'; there are wait"),
        ({"inbox": {}}, "/inbox/title", "is missing"),
        ({"inbox": {"title": "x", "colour": 1}}, "/inbox/colour", "is not known"),
        ({"id": "Bell", **SAY}, "/id", "Expected a name"),
        ({"id": "payload", **SAY}, "/id", "the name of a fact"),
        ({"id": "first", **SAY}, "/id", "used twice"),
        ({"if": "1 +", **SAY}, "/if", "not understood"),
        ({"if": 1, **SAY}, "/if", "Expected `str`"),
        ({"if": "later.seen", **SAY}, "/if", "`later.seen` is nothing that is known here"),
        ({"stop": "payload."}, "/stop", "not understood"),
        ({"stop": "later.read"}, "/stop", "nothing that is known here"),
        ({"stop": "inbox.read"}, "/stop", "of a step's message, first.read"),
        ({"if": "inbox", "wait": "1s"}, "/if", "there are inbox.unread"),
        ({"stop": "first.reed"}, "/stop", "`first.reed`: of a message there are first.sent"),
        ({"stop": "first"}, "/stop", "of a message there are"),
        (
            {"digest": {"window": "1h", "keep": "later.read"}},
            "/digest/keep",
            "nothing that is known",
        ),
        ({"wait": {"message": "first", "is": "read"}}, "/wait", "needs a `timeout`"),
        ({"wait": "soon"}, "/wait/for", "no span of time"),
        ({"wait": "366d"}, "/wait/for", "at most 365 days"),
        ({"wait": {}}, "/wait", "has one of"),
        ({"wait": {"for": "1h", "at": "09:00"}}, "/wait", "has one of"),
        ({"wait": {"for": "1h", "zone": "UTC"}}, "/wait/zone", "does not go with `for`"),
        ({"wait": {"at": "9:00"}}, "/wait/at", "Expected a time of day"),
        ({"wait": {"at": "09:00", "days": []}}, "/wait/days", "at least one day"),
        ({"wait": {"at": "09:00", "zone": "Mars/Base"}}, "/wait/zone", "no time zone"),
        ({"wait": {"until": "payload.at", "plus": "-x"}}, "/wait/plus", "no span"),
        ({"wait": {"message": "first", "timeout": "1h"}}, "/wait", "`is: seen`"),
        (
            {"wait": {"message": "nobody", "is": "seen", "timeout": "1h"}},
            "/wait/message",
            "no step",
        ),
        (
            {"wait": {"message": "first", "is": "eaten", "timeout": "1h"}},
            "/wait/is",
            "Invalid enum",
        ),
        ({"digest": {}}, "/digest", "either a `window` or a `cron`"),
        ({"digest": {"window": "1x"}}, "/digest/window", "no span"),
        ({"digest": {"window": "1h", "sliding": True}}, "/digest", "needs `window` and `max`"),
        ({"digest": {"window": "1h", "max": "2h"}}, "/digest/max", "goes with `sliding`"),
        ({"digest": {"window": "1h", "lead": True, "look_back": "1h"}}, "/digest", "give one"),
        ({"digest": {"window": "1h", "keep": "("}}, "/digest/keep", "too early"),
        ({"digest": {"window": "1h", "limit": 1}}, "/digest/limit", ">= 2"),
        ({"throttle": {"limit": 0, "per": "1h"}}, "/throttle/limit", ">= 1"),
        ({"throttle": {"limit": 1, "per": "never"}}, "/throttle/per", "no span"),
        ({"http": {"url": ""}}, "/http/url", "length >= 1"),
    ],
)
def test_what_is_wrong_is_pointed_at(step: dict[str, Any], pointer: str, why: str) -> None:
    """Each fault names the member and says what is wrong with it."""
    with pytest.raises(Invalid) as caught:
        read({"id": "first", **SAY}, step)
    [fault] = caught.value.faults
    assert fault.pointer == f"/steps/1{pointer}"
    assert why in fault.detail


def test_a_channel_that_is_not_there_is_chosen_for_nothing() -> None:
    """A mistyped one is pointed at; `*` stands for those that are not named."""
    given = Definition("w", [SAY], preferences={"inbox": True, "*": False, "emial": False})
    with pytest.raises(Invalid) as caught:
        read_workflow(given, {"inbox": Text})
    [fault] = caught.value.faults
    assert fault.pointer == "/preferences/emial"
    assert "there are inbox, *" in fault.detail


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Who writes a workflow need not find its faults one by one."""
    with pytest.raises(Invalid) as caught:
        read({"fax": {}}, SAY, {"wait": "soon"})
    assert [fault.pointer for fault in caught.value.faults] == ["/steps/0/fax", "/steps/2/wait/for"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("1w", 604_800),
        (" 1d12h ", 129_600),
    ],
)
def test_spans_are_read(text: str, seconds: int) -> None:
    """Weeks, days, hours, minutes, seconds, in this order."""
    assert durations.seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "m", "0s", "5m1h", "-5m", "1.5h", "9999999999s", "53w", "²d"]
)
def test_what_is_no_span_is_refused(text: str) -> None:
    """Also none, and more than a year."""
    with pytest.raises(ValueError, match="span"):
        durations.seconds(text)
