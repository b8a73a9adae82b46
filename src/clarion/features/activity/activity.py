"""An activity: who did what to what, when. The words are those of Activity Streams (W3C, "Activity Streams 2.0")."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Protocol

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.clock import as_datetime
from clarion.patterns import worded
from clarion.topics.stream import Position

TERM_LENGTH: Final = 512
_PRINTED: Final = worded(r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)", "printable text, and some of it")

Term = Annotated[str, Meta(pattern=_PRINTED, max_length=TERM_LENGTH)]
"""What names an actor, an object or a target: an id of the application's, or an address."""
Verb = Annotated[str, Meta(pattern=_PRINTED, max_length=64)]
ForeignId = Annotated[str, Meta(pattern=_PRINTED, max_length=255)]
Time = Annotated[datetime, Meta(tz=True)]


class NewActivity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An activity as somebody adds it.

    Args:
        verb: What was done: `like`, `post`.
        object: To what.
        actor: Who did it; a user may leave it out, and name nobody else.
        target: Where, or for whom.
        data: Whatever else is to be shown.
        foreign_id: Its name in the application: adding it again changes what is there.
        group: With which others a feed shows it as one, such as `{verb} {object} {day}`: `{verb}`, `{object}`, `{target}`, `{actor}` and `{day}`
            stand for what it says. Evaluated when it is added; an edit changes nothing.
        published: When it happened, kept to the millisecond; by default now.
    """

    verb: Verb
    object: Term
    actor: Term | UnsetType = UNSET
    target: Term | UnsetType = UNSET
    data: dict[str, Any] | UnsetType = UNSET
    foreign_id: ForeignId | UnsetType = UNSET
    group: Annotated[str, Meta(pattern=_PRINTED, max_length=255)] | UnsetType = UNSET
    published: Time | UnsetType = UNSET


class Edit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be said instead; what is not named stays, null takes `target` or `data` away."""

    verb: Verb | UnsetType = UNSET
    object: Term | UnsetType = UNSET
    target: Term | UnsetType | None = UNSET
    data: dict[str, Any] | UnsetType | None = UNSET


class Body(Struct, frozen=True, omit_defaults=True):
    """What an activity says; as it is stored."""

    actor: str
    verb: str
    object: str
    target: str | UnsetType = UNSET
    data: dict[str, Any] | UnsetType = UNSET
    group: str | UnsetType = UNSET


class Activity(Struct, frozen=True, kw_only=True):
    """An activity of a stream.

    Args:
        id: Its name in the stream.
        actor: Who did it.
        verb: What was done.
        object: To what.
        target: Where, or for whom.
        data: Whatever else is to be shown.
        foreign_id: Its name in the application.
        group: With which others a feed shows it as one.
        reactions: How many users react how: `{"like": 3}`.
        published: When it happened. Streams are ordered by that, then by the ids; newest first.
        updated: When it was added, or changed last.
    """

    id: str
    actor: str
    verb: str
    object: str
    target: str | UnsetType = UNSET
    data: dict[str, Any] | UnsetType = UNSET
    foreign_id: str | UnsetType = UNSET
    group: str | UnsetType = UNSET
    reactions: dict[str, int] | UnsetType = UNSET
    published: datetime
    updated: datetime


class Told(Activity, frozen=True, kw_only=True):
    """An activity of a timeline: it says, too, which stream it is in."""

    stream: str


class Page(Struct, frozen=True):
    """Activities of a stream, newest first, and the position of its topic when they were read."""

    items: list[Activity]
    next: Annotated[
        str | None, Meta(description="`cursor` of the page behind; null on the last one")
    ]
    position: Position


class Written(Struct, frozen=True, kw_only=True):
    """What became of a change of a stream.

    Args:
        activity: As it is now; of a removal, as it was.
        event: What happened.
        epoch: Of the stream's log.
        offset: Of the entry in it; of the newest one where nothing was written.
        mark: Of that.
        dropped: Why nothing was written: `same`: it is so already.
        durability: Of what was written.
    """

    activity: Activity
    event: Literal["added", "changed", "removed"]
    epoch: str
    offset: int
    mark: int
    dropped: Literal["same"] | UnsetType = UNSET
    durability: Literal["fsync"] = "fsync"


class Stored(Protocol):
    """What the rows that hold an activity have in common."""

    @property
    def published_ms(self) -> int: ...  # noqa: D102
    @property
    def foreign_id(self) -> str: ...  # noqa: D102
    @property
    def body(self) -> str: ...  # noqa: D102
    @property
    def updated_ms(self) -> int: ...  # noqa: D102
    @property
    def reactions(self) -> str: ...  # noqa: D102


# Floats are read by Python: see protocol.jsontext.
_decode = msgspec.json.Decoder(Body, float_hook=float).decode


def counts_of(text: str) -> dict[str, int]:
    """How many users react how, as it is stored."""
    return msgspec.json.decode(text, type=dict[str, int]) if text else {}


def body_of(text: str) -> Body:
    """What a stored activity says."""
    return _decode(text)


def activity_of(id: str, row: Stored) -> Activity:
    """A stored activity as it is shown."""
    return Activity(**_parts(id, row))


def told_of(stream: str, id: str, row: Stored) -> Told:
    """A stored activity as it is shown in a timeline."""
    return Told(stream=stream, **_parts(id, row))


def _parts(id: str, row: Stored) -> dict[str, Any]:
    body = body_of(row.body)
    return {
        "id": id,
        "actor": body.actor,
        "verb": body.verb,
        "object": body.object,
        "target": body.target,
        "data": body.data,
        "foreign_id": row.foreign_id or UNSET,
        "group": body.group,
        "reactions": counts_of(row.reactions) or UNSET,
        "published": as_datetime(row.published_ms),
        "updated": as_datetime(row.updated_ms),
    }


def wire(activity: Activity) -> dict[str, Any]:
    """An activity in plain values: times as text, as RFC 3339 has them."""
    return msgspec.to_builtins(activity)  # type: ignore[no-any-return]  # a struct becomes a dict
