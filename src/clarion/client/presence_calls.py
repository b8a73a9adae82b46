"""Presence over HTTP, without any I/O: what is asked, and how the answer is read."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from clarion.client.calls import Call, place, query

Visibility = Literal["everyone", "contacts", "nobody"]


class Device(msgspec.Struct, frozen=True):
    """One of a user's connections; `device` is what it runs on, '' where it has not said."""

    status: str
    device: str = ""


class UserStatus(msgspec.Struct, frozen=True):
    """How a user is: `online`, `away`, `dnd`, `idle` or `offline`; times are RFC 3339, None where they are not known or not to be seen."""

    user: str
    status: str
    devices: list[Device]
    connected_since: str | None = None
    last_active: str | None = None
    last_seen: str | None = None
    data: Any = None
    text: str | None = None
    text_until: str | None = None


class Member(msgspec.Struct, frozen=True):
    """A user in a room; `presence` is `{status, since, last_active, devices, data?, text?, text_until?}`."""

    user: str
    presence: dict[str, Any]


class MemberPage(msgspec.Struct, frozen=True):
    """Users in a room in the order of their ids; `users` is how many there are in all, `next` is `after` of the page behind."""

    room: str
    users: int
    epoch: str
    offset: int
    mark: int
    items: list[Member]
    next: str | None = None


class Statuses(msgspec.Struct, frozen=True):
    """How users are, in the order that was asked for."""

    items: list[UserStatus]


class Seeing(msgspec.Struct, frozen=True):
    """Who may see that a user is here."""

    visibility: Visibility


class ContactPage(msgspec.Struct, frozen=True):
    """Ids of contacts; `next` is `after` of the page behind."""

    items: list[str]
    next: str | None = None


class ContactsNumber(msgspec.Struct, frozen=True):
    """How many contacts a user has."""

    contacts: int


def members(room: str, after: str | None, limit: int) -> Call[MemberPage]:
    """`GET /v1/presence/{room}`."""
    return Call(
        "GET", f"/v1/{place('presence', room)}{query(after=after, limit=limit)}", MemberPage
    )


def statuses(users: Sequence[str], viewer: str | None, regardless: bool) -> Call[Statuses]:
    """`POST /v1/presence/status`."""
    if isinstance(users, str):
        raise TypeError(f"users is a list: [{users!r}]")
    body: dict[str, Any] = {"users": list(users), "regardless": regardless}
    body |= {} if viewer is None else {"viewer": viewer}
    return Call("POST", "/v1/presence/status", Statuses, body)


def visibility(user: str) -> Call[Seeing]:
    """`GET /v1/users/{id}/visibility`."""
    return Call("GET", f"/v1/{place('users', user)}/visibility", Seeing)


def set_visibility(user: str, wanted: Visibility) -> Call[Seeing]:
    """`PUT /v1/users/{id}/visibility`."""
    return Call("PUT", f"/v1/{place('users', user)}/visibility", Seeing, {"visibility": wanted})


def contacts(user: str, after: str | None) -> Call[ContactPage]:
    """`GET /v1/users/{id}/contacts`."""
    return Call("GET", f"/v1/{place('users', user)}/contacts{query(after=after)}", ContactPage)


def change_contacts(user: str, add: Sequence[str], remove: Sequence[str]) -> Call[ContactsNumber]:
    """`POST /v1/users/{id}/contacts`."""
    if isinstance(add, str) or isinstance(remove, str):
        raise TypeError("add and remove are lists")
    body = {"add": list(add), "remove": list(remove)}
    return Call("POST", f"/v1/{place('users', user)}/contacts", ContactsNumber, body)
