"""JSON as JavaScript reads and writes it: the payload of a Socket.IO packet.

Writing, a value that would reach the client changed (an integer beyond 2^53, NaN) is an error of the caller, and bytes
are taken out for the codec to send beside the text. Reading, depth and number of values are bounded before anything
is made of the text. Lone surrogates, which JavaScript's strings may hold, pass both ways, escaped.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

import msgspec

from clarion.errors import ProtocolError, UsageError

# ECMAScript's Number.MAX_SAFE_INTEGER: beyond it a client in JavaScript loses digits without a word.
MAX_SAFE_INTEGER: Final = 2**53 - 1
MAX_DEPTH: Final = 32  # arrays and objects inside each other, incl. the outermost
INNER_DEPTH: Final = 24  # of a value that is kept, to be sent inside of something: an ack, its snapshot, the items of that, one item …

# ---- Writing ----


def write(value: Any, attachments: list[bytes] | None = None) -> str:
    """A value as JSON, without spaces, other characters than ASCII as they are.

    Args:
        value: Whatever JSON has, bytes, tuples, aware datetimes (as JavaScript writes a Date), and what msgspec encodes
            (structs, dataclasses, UUID, Enum …), pydantic models. None is null.
        attachments: Takes the bytes, which become placeholders, numbered depth first in the order of keys. None: bytes
            are written as Node's Buffer.toJSON, since CONNECT and CONNECT_ERROR have no attachments.

    Raises:
        UsageError: NaN or Infinity; an integer beyond 2^53; a naive datetime; a key or a value that JSON does not have;
            more than 32 levels (or a cycle).
    """
    if not is_plain(value, 1):
        value = Rewriter(attachments).value(value)
    try:
        return _encode(value).decode()
    except UnicodeEncodeError:
        return _write_with_surrogates(value)
    except TypeError as exc:
        raise UsageError(_BAD_KEY) from exc


_encode: Final = msgspec.json.Encoder().encode
_BAD_KEY: Final = "a key of a JSON object is text or a number"


def _write_with_surrogates(value: Any) -> str:
    """Well-formed JSON.stringify: a lone surrogate is escaped. Half an emoji happens where text is cut."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except TypeError as exc:
        raise UsageError(_BAD_KEY) from exc
    # UTF-8 has everything but surrogates, which the handler of errors writes as JSON does: `\ud800`. A regular expression that
    # looked for them took ten times as long: 0.1 s for a message of nothing else.
    return text.encode(errors="backslashreplace").decode()


def is_plain(value: Any, depth: int) -> bool:
    """Whether msgspec writes a list or dict as JavaScript would: text, safe integers, finite floats, in lists and dicts.

    Args:
        value: What is looked at.
        depth: Its own level; 1 is outermost. Below the level `MAX_DEPTH` there is nothing.

    msgspec turns bytes into base64 and NaN into null without asking, so someone must look. The plain loop is the
    cheapest look that we found: sets of types and an explicit stack took 1.2 to 1.8 times as long, and the json module,
    which asks a hook about bytes, takes longer than this loop and msgspec together (a page of an inbox: 167 us to 75).
    """
    kind = type(value)
    if kind is dict:
        value = value.values()
    elif kind is not list:
        return False
    for item in value:
        kind = type(item)
        if kind is str or kind is bool or item is None:
            continue
        if kind is int:
            if not -MAX_SAFE_INTEGER <= item <= MAX_SAFE_INTEGER:
                return False
        elif kind is float:
            if item - item != 0.0:  # NaN and the infinities
                return False
        elif depth >= MAX_DEPTH or not is_plain(item, depth + 1):
            return False
    return True


class Rewriter:
    """Turns a value that is not plain JSON into one that is, or says what is wrong with it.

    A subclass for another encoding says what that has for bytes, floats and dates.
    """

    def __init__(self, attachments: list[bytes] | None) -> None:
        self._attachments = attachments

    def value(self, value: Any, depth: int = 0) -> Any:
        """The value as JSON has it; bytes become placeholders, numbered depth first, in the order of keys."""
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            if abs(value) > MAX_SAFE_INTEGER:
                raise UsageError(
                    f"{value} is beyond 2^53 and would lose digits in JavaScript: send it as text"
                )
            return value
        if kind is float:
            return self.on_float(value)
        if isinstance(value, datetime):
            return self.on_date(value)
        if depth >= MAX_DEPTH:
            raise UsageError(f"more than {MAX_DEPTH} levels of arrays and objects, or a cycle")
        if isinstance(value, bytes | bytearray | memoryview):
            return self.on_bytes(bytes(value))
        if isinstance(value, Mapping):
            return {self._key(key): self.value(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item, depth + 1) for item in value]
        return self._foreign(value, depth)

    def on_float(self, value: float) -> Any:
        """A float, perhaps NaN."""
        if value - value != 0.0:
            raise UsageError(f"JSON has no {value}: send null or text")
        return value

    def on_date(self, value: datetime) -> Any:
        """A datetime."""
        return date_text(epoch_ms(value))

    def on_bytes(self, value: bytes) -> Any:
        """Bytes, numbered in the order in which they are met."""
        if self._attachments is None:
            # As Node's Buffer.toJSON: CONNECT and CONNECT_ERROR have no attachments.
            return {"type": "Buffer", "data": list(value)}
        self._attachments.append(value)
        return {"_placeholder": True, "num": len(self._attachments) - 1}

    def _key(self, key: Any) -> str:
        if isinstance(key, str):
            return str.__str__(key)
        if type(key) is int or type(key) is float:
            return str(key)
        raise UsageError(_BAD_KEY)

    def _foreign(self, value: Any, depth: int) -> Any:
        """A struct, dataclass, UUID, Enum, pydantic model …: plain values are made of it, whose limits are still to be checked."""
        try:
            builtin = msgspec.to_builtins(
                value, builtin_types=_OURS, str_keys=True, enc_hook=_dumped
            )
        except (TypeError, ValueError, RecursionError) as exc:
            hint = ": `emit_with_ack` waits for the answer" if callable(value) else ""
            raise UsageError(f"{type(value).__name__} cannot be sent as JSON{hint}") from exc
        return self.value(builtin, depth)


# What `to_builtins` must leave to the rewriter.
_OURS: Final = (bytes, bytearray, memoryview, datetime)


def _dumped(value: Any) -> Any:
    """What msgspec does not know, if it is a pydantic model."""
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return value.model_dump(by_alias=True)
    raise TypeError(f"{type(value).__name__} is unsupported")


def epoch_ms(value: datetime) -> int:
    """Milliseconds since 1970, whole ones, cut as by `isoformat`."""
    if value.tzinfo is None:
        raise UsageError("a datetime without a time zone cannot be sent")
    return (value - _EPOCH) // _MILLISECOND


def date_text(ms: int) -> str | None:
    """A Date as JavaScript's Date.toJSON writes it: UTC, milliseconds; None if it is beyond what a Date can be.

    Python's calendar ends with the year 9999. The Gregorian one repeats itself every 400 years.
    """
    if abs(ms) > MAX_DATE_MS:
        return None
    cycles, within = divmod(ms, _CYCLE_MS)
    moment = _EPOCH + within * _MILLISECOND
    year = moment.year + 400 * cycles
    digits = f"{year:04}" if 0 <= year <= 9999 else f"{year:+07}"
    return f"{digits}{moment:-%m-%dT%H:%M:%S}.{ms % 1000:03}Z"


MAX_DATE_MS: Final = 8_640_000_000_000_000  # ECMAScript, "Time Values and Time Range"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_CYCLE_MS: Final = 146_097 * 86_400_000  # 400 years


# ---- Reading ----


def read(text: str, depth: int, members: int) -> Any:
    """What a JSON text says. Integers are exact, however large: JavaScript writes 1e20 as an integer.

    Args:
        text: One JSON value.
        depth: Arrays and objects that may stand inside each other.
        members: Values that arrays and objects may hold, in all.

    Raises:
        ProtocolError: Bad JSON, or beyond a bound.
    """
    if len(text) > depth or len(text) > members:  # else there is no room for so much
        _check_shape(text, depth, members)
    try:
        return _decode(text)
    except msgspec.DecodeError as exc:
        if "\\u" not in text:
            raise ProtocolError(f"bad JSON: {exc}") from exc
    except UnicodeEncodeError as exc:
        raise ProtocolError("text with a lone surrogate", position=exc.start) from exc
    return _read_with_surrogates(text)


def _finite(digits: str) -> float:
    number = float(digits)
    if number - number != 0.0:
        raise ValueError("number out of range")
    return number


# msgspec's own reader of floats takes 30 us for `1e308`, whose five bytes stand 10,000 times in 60 KB: a third of a second for one
# message. Python's takes under 1 us for any of them, and 0.2 us for the ordinary ones instead of 0.02 (measured).
_decode: Final[Callable[[str], Any]] = msgspec.json.Decoder(float_hook=_finite).decode


def _check_shape(text: str, depth: int, members: int) -> None:
    """Refuse what is too deep or holds too many values.

    Counting brackets and commas wherever they stand is quick and is enough for nearly all; where it is too many, those inside
    strings are left out and the depth is followed, one after the other and no further than the bound: nothing is collected.
    """
    opening = text.count("[") + text.count("{")
    if opening <= depth and opening + text.count(",") <= members:
        return
    values = level = 0
    for found in _STRUCTURE.finditer(text):
        mark = found[1]
        if mark in _CLOSING:
            level -= 1
            if level < 0:
                return  # the end, or no JSON: more is closed than was opened
            continue
        # Each value but the first of its array or object follows a comma.
        values += 1
        if values > members:
            raise ProtocolError("too many values in the JSON", limit=members)
        if mark != ",":
            level += 1
            if level > depth:
                raise ProtocolError("JSON nested too deeply", limit=depth)


_CLOSING: Final = frozenset({"]", "}", ""})  # "" is the end
# What is between two brackets or commas, strings whole, then the bracket, the comma or the end. It matches wherever it is tried,
# an unclosed string too, so that no position is tried twice.
_STRUCTURE: Final = re.compile(
    r'(?:[^"\[\]{},]++|"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z))*+([\[\]{},]|\Z)', re.DOTALL
)


def _read_with_surrogates(text: str) -> Any:
    """JSON that msgspec refuses: perhaps only for a lone surrogate, which JavaScript sends escaped."""
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except ValueError as exc:
        raise ProtocolError("bad JSON") from exc


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")
