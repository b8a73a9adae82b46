"""What a planted bug is, and the list of them all."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from unittest.mock import patch

import msgspec

from clarion.topics import engine, repairs


class Bug(msgspec.Struct, frozen=True):
    """A planted bug."""

    scenario: str
    plant: Callable[[], AbstractContextManager[Any]]
    seeds: int = 100
    since: int = 0
    """The first of them: where the search begins, so that it need not be long."""


BUGS: dict[str, Bug] = {}


def bug(
    scenario: str, seeds: int = 100, since: int = 0
) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Make a function that returns a patch (a context manager) a planted bug, by its name."""

    def add(plant: Callable[[], Any]) -> Callable[[], Any]:
        BUGS[plant.__name__.replace("_", "-")] = Bug(scenario, plant, seeds, since)
        return plant

    return add


def recovering(recover: Any) -> ExitStack:
    """Another `stream.recover`, for who subscribes and for who lacks something."""
    stack = ExitStack()
    for module in (engine, repairs):
        stack.enter_context(patch.object(module, "recover", recover))
    return stack
