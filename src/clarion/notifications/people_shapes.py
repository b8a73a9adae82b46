"""Subscribers as they are shown, described and changed."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.clock import as_datetime
from clarion.notifications.recipients import ADDRESS, PHONE, Locale, Name, TimeZone
from clarion.storage import subscribers as sql


class Subscriber(Struct, frozen=True):
    """What is known of a person; null: nothing."""

    id: str
    name: str | None
    email: str | None
    phone: str | None
    locale: str | None
    time_zone: str | None
    attributes: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class Described(Struct, frozen=True, forbid_unknown_fields=True):
    """What shall be known of somebody: what is absent is not known any longer."""

    name: Name | None = None
    email: Annotated[str, Meta(max_length=254, pattern=ADDRESS)] | None = None
    phone: Annotated[str, Meta(pattern=PHONE, description="E.164, +4930123456")] | None = None
    locale: Locale | None = None
    time_zone: TimeZone | None = None
    attributes: (
        Annotated[dict[str, Any], Meta(description="JSON for conditions, at most 4 KiB")] | None
    ) = None


class Changed(Struct, frozen=True, forbid_unknown_fields=True):
    """What changes of somebody: what is absent stays, null is not known any longer. Of attributes each member by itself."""

    name: Name | UnsetType | None = UNSET
    email: Annotated[str, Meta(max_length=254, pattern=ADDRESS)] | UnsetType | None = UNSET
    phone: Annotated[str, Meta(pattern=PHONE)] | UnsetType | None = UNSET
    locale: Locale | UnsetType | None = UNSET
    time_zone: TimeZone | UnsetType | None = UNSET
    attributes: dict[str, Any] | UnsetType | None = UNSET


class Page(Struct, frozen=True):
    """Subscribers in the order of their ids; `next` is the cursor of the page that follows, null on the last one.

    With a filter a page may have fewer than were asked for, even none, although more follow.
    """

    items: list[Subscriber]
    next: str | None


def subscriber_of(row: sql.Subscriber) -> Subscriber:
    """A row as it is shown."""
    return Subscriber(
        row.id,
        row.name or None,
        row.email or None,
        row.phone or None,
        row.locale or None,
        row.time_zone or None,
        msgspec.json.decode(row.attributes) if row.attributes else {},
        as_datetime(row.created_ms),
        as_datetime(row.updated_ms),
    )
