"""Who a notification is for: subscribers by id, or described on the spot."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from clarion.errors import Fault, Invalid
from clarion.notifications.content import BLANK, wrong_json
from clarion.notifications.workflows.zones import check_zone
from clarion.patterns import worded

# Ids of our own accounts, and what other identity providers put into `sub` (auth0|5f7c…, UUIDs, addresses).
# `$(?!\n)`: Python's `$` also matches before a last line feed, ECMAScript's does not.
UserId = Annotated[
    str,
    Meta(
        pattern=worded(
            r"^[A-Za-z0-9][A-Za-z0-9._@+|:=/-]{0,127}$(?!\n)",
            "an id: letters, digits and `._@+|:=/-`, at most 128, the first a letter or digit",
        ),
        description="A user's id",
    ),
]
ADDRESS = worded(rf"^[^@{BLANK}]+@[^@{BLANK}]+$(?!\n)", "an email address, such as ann@example.org")
PHONE = worded(
    r"^\+[1-9][0-9]{6,14}$(?!\n)", "a telephone number as E.164 writes it, such as +491701234567"
)  # E.164
ATTRIBUTES_BYTES = 4096  # of JSON; attributes choose and address, they do not store


Name = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=worded(r"^[^\u0000]*$", "text without U+0000"))
]
Locale = Annotated[
    str,
    Meta(
        pattern=worded(
            r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,4}$(?!\n)", "a locale, such as de or en-GB"
        )
    ),
]
TimeZone = Annotated[
    str,
    Meta(pattern=worded(r"^[A-Za-z0-9_+/-]{1,64}$(?!\n)", "a time zone, such as Europe/Berlin")),
]


class Recipient(Struct, frozen=True, forbid_unknown_fields=True):
    """A subscriber with what should be known of them; what is absent here stays as it is stored."""

    id: UserId
    name: Name | None = None
    email: Annotated[str, Meta(max_length=254, pattern=ADDRESS)] | None = None
    phone: Annotated[str, Meta(pattern=PHONE, description="E.164, +4930123456")] | None = None
    locale: Locale | None = None
    time_zone: TimeZone | None = None
    attributes: (
        Annotated[dict[str, Any], Meta(description="JSON for conditions, at most 4 KiB")] | None
    ) = None


class Named(Struct, frozen=True):
    """One person to reach: where in the list they are first named, and what is said of them; None: only their id."""

    at: int
    id: str
    described: Recipient | None


def distinct(recipients: Sequence[str | Recipient]) -> list[Named]:
    """Everybody once, in the order of their first mention; of several descriptions the later one wins, field by field."""
    found: dict[str, Named] = {}
    for at, recipient in enumerate(recipients):
        described = None if isinstance(recipient, str) else recipient
        id = recipient if isinstance(recipient, str) else recipient.id
        before = found.get(id)
        if before is not None:
            at, described = before.at, _merged(before.described, described)
        found[id] = Named(at, id, described)
    return list(found.values())


def _merged(before: Recipient | None, then: Recipient | None) -> Recipient | None:
    if before is None or then is None:
        return then or before
    said = {k: v for k, v in msgspec.structs.asdict(then).items() if v is not None}
    return msgspec.structs.replace(before, **said)


def people_of(recipients: Sequence[str | Recipient], most: int) -> list[Named]:
    """Everybody once; whether they are known is not looked at.

    Args:
        recipients: As a call names them.
        most: `limits.recipients`.

    Raises:
        Invalid: There are too many, or of one the attributes are too large or too deep, or the time zone does not exist.
    """
    if len(recipients) > most:
        raise Invalid(
            f"{len(recipients)} recipients exceed limits.recipients = {most}",
            faults=[Fault("/recipients", f"at most {most} items")],
            limit=most,
        )
    people = distinct(recipients)
    for person in people:
        if person.described is not None:
            said = person.described
            check_said(said.attributes, said.time_zone, f"/recipients/{person.at}")
    return people


def wrong_said(attributes: dict[str, Any] | None, time_zone: str | None) -> Fault | None:
    """What is wrong with a description that its shape does not show; None: nothing."""
    if (wrong := wrong_json(attributes, ATTRIBUTES_BYTES)) is not None:
        return Fault("/attributes", wrong)
    try:
        if time_zone is not None:
            check_zone(time_zone)
    except ValueError as exc:
        return Fault("/time_zone", str(exc))
    return None


def check_said(attributes: dict[str, Any] | None, time_zone: str | None, at: str = "") -> None:
    """Refuse a description that is wrong; `at`: where it stands.

    Raises:
        Invalid: The attributes are too large or too deep, or there is no such time zone.
    """
    if (wrong := wrong_said(attributes, time_zone)) is not None:
        raise Invalid(wrong.detail, faults=[Fault(f"{at}{wrong.pointer}", wrong.detail)])


def strangers(unknown: Sequence[Named]) -> Invalid:
    """The answer to a call that names people who are not known."""
    return Invalid(
        'some recipients are not known here: describe them, as in {"id": "ann"}, and they become known',
        faults=[Fault(f"/recipients/{each.at}", f"{each.id} is not known") for each in unknown],
    )


def columns_of(recipient: Recipient | None) -> dict[str, str]:
    """What is said of a subscriber as their row has it; '' says nothing."""
    if recipient is None:
        return {}
    attributes = recipient.attributes
    return {
        "name": recipient.name or "",
        "email": recipient.email or "",
        "phone": recipient.phone or "",
        "locale": recipient.locale or "",
        "time_zone": recipient.time_zone or "",
        "attributes": "" if attributes is None else msgspec.json.encode(attributes).decode(),
    }
