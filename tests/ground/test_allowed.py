"""A fault of a choice tells what may be chosen."""

from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from clarion.errors import Fault


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
