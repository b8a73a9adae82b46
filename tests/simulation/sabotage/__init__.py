"""Planted bugs, a line or a few each: a simulator that does not find them proves nothing. `--bug NAME` plants one.

Each names the scenario that must find it, and within how many seeds. The list grows with the code.
"""

import contextlib
from collections.abc import Iterator

from tests.simulation.sabotage import accept, inbox, sessions, topics, workflows
from tests.simulation.sabotage.base import BUGS, Bug

__all__ = ["BUGS", "Bug", "accept", "inbox", "planted", "sessions", "topics", "workflows"]


@contextlib.contextmanager
def planted(name: str | None) -> Iterator[None]:
    """With that bug in place; None: as it is."""
    if name is None:
        yield
        return
    with BUGS[name].plant():
        yield
