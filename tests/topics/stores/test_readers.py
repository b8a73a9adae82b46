"""Whoever reads a topic, live or after a while, never sees a gap, a repetition or a wrong order, and is told when the state is due.

A state machine (`machine.py`) publishes, lets time pass, trims and clears; readers follow announcements that come late, twice
over or not at all, leave, and come back with an old position. It is worth what it finds: stores with a fault planted must not
pass.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from clarion.clock import ManualClock
from clarion.ids import Ids
from clarion.topics.changes import Change, Outcome
from clarion.topics.kinds import Topic
from clarion.topics.stores import Appended, Expired, Items, Keep, MemoryStore, TopicStore
from clarion.topics.stream import (
    Position,
)
from tests.topics.stores.machine import Machine
from tests.topics.stores.makers import STORES


def run(
    runner: asyncio.Runner, store: TopicStore, clock: ManualClock, examples: int, **more: Any
) -> None:
    """Let the machine try a store. `more`: settings of hypothesis."""
    members = {"runner": runner, "store": store, "clock": clock}
    machine = type("OneStore", (Machine,), members)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            **more,
        ),
    )


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


EXAMPLES = {"memory": 150, "owner": 10, "redis": 30, "sqlite": 20, "postgresql": 10}


@pytest.mark.parametrize("name", STORES)
def test_readers_get_everything_or_are_told(
    name: str, request: pytest.FixtureRequest, runner: asyncio.Runner
) -> None:
    """Against every store: each reader has what the topic was at its position, a refusal has a reason that is true, an item ends once."""
    clock = ManualClock()
    opened = STORES[name](request, clock, Ids.seeded(1))
    store = runner.run(opened.__aenter__())
    try:
        run(runner, store, clock, EXAMPLES[name])
    finally:
        runner.run(opened.__aexit__(None, None, None))


# ── stores that are wrong ──


class LosesTail(MemoryStore):
    """Now and then the newest entry is lost, as by a restart from a copy; the log grows again in the same epoch."""

    async def append(self, topic: Topic, changes: Sequence[Change], keep: Keep) -> Appended:
        held = self._of(topic)
        if len(held.entries) % 4 == 3:
            entry, _ = held.entries.pop()
            held.position = Position(held.position.epoch, entry.offset - 1, entry.prior)
        return await super().append(topic, changes, keep)


class ForgetsIds(MemoryStore):
    """The same id again is another change."""

    def _known(self, held: Any, id: str, now_ms: int) -> Outcome | None:
        return None


class TrimsTheMiddle(MemoryStore):
    """What is removed is not the oldest."""

    async def trim(self) -> int:
        for held in self._held.values():
            if len(held.entries) > 2:
                del held.entries[1]
        return await super().trim()


class SnapshotTooOld(MemoryStore):
    """The state is newer than the position that comes with it."""

    async def items(self, topic: Topic, after: str, limit: int, most_bytes: int = 0) -> Items:
        items, held = await super().items(topic, after, limit), self._of(topic)
        if not held.entries:
            return items
        last = held.entries[-1][0]
        before = Position(items.position.epoch, last.offset - 1, last.prior)
        return msgspec.structs.replace(items, position=before)


class ExpiresTwice(MemoryStore):
    """What was given out is given out once more."""

    _before: Sequence[Expired] = ()

    async def expire(self, limit: int) -> list[Expired]:
        before, self._before = self._before, await super().expire(limit)
        return list(self._before or before)

    async def clear(self, topic: Topic) -> Position:
        self._before = ()
        return await super().clear(topic)


FAULTS = [LosesTail, ForgetsIds, TrimsTheMiddle, SnapshotTooOld, ExpiresTwice]


@pytest.mark.parametrize("wrong", FAULTS)
def test_a_wrong_store_is_found(wrong: type[MemoryStore], runner: asyncio.Runner) -> None:
    """A machine that lets one of them pass proves nothing about the others."""
    clock = ManualClock()
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        # The first failure is enough: it need not be made short, which takes longer than finding it.
        run(
            runner,
            wrong(clock=clock, ids=Ids.seeded(1)),
            clock,
            200,
            phases=[Phase.generate],
            derandomize=True,
        )
