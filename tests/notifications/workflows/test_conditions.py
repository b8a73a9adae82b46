"""Conditions: what they say yes to, what they read, and what they refuse."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.errors import Invalid
from clarion.notifications.workflows.conditions import CHARACTERS, DEPTH, Condition, value

FACTS: dict[str, Any] = {
    "payload": {
        "total": 120,
        "rate": 0.5,
        "plan": "pro",
        "tags": ["a", "b", 3],
        "from": "ann",
        "empty": "",
        "zero": 0,
        "nothing": None,
        "yes": True,
        "items": {"x": 1},
    },
    "recipient": {"online": False},
    "bell": {"seen": True, "read": False},
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("payload.total > 100", True),
        ("payload.total >= 120 and payload.total <= 120", True),
        ("payload.total < 120", False),
        ("payload.total == 120.0", True),
        ("payload.total != 120", False),
        ("payload.rate < 1 and payload.rate > -1", True),
        ("payload.plan == 'pro'", True),
        ('payload.plan == "free" or payload.plan == "pro"', True),
        ("payload.plan < 'q'", True),
        ("payload.from == 'ann'", True),
        ("payload.total == '120'", False),
        ("payload.total > '1'", False),
        ("payload.yes == 1", False),
        ("payload.yes == true", True),
        ("payload.nothing == none", True),
        ("payload.missing.deeper == null", True),
        ("payload.total.deeper == none", True),
        ("payload.missing < 1", False),
        ("payload.empty or payload.zero or payload.nothing", False),
        ("not payload.empty", True),
        ("'a' in payload.tags", True),
        ("3 in payload.tags", True),
        ("'3' in payload.tags", False),
        ("'c' not in payload.tags", True),
        ("'ro' in payload.plan", True),
        ("1 in payload.plan", False),
        ("'x' in payload.items", True),
        ("1 in payload.items", False),
        ("1 in payload.total", False),
        ("payload.plan in ['free', 'pro']", True),
        ("payload.plan in []", False),
        ("payload.tags == ['a', 'b', 3]", True),
        ("not bell.seen and not bell.read", False),
        ("bell.seen and not (bell.read or recipient.online)", True),
        ("false or true and false", False),
        ("(false or true) and true", True),
        ("  true  ", True),
        ("not not true", True),
    ],
)
def test_a_condition_says_what_it_looks_like(text: str, holds: bool) -> None:
    """Each form of the grammar, on facts that are there, absent, or of another kind."""
    assert Condition(text)(FACTS)[0] is holds


def test_a_condition_tells_what_it_read() -> None:
    """The answer comes with every fact that decided it, and with none that was not looked at."""
    condition = Condition("bell.seen or payload.total > 1")
    assert condition.paths == {"bell.seen", "payload.total"}
    assert condition(FACTS) == (True, {"bell.seen": True})
    assert condition({}) == (False, {"bell.seen": None, "payload.total": None})
    assert condition.text == "bell.seen or payload.total > 1"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "ends too early"),
        ("payload.total >", "ends too early"),
        ("and true", "'and' does not belong there"),
        ("true true", "'true' does not belong there (character 6)"),
        ("1 < 2 < 3", "'<' does not belong there"),
        ("(true", "ends too early"),
        ("[1 2]", "'2' does not belong there"),
        ("payload.total > 100 &", "'&' is not understood (character 20): write `and`"),
        ("actor = 'ann'", "is not understood (character 6): write `==`"),
        ("actor == 'ann' || true", "write `or`"),
        ("!true", "write `not`"),
        ("open('/etc/passwd')", "'(' does not belong there"),
        ("'it\\'s'", "is not understood"),
        ("payload..total", "is not understood"),
        ("x" * (CHARACTERS + 1), "at most 1000 characters"),
        ("(" * (DEPTH + 1) + "1" + ")" * (DEPTH + 1), "at most 16 deep"),
        ("not " * 200 + "true", "at most 16 deep"),
        ("[" * 40, "at most 16 deep"),
    ],
)
def test_what_is_no_condition_is_refused(text: str, why: str) -> None:
    """The fault points at the condition and says what is wrong with it, and where."""
    with pytest.raises(Invalid) as caught:
        Condition(text, "/steps/2/if")
    [fault] = caught.value.faults
    assert fault.pointer == "/steps/2/if"
    assert why in fault.detail


@given(st.text(alphabet="ab.'\"()[],<>=! notrue1-and", max_size=60))
def test_any_text_is_compiled_or_refused(text: str) -> None:
    """No text makes the compiler fail otherwise, and what it compiles can be asked."""
    try:
        condition = Condition(text)
    except Invalid:
        return
    assert condition({})[0] in (True, False)


def test_a_path_leads_nowhere_without_failing() -> None:
    """What is not there is none, at any depth."""
    assert value("payload.items.x", FACTS) == 1
    assert value("payload.items.x.y", FACTS) is None
