"""Random changes, readings and times: every store does what the one in memory does, which the pure core decides."""

import asyncio
import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.clock import ManualClock
from clarion.errors import TooMany
from clarion.ids import Ids
from clarion.topics.changes import Change, Guard, Outcome
from clarion.topics.kinds import Topic
from clarion.topics.stores import Keep, MemoryStore, TopicStore
from clarion.topics.stream import Entry, Position, Recovered, recover
from tests.support.subscribers import state_after
from tests.topics.stores.makers import STORES

KEEP = Keep(size=6, age_s=60.0, keys=4)
KEYS = "abcde"
ALL = 100
EXAMPLES = {"redis": 60, "sqlite": 60, "postgresql": 30}
_count = itertools.count(1)

values: st.SearchStrategy[Any] = st.sampled_from([0, "x", [], {}, {"n": 2**60}, None])
tags = st.sampled_from([None, {}, {"t": "1"}, {"t": "2", "a": "1"}])
guards = st.builds(
    Guard, st.sampled_from(["none", "none", "absent", "present", "at", "newer"]), st.integers(0, 12)
)
changes = st.fixed_dictionaries(
    {
        "event": st.sampled_from(["set", "set", "moved", "remove"]),
        "data": values,
        "key": st.sampled_from([*KEYS, None]),
        "guard": guards,
        "version": st.integers(0, 6),
        "id": st.sampled_from(["", "", "", "p", "q"]),
        "ttl_s": st.sampled_from([None, None, 0, 3, 50, 200]),
        "tags": tags,
    }
)
steps = st.one_of(
    st.tuples(st.just("append"), st.lists(changes, min_size=1, max_size=4)),
    st.tuples(st.just("append"), st.lists(changes, min_size=1, max_size=4)),
    st.tuples(st.just("advance"), st.sampled_from([1, 4, 40, 70])),
    st.tuples(st.just("renew"), st.sampled_from(KEYS)),
    st.tuples(st.sampled_from(["expire", "trim", "clear"]), st.none()),
)


def plain(value: Any) -> Any:
    """Without what chance has decided: marks and epochs."""
    if isinstance(value, Entry):
        return msgspec.structs.replace(value, mark=0, prior=0)
    if isinstance(value, Outcome):
        return msgspec.structs.replace(value, mark=0)
    return [plain(each) for each in value]


class Driver:
    """Does the same to a store and its model, and compares all that they say."""

    def __init__(self, store: TopicStore, model: TopicStore, clock: ManualClock) -> None:
        self._stores = store, model
        self._topic = Topic("default", "map", str(next(_count)))
        self._clock = clock
        self._positions: list[Position] = []
        self._state: dict[str, Any] = {}

    async def do(self, step: tuple[str, Any]) -> None:
        name, what = step
        match name:
            case "append":
                made = [self._change(each) for each in what]
                ours, models = [await self._append(store, made) for store in self._stores]
                assert ours == models
            case "advance":
                self._clock.advance(what)
            case "renew":
                until = self._clock.now_ms() + 30_000
                ours, models = [await s.renew(self._topic, [what], until) for s in self._stores]
                assert ours == models
            case "expire":
                expired = [await store.expire(ALL) for store in self._stores]
                ours, models = [[plain(each.entries) for each in some] for some in expired]
                assert ours == models
            case "trim":
                for store in self._stores:
                    await store.trim()
            case _:
                for store in self._stores:
                    await store.clear(self._topic)
                self._positions, self._state = [], {}
        await self._compare()

    def _change(self, what: dict[str, Any]) -> Change:
        more = dict(what)
        ttl_s = more.pop("ttl_s")
        expires = None if ttl_s is None else self._clock.now_ms() + ttl_s * 1000
        return Change(expires_ms=expires, **more)

    async def _append(self, store: TopicStore, made: list[Change]) -> Any:
        try:
            done = await store.append(self._topic, made, KEEP)
        except TooMany:
            return "too many"
        return done.position.offset, plain(done.entries), plain(done.outcomes)

    async def _compare(self) -> None:
        reads = [await store.read(self._topic, 0, ALL) for store in self._stores]
        pages = [await store.items(self._topic, "", ALL) for store in self._stores]
        assert plain(reads[0].entries) == plain(reads[1].entries)
        assert reads[0].top.offset == reads[1].top.offset
        assert pages[0].items == pages[1].items
        assert (await self._stores[0].top([self._topic])) == [reads[0].top] == [pages[0].position]
        at_ms = self._clock.now_ms() - 5_000
        since = [await store.since(self._topic, at_ms) for store in self._stores]
        later = [
            [entry for entry in read.entries if entry.offset > after]
            for read, after in zip(reads, since, strict=True)
        ]
        assert plain(later[0]) == plain(later[1])
        await self._follow(reads[0].top, {key: item.data for key, item in pages[0].items})

    async def _follow(self, top: Position, state: dict[str, Any]) -> None:
        """Whoever knew an earlier position recovers all or nothing; whoever follows has the state."""
        store = self._stores[0]
        for since in self._positions:
            read = await store.read(self._topic, since.offset, ALL)
            found = recover(since, read.top, read.entries, ALL)
            if isinstance(found, Recovered):
                assert len(found.entries) == top.offset - since.offset
                if since == self._positions[-1]:
                    self._state = state_after(self._state, found.entries)
                    assert self._state == state
        self._state = dict(state)
        self._positions = [*self._positions[-2:], top]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_store_is_as_its_model(name: str, request: pytest.FixtureRequest) -> None:
    """Entries, outcomes, states, what expires and what is refused are the same; each position recovers all or is told why not."""
    clock = ManualClock()

    async def main(store: TopicStore, todo: list[tuple[str, Any]]) -> None:
        driver = Driver(store, MemoryStore(clock=clock, ids=Ids.seeded(2)), clock)
        for step in todo:
            await driver.do(step)
        # The next example must not meet what would expire of this one.
        await driver.do(("clear", None))

    with asyncio.Runner() as runner:
        opened = STORES[name](request, clock, Ids.seeded(1))
        store = runner.run(opened.__aenter__())

        @settings(max_examples=EXAMPLES[name], deadline=None)
        @given(todo=st.lists(steps, max_size=20))
        def compare(todo: list[tuple[str, Any]]) -> None:
            runner.run(main(store, todo))

        try:
            compare()
        finally:
            runner.run(opened.__aexit__(None, None, None))
