"""Rules: whom an audience or a trigger describes: by a filter, by what they did (`bought in the last 30 days`), or by both."""

from collections.abc import Mapping, Sequence, Set
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from clarion.errors import Fault, Invalid
from clarion.notifications.filters import narrow
from clarion.notifications.workflows import durations
from clarion.notifications.workflows.conditions import Condition
from clarion.notifications.workflows.definition import EventName, Span
from clarion.storage.events import who_did
from clarion.storage.store import Param
from clarion.storage.targets import Narrowed

DIDS: Final = 5  # things of which they did one


class Did(Struct, frozen=True, forbid_unknown_fields=True):
    """Those who did something, such as `{event: bought, within: 30d}`."""

    event: EventName
    within: Span
    """Not longer ago than this."""
    times: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    """So often at least, of all that is kept."""


class Doing(Struct, frozen=True, array_like=True):
    """Those who did something since a time (ms since 1970), so often at least of all that is kept."""

    event: str
    since_ms: int
    times: int


class Rule(Struct, frozen=True):
    """Whom it describes.

    Args:
        filter: Lets them through; None: everybody.
        did: They did one of these; none: whatever they did.
    """

    filter: Condition | None = None
    did: Sequence[Doing] = ()

    def holds(self, facts: Mapping[str, Any], done: Set[Doing]) -> bool:
        """Whether it describes somebody, of whom this is known and who did these."""
        if self.did and not any(each in done for each in self.did):
            return False
        return self.filter is None or self.filter(facts)[0]


def doings(did: Sequence[Did], now_ms: int, at: str = "/did") -> list[Doing]:
    """What they did, by the clock.

    Raises:
        Invalid: A span is none.
    """
    found = []
    for n, each in enumerate(did):
        try:
            since_ms = now_ms - durations.seconds(each.within) * 1000
        except ValueError as exc:
            raise Invalid(faults=[Fault(f"{at}/{n}/within", str(exc))]) from exc
        found.append(Doing(each.event, since_ms, each.times))
    return found


def narrowed(rule: Rule, prefix: str) -> Narrowed:
    """What SQL can say of a rule: never less than it describes.

    Args:
        rule: Whom.
        prefix: Of the names of its parameters.
    """
    by_filter = Narrowed(is_exact=True) if rule.filter is None else narrow(rule.filter, prefix)
    if not rule.did:
        return by_filter
    params: dict[str, Param] = dict(by_filter.params)
    sides = []
    for n, doing in enumerate(rule.did):
        event, since, times = (f"{prefix}d{n}_{name}" for name in ("event", "since", "times"))
        params |= {event: doing.event, since: doing.since_ms, times: doing.times}
        sides.append(f"s.id IN ({who_did(f':{event}', f':{since}', times=f':{times}')})")
    did = f"({' OR '.join(sides)})"
    where = f"({by_filter.where}) AND {did}" if by_filter.where else did
    return Narrowed(where, params, by_filter.is_exact)
