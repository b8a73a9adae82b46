"""What commands take: structs, and what is said where an argument is not one of them."""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from clarion.errors import Fault, Invalid
from clarion.protocol import jsontext
from clarion.telemetry import limit_exceeded
from clarion.topics.stream import Position


class Rewind(Struct, frozen=True, forbid_unknown_fields=True):
    """Publications from before the subscription: the newest `count`, or those not older than `since_ms` (ms since 1970), or both."""

    count: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    since_ms: Annotated[int, Meta(ge=0, le=2**53 - 1)] | None = None


class SubscribeArgs(Struct, frozen=True, forbid_unknown_fields=True):
    """What `subscribe` takes.

    Args:
        topic: `kind:name`.
        since: The position up to which the client knows the topic.
        params: For the kind; most take none.
        filter: See `filters`.
        rewind: Of a stream.
        token: A token that names this topic; the subscription ends with it.
    """

    topic: Annotated[str, Meta(min_length=1)]
    since: Position | None = None
    params: dict[str, Any] | None = None
    filter: Any = None
    rewind: Rewind | None = None
    token: Annotated[str, Meta(min_length=1)] | None = None


class PageArgs(Struct, frozen=True, forbid_unknown_fields=True):
    """Names what follows the key `after` in the state of a map."""

    topic: Annotated[str, Meta(min_length=1)]
    after: str


class TopicArgs(Struct, frozen=True, forbid_unknown_fields=True):
    """Names a topic."""

    topic: Annotated[str, Meta(min_length=1)]


class RoomArgs(Struct, frozen=True, forbid_unknown_fields=True):
    """Names a room."""

    room: Annotated[str, Meta(min_length=1)]


# Control characters, and lone surrogates: those come from JavaScript, and have no UTF-8.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def convert(given: tuple[Any, ...], args: type[Struct]) -> Any:
    """An event's arguments as the struct that the command takes.

    Raises:
        Invalid: Not one object, or not of that form; the fault says where.
    """
    if len(given) != 1 or not isinstance(given[0], dict):
        raise Invalid("a command takes one object", faults=[Fault("", "expected one object")])
    try:
        return msgspec.convert(given[0], args)
    except msgspec.ValidationError as exc:
        raise Invalid(faults=[Fault.of(exc, args)]) from exc
    except UnicodeEncodeError as exc:  # msgspec cannot say which member it is that it does not know
        raise Invalid(faults=[Fault("", "a member's name has half a character")]) from exc


def check_name(member: str, name: str, limit: int) -> None:
    """Refuse what no room or topic can be called: more than `limit` bytes of UTF-8, or control characters.

    Raises:
        Invalid: It is one of those.
    """
    check_text(member, name)
    if len(name.encode()) > limit:
        limit_exceeded.labels("name_bytes").inc()
        raise Invalid(
            f"a name has at most {limit} bytes of UTF-8 (limits.name_bytes)",
            faults=[Fault(f"/{member}", f"at most {limit} bytes")],
            limit=limit,
        )


def check_text(member: str, text: str) -> None:
    """Refuse a name that has control characters, or halves of surrogate pairs.

    Raises:
        Invalid: It has.
    """
    if _UNFIT.search(text):
        raise Invalid(
            "a name has neither control characters nor half characters",
            faults=[Fault(f"/{member}", "a control character, or half a character")],
        )


def check_json(member: str, value: Any) -> None:
    """Refuse a value that could be kept, and then be sent to nobody.

    Raises:
        Invalid: It is nested too deep, or has a whole number beyond 2^53.
    """
    if not jsontext.is_plain([value], jsontext.MAX_DEPTH - jsontext.INNER_DEPTH):
        detail = f"more than {jsontext.INNER_DEPTH} levels of arrays and objects, or a whole number beyond 2^53"
        raise Invalid(faults=[Fault(f"/{member}", detail)])
