"""Definitions of workflows, read: what is wrong is said all at once, each fault by its place. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from clarion.errors import Fault, Invalid
from clarion.notifications.workflows import durations, fallback
from clarion.notifications.workflows.choices import strange_channels, wrong_choices
from clarion.notifications.workflows.conditions import Condition
from clarion.notifications.workflows.contents import check_content, named
from clarion.notifications.workflows.definition import (
    FACTS,
    LINKS,
    PRESENCE,
    STATES,
    STEPS,
    Act,
    Definition,
    Digest,
    EventFact,
    Fact,
    Http,
    Key,
    Say,
    Step,
    StepId,
    Stop,
    Text,
    Throttle,
    Wait,
    Workflow,
)
from clarion.notifications.workflows.faults import convert, wrong
from clarion.notifications.workflows.times import check_cron
from clarion.notifications.workflows.zones import RECIPIENT, check_zone

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
        raise wrong(
            "/steps", f"{len(steps)} steps with what `fallback` stands for, {STEPS} are allowed"
        )
    facts: dict[str, Fact] = {}
    for name, fact in (given.facts or {}).items():
        try:
            facts[name] = _fact(fact, f"/facts/{name}")
        except Invalid as exc:
            faults += exc.faults
    faults += wrong_choices({"preferences": given.preferences}, "")
    faults += strange_channels(given.preferences, channels, "/preferences")
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


def _step(
    given: Mapping[str, Any],
    at: str,
    n: int,
    channels: Mapping[str, type[Struct]],
    before: Mapping[str, Step],
) -> Step:
    id, condition = given.get("id"), given.get("if")
    acts = [name for name in given if name not in ("id", "if")]
    if len(acts) != 1:
        raise wrong(
            at,
            f"a step has one act beside `id` and `if`, this has {len(acts)}: {', '.join(acts)[:80]}",
        )
    [name] = acts
    what, where = given[name], f"{at}/{name}"
    id = f"{name}_{n + 1}" if id is None else convert(id, StepId, f"{at}/id")
    if id in FACTS or id in (LINKS, "event") or id in before:
        raise wrong(
            f"{at}/id", f"{id!r} is " + ("used twice" if id in before else "the name of a fact")
        )
    act: Act
    extra: dict[str, Condition] = {}
    if name == "stop":
        act = Stop(convert(what, Text, where))
        extra["stop"] = Condition(act.condition, where)
    elif name in _ACTS:
        if name == "wait" and isinstance(what, str):
            what = {"for": what}
        act = convert(what, _ACTS[name], where)
        extra = _check_act(act, where, before)
    elif name in channels:
        act = _say(name, what, channels[name], where)
    else:
        known = ", ".join([*_ACTS, "stop", "fallback", *channels])
        raise wrong(where, f"there is no act or channel {name[:40]!r}; there are {known}")
    when = None
    if condition is not None:
        when = Condition(convert(condition, Text, f"{at}/if"), f"{at}/if")
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
        raise wrong(at, f"Expected `object`, got `{type(what).__name__}`")
    if "template" not in what:
        content = check_content(what, kind, at)
        return Say(channel, content, "", named(content))
    template = convert(what["template"], Key, f"{at}/template")
    # What the template leaves out, and whether the rest is enough, is checked where it is known.
    own = {name: each for name, each in what.items() if name != "template"}
    content = check_content(own, kind, at, is_whole=False)
    return Say(channel, content, template, named(content) | {template})


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
        raise wrong(at, f"a wait has one of {', '.join(f'`{name}`' for name in _WITH)}")
    [way] = ways
    allowed = _WITH[way]
    if wait.call_off and way != "message":
        raise wrong(f"{at}/call_off", f"does not go with `{way}`")
    for name in ("plus", "days", "zone", "is_", "where", "user", "since", "timeout"):
        if getattr(wait, name) is not None and name not in allowed:
            raise wrong(f"{at}/{name.rstrip('_')}", f"does not go with `{way}`")
    if wait.for_ is not None:
        _span(wait.for_, f"{at}/for")
    if wait.plus is not None:
        _span(wait.plus.removeprefix("-"), f"{at}/plus")
    if wait.message is not None or wait.event is not None:
        if wait.timeout is None:
            raise wrong(at, "needs a `timeout`: what never comes would be waited for without end")
        _span(wait.timeout, f"{at}/timeout")
    if wait.days is not None and not wait.days:
        raise wrong(f"{at}/days", "at least one day")
    _zone(wait.zone, f"{at}/zone")
    if wait.message is not None:
        if wait.is_ is None:
            raise wrong(at, "say what the message must be: `is: seen`")
        if not isinstance(_said(wait.message, before), Say):
            raise wrong(
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
        raise wrong(at, "a digest has either a `window` or a `cron`")
    for name in ("window", "max", "look_back"):
        if (span := getattr(digest, name)) is not None:
            _span(span, f"{at}/{name}")
    if digest.sliding and (digest.window is None or digest.max is None):
        raise wrong(at, "a sliding digest needs `window` and `max`: it could stay open without end")
    if digest.schedule is not None and (digest.sliding or digest.look_back is not None):
        raise wrong(f"{at}/schedule", "does not go with `sliding` and `look_back`")
    if digest.max is not None and not digest.sliding:
        raise wrong(f"{at}/max", "goes with `sliding`")
    if digest.lead and digest.look_back is not None:
        raise wrong(at, "`lead` and `look_back` both say what goes on at once: give one")
    if digest.cron is not None:
        try:
            check_cron(digest.cron)
        except ValueError as exc:
            raise wrong(f"{at}/cron", str(exc)) from exc
    _zone(digest.zone, f"{at}/zone")


def _check_paths(
    condition: Condition, at: str, before: Mapping[str, Step], known: frozenset[str] = FACTS
) -> None:
    for path in sorted(condition.paths):
        head = path.split(".")[0]
        if head not in known and head not in before:
            raise wrong(
                at,
                f"`{path[:60]}` is nothing that is known here: a fact ({', '.join(sorted(known))}) or a step before",
            )
        # So is what the inbox as a whole does not have: meant is the message of a step, which is asked by the step's id.
        if head == "inbox" and path.split(".")[1:2] not in (["unread"], ["newest"]):
            said = next((id for id in before if isinstance(_said(id, before), Say)), "its id")
            raise wrong(
                at,
                f"`{path[:60]}`: of the inbox there are inbox.unread and inbox.newest; of a step's message, {said}.read",
            )
        # A state that no message is ever in would be no for ever: a `stop` that never stops.
        if isinstance(_said(head, before), Say) and path[len(head) + 1 :] not in STATES:
            raise wrong(
                at,
                f"`{path[:60]}`: of a message there are {', '.join(f'{head}.{state}' for state in STATES)}",
            )


def _span(text: str, at: str) -> int:
    try:
        return durations.seconds(text)
    except ValueError as exc:
        raise wrong(at, str(exc)) from exc


def _zone(name: str | None, at: str) -> None:
    if name in (None, RECIPIENT):
        return
    try:
        check_zone(name)
    except ValueError as exc:
        raise wrong(at, str(exc)) from exc
