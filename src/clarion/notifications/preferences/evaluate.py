"""What preferences say of one message: rules in one order, the first that decides is the answer. Pure.

    1 required    a critical workflow, or a category that the deployment requires           send, whatever else is said
    2 muted       the thread is muted                                                       skip
    3 choice      the first of these that says anything:                                    skip, or go on
                    the person's own word on  workflow × channel, workflow,
                                              category × channel, category, channel;
                    the deployment's word on  workflow × channel, workflow;
                    the workflow's own word on the channel, or on all;
                    the deployment's word on  category × channel, category, channel
    4 paused      the person wants nothing for a while (the inbox still fills)               skip
    5 quiet       quiet hours and holidays (the inbox and webhooks are not held)             defer to their end
    6 capped      the deployment's caps, which count what has come to them                   count; skip or collect what is over
      otherwise                                                                             send

`decide` and `explain` go through the same rules; the first stops where it is decided.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, Literal

from msgspec import Struct

from clarion.clock import as_datetime, as_ms
from clarion.notifications.preferences.document import ALL, Cap, Defaults, Document, condition_of
from clarion.notifications.preferences.quiet import quiet_until
from clarion.notifications.workflows import durations
from clarion.notifications.workflows.conditions import value
from clarion.notifications.workflows.definition import Choice, Choices
from clarion.notifications.workflows.times import zone_of

INBOX: Final = "inbox"
NEVER_HELD: Final = (INBOX, "webhook")
"""Channels that disturb nobody: quiet hours do not hold them."""

Verdict = Literal["send", "skip", "defer", "count", "collect"]


class Wishes(Struct, frozen=True):
    """What is known of one person's preferences, with the revisions that were read (0: there is no such document)."""

    own: Document = Document()
    defaults: Defaults = Defaults()
    revision: int = 0
    defaults_revision: int = 0

    @property
    def read(self) -> dict[str, Any]:
        """What a record says was read."""
        return {"preferences": self.revision, "defaults": self.defaults_revision}


NONE: Final = Wishes()


class Counted(Struct, frozen=True):
    """How many have come to a cap in its span, this one included, and when the span ends (ms since 1970)."""

    hits: int
    ends_ms: int


class Asked(Struct, frozen=True):
    """A message that may be sent. `counted`: by cap, once it was counted in; None: it was not."""

    workflow: str
    category: str
    channel: str
    is_critical: bool = False
    by_workflow: Choice | Choices | None = None
    """What the workflow's definition says where nobody else has."""
    facts: Mapping[str, Any] = {}
    payloads: Sequence[Mapping[str, Any]] = ()
    """Of a digest: what it has collected. It is muted if all of it is, and a condition holds if it does for any of it."""
    counted: Mapping[str, Counted] | None = None


class Said(Struct, frozen=True):
    """What a rule says. `verdict` None: nothing, the next one is asked."""

    rule: str
    verdict: Verdict | None
    why: str = ""
    read: Mapping[str, Any] = {}
    until_ms: int = 0
    caps: tuple[Cap, ...] = ()


def decide(asked: Asked, wishes: Wishes, now_ms: int) -> Said:
    """What is to become of a message."""
    for said in explain(asked, wishes, now_ms):
        if said.verdict is not None:
            return said
    return Said("otherwise", "send")


def explain(asked: Asked, wishes: Wishes, now_ms: int) -> Iterator[Said]:
    """What each rule says, in their order; the first with a verdict is what `decide` answers."""
    yield _required(asked, wishes)
    yield _muted(asked, wishes, now_ms)
    yield _choice(asked, wishes)
    yield _paused(asked, wishes, now_ms)
    yield _quiet(asked, wishes, now_ms)
    yield _capped(asked, wishes)


def is_for_all(asked: Asked, wishes: Wishes, now_ms: int) -> bool:
    """Whether a message is sent to all who have no document of their own, whoever they are and whatever is in it."""
    if any(isinstance(choice, str) for _, choice in sources(asked, wishes)):
        return False
    return decide(asked, wishes, now_ms).verdict == "send"


def has_quiet(wishes: Wishes) -> bool:
    """Whether there are any quiet hours or holidays."""
    own, defaults = wishes.own, wishes.defaults
    spans = defaults.quiet if own.quiet is None else own.quiet
    return bool(spans or own.holidays or defaults.holidays)


def _required(asked: Asked, wishes: Wishes) -> Said:
    if asked.is_critical:
        return Said("required", "send", "the workflow is critical")
    if asked.category and asked.category in wishes.defaults.required:
        return Said("required", "send", f"the category {asked.category!r} is required")
    return Said("required", None)


def why_muted(asked: Asked, wishes: Wishes, now_ms: int) -> str:
    """Why nothing of it is to be told, since its thread is muted; '': it is not, or passes all the same."""
    if not wishes.own.muted or _required(asked, wishes).verdict is not None:
        return ""
    return _muted(asked, wishes, now_ms).why


def _muted(asked: Asked, wishes: Wishes, now_ms: int) -> Said:
    said = Said("muted", None)
    if wishes.own.muted:
        for facts in _each(asked):
            said = _muted_of(facts, wishes, now_ms)
            if said.verdict is None:
                break
    return said


def _muted_of(facts: Mapping[str, Any], wishes: Wishes, now_ms: int) -> Said:
    for muted in wishes.own.muted:
        if muted.until is not None and as_ms(muted.until) <= now_ms:
            continue
        found = value(muted.path, facts)
        if type(found) is type(muted.value) and found == muted.value:
            until = "" if muted.until is None else f" until {_shown(muted.until)}"
            return Said("muted", "skip", f"muted: {muted.path}{until}", {muted.path: found})
    return Said("muted", None)


def _each(asked: Asked) -> Iterator[Mapping[str, Any]]:
    """The facts of all that a message tells."""
    if not asked.payloads:
        yield asked.facts
    for payload in asked.payloads:
        yield {**asked.facts, "payload": payload}


def sources(asked: Asked, wishes: Wishes) -> Iterator[tuple[str, Choice | None]]:
    """Who may say whether a message is wanted, in their order, and what each says (None: nothing)."""
    own, defaults = wishes.own, wishes.defaults
    yield from _named("user:/workflows", own.workflows, asked.workflow, asked.channel)
    yield from _named("user:/categories", own.categories, asked.category, asked.channel)
    yield from _on("user:/channels", own.channels, asked.channel)
    yield from _named("deployment:/workflows", defaults.workflows, asked.workflow, asked.channel)
    yield from _named("workflow:", {"preferences": asked.by_workflow}, "preferences", asked.channel)
    yield from _named("deployment:/categories", defaults.categories, asked.category, asked.channel)
    yield from _on("deployment:/channels", defaults.channels, asked.channel)


def _named(
    at: str, given: Mapping[str, Choice | Choices | None], name: str, channel: str
) -> Iterator[tuple[str, Choice | None]]:
    if not name:
        return
    found = given.get(name)
    if isinstance(found, Mapping):
        yield from _on(f"{at}/{name}", found, channel)
    else:
        yield f"{at}/{name}", found


def _on(at: str, given: Choices, channel: str) -> Iterator[tuple[str, Choice | None]]:
    yield f"{at}/{channel}", given.get(channel)
    yield f"{at}/{ALL}", given.get(ALL)


def _choice(asked: Asked, wishes: Wishes) -> Said:
    for source, choice in sources(asked, wishes):
        if choice is None:
            continue
        read: dict[str, Any] = {}
        is_wanted, why = choice, source
        if isinstance(choice, str):
            for facts in _each(asked):
                is_wanted, read = condition_of(choice)(facts)
                if is_wanted:
                    break
            why = f"{source}: {'' if is_wanted else 'not '}{choice}"
        return Said("choice", None if is_wanted else "skip", why, read)
    return Said("choice", None, "nobody has said anything")


def _paused(asked: Asked, wishes: Wishes, now_ms: int) -> Said:
    until = wishes.own.paused_until
    if until is None or as_ms(until) <= now_ms:
        return Said("paused", None)
    if asked.channel == INBOX:
        return Said("paused", None, "the inbox still fills")
    return Said("paused", "skip", f"paused until {_shown(until)}")


def _quiet(asked: Asked, wishes: Wishes, now_ms: int) -> Said:
    own, defaults = wishes.own, wishes.defaults
    spans = defaults.quiet if own.quiet is None else own.quiet
    holidays: list[date] = [*own.holidays, *defaults.holidays]
    if not spans and not holidays:
        return Said("quiet", None)
    if asked.channel in NEVER_HELD:
        return Said("quiet", None, "disturbs nobody")
    name = zone_name(wishes, asked.facts)
    until_ms = quiet_until(now_ms, zone_of(name), spans, holidays)
    if until_ms is None:
        return Said("quiet", None, "it is not quiet now", {"time_zone": name})
    why = f"quiet until {_shown(as_datetime(until_ms))}"
    return Said("quiet", "defer", why, {"time_zone": name}, until_ms)


def _capped(asked: Asked, wishes: Wishes) -> Said:
    caps = tuple(cap for cap in wishes.defaults.caps if _applies(cap, asked))
    if not caps:
        return Said("capped", None)
    if asked.counted is None or any(cap_key(cap) not in asked.counted for cap in caps):
        return Said("capped", "count", "has to be counted", caps=caps)
    read = {cap_key(cap): asked.counted[cap_key(cap)].hits for cap in caps}
    for cap in caps:
        counted = asked.counted[cap_key(cap)]
        if counted.hits > cap.limit:
            # What no workflow sends has no run that could wait for the others.
            is_left_out = cap.over == "skip" or not asked.workflow
            verdict: Verdict = "skip" if is_left_out else "collect"
            about = f" of {cap.category}" if cap.category else ""
            why = f"over the cap of {cap.limit} on {cap.channel}{about} within {cap.per}"
            return Said("capped", verdict, why, read, counted.ends_ms)
    return Said("capped", None, "within the caps", read)


def _applies(cap: Cap, asked: Asked) -> bool:
    return cap.channel == asked.channel and cap.category in ("", asked.category)


def cap_key(cap: Cap) -> str:
    """Names a cap's count. One that is changed begins to count anew."""
    return f"cap:{cap.channel}:{cap.category}:{cap.limit}:{durations.seconds(cap.per)}"


def span_ms(cap: Cap) -> int:
    """How long a cap's span is (ms)."""
    return durations.seconds(cap.per) * 1000


def zone_name(wishes: Wishes, facts: Mapping[str, Any]) -> str:
    """The time zone of a person's times: as they say, as is known of them, as the deployment says, UTC."""
    return str(
        wishes.own.time_zone
        or value("recipient.time_zone", facts)
        or wishes.defaults.time_zone
        or "UTC"
    )


def _shown(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
