"""What workers and the owner of the data say to each other over a Unix socket: frames, and errors by name.

A frame is four bytes of length (big-endian), then `[number, name, body]` in msgpack. A question has a number and the name of what is asked; its
answer the same number and '', or the name of an error. With number 0 nothing is answered: a notice, or from the owner a message of the channel `name`.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from clarion import errors
from clarion.errors import ClarionError, Internal

FRAME_BYTES: Final = 256 << 20
"""The largest frame; one that says it is larger is no frame."""
WAITING_BYTES: Final = 64 << 20
"""Of frames may wait to be sent; beyond that the other side does not read, and is given up."""

_KNOWN: Final = (
    errors.Conflict,
    errors.Invalid,
    errors.StorageFull,
    errors.Unavailable,
    errors.Overloaded,
    errors.OutcomeUnknown,
    errors.TooCostly,
    errors.TooMany,
    errors.Closed,
    errors.UsageError,
    errors.Internal,
)
_BY_NAME: Final = {error.__name__: error for error in _KNOWN}


class Frame(Struct, array_like=True, frozen=True):
    """One frame, see above."""

    number: int
    name: str
    body: bytes


class _Told(Struct, array_like=True, frozen=True):
    """An error: what its class does not say."""

    message: str
    retry_after_s: float | None
    facts: dict[str, Any]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frame).decode
_decode_told = msgspec.msgpack.Decoder(_Told).decode


def packed(number: int, name: str, body: bytes) -> bytes:
    """A frame as bytes."""
    data = _encode(Frame(number, name, body))
    return len(data).to_bytes(4, "big") + data


class Unpacker:
    """Takes bytes as they come, gives whole frames."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete with these bytes.

        Raises:
            ValueError: These are no frames: the connection is of no use any more.
        """
        self._data += data
        at = 0
        try:
            while len(self._data) >= at + 4:
                size = int.from_bytes(self._data[at : at + 4], "big")
                if size > FRAME_BYTES:
                    raise ValueError("a frame is too large")
                if len(self._data) < at + 4 + size:
                    break
                at += 4 + size
                with memoryview(self._data) as view, view[at - size : at] as one:
                    frame = _decode(one)
                yield frame
        except msgspec.DecodeError as exc:
            raise ValueError("not a frame") from exc
        finally:
            del self._data[:at]


def error_frame(number: int, error: BaseException) -> bytes:
    """An error as an answer; what is no error of ours is a bug, of which nothing is told."""
    known = error if type(error) in _KNOWN else None
    told = known if isinstance(known, ClarionError) else Internal("the owner of the data failed")
    facts = {name: value for name, value in told.facts.items() if name != "outcome"}
    body = _encode(_Told(told.message, told.retry_after_s, facts))
    return packed(number, type(told).__name__, body)


def error_of(frame: Frame) -> ClarionError:
    """The error that an answer says."""
    told = _decode_told(frame.body)
    kind = _BY_NAME.get(frame.name, Internal)
    error = kind(told.message, **told.facts)
    error.retry_after_s = told.retry_after_s
    return error
