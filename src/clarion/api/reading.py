"""From a request to structs: the body, the query, the path and the headers, each checked before a handler sees it.

JSON is read as `/v1` promises: at most 24 levels, no name twice in one object, numbers that JavaScript can hold, text without
U+0000 and without half of a surrogate pair. What does not parse is 400, what parses and is not asked for is 422 with a pointer.
"""

import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from clarion.errors import (
    ClarionError,
    Fault,
    Invalid,
    Malformed,
    NotFound,
    ProtocolError,
    TooLarge,
    UnsupportedMediaType,
    pointer_step,
)
from clarion.protocol import jsontext
from clarion.telemetry import limit_exceeded

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

JSON = "application/json"
TEXT = "text/plain"
MAX_DEPTH = jsontext.INNER_DEPTH  # what comes by HTTP is sent on to sockets inside of something
# Stands in a path for a slash of a name. No path has one otherwise: what is not printable is refused before.
MARKED_SLASH = "\x1f"
# Fully described recipients (limits.recipients of them) have some ten members each; the body's size bounds the rest.
MAX_MEMBERS = 50_000

# ── the body ──


async def read_body(request: Request, limit: int, *media: str) -> bytes:
    """All of the body.

    Args:
        request: Its headers are judged first, so that nothing is read of what would be refused.
        limit: Bytes (`limits.body_bytes`).
        media: What it may be.

    Raises:
        Malformed: There is none, and the first of them is JSON.
        UnsupportedMediaType: It is something else, or compressed.
        TooLarge: More than `limit`, counted while it is read.
    """
    check_media_type(request, media)
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit, size=int(length))
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise _too_large(limit)
    if not body and media[0] == JSON:  # a form may be empty
        raise Malformed("a JSON body is needed, and there is none")
    return bytes(body)


def check_media_type(request: Request, media: Sequence[str]) -> str:
    """Which of these a body is; the first one where there is no body, which is another mistake.

    Raises:
        UnsupportedMediaType: It is something else, or compressed.
    """
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return media[0]
    kind, *parameters = headers.get("content-type", "").lower().split(";")
    charsets = [each.strip()[8:] for each in parameters if each.strip().startswith("charset=")]
    if kind.strip() not in media or any(each.strip('"') != "utf-8" for each in charsets):
        raise UnsupportedMediaType(f"send content-type: {' or '.join(media)}, in UTF-8")
    # A small body that unpacks to a big one is a bomb: nothing is unpacked.
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("compressed bodies are not taken")
    return kind.strip()


def _too_large(limit: int, **facts: int) -> TooLarge:
    limit_exceeded.labels("body_bytes").inc()
    return TooLarge(
        f"the body exceeds limits.body_bytes = {limit} bytes",
        faults=[Fault("", f"at most {limit} bytes")],
        limit=limit,
        **facts,
    )


def parse_form(body: bytes) -> dict[str, str]:
    """The fields of a form.

    Raises:
        Invalid: Not a form in UTF-8, more than 200 fields, a field that stands twice, or a text that cannot be stored.
    """
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=200
        )
    except ValueError as exc:
        raise Invalid("the body is no form in UTF-8 of at most 200 fields") from exc
    form = dict(pairs)
    if len(form) != len(pairs):
        raise Invalid("a field of the form stands twice")
    _Scan().whole(form)
    return form


def parse_json(body: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
        Malformed: Not JSON in UTF-8, too deep, too many members, a number out of range, or a name that stands twice in one object.
        Invalid: An integer beyond 2^53 - 1, U+0000 or a lone surrogate in a text; the pointer says where.
    """
    try:
        text = body if isinstance(body, str) else body.decode()
        value = jsontext.read(text, depth=MAX_DEPTH, members=MAX_MEMBERS)
    except UnicodeDecodeError as exc:
        raise Malformed("the body is not UTF-8") from exc
    except ProtocolError as exc:
        raise Malformed(exc.message, **exc.facts) from exc
    scan = _Scan()
    scan.whole(value)
    # Colons outside of texts stand behind names, one each: more of them than names means a name was dropped. An escaped colon
    # (\u003a) would make up for it.
    if text.count(":") != scan.names + scan.colons or "\\u003" in text:
        _refuse_repeated_names(text)
    return value


def parse_foreign(body: bytes) -> Any:
    """The value of JSON that somebody wrote who never heard of `/v1`: names may stand twice, numbers and texts be anything.

    Raises:
        Malformed: Not JSON in UTF-8, or too deep.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise Malformed(f"bad JSON: {exc}") from exc


class _Flaw(Exception):
    """A value that is not taken. The way to it is made on the way out: one made for every value copies a long name as often as it has items."""

    def __init__(self, detail: str) -> None:
        self.detail, self.steps = detail, list[str | int]()  # innermost first


class _Scan:
    """Looks at every value once: limits of JavaScript, and enough counting to know whether a name stood twice."""

    def __init__(self) -> None:
        self.names = self.colons = 0

    def whole(self, value: Any) -> None:
        """Look at a value and all that is in it; raises `Invalid`."""
        try:
            self._value(value)
        except _Flaw as flaw:
            pointer = "".join(f"/{pointer_step(str(step))}" for step in reversed(flaw.steps))
            raise _invalid(Fault(pointer, flaw.detail)) from None

    def _value(self, value: Any) -> None:
        kind = type(value)
        if kind is str:
            self._text(value)
        elif kind is int:
            if not -jsontext.MAX_SAFE_INTEGER <= value <= jsontext.MAX_SAFE_INTEGER:
                raise _Flaw("an integer beyond 2^53 - 1: send it as text")
        elif kind is dict:
            self.names += len(value)
            for name, item in value.items():
                self._text(name)
                self._item(name, item)
        elif kind is list:
            for i, item in enumerate(value):
                self._item(i, item)

    def _item(self, step: str | int, value: Any) -> None:
        try:
            self._value(value)
        except _Flaw as flaw:
            flaw.steps.append(step)
            raise

    def _text(self, text: str) -> None:
        self.colons += text.count(":")
        if (wrong := wrong_in_text(text)) is not None:
            raise _Flaw(wrong)


def wrong_in_text(text: str) -> str | None:
    """Why a text cannot be stored and sent on as it is; None if it can."""
    if "\0" in text:
        return "U+0000 is not allowed"
    if not text.isascii() and _SURROGATE.search(text):
        return "half of a surrogate pair"
    return None


_SURROGATE = re.compile("[\ud800-\udfff]")


def _refuse_repeated_names(text: str) -> None:
    def check(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise Malformed(f"the name {name[:64]!r} stands twice in one object")
            seen.add(name)

    json.loads(text, object_pairs_hook=check)


# ── structs ──


def to_struct(value: Any, kind: type[T]) -> T:
    """A parsed body as its struct.

    Raises:
        Invalid: It does not fit; `errors` says where.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as exc:
        raise _invalid(Fault.of(exc, kind)) from exc


def from_path(values: Mapping[str, str], kind: type[T]) -> T:
    """Parameters of the path.

    Raises:
        NotFound: Nothing can be there.
    """
    given = {name: value.replace(MARKED_SLASH, "/") for name, value in values.items()}
    for name, value in given.items():
        if (wrong := wrong_in_text(value)) is not None:
            raise NotFound(f"nothing can be there: {name}: {wrong}")
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as exc:
        fault = Fault.of(exc, kind)
        raise NotFound(
            f"nothing can be there: {fault.pointer[1:] or 'the path'}: {fault.detail}"
        ) from exc


def from_query(pairs: Iterable[tuple[str, str]], kind: type[T]) -> T:
    """Parameters of the query. Unknown ones are refused if the struct says so: a typing mistake must not pass for an answer.

    Raises:
        Invalid: A parameter is wrong, or stands twice; `?name` says which.
    """
    return _from_texts(pairs, kind, "?")


def point_at_query(error: ClarionError, parts: Mapping[str, Any]) -> None:
    """Let the faults of what came by the query say so: the floors below know members, and not where they came from.

    Args:
        error: What a handler raised.
        parts: What the handler takes; a member that the body has as well, or may have, is taken for the body's.
    """
    if not error.faults or "query" not in parts:
        return
    names = set(_names(parts["query"]))
    if (body := parts.get("body")) is not None:
        names -= set(_names(body)) if _is_struct(body) else names
    faults: list[Fault] = []
    for fault in error.faults:
        step = fault.pointer[1:].partition("/")[0] if fault.pointer.startswith("/") else ""
        if step in names:
            error.message = error.message.replace(f"{fault.pointer}: ", f"?{step}: ", 1)
            fault = Fault(f"?{step}", fault.detail)
        faults.append(fault)
    error.faults = tuple(faults)


def _is_struct(kind: Any) -> TypeGuard[type[msgspec.Struct]]:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def from_headers(request: Request, kind: type[S]) -> S:
    """The headers that the struct names; others are not looked at.

    Raises:
        Invalid: A header is wrong.
    """
    given = ((name, request.headers.getlist(name)) for name in _names(kind))
    # RFC 9110 §5.3: several lines of one name are one list.
    return _from_texts(((name, ", ".join(lines)) for name, lines in given if lines), kind, "")


@functools.cache  # asking msgspec took a fifth of a request's time
def _names(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field.encode_name for field in msgspec.structs.fields(kind))


def _from_texts(pairs: Iterable[tuple[str, str]], kind: type[T], prefix: str) -> T:
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise _invalid(Fault(prefix + name, "stands twice"))
        if (wrong := wrong_in_text(name) or wrong_in_text(value)) is not None:
            raise _invalid(Fault(prefix + name, wrong))
        values[name] = value
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as exc:
        fault = Fault.of(exc, kind)
        raise _invalid(Fault(prefix + fault.pointer[1:], fault.detail)) from exc


def _invalid(fault: Fault) -> Invalid:
    return Invalid(f"{fault.pointer or 'the body'}: {fault.detail}", faults=[fault])
