"""What callers give, judged: who they say acts and when, what an edit changes, and where a page begins. Pure."""

from typing import Any, Final

from msgspec import UNSET

from clarion.auth import rights
from clarion.auth.principal import Principal
from clarion.clock import as_datetime, as_ms
from clarion.errors import Fault, Forbidden, Invalid
from clarion.features.activity.activity import Body, Edit, NewActivity, body_of
from clarion.features.activity.grouping import group_of
from clarion.features.activity.log import NEWEST_MS
from clarion.storage import activity as sql
from clarion.topics.kinds import SCOPES

PAGE: Final = 50  # activities of a page, unless asked otherwise
PAGE_MAX: Final = 100
AHEAD_MS: Final = 24 * 3_600_000  # clocks differ, and so do time zones that somebody forgot


def only_as(caller: Principal | None) -> str | None:
    """As whom alone somebody may speak who has not the scope to publish everywhere: themselves. None: as anybody."""
    if caller is None or rights.holds(caller.scopes, SCOPES["publish"]):
        return None
    return caller.id


def actor_of(given: NewActivity, caller: Principal | None) -> str:
    """Who did it: as they say, or else the caller.

    Raises:
        Forbidden: They speak for somebody else.
        Invalid: Nobody is named, and the caller is no user.
    """
    if given.actor is not UNSET:
        if only_as(caller) not in (None, given.actor):
            raise Forbidden("you are the actor of what you add")
        return given.actor
    if caller is None or caller.kind != "user":
        raise Invalid(faults=[Fault("/actor", "is missing")])
    return caller.id


def check_owner(row: sql.ActivityRow, caller: Principal | None) -> None:
    """Let somebody change an activity if it is theirs, or if they may publish everywhere.

    Raises:
        Forbidden: It is somebody else's.
    """
    own = only_as(caller)
    if own is not None and body_of(row.body).actor != own:
        raise Forbidden("this activity is somebody else's")


def with_edit(body: Body, given: Edit) -> Body:
    """The body with what an edit changes; null takes a member out, and who did it stays."""

    def either(new: Any, old: Any) -> Any:
        if new is UNSET:
            return old
        return UNSET if new is None else new

    return Body(
        body.actor,
        either(given.verb, body.verb),
        either(given.object, body.object),
        either(given.target, body.target),
        either(given.data, body.data),
        body.group,
    )


def body_for(given: NewActivity, actor: str, published_ms: int) -> Body:
    """What is kept of a new activity besides its time and its ids."""
    group = given.group
    if group is not UNSET:
        group = group_of(given, actor, as_datetime(published_ms))
    return Body(actor, given.verb, given.object, given.target, given.data, group)


def time_of(published: Any, now_ms: int) -> int:
    """When it happened (ms since 1970).

    Raises:
        Invalid: Before 1970, or more than a day ahead.
    """
    ms = as_ms(published)
    if not 0 <= ms <= now_ms + AHEAD_MS:
        detail = "expected a time from 1970 on, at most a day ahead"
        raise Invalid(faults=[Fault("/published", detail)])
    return ms


def begin_of(cursor: str | None, limit: int) -> tuple[int, str]:
    """The place (time in ms, id) below which a page begins.

    Args:
        cursor: `next` of the page before; None: the first page.
        limit: Activities of the page.

    Raises:
        Invalid: The cursor is none of ours, or the limit out of range.
    """
    if not 1 <= limit <= PAGE_MAX:
        raise Invalid(faults=[Fault("?limit", f"1 to {PAGE_MAX}")])
    if cursor is None:
        return NEWEST_MS, ""
    ms, dot, id = cursor.partition(".")
    if not (ms.isascii() and ms.isdigit() and len(ms) <= 15 and dot and 0 < len(id) <= 64):
        raise Invalid(
            "the cursor is not one that a page has given", faults=[Fault("?cursor", "unknown")]
        )
    return int(ms), id
