"""JSON as JavaScript reads and writes it."""

import json
from collections import OrderedDict, UserDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.errors import ProtocolError, UsageError
from clarion.protocol.jsontext import (
    MAX_DATE_MS,
    MAX_DEPTH,
    MAX_SAFE_INTEGER,
    date_text,
    read,
    write,
)
from tests.support.counting import calls


def loads(text: str, depth: int = 32, members: int = 10_000) -> Any:
    return read(text, depth=depth, members=members)


def nested(levels: int, value: object = None) -> list[object]:
    result: list[object] = [] if value is None else [value]
    for _ in range(levels - 1):
        result = [result]
    return result


class Point(msgspec.Struct):
    x: float
    when: datetime | None = None
    raw: bytes | None = None


@dataclass
class Pair:
    left: object
    right: object


class Model(pydantic.BaseModel):
    """As FastAPI's people write them."""

    name: str = pydantic.Field(alias="fullName")
    raw: bytes = b""
    inner: "Model | None" = None


class Colour(StrEnum):
    RED = "red"


class Side(str, Enum):  # noqa: UP042  the older way, whose text is not its value
    LEFT = "left"


class Level(IntEnum):
    HIGH = 3


class Kind(Enum):
    ONE = "one"


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(st.characters()), inner, max_size=5)
    ),
    max_leaves=20,
)
ANY = st.recursive(
    PLAIN
    | st.floats()
    | st.integers()
    | st.binary()
    | st.datetimes()
    | st.decimals()
    | st.uuids()
    | st.complex_numbers()
    | st.builds(object),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.builds(Pair, inner, inner)
        | st.dictionaries(
            st.text(st.characters())
            | st.integers()
            | st.none()
            | st.binary()
            | st.tuples(st.integers()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)

# ---- Writing ----


def test_pydantic_models_are_written_as_they_would_be_read() -> None:
    """By their aliases, inside of others, too; bytes travel beside the text, and a class is no value."""
    model = Model(fullName="Ann", raw=b"1", inner=Model(fullName="Ben", raw=b"2"))
    attachments: list[bytes] = []
    text = write([model, Pair(model, 5)], attachments)
    assert json.loads(text)[1]["left"]["inner"]["fullName"] == "Ben"
    assert attachments == [b"1", b"2"] * 2
    with pytest.raises(UsageError, match="cannot be sent"):
        write([Model])


def test_nodes_callback_is_answered_with_what_is_here_instead() -> None:
    """`socket.emit("q", 1, callback)`."""
    with pytest.raises(UsageError, match="function cannot be sent as JSON: `emit_with_ack` waits"):
        write(["q", 1, lambda answer: answer])


@given(PLAIN)
def test_what_is_written_is_read(value: object) -> None:
    """Plain values come back, lone surrogates included; the text is one that other readers accept."""
    text = write(value)
    assert loads(text) == _paired(value) == json.loads(text)
    text.encode()  # a text that UTF-8 cannot carry would break the connection


def _paired(value: Any) -> Any:
    """Two surrogates that make a pair are that character, to every reader of JSON."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    if isinstance(value, list):
        return [_paired(item) for item in value]
    if isinstance(value, dict):
        return {_paired(key): _paired(item) for key, item in value.items()}
    return value


@given(ANY)
def test_any_value_is_written_or_a_usage_error(value: object) -> None:
    """What cannot be said is the caller's mistake, by name; nothing else is raised, and no NaN gets out."""
    attachments: list[bytes] = []
    try:
        text = write(value, attachments)
    except UsageError:
        return
    json.loads(text, parse_constant=pytest.fail)
    assert text.count('"_placeholder":true') >= len(attachments)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ('é😀\u2028\x1e\x00"\\/', '"é😀\u2028\\u001e\\u0000\\"\\\\/"'),
        ("a\ud800", '"a\\ud800"'),
        ({"\udfff": [1]}, '{"\\udfff":[1]}'),
        ((1, (2,)), "[1,[2]]"),
        ({1: "a", 1.5: "b"}, '{"1":"a","1.5":"b"}'),
        ({1: ("a",), 1.5: "b", Colour.RED: 0}, '{"1":["a"],"1.5":"b","red":0}'),
        ([{Side.LEFT: Side.LEFT}], '[{"left":"left"}]'),
        ({Side.LEFT: 1}, '{"left":1}'),
        (OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
        (UserDict(a=1), '{"a":1}'),
        (datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC), '"2023-11-14T22:13:20.123Z"'),
        (
            datetime(2023, 11, 15, 0, 13, 20, tzinfo=timezone(timedelta(hours=2))),
            '"2023-11-14T22:13:20.000Z"',
        ),
        (Decimal("1.10"), '"1.10"'),
        ([Colour.RED, Level.HIGH, Kind.ONE], '["red",3,"one"]'),
        (
            Point(1.5, datetime(2023, 1, 1, tzinfo=UTC)),
            '{"x":1.5,"when":"2023-01-01T00:00:00.000Z","raw":null}',
        ),
        (Pair(1, [Pair(2, None)]), '{"left":1,"right":[{"left":2,"right":null}]}'),
        ([MAX_SAFE_INTEGER, -MAX_SAFE_INTEGER], "[9007199254740991,-9007199254740991]"),
    ],
)
def test_values_as_javascript_writes_them(value: object, text: str) -> None:
    """Order of keys kept, no spaces, other characters than ASCII as they are, dates as Date.toJSON."""
    assert write(value) == text


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (float("nan"), "JSON has no nan"),
        ([float("inf")], "JSON has no inf"),
        ({"a": [1, {"b": float("-inf")}]}, "JSON has no -inf"),
        (Point(float("nan")), "JSON has no nan"),
        (2**53, "beyond 2\\^53"),
        ([-(2**53)], "beyond 2\\^53"),
        (Pair(2**64, 0), "beyond 2\\^53"),
        (datetime(2023, 1, 1), "time zone"),  # noqa: DTZ001  that is the point
        ([object()], "object cannot be sent"),
        ([1j], "complex cannot be sent"),
        ({None: 1}, "key of a JSON object"),
        ({None: b""}, "key of a JSON object"),
        ({"a": "\ud800", (1,): 1}, "key of a JSON object"),
        (nested(MAX_DEPTH + 1), "32 levels"),
        (nested(MAX_DEPTH, b""), "32 levels"),
    ],
)
def test_values_that_cannot_be_sent(value: object, what: str) -> None:
    """Said to the caller, instead of changed on the way to the client."""
    with pytest.raises(UsageError, match=what):
        write(value, [])


def test_a_cycle_is_an_error() -> None:
    """Lists and structs that hold themselves end in an error, not in a full stack."""
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(UsageError, match="cycle"):
        write(cycle)
    pair = Pair(1, None)
    pair.right = pair
    with pytest.raises(UsageError, match="Pair cannot be sent"):
        write(pair)


def test_depth_is_the_same_both_ways() -> None:
    """What may be written may be read: 32 levels, counting the outermost and a placeholder."""
    assert loads(write(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    attachments: list[bytes] = []
    text = write(nested(MAX_DEPTH - 1, b"x"), attachments)
    assert loads(text) == nested(MAX_DEPTH - 1, {"_placeholder": True, "num": 0})


def test_bytes_are_taken_out_in_order() -> None:
    """Depth first, in the order of keys, whatever holds them; empty ones count."""
    value = [
        {"z": b"0", "a": (b"1", bytearray(b"2"))},
        Point(1, raw=b"3"),
        memoryview(b"x4")[1:],
        b"",
    ]
    attachments: list[bytes] = []
    found = [item["num"] for item in _placeholders(json.loads(write(value, attachments)))]
    assert found == [0, 1, 2, 3, 4, 5]
    assert attachments == [b"0", b"1", b"2", b"3", b"4", b""]


def test_where_there_are_no_attachments_bytes_are_nodes_buffers() -> None:
    """CONNECT and CONNECT_ERROR go through Buffer.toJSON, as in Node."""
    assert write({"b": b"\x01\x02"}) == '{"b":{"type":"Buffer","data":[1,2]}}'


def _placeholders(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        if value.get("_placeholder"):
            return [value]
        value = list(value.values())
    return (
        [found for item in value for found in _placeholders(item)]
        if isinstance(value, list)
        else []
    )


# ---- Reading ----


@given(st.text(st.characters()) | st.text('[]{}",:\\ud800123eE-+.ntrufalse ', max_size=30))
def test_any_text_is_a_value_or_a_protocol_error(text: str) -> None:
    """Nothing else comes out."""
    try:
        value = loads(text)
    except ProtocolError:
        return
    write(value) if _is_safe(value) else None


def _is_safe(value: Any) -> bool:
    return not isinstance(value, int) or abs(value) <= MAX_SAFE_INTEGER


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1,]",
        "['a']",
        '["a"]["b"]',
        "[NaN]",
        "[-Infinity]",
        "[1e999]",
        "\ufeff[1]",
        '["a\x01"]',
        '["\ud800"]',
        "[01]",
        '["\\ud800", NaN]',
        '["\\ud800", 1e999]',
        '["\\ud800", "a\x01"]',
        '["\\ud800"',
        '["\\u12"]',
        "1" * 5000,
        '["\\ud800",' + "1" * 5000 + "]",
    ],
)
def test_bad_json(text: str) -> None:
    """As JSON.parse refuses it, also where a lone surrogate leads to the second reader."""
    with pytest.raises(ProtocolError):
        loads(text)


@pytest.mark.parametrize("number", ["1e308", "5e-324", "-2.2250738585072011e-308", "1.5"])
def test_no_float_takes_long_to_read(number: str) -> None:
    """Each is read by Python, in under a microsecond: `1e308` took msgspec 30, and one message may hold 10,000 of them."""
    text = "[" + ",".join([number] * 1000) + "]"
    assert calls(lambda: loads(text)) > 1000
    assert loads(text) == [float(number)] * 1000


def test_a_text_of_surrogates_is_written_in_one_pass() -> None:
    """Nothing is called for each."""
    assert calls(lambda: write(["\ud800" * 10_000])) < 100
    assert write(["\ud800é\udfff😀"]) == '["\\ud800é\\udfff😀"]'


def test_lone_surrogates_are_read() -> None:
    """Half an emoji is no reason to close a connection."""
    assert loads('["\\ud800",{"a":1.5,"b":-2,"c":[true,null]}]') == [
        "\ud800",
        {"a": 1.5, "b": -2, "c": [True, None]},
    ]


def test_large_integers_are_exact() -> None:
    """JavaScript writes 1e20 as an integer: it is handed on as it stands."""
    assert loads("[100000000000000000000]") == [10**20]


@pytest.mark.parametrize(
    ("opening", "closing", "levels"), [("[", "]", 32), ('{"a":', "}", 32), ('[{"a":', "}]", 16)]
)
def test_depth_is_bounded(opening: str, closing: str, levels: int) -> None:
    """At the limit it passes, one more does not."""
    assert loads(opening * levels + "1" + closing * levels)
    with pytest.raises(ProtocolError, match="deep"):
        loads(opening * levels + "[]" + closing * levels)


def test_brackets_in_strings_are_text() -> None:
    """They do not count, also behind escaped quotes."""
    text = "[" * 100 + '"\\' + "{" * 100
    assert loads(json.dumps([text, []])) == [text, []]


def test_wide_is_not_deep() -> None:
    """Many arrays beside each other are fine."""
    assert loads("[" + ",".join(["[{}]"] * 100) + "]") == [[{}]] * 100


def test_members_are_bounded() -> None:
    """10,000 values pass, one more does not, whatever they are; commas in strings do not count."""
    assert len(loads("[" + ",".join("1" * 10_000) + "]")) == 10_000
    with pytest.raises(ProtocolError, match="too many values"):
        loads("[" + ",".join("1" * 10_001) + "]")
    with pytest.raises(ProtocolError, match="too many values"):
        loads("[" + ",".join(["[]"] * 5001) + "]")
    assert loads(json.dumps(["," * 20_000])) == ["," * 20_000]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[]" * 33 + "]" * 999_000,
        "[]" * 33 + "[",
        '{"a":' * 100_000,
        "[" * 40 + '"' + '\\"' * 500_000,
        "[" * 40 + '"\\' * 250_000,
        '["' + "\\" * 999_999,
    ],
    ids=["arrays", "closings", "not closed", "objects", "quotes", "unclosed", "backslashes"],
)
def test_hostile_texts_are_refused_in_one_pass(text: str) -> None:
    """One pass over a megabyte: neither the stack nor, by trying again from every quote, the processor suffers."""
    with pytest.raises(ProtocolError):
        loads(text)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (MAX_DATE_MS, "+275760-09-13T00:00:00.000Z"),
        (-MAX_DATE_MS, "-271821-04-20T00:00:00.000Z"),
        (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
        (-62_198_755_200_000, "-000001-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (MAX_DATE_MS + 1, None),
    ],
)
def test_dates_are_written_as_javascript_does(ms: int, text: str | None) -> None:
    """As Date.toJSON, in years beyond Python's too; null for what is no date."""
    assert date_text(ms) == text
