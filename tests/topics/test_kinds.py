"""Kinds: each says who may, and nobody else may."""

import pytest

from clarion.auth.principal import Principal
from clarion.auth.rights import AllOf, Public, Right, Self
from clarion.errors import (
    Forbidden,
    Invalid,
    NotFound,
    Unauthenticated,
    UndeclaredRight,
    UsageError,
)
from clarion.topics.kinds import Granted, Kind, Kinds, Topic, parse
from tests.topics.fakes import MemoryLog

ADA = Principal(id="ada", scopes=frozenset({"x:y"}), topics={"k:*": ("subscribe",)})


def kind(name: str = "k", **rights: object) -> Kind:
    return Kind(
        name=name,
        rights=rights,  # type: ignore[arg-type]  # wrong ones are what is tried
        log=MemoryLog(),
        durability="ephemeral",
        log_size=0,
        log_age_s=0,
    )


def test_a_kind_without_a_right_does_not_start() -> None:
    """Neither without `subscribe`, nor with something that is no declaration, nor public without a reason."""
    for rights in (
        {},
        {"subscribe": "anyone"},
        {"subscribe": Public(reason="")},
        {"publish": Self()},
    ):
        with pytest.raises(UndeclaredRight):
            Kinds().add(kind(**rights))


def test_a_kind_has_a_name_of_its_own() -> None:
    kinds = Kinds()
    kinds.add(kind(subscribe=Self()))
    for name in ("k", "", "a:b"):
        with pytest.raises(UsageError):
            kinds.add(kind(name, subscribe=Self()))
    assert [one.name for one in kinds] == ["k"]
    assert kinds.find("k").name == "k"
    with pytest.raises(NotFound):
        kinds.find("other")


@pytest.mark.parametrize(
    ("right", "name", "principal", "error"),
    [
        (Self(), "ada", ADA, None),
        (Self(), "bob", ADA, Forbidden),
        (Self(), "ada", Principal(id="ada", kind="key"), Forbidden),
        (Self(), "ada", None, Unauthenticated),
        (AllOf(Self(), Right("x:y")), "ada", ADA, None),
        (AllOf(Self(), Right("x:y")), "bob", ADA, Forbidden),
        (AllOf(Right("x:y")), "bob", ADA, None),
        (Right("x:y"), "any", ADA, None),
        (Right("x:z"), "any", ADA, Forbidden),
        (Public(reason="a test"), "any", None, None),
        (Granted(), "any", ADA, None),
        (Granted(), "any:deeper", ADA, Forbidden),
        (Granted(), "any", None, Unauthenticated),
    ],
)
def test_who_may(
    right: object, name: str, principal: Principal | None, error: type[Exception] | None
) -> None:
    """`Self` is the topic that bears one's own id, `Granted` what the token lists."""
    checked, topic = kind(subscribe=right), Topic("default", "k", name)
    if error is None:
        checked.check("subscribe", principal, topic)
    else:
        with pytest.raises(error):
            checked.check("subscribe", principal, topic)


def test_a_topic_is_named_kind_and_name() -> None:
    assert parse("t", "inbox:a:b") == Topic("t", "inbox", "a:b")
    assert parse("t", "inbox:a:b").wire == "inbox:a:b"
    for text in ("", "inbox", "inbox:", ":ada", ":"):
        with pytest.raises(Invalid):
            parse("t", text)
