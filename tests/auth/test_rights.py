"""Declared rights: who passes which door."""

import pytest

from clarion.auth.principal import Principal, system
from clarion.auth.rights import AllOf, ByItem, Declared, Public, Right, Self, check, declared, holds
from clarion.errors import Forbidden, Unauthenticated, UndeclaredRight

USER = Principal(id="ann")
SENDER = Principal(id="ben", scopes=frozenset({"notifications:send"}))
KEY = Principal(id="k1", kind="key", scopes=frozenset({"notifications:*"}))
OTHER_KEY = Principal(id="k2", kind="key", scopes=frozenset({"keys:read"}))
OPERATOR = system("cli")
CALLERS = {
    "nobody": None,
    "user": USER,
    "sender": SENDER,
    "key": KEY,
    "other key": OTHER_KEY,
    "operator": OPERATOR,
}

SEND = Right("notifications:send")


@pytest.mark.parametrize(
    ("right", "allowed"),
    [
        (Public(reason="probe"), set(CALLERS)),
        (Self(), {"user", "sender"}),
        (SEND, {"sender", "key", "operator"}),
        (AllOf(Self(), SEND), {"sender"}),
        (AllOf(SEND, AllOf(Self())), {"sender"}),
        (Right("keys:write"), {"operator"}),
        (ByItem("notifications:send"), {"user", "sender", "key", "operator"}),
    ],
    ids=repr,
)
def test_a_door_lets_in_whom_it_declares_and_nobody_else(
    right: Declared, allowed: set[str]
) -> None:
    """Nobody signed in: 401. Known, but not allowed: 403."""
    for name, caller in CALLERS.items():
        if name in allowed:
            check(right, caller)
        else:
            with pytest.raises(Unauthenticated if caller is None else Forbidden):
                check(right, caller)


def test_a_refusal_names_the_missing_scope() -> None:
    """So that whoever made the token can put it right."""
    with pytest.raises(Forbidden) as caught:
        check(SEND, USER)
    assert caught.value.facts == {"scope": "notifications:send"}


@pytest.mark.parametrize("nothing", [None, "notifications:send", Right, 1])
def test_a_door_without_a_declaration_does_not_start(nothing: object) -> None:
    """The door is named to the person who has to declare it; at run time, too, nobody passes."""
    with pytest.raises(UndeclaredRight, match="POST /v1/things"):
        declared("POST /v1/things", nothing)
    with pytest.raises(UndeclaredRight):
        check(nothing, USER)  # type: ignore[arg-type]  what a program without types might do


def test_a_public_door_needs_a_reason() -> None:
    """Openness is a decision that somebody has to write down."""
    with pytest.raises(UndeclaredRight, match="without a reason"):
        declared("GET /livez", Public(reason=""))
    assert declared("GET /livez", Public(reason="probe")) == Public(reason="probe")


@pytest.mark.parametrize("parts", [(), (Public(reason="probe"),), (Self(), None)])
def test_all_of_nothing_is_not_a_right(parts: tuple[object, ...]) -> None:
    """An empty conjunction would let everybody in, and a public part says nothing."""
    with pytest.raises(UndeclaredRight):
        AllOf(*parts)  # type: ignore[arg-type]  what a program without types might do


def test_a_conjunction_shows_its_parts() -> None:
    """Documentation and test ids are made from it."""
    assert repr(AllOf(Self(), SEND)) == "AllOf(Self(), Right(scope='notifications:send'))"


@pytest.mark.parametrize(
    ("held", "covered", "not_covered"),
    [
        ("*", ["a", "a:b", "a:b:c", "*"], []),
        ("a:*", ["a:b", "a:*"], ["a", "a:b:c", "b:a", "*"]),
        ("a:b", ["a:b"], ["a", "a:*", "a:bc", "A:b"]),
        ("**", ["a"], ["*", "a:b"]),
    ],
)
def test_scopes_cover_scopes(held: str, covered: list[str], not_covered: list[str]) -> None:
    """`*` covers all; any other `*` is of one segment; nothing but `*` covers `*`."""
    assert all(holds([held], scope) for scope in covered)
    assert not any(holds([held], scope) for scope in not_covered)
    assert not holds([], "a")
