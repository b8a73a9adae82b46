"""Choices of what is wanted, whose conditions are checked where they are kept: of workflows and of preferences. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from clarion.errors import Fault, Invalid, pointer_step
from clarion.notifications.workflows.conditions import Condition
from clarion.notifications.workflows.definition import PREFERENCE_FACTS, PRESENCE

_ALL: Final = "*"  # all that are not named


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


def strange_channels(given: object, channels: Iterable[str], at: str) -> list[Fault]:
    """Channels that are chosen, or not, and are not there: a mistyped one would be chosen for nothing."""
    if not isinstance(given, Mapping):
        return []
    known = [*channels, _ALL]
    return [
        Fault(
            f"{at}/{pointer_step(name)}", f"there is no such channel; there are {', '.join(known)}"
        )
        for name in given
        if name not in known
    ]


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
