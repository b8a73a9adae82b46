"""Subscribers and audiences over HTTP, without any I/O: what is asked, and how the answer is read."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from clarion.client.calls import Call, Recipient, place, query

PAGE = 500
_LINES = {"accept": "application/x-ndjson"}


class Subscriber(msgspec.Struct, frozen=True):
    """What is known of a person; None: nothing."""

    id: str
    name: str | None
    email: str | None
    phone: str | None
    locale: str | None
    time_zone: str | None
    attributes: dict[str, Any]
    created_at: str
    updated_at: str


class SubscriberPage(msgspec.Struct, frozen=True):
    """Subscribers in the order of their ids."""

    items: list[Subscriber]
    next: str | None


class Address(msgspec.Struct, frozen=True):
    """Where somebody can be reached, without what is secret of it. `failures`: how often in a row it has not taken a message."""

    id: str
    channel: str
    label: str
    failures: int
    error: str | None


class Addresses(msgspec.Struct, frozen=True):
    """All of a subscriber."""

    items: list[Address]


class AddressId(msgspec.Struct, frozen=True):
    """The id of an address."""

    id: str


class Several(msgspec.Struct, frozen=True):
    """How many were kept, each once."""

    subscribers: int


class Erasing(msgspec.Struct, frozen=True):
    """What is theirs is being erased by this job."""

    job: str


class Audience(msgspec.Struct, frozen=True):
    """A named set of subscribers. `members` counts who was put in."""

    audience: str
    name: str
    filter: str
    includes: list[str]
    members: int
    created_at: str
    updated_at: str
    did: list[dict[str, Any]] = []


class AudiencePage(msgspec.Struct, frozen=True):
    """Audiences in the order of their keys."""

    items: list[Audience]
    next: str | None


class MembersChanged(msgspec.Struct, frozen=True):
    """How many of those who were to be put in are in it now, who of them is not known, and how many are in it."""

    added: int
    unknown: list[str]
    members: int


class People(msgspec.Struct, frozen=True):
    """Ids of people of an audience."""

    items: list[str]
    next: str | None


def put(id: str, described: Mapping[str, Any]) -> Call[Subscriber]:
    """`PUT /v1/subscribers/{id}`; what is None is not said."""
    said = {name: value for name, value in described.items() if value is not None}
    return Call("PUT", _at(id), Subscriber, said)


def change(id: str, changes: Mapping[str, Any]) -> Call[Subscriber]:
    """`PATCH /v1/subscribers/{id}`."""
    return Call("PATCH", _at(id), Subscriber, dict(changes))


def find(id: str) -> Call[Subscriber]:
    """`GET /v1/subscribers/{id}`."""
    return Call("GET", _at(id), Subscriber)


def delete(id: str) -> Call[Erasing]:
    """`DELETE /v1/subscribers/{id}`."""
    return Call("DELETE", _at(id), Erasing)


def page(filter: str | None, after: str | None) -> Call[SubscriberPage]:
    """`GET /v1/subscribers`."""
    return Call(
        "GET", f"/v1/subscribers{query(filter=filter, after=after, limit=PAGE)}", SubscriberPage
    )


def keep(several: Sequence[Recipient]) -> Call[Several]:
    """`POST /v1/subscribers`; an id alone makes somebody known of whom nothing else is."""
    given = [{"id": each} if isinstance(each, str) else dict(each) for each in several]
    return Call("POST", "/v1/subscribers", Several, {"subscribers": given})


def export(id: str) -> Call[bytes]:
    """`GET /v1/subscribers/{id}/export`, to be streamed."""
    return Call("GET", f"{_at(id)}/export", bytes, headers=_LINES)


def addresses(id: str) -> Call[Addresses]:
    """`GET /v1/subscribers/{id}/addresses`."""
    return Call("GET", f"{_at(id)}/addresses", Addresses)


def put_address(
    id: str, channel: str, address: str, data: Mapping[str, Any] | None, label: str
) -> Call[AddressId]:
    """`POST /v1/subscribers/{id}/addresses`."""
    body: dict[str, Any] = {"channel": channel, "address": address, "label": label}
    body |= {} if data is None else {"data": dict(data)}
    return Call("POST", f"{_at(id)}/addresses", AddressId, body)


def remove_address(id: str, address: str) -> Call[dict[str, Any]]:
    """`DELETE /v1/subscribers/{id}/addresses/{address}`."""
    return Call("DELETE", f"{_at(id)}/{place('addresses', address)}", dict)


def put_audience(audience: str, described: Mapping[str, Any]) -> Call[Audience]:
    """`PUT /v1/audiences/{audience}`; what is None or empty is not said."""
    for name in ("includes", "did"):
        if isinstance(described.get(name), str):
            raise TypeError(f"{name} is a list, not one text")
    said = {name: value for name, value in described.items() if value}
    return Call("PUT", _of(audience), Audience, said)


def find_audience(audience: str) -> Call[Audience]:
    """`GET /v1/audiences/{audience}`."""
    return Call("GET", _of(audience), Audience)


def audiences(after: str | None) -> Call[AudiencePage]:
    """`GET /v1/audiences`."""
    return Call("GET", f"/v1/audiences{query(after=after, limit=100)}", AudiencePage)


def delete_audience(audience: str) -> Call[dict[str, Any]]:
    """`DELETE /v1/audiences/{audience}`."""
    return Call("DELETE", _of(audience), dict)


def change_members(
    audience: str, add: Sequence[str], remove: Sequence[str]
) -> Call[MembersChanged]:
    """`POST /v1/audiences/{audience}/members`."""
    if isinstance(add, str) or isinstance(remove, str):
        raise TypeError("add and remove are lists")
    body = {"add": list(add), "remove": list(remove)}
    return Call("POST", f"{_of(audience)}/members", MembersChanged, body)


def people(audience: str, after: str | None) -> Call[People]:
    """`GET /v1/audiences/{audience}/people`."""
    return Call("GET", f"{_of(audience)}/people{query(after=after, limit=PAGE)}", People)


def _at(id: str) -> str:
    return f"/v1/{place('subscribers', id)}"


def _of(audience: str) -> str:
    return f"/v1/{place('audiences', audience)}"
