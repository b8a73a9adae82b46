"""What a publisher gives, what it is answered, and what is refused before anything is written."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.auth.principal import Principal
from clarion.errors import Fault, Invalid, TooLarge
from clarion.settings import Limits
from clarion.telemetry import limit_exceeded
from clarion.topics.arguments import check_json, check_name, check_text
from clarion.topics.changes import ABSENT, ANYWAY, APPEND, PRESENT, REMOVE, SET, Change, Guard, Item
from clarion.topics.filters import TAG_CHARS, VALUE_CHARS
from clarion.topics.kinds import Durability, Topic
from clarion.topics.live import Peer

TAGS: Final = 16
ID_BYTES: Final = 128
_encode: Final = msgspec.json.Encoder().encode
# Floats are read by Python: see protocol.jsontext.
_decode: Final = msgspec.json.Decoder(float_hook=float).decode
Name = Annotated[str, Meta(min_length=1, max_length=TAG_CHARS)]
Tag = Annotated[str, Meta(max_length=VALUE_CHARS)]


class At(Struct, frozen=True, forbid_unknown_fields=True):
    """Only if the key was changed last at this offset: compare and set."""

    at: Annotated[int, Meta(ge=1, le=2**53 - 1)]


class Publish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"only": "if"}):
    """One publication as its publisher gives it.

    Args:
        event: What happened. With a key `remove` takes the item away, anything else sets it; without a key it is needed.
        data: A JSON value; with a key, the item's new value.
        key: Of a map's item; None: an entry of a stream.
        id: Makes it safe to repeat for five minutes.
        version: Only if the key's version is below; late writes are dropped.
        only: (`if`) `absent`, `present` or `{at: offset}`; otherwise 409 `conflict` with what is there as `current`.
        ttl_s: The item goes by itself after so many seconds.
        owned: The item goes when the publishing socket does.
        tags: What subscribers may filter by.
    """

    event: Name = SET
    data: Any = None
    key: Annotated[str, Meta(min_length=1)] | None = None
    id: Annotated[str, Meta(max_length=ID_BYTES)] = ""
    version: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 0
    only: Literal["absent", "present"] | At | None = None
    ttl_s: Annotated[float, Meta(gt=0, le=366 * 86_400)] | None = None
    owned: bool = False
    tags: Annotated[dict[Name, Tag], Meta(max_length=TAGS)] | None = None


class PublishArgs(Publish, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the command `publish` takes: the publication, and where."""

    topic: Annotated[str, Meta(min_length=1)]


class Published(Struct, frozen=True, rename={"durability": "class"}):
    """The answer to `publish`: where it stands in the topic's log, and what it survives there.

    Args:
        topic: Its name.
        epoch: Of the log.
        offset: Of the publication; of the first one for `duplicate`, of the newest for `older`.
        mark: Of that.
        durability: (`class`) What the topic survives.
        dropped: Why nothing was written: `duplicate`: its id was here before; `older`: the key has a newer version; `same`: it is so already.
        ttl_s: When the item goes unless it is published again (s), where the kind says so.
        key: Of the item that was written, where the kind gives it.
    """

    topic: str
    epoch: str
    offset: int
    mark: int
    durability: Durability
    dropped: Literal["duplicate", "older", "same"] | UnsetType = UNSET
    ttl_s: float | UnsetType = UNSET
    key: str | UnsetType = UNSET


class Call(Struct, frozen=True):
    """Who publishes where. Without a principal it is the application itself; without a socket it came over HTTP or from Python."""

    topic: Topic
    principal: Principal | None = None
    socket: Peer | None = None


def change_of(given: Publish, *, is_map: bool, limits: Limits, now_ms: int) -> Change:
    """The change that a publication asks for.

    Raises:
        Invalid: A map without a key, a stream with one, a guard without a key, names that cannot be, data that no client can be sent.
        TooLarge: The data has more than `limits.publication_bytes`.
    """
    if is_map != (given.key is not None):
        detail = (
            "is missing: this topic is a map"
            if is_map
            else "this topic is a stream: it has no keys"
        )
        raise Invalid(faults=[Fault("/key", detail)])
    if given.key is None and (given.version or given.only or given.ttl_s or given.owned):
        raise Invalid(faults=[Fault("", "version, if, ttl_s and owned are about a key")])
    if given.key is None and given.event == SET:
        raise Invalid(faults=[Fault("/event", "is missing")])
    if given.key is not None and given.event == APPEND:
        raise Invalid(faults=[Fault("/event", "items of this kind do not grow: set them")])
    if given.version and given.only is not None:
        raise Invalid(faults=[Fault("/if", "a version is a guard by itself")])
    if given.key is not None:
        check_name("key", given.key, limits.name_bytes)
    check_name("event", given.event, limits.event_name_bytes)
    check_text("id", given.id)
    for name, value in (given.tags or {}).items():
        check_text("tags", name)
        check_text("tags", value)
    return Change(
        event=given.event,
        data=_json(given.data, limits.publication_bytes),
        key=given.key,
        guard=_guard(given),
        version=given.version,
        id=given.id,
        expires_ms=_expires_ms(given, limits, now_ms),
        tags=given.tags,
    )


def current(item: Item | None) -> Mapping[str, Any] | None:
    """What a refused publisher is told of the key: `{data, offset, version}`; None: it has nothing."""
    if item is None:
        return None
    return {"data": item.data, "offset": item.offset, "version": item.version}


def _guard(given: Publish) -> Guard:
    if given.version:
        return Guard("newer", given.version)
    match given.only:
        case None:
            return ANYWAY
        case At(offset):
            return Guard("at", offset)
        case "absent":
            return ABSENT
        case _:
            return PRESENT


def _expires_ms(given: Publish, limits: Limits, now_ms: int) -> int | None:
    if given.event == REMOVE:
        return None
    if given.owned:
        return now_ms + int(limits.owned_s * 1000)
    return None if given.ttl_s is None else now_ms + int(given.ttl_s * 1000)


def _json(data: Any, limit: int) -> Any:
    """The data as its readers will have it: a value of its own, so that an application may go on changing what it gave."""
    try:
        text = _encode(data)
    except (TypeError, ValueError, RecursionError) as exc:
        raise Invalid(f"the data is not JSON: {exc}", faults=[Fault("/data", "not JSON")]) from exc
    if len(text) > limit:
        limit_exceeded.labels("publication_bytes").inc()
        raise TooLarge(
            f"a publication's data has at most {limit} bytes (limits.publication_bytes)",
            limit=limit,
            size=len(text),
        )
    value = _decode(text)
    check_json("data", value)
    return value
