"""Writers, readers and time, as a state machine that hypothesis drives against one topic store.

It knows every entry that there ever was (`model.py`), and so what each reader must have, and whether it was sent away without
need.
"""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from clarion.clock import ManualClock
from clarion.errors import TooMany
from clarion.topics.changes import Change, Guard
from clarion.topics.kinds import Topic
from clarion.topics.stores import Keep, TopicStore
from clarion.topics.stream import (
    Entry,
    Position,
    Recovered,
    Refused,
    Verdict,
    compare,
    follow,
    recover,
)
from tests.support.subscribers import state_after
from tests.topics.stores.model import REMEMBERED_MS, Model

KEEP = Keep(size=6, age_s=60.0, keys=4)
MOST = 5  # entries that are recovered; beyond that the state is sent
KEYS = "abcde"
ALL = 100
_count = itertools.count(1)

guards = st.builds(
    Guard, st.sampled_from(["none", "none", "absent", "present", "at", "newer"]), st.integers(0, 9)
)
values = st.sampled_from([0, "x", [1, {}], None])
ids = st.sampled_from(["", "", "p", "q"])
keyed = st.fixed_dictionaries(
    {
        "event": st.sampled_from(["set", "set", "moved", "remove"]),
        "key": st.sampled_from(KEYS),
        "data": values,
        "guard": guards,
        "version": st.integers(0, 5),
        "id": ids,
        "ttl_s": st.sampled_from([None, None, 3, 50]),
    }
)
said = st.fixed_dictionaries({"event": st.just("said"), "data": values, "id": ids})
some_readers = st.integers(0, 1)
shapes = st.sampled_from(["map", "stream"])


class Reader:
    """A subscriber of one topic: what it knows, how far, and what is on its way to it."""

    def __init__(self) -> None:
        self.is_there = False
        self.position = Position("", 0, 0)
        self.state: dict[str, Any] = {}
        self.life: Model | None = None
        self.mail: list[tuple[str, Sequence[Entry]]] = []

    def take(self, entries: Sequence[Entry]) -> Verdict:
        """Take what follows, and check that it is what was published."""
        assert self.life is not None
        followed = follow(self.position, entries)
        for entry in followed.taken:
            assert self.life.has(entry), f"{entry} was never published"
        self.position = followed.position
        self.state = state_after(self.state, followed.taken)
        self.check()
        return followed.verdict

    def check(self) -> None:
        """What it has is the state that the topic had there."""
        assert self.life is not None
        assert self.position.offset <= self.life.top
        assert self.state == self.life.states[self.position.offset]


class Told:
    """One topic in a store: its model, and its readers."""

    def __init__(self, shape: str) -> None:
        self.topic = Topic("default", shape, str(next(_count)))
        self.readers = [Reader(), Reader()]
        self.model = Model(KEEP)
        self.epoch = ""
        self.may_end = False
        """Whether the topic may have been forgotten since it was looked at: it was empty for long, and then tidied."""


class Machine(RuleBasedStateMachine):
    """Steps that hypothesis chooses. `runner`, `store` and `clock` are given by a subclass."""

    runner: asyncio.Runner
    store: TopicStore
    clock: ManualClock

    def __init__(self) -> None:
        super().__init__()
        self.told = {shape: Told(shape) for shape in ("map", "stream")}
        for told in self.told.values():
            self.runner.run(self._look(told))

    def teardown(self) -> None:
        for told in self.told.values():
            self.runner.run(self.store.clear(told.topic))

    # ── what writers do ──
    @rule(some=st.lists(keyed, min_size=1, max_size=4))
    def set_keys(self, some: list[dict[str, Any]]) -> None:
        self.runner.run(self._append(self.told["map"], some))

    @rule(some=st.lists(said, min_size=1, max_size=3))
    def say(self, some: list[dict[str, Any]]) -> None:
        self.runner.run(self._append(self.told["stream"], some))

    @rule(key=st.sampled_from(KEYS))
    def renew(self, key: str) -> None:
        self.runner.run(self._renew(self.told["map"], key))

    @rule(shape=shapes, seldom=st.integers(0, 4))
    def clear(self, shape: str, seldom: int) -> None:
        if seldom:
            return
        self.runner.run(self._clear(self.told[shape]))

    # ── what happens by itself ──
    @rule(seconds=st.sampled_from([1, 1, 4, 4, 40, 70, 400]))
    def let_time_pass(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([0, 4, 60]), limit=st.sampled_from([1, ALL, ALL]))
    def expire(self, seconds: int, limit: int) -> None:
        self.clock.advance(seconds)
        self.runner.run(self._expire(self.told["map"], limit))

    @rule()
    def trim(self) -> None:
        self.runner.run(self._trim())

    # ── what readers do ──
    @rule(shape=shapes, number=some_readers)
    def come(self, shape: str, number: int) -> None:
        told = self.told[shape]
        self.runner.run(self._come(told, told.readers[number]))

    @rule(shape=shapes, number=some_readers)
    def leave(self, shape: str, number: int) -> None:
        reader = self.told[shape].readers[number]
        reader.is_there = False
        reader.mail.clear()

    @rule(shape=shapes, number=some_readers, at=st.integers(0, 9), is_kept=st.booleans())
    def hear(self, shape: str, number: int, at: int, is_kept: bool) -> None:
        """One announcement comes, not in turn, perhaps once more later."""
        told = self.told[shape]
        reader = told.readers[number]
        if reader.mail:
            at %= len(reader.mail)
            heard = reader.mail[at] if is_kept else reader.mail.pop(at)
            self.runner.run(self._hear(told, reader, *heard))

    @rule(shape=shapes, number=some_readers)
    def lose_mail(self, shape: str, number: int) -> None:
        self.told[shape].readers[number].mail.clear()

    @rule(shape=shapes, number=some_readers)
    def check_position(self, shape: str, number: int) -> None:
        told = self.told[shape]
        self.runner.run(self._check_position(told, told.readers[number]))

    # ── how ──
    async def _append(self, told: Told, some: list[dict[str, Any]]) -> None:
        changes = [self._change(each) for each in some]
        await self._look(told)
        model, now_ms = told.model, self.clock.now_ms()
        if model.would_overflow(changes):
            with pytest.raises(TooMany):
                await self.store.append(told.topic, changes, KEEP)
            return
        before = model.top
        made = await self.store.append(told.topic, changes, KEEP)
        expected = [model.change(change, now_ms) for change in changes]
        assert [(each.refused, each.offset) for each in made.outcomes] == expected
        self._announce(told, made.position.epoch, made.entries, before)
        await self._look(told)

    def _change(self, given: dict[str, Any]) -> Change:
        more = dict(given)
        ttl_s = more.pop("ttl_s", None)
        expires = None if ttl_s is None else self.clock.now_ms() + ttl_s * 1000
        return Change(expires_ms=expires, **more)

    async def _renew(self, told: Told, key: str) -> None:
        until_ms = self.clock.now_ms() + 30_000
        thing = told.model.things.get(key)
        expires = thing is not None and not thing.is_gone and thing.expires_ms is not None
        assert await self.store.renew(told.topic, [key], until_ms) == expires
        if thing is not None and expires:
            thing.expires_ms = until_ms

    async def _clear(self, told: Told) -> None:
        position = await self.store.clear(told.topic)
        assert position.epoch != told.epoch
        told.model, told.epoch, told.may_end = Model(KEEP), position.epoch, False
        await self._look(told)

    async def _expire(self, told: Told, limit: int) -> None:
        model, now_ms = told.model, self.clock.now_ms()
        due, before = model.due(now_ms), model.top
        for expired in await self.store.expire(limit):
            assert expired.topic == told.topic
            for entry in expired.entries:
                assert entry.key in due, f"{entry.key} was removed too early, or twice"
                assert entry.key is not None
                due.remove(entry.key)
                model.end(entry.key, now_ms)
            self._announce(told, expired.epoch, expired.entries, before)
        if limit == ALL:
            for key in due:
                assert model.things[key].is_gone, f"the time of {key} is over"
                model.end(key, now_ms)
        await self._look(told)

    async def _trim(self) -> None:
        await self.store.trim()
        now_ms = self.clock.now_ms()
        for told in self.told.values():
            newest_ms = told.model.times[-1] if told.model.times else 0
            # What is gone and only keeps its version keeps no topic once its time is over, whether it was swept or not.
            due = told.model.due(now_ms)
            things = told.model.things.items()
            is_empty = all(thing.is_gone and key in due for key, thing in things)
            told.may_end |= is_empty and newest_ms < now_ms - REMEMBERED_MS
            await self._look(told)

    def _announce(self, told: Told, epoch: str, entries: Sequence[Entry], before: int) -> None:
        assert epoch == told.epoch
        assert [entry.offset for entry in entries] == list(range(before + 1, told.model.top + 1))
        for entry in entries:
            assert told.model.has(entry)
        for reader in told.readers:
            if reader.is_there and entries:
                reader.mail.append((epoch, entries))

    async def _look(self, told: Told) -> None:
        """What the store says of the topic is what the model knows."""
        read = await self.store.read(told.topic, 0, ALL)
        if read.top.epoch != told.epoch:
            assert not told.epoch or told.may_end, "a topic that was used has a new epoch"
            told.model, told.epoch = Model(KEEP), read.top.epoch
        told.may_end = False
        model, now_ms = told.model, self.clock.now_ms()
        assert read.top.offset == model.top
        first = model.top - len(read.entries) + 1
        assert [entry.offset for entry in read.entries] == list(range(first, model.top + 1))
        assert all(map(model.has, read.entries))
        kept = [n for n in range(1, model.top + 1) if model.is_kept(n, now_ms)]
        assert [entry.offset for entry in read.entries] == kept
        assert await self.store.top([told.topic]) == [read.top]
        items = await self.store.items(told.topic, "", ALL)
        assert items.position == read.top
        assert {key: item.data for key, item in items.items} == model.states[-1]

    async def _come(self, told: Told, reader: Reader) -> None:
        """Subscribe: with the old position if there is one."""
        if not reader.is_there:
            reader.mail.clear()
            reader.is_there = True
        await self._catch_up(told, reader)

    async def _catch_up(self, told: Told, reader: Reader) -> None:
        if reader.life is None:
            await self._take_snapshot(told, reader)
            return
        read = await self.store.read(told.topic, reader.position.offset, MOST)
        if read.top.epoch != told.epoch:
            await self._look(told)
        found = recover(reader.position, read.top, read.entries, MOST)
        if isinstance(found, Refused):
            self._check_reason(told.model, reader, found)
            await self._take_snapshot(told, reader)
            return
        assert isinstance(found, Recovered)
        assert reader.life is told.model, "recovered, though the log was lost"
        assert reader.take(found.entries) is Verdict.NEXT
        assert reader.position == read.top
        assert reader.position.offset == told.model.top

    def _check_reason(self, model: Model, reader: Reader, refused: Refused) -> None:
        """Nobody is sent away without need."""
        known, now_ms = reader.position.offset, self.clock.now_ms()
        match refused.reason:
            case "epoch_changed":
                assert reader.life is not model
            case "too_many":
                assert model.top - known > MOST
            case "too_old":
                missed = range(known + 1, model.top + 1)
                assert not all(model.is_kept(offset, now_ms) for offset in missed)
            case _:
                pytest.fail(f"nothing was lost, and the log is said to have {refused.reason}")

    async def _take_snapshot(self, told: Told, reader: Reader) -> None:
        await self._look(told)
        items = await self.store.items(told.topic, "", ALL)
        reader.position, reader.life = items.position, told.model
        reader.state = {key: item.data for key, item in items.items}
        reader.check()

    async def _hear(self, told: Told, reader: Reader, epoch: str, entries: Sequence[Entry]) -> None:
        if epoch != reader.position.epoch or reader.take(entries) is not Verdict.NEXT:
            await self._catch_up(told, reader)

    async def _check_position(self, told: Told, reader: Reader) -> None:
        if not reader.is_there:
            return
        await self._look(told)
        [top] = await self.store.top([told.topic])
        result = compare(reader.position, reader.position, top)
        is_current = reader.life is told.model and reader.position.offset == told.model.top
        assert (result == "ok") == is_current
        if result != "ok":
            await self._catch_up(told, reader)
