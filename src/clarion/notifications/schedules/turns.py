"""What becomes of a schedule that is due. Pure.

Of occurrences that were missed while nobody was there, the last one counts for all: they are made up for once, or not at all.
"""

from typing import Literal

from msgspec import Struct

from clarion.notifications.workflows.occurrences import (
    SPREAD_MS,
    Moment,
    Rule,
    is_floating,
    latest,
    next_after,
)

Missed = Literal["run_once", "skip"]


class Turn(Struct, frozen=True):
    """`moment` is the occurrence that has come (None: none has), `is_wanted` whether it is triggered; `missed_ms`: the first of those that it stands for."""

    moment: Moment | None
    is_wanted: bool
    missed_ms: int
    next: Moment | None


def turn_of(
    rule: Rule, due_ms: int, last_key: str, now_ms: int, *, missed: Missed, grace_ms: int
) -> Turn:
    """What is to be done with a schedule.

    Args:
        rule: When it comes round.
        due_ms: Its next occurrence, as it was reckoned.
        last_key: Name of the last that was dealt with.
        now_ms: The time.
        missed: Whether one that is later than `grace_ms` is made up for.
        grace_ms: So late an occurrence is still on time.
    """
    moment = latest(rule, due_ms - 1, now_ms)
    if moment is None:
        return Turn(None, False, 0, next_after(rule, due_ms - 1))
    following = next_after(rule, moment.at_ms)
    if moment.key == last_key:
        # The zone's clock was put back by newer data: it shows again what was dealt with.
        return Turn(None, False, 0, following)
    # In everybody's own zone it is not late before it is so for those where a day begins last.
    late_ms = now_ms - moment.at_ms - (SPREAD_MS if is_floating(rule) else 0)
    return Turn(
        moment,
        missed == "run_once" or late_ms <= grace_ms,
        due_ms if due_ms < moment.at_ms else 0,
        following,
    )
