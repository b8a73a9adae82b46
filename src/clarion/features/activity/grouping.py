"""Groups: what a feed shows as one, "Ana and 4 others liked …". Pure.

The key of a group is evaluated when an activity is added. A feed is made of the newest activities of its stream, those with one key together;
each without a key stands for itself.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.clock import as_datetime, as_ms
from clarion.errors import Fault, Invalid
from clarion.features.activity.activity import Body, NewActivity, body_of
from clarion.features.activity.window import Item, Place, item_of
from clarion.storage.activity import ActivityRow

GROUP_LENGTH: Final = 1_024
LOOKED_AT: Final = 1_000
"""Activities, the newest of its stream, that a feed is made of."""
ACTORS: Final = 3  # that are named
IDS: Final = 10  # activities that are named
_named = re.compile(r"\{(\w*)\}")


class Group(Struct, frozen=True, kw_only=True):
    """Activities of a feed that are shown as one.

    Args:
        id: The key of the group, or the id of the only activity.
        verb: What was done; this and what follows as the newest one says it.
        object: To what.
        target: Where, or for whom.
        actors: Who did it last, at most 3, each once.
        actor_count: How many did it.
        count: How many activities these are.
        activities: The ids of the newest, at most 10.
        published: When the newest happened. Feeds are ordered by that, then by the ids; newest first.
        is_seen: Whether the user has seen the newest.
        is_read: Whether they have read it.
    """

    id: str
    verb: str
    object: str
    target: str | UnsetType = UNSET
    actors: list[str]
    actor_count: int
    count: int
    activities: list[str]
    published: datetime
    is_seen: bool
    is_read: bool


class Marks(Struct, frozen=True):
    """The places up to which a user has seen and read a stream."""

    seen: Place
    read: Place


class Counts(Struct, frozen=True):
    """Groups whose newest activity the user has not seen, and not read."""

    unseen: Annotated[int, Meta(ge=0)]
    unread: Annotated[int, Meta(ge=0)]


def group_of(given: NewActivity, actor: str, published: datetime) -> str:
    """The key that an activity asks for.

    Raises:
        Invalid: It names what an activity has not, or has more than 1,024 characters or none.
    """
    says = {
        "verb": given.verb,
        "object": given.object,
        "target": "" if given.target is UNSET else given.target,
        "actor": actor,
        "day": published.date().isoformat(),
    }

    def said(found: re.Match[str]) -> str:
        if found[1] not in says:
            raise Invalid(faults=[Fault("/group", f"{found[0]} stands for nothing")])
        return says[found[1]]

    group = _named.sub(said, str(given.group))
    if not 0 < len(group) <= GROUP_LENGTH:
        raise Invalid(faults=[Fault("/group", f"expected 1 to {GROUP_LENGTH} characters")])
    return group


def grouped(rows: Sequence[ActivityRow], marks: Marks) -> tuple[list[Item], Counts]:
    """The groups of a stream's newest activities, newest first, as items; and how many of them are new to the user.

    Args:
        rows: The activities, newest first.
        marks: Of the user.
    """
    there: dict[str, list[tuple[ActivityRow, Body]]] = {}
    for row in rows:
        body = body_of(row.body)
        there.setdefault(row.id if body.group is UNSET else body.group, []).append((row, body))
    groups = [_group(id, some, marks) for id, some in there.items()]
    items = [_item(group) for group in groups]
    items.sort(key=lambda item: item.place, reverse=True)
    unseen = sum(not group.is_seen for group in groups)
    unread = sum(not group.is_read for group in groups)
    return items, Counts(unseen, unread)


def _group(id: str, rows: Sequence[tuple[ActivityRow, Body]], marks: Marks) -> Group:
    newest, body = rows[0]
    actors = list(dict.fromkeys(body.actor for _, body in rows))
    place = newest.published_ms, newest.id
    return Group(
        id=id,
        verb=body.verb,
        object=body.object,
        target=body.target,
        actors=actors[:ACTORS],
        actor_count=len(actors),
        count=len(rows),
        activities=[row.id for row, _ in rows[:IDS]],
        published=as_datetime(newest.published_ms),
        is_seen=place <= marks.seen,
        is_read=place <= marks.read,
    )


def _item(group: Group) -> Item:
    shown: dict[str, Any] = msgspec.to_builtins(group)
    return item_of((as_ms(group.published), group.id), shown)
