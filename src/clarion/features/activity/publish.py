"""What `publish` means on a stream of activities: `add`, `change` and `remove`, for sockets and for `/v1/topics/…/publications` alike."""

from typing import Any, Final

import msgspec
from msgspec import UNSET

from clarion.errors import Fault, Invalid
from clarion.features.activity.activity import Edit, NewActivity, Written
from clarion.features.activity.streams import Streams
from clarion.topics.publishing import Call, Publish, Published

_EVENTS: Final = ("add", "change", "remove")


async def publish(streams: Streams, call: Call, given: Publish) -> Published:
    """Do what a publication asks for.

    `add` takes an activity as `data`; where that has no `foreign_id` the publication's `id` is it. `change` takes what is to be said instead,
    `remove` nothing; `key` is the activity's id for both, and in the answer for all.

    Raises:
        Invalid: It is none of these.
        NotFound, Forbidden, TooLarge, StorageFull, Unavailable, OutcomeUnknown: As `Streams`.
    """
    if given.event not in _EVENTS:
        raise Invalid(faults=[Fault("/event", f"expected one of {', '.join(_EVENTS)}")])
    _refuse_others(given)
    where = call.topic.tenant, call.topic.name
    if given.event == "add":
        written = await streams.add(*where, _new(given), call.principal)
    elif given.key is None:
        raise Invalid(faults=[Fault("/key", "is missing: the activity's id")])
    elif given.event == "change":
        edit = converted(given.data, Edit)
        written = await streams.edit(*where, given.key, edit, call.principal)
    else:
        written = await streams.remove(*where, given.key, call.principal)
    return _published(call, written)


def converted(data: Any, kind: Any) -> Any:
    """The data of a publication as a struct.

    Raises:
        Invalid: They are of another form.
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as exc:
        fault = Fault.of(exc, kind)
        raise Invalid(faults=[Fault(f"/data{fault.pointer}", fault.detail)]) from exc
    except UnicodeEncodeError as exc:
        raise Invalid(faults=[Fault("/data", "a member's name has half a character")]) from exc


def _new(given: Publish) -> NewActivity:
    if given.key is not None:
        raise Invalid(faults=[Fault("/key", "the id of a new activity is given by the server")])
    new: NewActivity = converted(given.data, NewActivity)
    if new.foreign_id is UNSET and given.id:
        return msgspec.structs.replace(new, foreign_id=given.id)
    return new


def _refuse_others(given: Publish) -> None:
    others = {
        "version": given.version,
        "if": given.only,
        "ttl_s": given.ttl_s,
        "owned": given.owned,
        "tags": given.tags,
    }
    for name, value in others.items():
        if value:
            raise Invalid(faults=[Fault(f"/{name}", "an activity has none")])


def _published(call: Call, written: Written) -> Published:
    return Published(
        call.topic.wire,
        written.epoch,
        written.offset,
        written.mark,
        "durable",
        dropped=written.dropped,
        key=written.activity.id,
    )
