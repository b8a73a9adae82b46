"""Workflows as they are written down, and checked. Pure.

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

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from clarion.errors import Fault, Invalid, pointer_step
from clarion.notifications.prepared import texts_in
from clarion.notifications.workflows import durations, fallback
from clarion.notifications.workflows.conditions import Condition
from clarion.notifications.workflows.times import check_cron
from clarion.notifications.workflows.zones import check_zone
from clarion.patterns import worded
from clarion.templates import reading

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
    """A time zone's name; None: the recipient's, and UTC for who has none."""
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


_ACTS: Final[Mapping[str, type[Struct]]] = {
    "wait": Wait,
    "digest": Digest,
    "throttle": Throttle,
    "http": Http,
}


def read_workflow(given: Definition, channels: Mapping[str, type[Struct]]) -> Workflow:
    """Check a definition.

    Args:
        given: What was written.
        channels: Name of each channel there is → struct of what is said on it; names of its fields are the members.

    Raises:
        Invalid: Something is wrong; each fault points at it (`/steps/2/if`).
    """
    steps: list[Step] = []
    faults: list[Fault] = []
    for n, step in enumerate(given.steps):
        try:
            for written in fallback.written_out(step, f"/steps/{n}", n, channels):
                before = {each.id: each for each in steps}
                steps.append(_step(written.step, written.at, n, channels, before))
        except Invalid as exc:
            faults += exc.faults
    if len(steps) > STEPS and not faults:
        raise _wrong(
            "/steps", f"{len(steps)} steps with what `fallback` stands for, {STEPS} are allowed"
        )
    facts: dict[str, Fact] = {}
    for name, fact in (given.facts or {}).items():
        try:
            facts[name] = _fact(fact, f"/facts/{name}")
        except Invalid as exc:
            faults += exc.faults
    faults += wrong_choices({"preferences": given.preferences}, "")
    if faults:
        raise Invalid("this is no workflow", faults=faults)
    conditions = [c for step in steps for c in (step.when, *step.extra.values()) if c is not None]
    conditions += [fact.where for fact in facts.values() if fact.where is not None]
    paths = frozenset(path for condition in conditions for path in condition.paths)
    return Workflow(
        key=given.workflow,
        category=given.category,
        is_critical=given.critical,
        steps=tuple(steps),
        templates=frozenset().union(
            *(step.act.templates for step in steps if isinstance(step.act, Say))
        ),
        paths=paths,
        facts=facts,
        asks=_asks(paths, steps),
        preferences=given.preferences,
        priority=given.priority or ("critical" if given.critical else "normal"),
    )


def _asks(paths: frozenset[str], steps: Sequence[Step]) -> frozenset[str]:
    """What nobody reads is not looked up: conditions name it, or the text of a template has its word."""
    texts = msgspec.json.encode(
        [step.act.content if isinstance(step.act, Say) else step.act for step in steps]
    ).decode()
    found = {word for word in ("inbox", "facts") if re.search(rf"\{{[{{%].*?\b{word}\b", texts)}
    found |= {path.split(".")[0] for path in paths} & {"inbox", "facts"}
    # A stored template may come to say it at any time.
    if any(isinstance(step.act, Say) and step.act.templates for step in steps):
        found |= {"inbox", "facts"}
    if not PRESENCE.isdisjoint(paths):
        found.add("presence")
    return frozenset(found)


def _fact(fact: EventFact, at: str) -> Fact:
    if fact.within is not None:
        _span(fact.within, f"{at}/within")
    where = None if fact.where is None else Condition(fact.where, f"{at}/where")
    if where is not None:
        _check_paths(where, f"{at}/where", {}, known=_OF_FACTS)
    return Fact(fact, where)


def wrong_choices(given: Mapping[str, Any], at: str) -> list[Fault]:
    """What is wrong with the conditions of choices by name."""
    faults: list[Fault] = []
    for name, choice in given.items():
        where = f"{at}/{pointer_step(name)}"
        if isinstance(choice, Mapping):
            faults += wrong_choices(choice, where)
        elif isinstance(choice, str):
            faults += _wrong_choice(choice, where)
    return faults


def _wrong_choice(text: str, at: str) -> list[Fault]:
    try:
        paths = Condition(text, at).paths
    except Invalid as exc:
        return list(exc.faults)
    return [
        Fault(at, f"`{path[:60]}` is nothing known here: {', '.join(sorted(PREFERENCE_FACTS))}")
        for path in sorted(paths)
        if path.split(".")[0] not in PREFERENCE_FACTS or path in PRESENCE
    ]


def _step(
    given: Mapping[str, Any],
    at: str,
    n: int,
    channels: Mapping[str, type[Struct]],
    before: Mapping[str, Step],
) -> Step:
    id, condition = given.get("id"), given.get("if")
    named = [name for name in given if name not in ("id", "if")]
    if len(named) != 1:
        raise _wrong(
            at,
            f"a step has one act beside `id` and `if`, this has {len(named)}: {', '.join(named)[:80]}",
        )
    [name] = named
    what, where = given[name], f"{at}/{name}"
    id = f"{name}_{n + 1}" if id is None else _convert(id, StepId, f"{at}/id")
    if id in FACTS or id in (LINKS, "event") or id in before:
        raise _wrong(
            f"{at}/id", f"{id!r} is " + ("used twice" if id in before else "the name of a fact")
        )
    act: Act
    extra: dict[str, Condition] = {}
    if name == "stop":
        act = Stop(_convert(what, Text, where))
        extra["stop"] = Condition(act.condition, where)
    elif name in _ACTS:
        if name == "wait" and isinstance(what, str):
            what = {"for": what}
        act = _convert(what, _ACTS[name], where)
        extra = _check_act(act, where, before)
    elif name in channels:
        act = _say(name, what, channels[name], where)
    else:
        known = ", ".join([*_ACTS, "stop", "fallback", *channels])
        raise _wrong(where, f"there is no act or channel {name[:40]!r}; there are {known}")
    when = None
    if condition is not None:
        when = Condition(_convert(condition, Text, f"{at}/if"), f"{at}/if")
        _check_paths(when, f"{at}/if", before)
    for member, own in extra.items():
        _check_paths(
            own,
            where if member == "stop" else f"{where}/{member}",
            before,
            known=FACTS | {"event"} if member == "where" else FACTS,
        )
    return Step(id, act, when, extra, where)


def _say(channel: str, what: Any, kind: type[Struct], at: str) -> Say:
    if not isinstance(what, Mapping):
        raise _wrong(at, f"Expected `object`, got `{type(what).__name__}`")
    if "template" not in what:
        content = check_content(what, kind, at)
        return Say(channel, content, "", _named(content))
    template = _convert(what["template"], Key, f"{at}/template")
    # What the template leaves out, and whether the rest is enough, is checked where it is known.
    own = {name: each for name, each in what.items() if name != "template"}
    content = check_content(own, kind, at, is_whole=False)
    return Say(channel, content, template, _named(content) | {template})


def _named(content: Mapping[str, Any]) -> frozenset[str]:
    texts = (text for _, text, _ in texts_in(content) if "{%" in text)
    return frozenset(each.name for text in texts for each in reading.named(text) if each.name)


def check_content(
    given: Mapping[str, Any], kind: type[Struct], at: str, *, is_whole: bool = True
) -> dict[str, Any]:
    """A content as a channel knows it. Where `html` may be said, `mjml` may be said instead.

    Args:
        given: As it is written.
        kind: Struct of what can be said there.
        at: Where it stands.
        is_whole: Whether nothing may be missing.

    Raises:
        Invalid: A member is wrong, not known there, or missing.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    said = dict(given)
    is_mjml = "mjml" in said and "mjml" not in fields and "html" in fields
    if is_mjml:
        if "html" in said:
            raise _wrong(f"{at}/mjml", "`html` and `mjml` say the same: give one")
        said["html"] = said.pop("mjml")
    if is_whole:
        content: dict[str, Any] = msgspec.to_builtins(_convert(said, kind, at))
    else:
        for name, value in said.items():
            if name not in fields:
                raise _wrong(f"{at}/{name}", "is not known here")
            _convert(value, fields[name].type, f"{at}/{name}")
        content = said
    if is_mjml:
        content["mjml"] = content.pop("html")
    return content


def merge(content: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A content with members of a step in place of its own."""
    same = {"html", "mjml"} if not own.keys().isdisjoint(("html", "mjml")) else ()
    return {**{name: each for name, each in content.items() if name not in same}, **own}


def _check_act(act: Any, at: str, before: Mapping[str, Step]) -> dict[str, Condition]:
    extra: dict[str, Condition] = {}
    match act:
        case Wait():
            _check_wait(act, at, before)
            if act.where is not None:
                extra["where"] = Condition(act.where, f"{at}/where")
        case Digest():
            _check_digest(act, at)
            if act.keep is not None:
                extra["keep"] = Condition(act.keep, f"{at}/keep")
        case Throttle(per=per):
            _span(per, f"{at}/per")
    return extra


def _check_wait(wait: Wait, at: str, before: Mapping[str, Step]) -> None:
    ways = [name for name in _WITH if getattr(wait, _FIELD.get(name, name))]
    if len(ways) != 1:
        raise _wrong(at, f"a wait has one of {', '.join(f'`{name}`' for name in _WITH)}")
    [way] = ways
    allowed = _WITH[way]
    if wait.call_off and way != "message":
        raise _wrong(f"{at}/call_off", f"does not go with `{way}`")
    for name in ("plus", "days", "zone", "is_", "where", "user", "since", "timeout"):
        if getattr(wait, name) is not None and name not in allowed:
            raise _wrong(f"{at}/{name.rstrip('_')}", f"does not go with `{way}`")
    if wait.for_ is not None:
        _span(wait.for_, f"{at}/for")
    if wait.plus is not None:
        _span(wait.plus.removeprefix("-"), f"{at}/plus")
    if wait.message is not None or wait.event is not None:
        if wait.timeout is None:
            raise _wrong(at, "needs a `timeout`: what never comes would be waited for without end")
        _span(wait.timeout, f"{at}/timeout")
    if wait.days is not None and not wait.days:
        raise _wrong(f"{at}/days", "at least one day")
    _zone(wait.zone, f"{at}/zone")
    if wait.message is not None:
        if wait.is_ is None:
            raise _wrong(at, "say what the message must be: `is: seen`")
        if not isinstance(_said(wait.message, before), Say):
            raise _wrong(
                f"{at}/message",
                f"no step before this one is called {wait.message!r} and sends a message",
            )


_OF_FACTS: Final = frozenset({"event", "payload", "recipient", "actor"})
_FIELD: Final = {"for": "for_"}
_WITH: Final[Mapping[str, tuple[str, ...]]] = {
    "for": (),
    "until": ("plus",),
    "at": ("days", "zone"),
    "message": ("is_", "timeout"),
    "event": ("where", "user", "since", "timeout"),
}


def _said(id: str, before: Mapping[str, Step]) -> Act | None:
    return before[id].act if id in before else None


def _check_digest(digest: Digest, at: str) -> None:
    if (digest.window is None) == (digest.cron is None):
        raise _wrong(at, "a digest has either a `window` or a `cron`")
    for name in ("window", "max", "look_back"):
        if (span := getattr(digest, name)) is not None:
            _span(span, f"{at}/{name}")
    if digest.sliding and (digest.window is None or digest.max is None):
        raise _wrong(
            at, "a sliding digest needs `window` and `max`: it could stay open without end"
        )
    if digest.schedule is not None and (digest.sliding or digest.look_back is not None):
        raise _wrong(f"{at}/schedule", "does not go with `sliding` and `look_back`")
    if digest.max is not None and not digest.sliding:
        raise _wrong(f"{at}/max", "goes with `sliding`")
    if digest.lead and digest.look_back is not None:
        raise _wrong(at, "`lead` and `look_back` both say what goes on at once: give one")
    if digest.cron is not None:
        try:
            check_cron(digest.cron)
        except ValueError as exc:
            raise _wrong(f"{at}/cron", str(exc)) from exc
    _zone(digest.zone, f"{at}/zone")


def _check_paths(
    condition: Condition, at: str, before: Mapping[str, Step], known: frozenset[str] = FACTS
) -> None:
    for path in sorted(condition.paths):
        head = path.split(".")[0]
        if head not in known and head not in before:
            raise _wrong(
                at,
                f"`{path[:60]}` is nothing that is known here: a fact ({', '.join(sorted(known))}) or a step before",
            )
        # A state that no message is ever in would be no for ever: a `stop` that never stops.
        if isinstance(_said(head, before), Say) and path[len(head) + 1 :] not in STATES:
            raise _wrong(
                at,
                f"`{path[:60]}`: of a message there are {', '.join(f'{head}.{state}' for state in STATES)}",
            )


def _span(text: str, at: str) -> int:
    try:
        return durations.seconds(text)
    except ValueError as exc:
        raise _wrong(at, str(exc)) from exc


def _zone(name: str | None, at: str) -> None:
    if name is None:
        return
    try:
        check_zone(name)
    except ValueError as exc:
        raise _wrong(at, str(exc)) from exc


def _convert(given: Any, kind: Any, at: str) -> Any:
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as exc:
        fault = Fault.of(exc)
        raise Invalid(fault.detail, faults=[Fault(f"{at}{fault.pointer}", fault.detail)]) from exc


def _wrong(at: str, detail: str) -> Invalid:
    return Invalid(detail, faults=[Fault(at, detail)])
