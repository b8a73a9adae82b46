"""What a client says when it enters a room or changes there, and what of it is refused."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.errors import Fault, Invalid, TooLarge
from clarion.features.presence.room import Said, Status
from clarion.patterns import worded
from clarion.settings import Presence
from clarion.telemetry import limit_exceeded

Mode = Literal["full", "changes", "count"]
"""full: who is here, and every change · changes: how many, and who comes and goes · count: how many."""

TEXT: int = 200  # characters
DEVICE: int = 64
SHOWN: str = worded(r"^[^\x00-\x1f\x7f-\x9f]*$(?!\n)", "one line of printable text")


class Words(Struct, frozen=True, forbid_unknown_fields=True):
    """What a connection says of itself and of its user; what is not said stays as it is.

    Args:
        status: Of the connection.
        device: What it runs on, such as `phone`.
        data: Of the user: what the application shows. null takes it away.
        text: Of the user, such as `at lunch`. '' takes it away.
        text_for_s: The text goes by itself after so many seconds.
    """

    status: Status | UnsetType = UNSET
    device: Annotated[str, Meta(max_length=DEVICE, pattern=SHOWN)] | UnsetType = UNSET
    data: dict[str, Any] | UnsetType | None = UNSET
    text: Annotated[str, Meta(max_length=TEXT, pattern=SHOWN)] | UnsetType = UNSET
    text_for_s: Annotated[float, Meta(gt=0, le=366 * 86_400)] | UnsetType = UNSET


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    """The `params` of a subscription to a room.

    Args:
        enter: Whoever subscribes with it is in the room until the subscription ends; without it they watch.
        mode: The most that is wanted. A large room gives less.
    """

    enter: Words | None = None
    mode: Mode = "full"


def params_of(given: Any, settings: Presence) -> Params:
    """A subscription's `params`.

    Raises:
        Invalid: They are something else.
        TooLarge: The data has more than `presence.data_bytes`.
    """
    params: Params = _convert(given, Params, "/params")
    if params.enter is not None:
        _check(params.enter, settings, "/params/enter")
    return params


def words_of(given: Any, settings: Presence) -> Words:
    """The `data` of a publication.

    Raises:
        Invalid, TooLarge: As `params_of`.
    """
    words: Words = _convert({} if given is None else given, Words, "/data")
    _check(words, settings, "/data")
    return words


def said_of(words: Words, now_ms: int) -> Said:
    """The same with times in place of durations."""
    lasts = words.text_for_s
    return Said(
        words.status,
        words.device,
        words.data,
        words.text,
        None if lasts is UNSET else now_ms + int(lasts * 1000),
    )


def _convert(given: Any, kind: Any, at: str) -> Any:
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as exc:
        fault = Fault.of(exc, kind)
        raise Invalid(faults=[Fault(at + fault.pointer, fault.detail)]) from exc
    except UnicodeEncodeError as exc:
        raise Invalid(faults=[Fault(at, "a member's name has half a character")]) from exc


def _check(words: Words, settings: Presence, at: str) -> None:
    if words.text_for_s is not UNSET and not words.text:
        raise Invalid(faults=[Fault(f"{at}/text_for_s", "there is no text")])
    try:
        size = len(msgspec.json.encode(words))
    except (TypeError, ValueError, RecursionError) as exc:
        raise Invalid(f"the data is not JSON: {exc}", faults=[Fault(at, "not JSON")]) from exc
    if size > settings.data_bytes:
        limit_exceeded.labels("presence_data_bytes").inc()
        raise TooLarge(
            f"what is said of a user has at most {settings.data_bytes} bytes (presence.data_bytes)",
            limit=settings.data_bytes,
            size=size,
        )
