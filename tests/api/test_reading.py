"""What a request may hold, value by value: every bad input is a clear error with the place where it is wrong."""

import json
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct
from starlette.requests import Request

from clarion.api import reading
from clarion.errors import ClarionError, Fault, Invalid, Malformed, NotFound

MAX = 2**53 - 1


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nul",
        b"NaN",
        b"[Infinity]",
        b'{"a": -Infinity}',
        b"1e400",
        b"-1e400",
        b"[1] [2]",
        b"'a'",
        b'{"a": 1,}',
        b"\xef\xbb\xbf{}",
        b'"\xff"',
        b'"\xc0\x80"',
        b"[" * 25 + b"]" * 33,
        b"[" * 100_000,
        b"[" + b"1," * 60_000 + b"1]",
        b'{"a": 1, "a": 2}',
        b'[{"x": {"a:b": 1, "a:b": 2}}]',
        b'{"a\\u003a": 1, "a:": 2}',
        b'{"a": 1, "a": 2, "b": "\\u003a"}',
        b'{"a": 1, "a": 2, "b": "\\u003A"}',
    ],
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    """Broken text, numbers that JSON does not have, too much nesting, and names that stand twice: 400, and why."""
    with pytest.raises(Malformed) as refused:
        reading.parse_json(body)
    assert refused.value.message


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"9007199254740992", ""),
        (b'{"a": -9007199254740992}', "/a"),
        (b'{"a": [1, {"b/c~d": 1e3, "e": 99999999999999999999}]}', "/a/1/e"),
        (b'{"b/c~d": 9007199254740993}', "/b~1c~0d"),
        (b'{"a": "x\\u0000y"}', "/a"),
        (b'{"a": {"x\\u0000": 1}}', "/a"),
        (b'["\\ud800"]', "/0"),
        (b'{"\\udfff": 1}', ""),
    ],
)
def test_what_a_browser_could_not_hold_is_invalid(body: bytes, pointer: str) -> None:
    """Integers beyond 2^53 of both signs, U+0000 and half of a surrogate pair, in values and names: 422, with the place."""
    with pytest.raises(Invalid) as refused:
        reading.parse_json(body)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


def test_ways_to_values_are_not_written_for_good_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a name of 900 KB stand 40,000 values: the way to each, made in advance, was 30 GB to copy, for who had not even signed in."""
    monkeypatch.setattr(reading, "pointer_step", None)
    body = {"a" * 900_000: [0] * 40_000, "b": {"c": [{"d": 1}]}}
    assert reading.parse_json(json.dumps(body).encode()) == body


@pytest.mark.parametrize(
    "value",
    [
        {},
        [[]],
        "a: b",
        {"a:b": "c:d", "e": {"a:b": 1}},
        [MAX, -MAX, 1.5, -0.0, 1e300, None, True],
        {"emoji": "👍🏽", "quote": '"\\"'},
        json.loads("[" * 24 + "]" * 24),
    ],
)
def test_what_json_has_is_read_as_it_is(value: Any) -> None:
    """Nothing of a good body is changed, escaped or not."""
    assert reading.parse_json(json.dumps(value).encode()) == value
    assert reading.parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-MAX, MAX)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_every_good_value_comes_back(value: Any) -> None:
    """Reading what a JSON writer wrote gives the value."""
    assert reading.parse_json(json.dumps(value).encode()) == value


@given(
    st.binary(max_size=40) | st.text(alphabet='{}[]",:\\u00d8ae1.- \n', max_size=40).map(str.encode)
)
def test_any_bytes_are_a_value_or_a_clear_error(body: bytes) -> None:
    """Nothing but a value, Malformed or Invalid comes out of anything."""
    try:
        reading.parse_json(body)
    except ClarionError as error:
        assert isinstance(error, Malformed | Invalid)  # noqa: PT017  both are right, nothing else is


class Inner(Struct, forbid_unknown_fields=True):
    id: str
    counts: dict[str, int] = {}


class Body(Struct, forbid_unknown_fields=True):
    items: Annotated[list[str | Inner], Meta(min_length=1)]
    n: int = 0


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({}, Fault("/items", "is missing")),
        ([], Fault("", "Expected `object`, got `array`")),
        ({"items": []}, Fault("/items", "Expected `array` of length >= 1")),
        ({"items": ["a", 1]}, Fault("/items/1", "Expected `str | object`, got `int`")),
        ({"items": [{}]}, Fault("/items/0/id", "is missing")),
        ({"items": ["a"], "m": 1}, Fault("/m", "is not known here")),
        ({"items": [{"id": "a", "b/~`c": 1}]}, Fault("/items/0/b~1~0`c", "is not known here")),
        (
            {"items": [{"id": "a", "x` - at `$.y": 1}]},
            Fault("/items/0/x` - at `$.y", "is not known here"),
        ),
        (
            {"items": [{"id": "a", "counts": {"x": "y"}}]},
            Fault("/items/0/counts", "Expected `int`, got `str`"),
        ),
        ({"items": ["a"], "n": "3"}, Fault("/n", "Expected `int`, got `str`")),
    ],
)
def test_a_fault_points_at_its_place(value: Any, fault: Fault) -> None:
    """JSON pointers (RFC 6901); a missing or unknown member is pointed at itself; text is never taken for a number."""
    with pytest.raises(Invalid) as refused:
        reading.to_struct(value, Body)
    assert refused.value.faults == (fault,)


def test_the_key_of_a_mapping_is_found_at_its_mapping() -> None:
    """A key has no name in the message; the pointer stops where it is sure."""
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert({1: 1}, dict[str, int])
    assert Fault.of(refused.value) == Fault("", "Expected `str`, got `int`")


class Query(Struct, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    filter: Literal["all", "unread"] = "all"
    text: str = ""


@pytest.mark.parametrize(
    ("pairs", "pointer"),
    [
        ([("limit", "0")], "?limit"),
        ([("limit", "ten")], "?limit"),
        ([("limit", "1"), ("limit", "2")], "?limit"),
        ([("filter", "none")], "?filter"),
        ([("filtre", "all")], "?filtre"),
        ([("text", "a\0")], "?text"),
    ],
)
def test_a_bad_query_names_its_parameter(pairs: list[tuple[str, str]], pointer: str) -> None:
    """Out of range, of another type, twice, misspelt, or with U+0000: 422 with `?name`."""
    with pytest.raises(Invalid) as refused:
        reading.from_query(pairs, Query)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


class Wanted(Struct):
    filter: str = ""
    limit: int = 0


def test_what_a_handler_says_of_the_query_names_its_parameter() -> None:
    """The floors below point at members; one that the body has as well is the body's, and the rest stays as it is."""
    faults = [Fault("/filter", "no"), Fault("/limit/0", "no"), Fault("/other", "no"), Fault("", "")]
    error = Invalid(faults=faults)
    reading.point_at_query(error, {"query": Query, "body": Wanted})
    assert list(error.faults) == faults
    reading.point_at_query(error, {"query": Query})
    assert [each.pointer for each in error.faults] == ["?filter", "?limit", "/other", ""]
    assert error.as_answer()["message"] == "?filter: no"


def test_a_good_query_is_read() -> None:
    """Numbers are read from their digits."""
    assert reading.from_query([("limit", "7")], Query) == Query(limit=7)


class Path(Struct):
    id: Annotated[str, Meta(max_length=4)]


def test_a_path_that_names_nothing_is_not_found() -> None:
    """What could never be an id is answered as what is not there, with why."""
    assert reading.from_path({"id": "abc"}, Path) == Path("abc")
    for id, why in (("abcde", "id: Expected `str` of length <= 4"), ("a\0", "id: ")):
        with pytest.raises(NotFound, match=why):
            reading.from_path({"id": id}, Path)


class Headers(Struct, rename="kebab"):
    idempotency_key: Annotated[str, Meta(pattern="^[!-~]*$")] | None = None


def _request(*headers: tuple[str, str]) -> Request:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": raw})


def test_only_headers_that_are_asked_for_are_read() -> None:
    """Others may say what they like."""
    request = _request(("idempotency-key", "k-1"), ("x-other", "\0"))
    assert reading.from_headers(request, Headers) == Headers("k-1")
    assert reading.from_headers(_request(), Headers) == Headers()


@pytest.mark.parametrize("values", [["a b"], ["a", "b"], ["\x01"]])
def test_a_bad_header_is_named(values: list[str]) -> None:
    """What it may not hold, and several of what must be one: 422."""
    with pytest.raises(Invalid) as refused:
        reading.from_headers(_request(*(("idempotency-key", v) for v in values)), Headers)
    assert refused.value.faults[0].pointer == "idempotency-key"
