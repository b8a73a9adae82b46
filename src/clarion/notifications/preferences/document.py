"""Preferences as they are written down, by a person or for all of a deployment, and checked. Pure.

channels: {email: false}                                  # anything by email: no
categories: {social: {push: "payload.urgent"}}            # a choice may be a condition, as a step's `if`
workflows: {mention: true}
muted: [{path: payload.thread, value: "t-17", until: 2026-12-01T00:00:00Z}]
quiet: [{from: "22:00", to: "07:00"}]                     # in my time zone
holidays: ["2026-12-25"]
paused_until: 2026-12-01T00:00:00Z
digests: {at: ["09:00", "17:00"], days: [mon, tue, wed, thu, fri]}
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from clarion.clock import as_ms
from clarion.errors import Fault, Invalid, TooLarge
from clarion.notifications.preferences.quiet import Quiet, is_always_quiet
from clarion.notifications.workflows import durations
from clarion.notifications.workflows.choices import wrong_choices
from clarion.notifications.workflows.conditions import Condition
from clarion.notifications.workflows.definition import Choice, Choices, Clock, Day, Name, Span
from clarion.notifications.workflows.when import YEARS
from clarion.notifications.workflows.zones import check_zone
from clarion.patterns import worded
from clarion.telemetry import limit_exceeded

Kind = Literal["category", "workflow", "channel"]
ALL: Final = "*"
"""In choices by channel: the channels that are not named."""
MUTED: Final = 500
"""Threads that one person mutes."""
Zone = Annotated[str, Meta(max_length=64, description="A time zone's name, Europe/Berlin")]
Moment = Annotated[datetime, Meta(tz=True)]
Holidays = Annotated[list[date], Meta(max_length=400)]


class Thread(Struct, frozen=True, forbid_unknown_fields=True):
    """Messages whose payload has this value there."""

    path: Annotated[
        str,
        Meta(
            max_length=200,
            pattern=worded(
                r"^payload(\.[\w-]+)+$(?!\n)", "a path in the payload, such as payload.thread"
            ),
        ),
    ]
    value: str | int | bool


class Muted(Thread, frozen=True, forbid_unknown_fields=True):
    """One thread that is not to be told of: messages whose payload has this value there. `until` None: for good."""

    until: Moment | None = None


class Schedule(Struct, frozen=True, forbid_unknown_fields=True):
    """When digests are to come that leave it to the recipient: at these times of the day, on these days."""

    at: Annotated[list[Clock], Meta(min_length=1, max_length=24)]
    days: Annotated[list[Day], Meta(min_length=1, max_length=7)] | None = None


class Cap(Struct, frozen=True, forbid_unknown_fields=True):
    """At most `limit` messages on a channel to one person within `per`, over all workflows or those of one category.

    What is over it is left out, or collected: when the span is over, one message goes out with all as `digest`.
    """

    channel: Name
    limit: Annotated[int, Meta(ge=1, le=10_000)]
    per: Span
    category: Annotated[str, Meta(max_length=64)] = ""
    over: Literal["skip", "digest"] = "skip"


class Document(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one person wants. What is not said, the deployment and the workflows decide."""

    channels: Choices = {}
    categories: dict[Name, Choice | Choices] = {}
    workflows: dict[Name, Choice | Choices] = {}
    muted: Annotated[list[Muted], Meta(max_length=MUTED)] = []
    quiet: Annotated[list[Quiet], Meta(max_length=50)] | None = None
    """None: as the deployment says; []: never."""
    holidays: Holidays = []
    """Quiet all day, beside the deployment's."""
    paused_until: Moment | None = None
    """Nothing but the inbox until then."""
    digests: Schedule | None = None
    time_zone: Zone | None = None
    """Of these times; None: the subscriber's own."""


class Defaults(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What holds for everybody of a deployment who has not said otherwise; `required`, `holidays` and `caps` hold for all."""

    channels: Choices = {}
    categories: dict[Name, Choice | Choices] = {}
    workflows: dict[Name, Choice | Choices] = {}
    quiet: Annotated[list[Quiet], Meta(max_length=50)] = []
    holidays: Holidays = []
    digests: Schedule | None = None
    time_zone: Zone | None = None
    """Of people whose own is not known; None: UTC."""
    required: Annotated[list[Name], Meta(max_length=100)] = []
    """Categories that nobody can turn off, and quiet hours do not hold."""
    caps: Annotated[list[Cap], Meta(max_length=50)] = []


@lru_cache(4096)
def condition_of(text: str) -> Condition:
    """A choice's condition, compiled."""
    return Condition(text)


def check(given: Document | Defaults, limit: int) -> None:
    """Refuse what could not be obeyed.

    Args:
        given: What is to be kept.
        limit: `limits.preference_bytes`.

    Raises:
        Invalid: A condition, a zone, a time or a span is wrong, or quiet hours never end; each fault points at it.
        TooLarge: It exceeds the limit.
    """
    text = msgspec.json.encode(given)
    if (size := len(text)) > limit:
        limit_exceeded.labels("preference_bytes").inc()
        raise TooLarge(
            f"preferences of {size} bytes exceed limits.preference_bytes = {limit}",
            limit=limit,
            size=size,
        )
    try:  # what was changed in the process has been through no decoder
        msgspec.json.decode(text, type=type(given))
    except msgspec.ValidationError as exc:
        raise Invalid(
            "these preferences are not right", faults=[Fault.of(exc, type(given))]
        ) from exc
    faults: list[Fault] = []
    for member in ("channels", "categories", "workflows"):
        faults += wrong_choices(getattr(given, member), f"/{member}")
    if given.time_zone is not None:
        try:
            check_zone(given.time_zone)
        except ValueError as exc:
            faults.append(Fault("/time_zone", str(exc)))
    if isinstance(given, Document):
        faults += _unshowable(given)
    if given.quiet and is_always_quiet(given.quiet):
        faults.append(Fault("/quiet", "there is no time left that is not quiet: use channels"))
    if isinstance(given, Defaults):
        for n, cap in enumerate(given.caps):
            try:
                durations.seconds(cap.per)
            except ValueError as exc:
                faults.append(Fault(f"/caps/{n}/per", str(exc)))
    if faults:
        raise Invalid("these preferences are not right", faults=faults)


def _unshowable(given: Document) -> Iterator[Fault]:
    """Times that no clock shows somewhere: the calendar ends with the year 9999, in UTC or in the person's zone."""
    ends = [("/paused_until", given.paused_until)]
    ends += [(f"/muted/{n}/until", each.until) for n, each in enumerate(given.muted)]
    for at, end in ends:
        if end is not None and end.year >= YEARS[1]:
            yield Fault(at, f"the year {end.year} is too late: {YEARS[1] - 1} is the last one")


def past(before: Document, given: Document, now_ms: int) -> Iterator[Fault]:
    """Ends that are said anew and are over. What was said before may have run out meanwhile, and is given back with the rest."""
    if given.paused_until != before.paused_until and is_over(given.paused_until, now_ms):
        yield Fault("/paused_until", OVER)
    for n, each in enumerate(given.muted):
        if is_over(each.until, now_ms) and each not in before.muted:
            yield Fault(f"/muted/{n}/until", OVER)


OVER: Final = "this time is over: say a later one, or null"


def is_over(end: datetime | None, now_ms: int) -> bool:
    """Whether nothing would come of something that ends then; None: never."""
    return end is not None and as_ms(end) <= now_ms


def unmuted(given: Sequence[Muted], path: str, value: str | int | bool) -> list[Muted]:
    """Threads without that one. 1, 1.0 and true are equal in Python, and three things in JSON."""
    gone = (path, type(value), value)
    return [each for each in given if (each.path, type(each.value), each.value) != gone]


def with_choice(
    given: Document, kind: Kind, name: str, channel: str, choice: Choice | None
) -> Document:
    """The document in which a person says this of something on a channel; what is said of other channels stays.

    Args:
        given: As it is.
        kind: What `name` names; of a `channel` it is not looked at.
        name: A category or a workflow.
        channel: Where.
        choice: Whether it is wanted; None: nothing is said of it.
    """
    if kind == "channel":
        return msgspec.structs.replace(given, channels=_chosen(given.channels, channel, choice))
    member = "categories" if kind == "category" else "workflows"
    named: dict[str, Choice | Choices] = getattr(given, member)
    choices = _chosen(_choices(named, name), channel, choice)
    others = {each: said for each, said in named.items() if each != name}
    changed = {**others, name: choices} if choices else others
    return msgspec.structs.replace(given, **{member: changed})


def choice_of(given: Document, kind: Kind, name: str, channel: str) -> Choice | None:
    """What a person says of something on this very channel; None: nothing."""
    if kind == "channel":
        return given.channels.get(channel)
    return _choices(given.categories if kind == "category" else given.workflows, name).get(channel)


def _choices(named: dict[str, Choice | Choices], name: str) -> Choices:
    found = named.get(name, {})
    return found if isinstance(found, dict) else {ALL: found}


def _chosen(given: Choices, channel: str, choice: Choice | None) -> Choices:
    others = {each: said for each, said in given.items() if each != channel}
    return others if choice is None else {**others, channel: choice}


def without(given: Document, channel: str) -> Document:
    """The document in which nothing is wanted on a channel, whatever was said of single categories and workflows."""
    document = with_choice(given, "channel", "", channel, False)
    for name in given.categories:
        document = with_choice(document, "category", name, channel, False)
    for name in given.workflows:
        document = with_choice(document, "workflow", name, channel, False)
    return document
