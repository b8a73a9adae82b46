"""Subscriptions of all processes of a server: counted, and ended. Each process answers for its own sockets."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from clarion.bus.nodes import Nodes
from clarion.errors import Unavailable
from clarion.topics.engine import TopicEngine
from clarion.topics.kinds import Topic

NAMED: Final = 1_000
"""Callers of a topic that a process names to others; one that has more only counts them."""


class Counted(Struct, frozen=True):
    """How many subscriptions a topic has, and of how many callers.

    Args:
        subscriptions: On all processes that answered.
        users: Callers; one who is on several processes counts once, unless one of these has more than `NAMED`.
        is_complete: Whether all processes answered.
    """

    subscriptions: int
    users: int
    is_complete: bool


class _Here(Struct, frozen=True):
    """A topic's subscriptions on one process; of few callers also who they are."""

    subscriptions: int
    users: int
    names: list[tuple[str, str, str]] | None


class Subscriptions:
    """Asks all processes.

    Args:
        engine: Has those of this one.
        nodes: Knows the others.
    """

    def __init__(self, engine: TopicEngine, nodes: Nodes) -> None:
        self._engine = engine
        self._nodes = nodes
        nodes.on("topics: occupancy", self._count_here)
        nodes.on("topics: end of user", self._end_here)

    async def occupancy(self, topic: Topic) -> Counted:
        """Count who is subscribed to a topic.

        Raises:
            Unavailable: The other processes cannot be reached now.
        """
        answers = await self._nodes.ask("topics: occupancy", msgspec.to_builtins(topic))
        found = [msgspec.convert(value, _Here) for value in answers.values]
        subscriptions = sum(here.subscriptions for here in found)
        return Counted(subscriptions, _users(found), answers.is_complete)

    async def end_of_user(self, tenant: str, user: str, name: str | None = None) -> int:
        """End a user's subscriptions to a topic (None: to all), with 3500; returns how many.

        Raises:
            Unavailable: The other processes cannot be reached now, or one does not answer; those of the others have ended.
        """
        answers = await self._nodes.ask("topics: end of user", [tenant, user, name])
        if not answers.is_complete:
            raise Unavailable("a process of this server did not answer: repeat it")
        count: int = sum(answers.values)
        return count

    def _count_here(self, asked: Any) -> Any:
        topic = msgspec.convert(asked, Topic)
        found = self._engine.occupancy(topic)
        names = found.callers if found.users <= NAMED else None
        return msgspec.to_builtins(_Here(found.subscriptions, found.users, names))

    def _end_here(self, asked: Any) -> int:
        tenant, user, name = asked
        return self._engine.end_of_user(tenant, user, name)


def _users(found: Sequence[_Here]) -> int:
    names: dict[tuple[str, str, str], None] = {}
    for here in found:
        if here.names is None:
            return sum(each.users for each in found)
        names |= dict.fromkeys(here.names)
    return len(names)
