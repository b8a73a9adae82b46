"""The error tree: what a person and a program can read from it."""

import inspect
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from clarion import errors
from clarion.errors import (
    AckTimeout,
    ClarionError,
    Fault,
    Invalid,
    OutcomeUnknown,
    PeerError,
    RateLimited,
)
from clarion.patterns import worded


def _classes() -> list[type[ClarionError]]:
    found = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, ClarionError)]
    return [c for c in found if c not in (ClarionError, errors.ServerError)]


def test_codes_name_one_error_each() -> None:
    """A program can tell errors apart by their code alone."""
    codes = [c.code for c in _classes()]
    assert len(codes) == len(set(codes))


def test_a_peers_mistake_is_a_4xx_and_ours_a_5xx() -> None:
    """The status says whose mistake it was."""
    for error in _classes():
        if issubclass(error, PeerError):
            assert 400 <= error.status < 500, error
        else:
            assert error.status >= 500, error


def test_an_answer_carries_what_one_needs_to_act() -> None:
    """A socket's error answer has code, message, faults, facts and when to come back."""
    error = Invalid("two are wrong", faults=[Fault("/a/0", "too long")], limit=5)
    assert error.as_answer() == {
        "code": "invalid",
        "message": "two are wrong",
        "limit": 5,
        "errors": [{"pointer": "/a/0", "detail": "too long"}],
    }
    assert RateLimited(retry_after_s=2.5).as_answer()["retry_after"] == 2.5
    assert OutcomeUnknown().as_answer()["outcome"] == "unknown"


def test_an_error_without_a_message_says_its_title() -> None:
    """Nobody reads an empty error."""
    assert str(PeerError()) == PeerError.title


def test_an_error_without_a_message_says_its_first_fault() -> None:
    """Who reads `detail` alone reads what is wrong, and where."""
    assert (
        Invalid(faults=[Fault("/a/0", "too long"), Fault("/b", "is missing")]).message
        == "/a/0: too long"
    )
    assert Invalid(faults=[Fault("", "too long")]).message == "the body: too long"


def test_a_text_that_does_not_match_is_told_in_words() -> None:
    """What was expected, not the expression that it was checked by; one that has no name is shown as it is."""
    text = Annotated[str, Meta(pattern=worded(r"^[0-9]+\.x$", "digits, and .x"))]
    for kind, said in (
        (text, "Expected digits, and .x"),
        (Annotated[str, Meta(pattern="^y$")], "^y$"),
    ):
        with pytest.raises(msgspec.ValidationError) as refused:
            msgspec.convert({"a": "1"}, dict[str, kind])  # type: ignore[valid-type]
        assert said in Fault.of(refused.value).detail


def test_answers_that_came_are_in_the_time_out() -> None:
    """Who asked many gets what there is."""
    late = AckTimeout(responses=["a", "b"], missing=1)
    assert (late.responses, late.missing) == (("a", "b"), 1)
    assert late.as_answer()["missing"] == 1


class _Inner(msgspec.Struct, forbid_unknown_fields=True):
    b: int


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    a: list[_Inner]
    d: dict[str, int] = {}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"a": [{"b": 1}, {"b": "x"}]}, "/a/1/b"),
        ({"a": [{}]}, "/a/0/b"),
        ({"a": [{"b": 1, "odd/~": 2}]}, "/a/0/odd~1~0"),
        ({}, "/a"),
        ({"a": [], "more": 1}, "/more"),
        ({"a": [], "d": {"k": "x"}}, "/d"),
        ([], ""),
    ],
)
def test_a_fault_points_at_what_is_wrong(body: object, pointer: str) -> None:
    """A JSON pointer (RFC 6901); a member that is missing or unknown is pointed at itself."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(body, _Body)
    assert Fault.of(caught.value).pointer == pointer


class _Step(msgspec.Struct, forbid_unknown_fields=True):
    for_: int = msgspec.field(name="for", default=0)
    timeout: int = 0
    more: "dict[str, _Step]" = {}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"timeuot": 1}, "is not known here: did you mean 'timeout'?"),
        ({"more": {"a": {"fro": 1}}}, "is not known here: did you mean 'for'?"),
        ({"colour": 1}, "is not known here"),
        ({"t" * 100_000: 1}, "is not known here"),
    ],
)
def test_an_unknown_member_is_told_which_one_may_be_meant(body: object, said: str) -> None:
    """As it is written in JSON; and nothing where nothing is like it, or the kind is not known."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(body, _Step)
    assert Fault.of(caught.value, _Step).detail == said
    assert Fault.of(caught.value).detail == "is not known here"


def test_an_error_that_names_no_place_is_about_the_whole() -> None:
    """A check of our own says what, not where."""
    assert Fault.of(msgspec.ValidationError("too odd")) == Fault("", "too odd")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Stat(Struct, tag="stat"):
    unit: Literal["%", "ms"] = "%"


class Chart(Struct, tag="chart"):
    many: Literal[tuple(f"v{n}" for n in range(30))] = "v0"  # type: ignore[valid-type]


class Whole(Struct, rename={"is_in": "in"}):
    is_in: Literal["a", "b"] | None = None
    colour: Colour = Colour.RED
    widgets: Annotated[list[Stat | Chart], Meta(max_length=9)] = []
    by_key: dict[Literal["k", "l"], Literal[1, 2]] = {}
    pair: tuple[int, ...] = ()
    at: datetime | None = None


@pytest.mark.parametrize(
    ("given", "pointer", "expected"),
    [
        ({"in": "c"}, "/in", "'a' or 'b'"),
        ({"colour": "green"}, "/colour", "'red' or 'blue'"),
        ({"widgets": [{"type": "map"}]}, "/widgets/0/type", "'stat' or 'chart'"),
        ({"widgets": [{"type": "stat", "unit": "s"}]}, "/widgets/0/unit", "'%' or 'ms'"),
        ({"by_key": {"m": 1}}, "/by_key", "'k' or 'l'"),
        ({"by_key": {"k": 3}}, "/by_key", "'1' or '2'"),
        ({"widgets": [{"type": "chart", "many": "w"}]}, "/widgets/0/many", "one of 30, such as 'v0'"),
        ({"pair": ["x"]}, "/pair/0", ""),
        ({"in": 5}, "/in", ""),
        ({"at": "soon"}, "/at", ""),
    ],
)  # fmt: skip
def test_what_may_be_chosen_is_said(given: Any, pointer: str, expected: str) -> None:
    """Literals, enumerations, tags of unions, keys; of very many a few."""
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(given, Whole)
    fault = Fault.of(refused.value, Whole)
    assert fault.pointer == pointer
    assert fault.detail.partition(": expected ")[2].startswith(expected)
    assert (": expected " in fault.detail) == bool(expected)
