"""Workflows as they are written down, and as they are when they were read. Pure.

    workflow: mention
    name: Somebody mentioned you
    category: social
    payload: {type: object, required: [actor, text]}          # JSON Schema, checked when it is triggered
    steps:
      - id: bell
        inbox: {title: "{{ payload.actor }} mentioned you", body: "{{ payload.text }}"}
      - wait: 5m
      - stop: bell.seen
      - push: {title: "{{ payload.actor }} mentioned you"}
      - wait: 1h
      - email: {subject: "You have been mentioned", text: "{{ payload.text }}"}
        if: not bell.read

A step does one thing, named by its one member beside `id` and `if`: a channel with what to say there, or one of the acts below.
What is written here is data: it is kept as it was given, in versions that never change, and a run keeps the version it began with.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from clarion.notifications.workflows.conditions import Condition
from clarion.patterns import worded

STEPS: Final = 50
FACTS_OF_EVENTS: Final = 20
FACTS: Final = frozenset(
    {"payload", "recipient", "actor", "workflow", "digest", "inbox", "facts", "preferences"}
)
"""Names of facts."""
LINKS: Final = "links"
"""What templates know beside them: `links.unsubscribe` and `links.preferences`, which only the recipient may have."""
PRESENCE: Final = frozenset(
    f"recipient.{name}"
    for name in (
        "online",
        "idle",
        "status",
        "last_seen",
        "last_seen_s",
        "last_active",
        "last_active_s",
    )
)
"""Facts of presence: they are asked for only where a condition reads one."""
STATES: Final = (
    "sent", "delivered", "seen", "read", "clicked", "archived", "bounced", "failed", "skipped", "settled",
)  # fmt: skip
"""What can be asked of the message of an earlier step."""

Key = Annotated[
    str,
    Meta(
        pattern=worded(
            r"^[a-z0-9][a-z0-9._-]{0,63}$(?!\n)",
            "a key: a-z, 0-9, `.`, `_` and `-`, at most 64, the first a letter or digit",
        ),
        description="A workflow's key",
    ),
]
StepId = Annotated[
    str,
    Meta(
        pattern=worded(
            r"^[a-z][a-z0-9_-]{0,31}$(?!\n)",
            "a name: a-z, 0-9, `_` and `-`, at most 32, the first a letter",
        )
    ),
]
Span = Annotated[str, Meta(max_length=32, description="A span of time: 90s, 5m, 1h30m, 2d")]
Path = Annotated[
    str,
    Meta(
        max_length=200,
        pattern=worded(r"^[A-Za-z_][\w-]*(\.[\w-]+)*$(?!\n)", "a path, such as payload.buyer"),
    ),
]
Text = Annotated[str, Meta(max_length=1_000)]
EventName = Annotated[
    str,
    Meta(
        pattern=worded(
            r"^[A-Za-z][\w.:-]{0,99}$(?!\n)",
            "a name such as order.paid: letters, digits, `_`, `.`, `:` and `-`, at most 100, the first a letter",
        ),
        description="What somebody did: order.paid",
    ),
]
Clock = Annotated[
    str,
    Meta(
        pattern=worded(r"^([01]\d|2[0-3]):[0-5]\d$(?!\n)", "a time of day, such as 09:00"),
        description="A time of day, 09:00",
    ),
]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Choice = bool | Text
"""Whether something is wanted: yes, no, or only if this condition holds."""
Choices = dict[Name, Choice]
"""By channel; `*`: on those that are not named."""
PREFERENCE_FACTS: Final = frozenset({"payload", "recipient", "actor", "workflow"})
"""What conditions of preferences may read."""


class Wait(Struct, frozen=True, forbid_unknown_fields=True, rename={"for_": "for", "is_": "is"}):
    """Let time pass, or wait for something to happen. `wait: 5m` is short for `wait: {for: 5m}`."""

    for_: Span | None = None
    """So long."""
    until: Path | None = None
    """Until the time at this path (RFC 3339), moved by `plus`. A time that is past, or none: at once."""
    plus: Annotated[str, Meta(max_length=33, pattern=r"^-?[^-]+$")] | None = None
    at: Clock | None = None
    """Until the clock next shows this, on one of `days`, in `zone`."""
    days: list[Day] | None = None
    zone: Annotated[str, Meta(max_length=64)] | None = None
    """A time zone's name; None or `recipient`: the recipient's, and UTC for who has none."""
    message: StepId | None = None
    """Until the message of this step `is` so, at most for `timeout`."""
    is_: Literal[STATES] | None = None  # type: ignore[valid-type]
    event: EventName | None = None
    """Until the recipient does this, at most for `timeout`."""
    where: Text | None = None
    """Only an event for which this holds; it knows `event`, its properties."""
    user: Path | None = None
    """Somebody else who has to do it: the path of their id."""
    since: Literal["trigger", "step"] | None = None
    """What was done since the trigger counts (the default), or only what is done once the step has begun."""
    timeout: Span | None = None
    call_off: bool = False
    """Whether the message is called off after `timeout`, if no provider has it yet."""


class EventFact(Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody has done, as a fact: `facts.<name>.count`, `.first_at`, `.last_at`, and of the newest event `.last`."""

    event: EventName
    within: Span | None = None
    """Not longer ago than this; None: as long as events are kept."""
    where: Text | None = None
    """Only events for which this holds, of the newest 500; it knows `event`, their properties."""
    user: Path | None = None
    """The path of somebody's id; None: the recipient."""


class Digest(Struct, frozen=True, forbid_unknown_fields=True):
    """Collect what comes meanwhile into one. The first of a recipient and `key` opens it; when it closes, one run goes on with all."""

    schedule: Literal["recipient"] | None = None
    """Closes when the recipient wants their digests; `window` or `cron` is for those who have not said."""
    window: Span | None = None
    """How long it is open."""
    sliding: bool = False
    """Whether each that comes opens it anew for `window`, at most for `max` in all."""
    max: Span | None = None
    cron: Annotated[str, Meta(max_length=100)] | None = None
    """Closes at the next of these times instead, in `zone`."""
    zone: Annotated[str, Meta(max_length=64)] | None = None
    """As a wait's."""
    key: Path | None = None
    lead: bool = False
    """Whether the first goes on at once, and only those after it are collected."""
    look_back: Span | None = None
    """Go on at once, unless one went on within this time: then collect."""
    limit: Annotated[int, Meta(ge=2, le=1_000)] = 1_000
    """Closes early with so many."""
    keep: Text | None = None
    """When it closes, only those are kept for which this holds."""


class Throttle(Struct, frozen=True, forbid_unknown_fields=True):
    """End the run if the recipient (and `key`) has had `limit` of this workflow, or with `across` of all of that category, within `per`."""

    limit: Annotated[int, Meta(ge=1, le=10_000)]
    per: Span
    key: Path | None = None
    across: Annotated[str, Meta(max_length=64)] | None = None


class Http(Struct, frozen=True, forbid_unknown_fields=True):
    """Fetch data: what is answered (JSON) is known to later steps as `<id>.body`, with `<id>.status`."""

    url: Annotated[str, Meta(min_length=1, max_length=2_048)]
    method: Literal["GET", "POST", "PUT"] = "GET"
    headers: dict[str, Text] | None = None
    body: Any = None
    on_error: Literal["stop", "continue"] = "stop"


class Stop(Struct, frozen=True):
    """End the run if the condition holds. Written `stop: bell.seen`."""

    condition: Text


class Say(Struct, frozen=True):
    """A message on a channel: what to say there, as the channel declares it, or with a stored template what to say in place of its own."""

    channel: str
    content: Mapping[str, Any]
    template: str = ""
    templates: frozenset[str] = frozenset()
    """The stored templates that it names."""


Act = Wait | Digest | Throttle | Http | Stop | Say


class Step(Struct, frozen=True):
    """One step, checked. `when` None: always."""

    id: str
    act: Act
    when: Condition | None = None
    extra: Mapping[str, Condition] = {}
    """The act's own condition by its member: `keep`, `stop`."""
    at: str = ""
    """Where its act is written: `/steps/2/email`."""


class Fact(Struct, frozen=True):
    """A fact of events, checked."""

    event: EventFact
    where: Condition | None


Priority = Literal["critical", "high", "normal", "low"]
"""See `storage.jobs.PRIORITIES`."""


class Definition(Struct, frozen=True, forbid_unknown_fields=True):
    """A workflow as it is given and kept."""

    workflow: Key
    steps: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=STEPS)]
    name: Annotated[str, Meta(max_length=200)] = ""
    category: Annotated[str, Meta(max_length=64)] = ""
    tags: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=20)] = []
    critical: bool = False
    """Whether nobody can turn it off, and quiet hours do not hold it."""
    priority: Priority | None = None
    """What goes first where more is due than can be done at once; None: `critical` if it is that, else `normal`."""
    preferences: Choice | Choices | None = None
    """Whether it is wanted, or on which channels, as long as nobody has said otherwise; None: everywhere."""
    payload: dict[str, Any] | None = None
    """JSON Schema of what a trigger brings; None: any object."""
    facts: Annotated[dict[StepId, EventFact], Meta(max_length=FACTS_OF_EVENTS)] | None = None
    """What people have done, for conditions and templates."""


class Workflow(Struct, frozen=True):
    """A definition, read: what the engine runs."""

    key: str
    category: str
    is_critical: bool
    steps: tuple[Step, ...]
    paths: frozenset[str]
    """Every path that any condition may read."""
    templates: frozenset[str] = frozenset()
    """The stored templates that its steps name."""
    facts: Mapping[str, Fact] = {}
    asks: frozenset[str] = frozenset()
    """What has to be found out before a run is decided: `presence`, `inbox`, `facts`."""
    preferences: Choice | Choices | None = None
    priority: Priority = "normal"

    def index(self, id: str) -> int:
        """Where a step stands."""
        return next(n for n, step in enumerate(self.steps) if step.id == id)
