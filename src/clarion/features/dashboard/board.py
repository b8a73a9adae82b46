"""Boards: the topics of dashboards. A map with the key `definition` and one for each widget; what is given to widgets is written here.

A widget's item is changed by compare and set, so that several nodes may write to the same one; the item has what viewers do not
see, too (`widgets.HIDDEN`), and `Shown` is the topic as subscribers get it.
"""

import asyncio
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec
from msgspec import UNSET, Struct

from clarion.clock import Clock
from clarion.errors import Conflict, NotFound, PeerError
from clarion.features.dashboard.definition import DEFINITION, Definition, Widget, as_viewed
from clarion.features.dashboard.definitions import Dashboard, Definitions
from clarion.features.dashboard.gathering import Gathering, Given
from clarion.features.dashboard.widgets import HIDDEN, Bounds, State, apply, fitted, shown
from clarion.topics.changes import ABSENT, APPEND, REMOVE, SET, Change, Guard, Item
from clarion.topics.growth import joined
from clarion.topics.kinds import Kind, Read, Snapshot, Topic
from clarion.topics.publishing import Published
from clarion.topics.stores import TopicStore
from clarion.topics.stream import Position
from clarion.topics.topics import Topics

TRIES: Final = 16  # of compare and set: as many others may win
KNOWN: Final = 512  # definitions that are remembered decoded


class Shown:
    """A store's topics as subscribers get them: without what widgets keep for themselves. Nobody writes through it.

    Args:
        store: Where they are.
    """

    def __init__(self, store: TopicStore) -> None:
        self._store = store

    async def top(self, topics: Sequence[Topic]) -> list[Position]:
        """The newest position of each topic."""
        return await self._store.top(topics)

    async def read(self, topic: Topic, after: int, limit: int) -> Read:
        """Entries behind an offset: what they say is what viewers may see."""
        return await self._store.read(topic, after, limit)

    async def since(self, topic: Topic, at_ms: int) -> int:
        """The offset of the newest entry before a time."""
        return await self._store.since(topic, at_ms)

    async def snapshot(self, topic: Topic) -> Snapshot:
        """The first page of the items."""
        return await self.page(topic, "")

    async def page(self, topic: Topic, after: str) -> Snapshot:
        """The page of items that follows a key."""
        found = await self._store.page(topic, after)
        items = [
            {**item, "data": _viewed(item["key"], item["data"])} for item in found.state["items"]
        ]
        return Snapshot(found.position, {**found.state, "items": items})


class _Plan(Struct):
    """What is to be written of a widget, and whom it answers."""

    widget: Widget | None
    change: Change | None
    made: list[Given]
    repeated: list[Given]


Changed = Callable[[Topic, Widget], None]


class Boards:
    """The topics of dashboards.

    Args:
        topics: Writes and announces.
        store: Where they are.
        kind: The kind, with this store as its log.
        definitions: What they show.
        bounds: What a widget keeps.
        conflate_s: The tick in which what is given is gathered (s).
        keep_s: After so long without being given anything a widget has nothing (s).
        clock: The time of what is given.
    """

    def __init__(
        self,
        topics: Topics,
        store: TopicStore,
        kind: Kind,
        definitions: Definitions,
        bounds: Bounds,
        *,
        conflate_s: float,
        keep_s: int,
        clock: Clock,
    ) -> None:
        self._topics = topics
        self._store = store
        self._kind = kind
        self._definitions = definitions
        self._bounds = bounds
        self._clock = clock
        self._keep_ms = keep_s * 1000
        self._gathering = Gathering(self._write, conflate_s)
        # Whoever changes a topic on this node is alone in it: others could only make it try again.
        self._locks: weakref.WeakValueDictionary[Topic, asyncio.Lock] = (
            weakref.WeakValueDictionary()
        )
        self._known: dict[tuple[Topic, str], Definition] = {}
        self._changed: Changed = lambda topic, widget: None

    def on_change(self, changed: Changed) -> None:
        """Call with each widget that has been given something on this node, or is another now."""
        self._changed = changed

    async def close(self) -> None:
        """Write what waits."""
        await self._gathering.close()

    async def give(self, topic: Topic, widget: str, event: str, data: Any, id: str) -> Published:
        """Give something to a widget.

        Raises:
            NotFound: There is no such dashboard, or it has no such widget.
            Invalid: It cannot be done with the widget, or with what it has.
            Overloaded, Unavailable, Conflict: Not now.
        """
        return await self._gathering.add(topic, widget, event, data, id)

    async def definition(self, topic: Topic) -> Definition:
        """What a dashboard shows, as its topic has it; put there from the database if it is not.

        Raises:
            NotFound: There is no such dashboard.
        """
        [item] = await self._store.get(topic, [DEFINITION])
        if item is None:
            found = await self._definitions.find(topic.tenant, topic.name)
            await self._topics.change(self._kind, topic, [_defined(found)])
            [item] = await self._store.get(topic, [DEFINITION])
        if item is None:
            raise NotFound("there is no such dashboard")
        return self._decoded(topic, item)

    async def states(self, topic: Topic, widgets: Sequence[str]) -> list[State | None]:
        """What widgets have, with what viewers do not see."""
        items = await self._store.get(topic, widgets)
        return [None if item is None else item.data for item in items]

    async def look(self, topic: Topic, id: str) -> tuple[Widget, State] | None:
        """A widget and what it has, of one moment: it may become another one at any time. None: it is not there, or has nothing."""
        head, item = await self._store.get(topic, [DEFINITION, id])
        if head is None or item is None:
            return None
        widget = self._decoded(topic, head).find(id)
        return None if widget is None else (widget, item.data)

    async def redefine(self, topic: Topic, now: Dashboard) -> None:
        """Bring a definition into the dashboard's topic, and what its widgets have into agreement with it. One that nobody uses stays as it is.

        Raises:
            Unavailable, Conflict: Not now.
        """
        async with self._lock(topic):
            items = dict((await self._store.items(topic, "", self._kind.keys)).items)
            if (had := items.pop(DEFINITION, None)) is None or had.version >= now.version:
                return
            before, head = self._decoded(topic, had), [_defined(now)]
            for _ in range(TRIES):
                changes = self._changes(before, now.definition, items)
                made = await self._topics.change(self._kind, topic, [*head, *changes])
                outcomes = zip(changes, made.outcomes[len(head) :], strict=True)
                # Something was given to these meanwhile.
                keys = [
                    change.key for change, outcome in outcomes if outcome.refused and change.key
                ]
                if not keys:
                    for widget in now.definition.widgets:
                        self._changed(topic, widget)
                    return
                found = zip(keys, await self._store.get(topic, keys), strict=True)
                items = {key: item for key, item in found if item is not None}
                head = []
        raise Conflict("others changed this dashboard all the time")

    async def forget(self, topic: Topic) -> None:
        """Tell who watches that a dashboard is gone, and forget what it had."""
        async with self._lock(topic):
            gone = Change(event=REMOVE, key=DEFINITION, data={"reason": "deleted"})
            await self._topics.change(self._kind, topic, [gone])
            await self._store.clear(topic)

    # ── writing ──
    async def _write(self, topic: Topic, given: list[Given]) -> None:
        async with self._lock(topic):
            waiting: dict[str, list[Given]] = {}
            for each in given:
                waiting.setdefault(each.widget, []).append(each)
            for _ in range(TRIES):
                waiting = await self._try(topic, waiting)
                if not waiting:
                    return
        raise Conflict("others changed this widget all the time")

    async def _try(self, topic: Topic, waiting: dict[str, list[Given]]) -> dict[str, list[Given]]:
        """Write what waits, by widget; returns what somebody else was quicker with."""
        definition = await self.definition(topic)
        items = await self._store.get(topic, list(waiting))
        plans = [
            self._plan(definition, id, given, item)
            for (id, given), item in zip(waiting.items(), items, strict=True)
        ]
        writing = [plan for plan in plans if plan.change is not None]
        changes = [plan.change for plan in writing if plan.change is not None]
        if changes:
            made = await self._topics.change(self._kind, topic, changes)
            at, outcomes = made.position, made.outcomes
        else:
            [at], outcomes = await self._store.top([topic]), []
        left: dict[str, list[Given]] = {}
        for plan, outcome in zip(writing, outcomes, strict=True):
            if outcome.refused:
                every, id = {*plan.made, *plan.repeated}, plan.made[0].widget
                left[id] = [each for each in waiting[id] if each in every]
                plan.repeated.clear()
                continue
            for each in plan.made:
                each.answer(self._published(topic, at.epoch, outcome.offset, outcome.mark))
            if plan.widget is not None:
                self._changed(topic, plan.widget)
        for plan in plans:
            for each in plan.repeated:
                each.answer(
                    self._published(topic, at.epoch, at.offset, at.mark, dropped="duplicate")
                )
        return left

    def _plan(
        self, definition: Definition, id: str, given: Sequence[Given], item: Item | None
    ) -> _Plan:
        """One change that does what all of them do, one after the other; those that cannot be done are answered."""
        widget = definition.find(id)
        plan = _Plan(widget, None, [], [])
        state: State | None = None if item is None else item.data
        is_whole, difference = item is None, None
        for each in given:
            try:
                if widget is None:
                    raise NotFound(f"this dashboard has no widget {id!r}")
                step = apply(
                    widget,
                    state,
                    each.event,
                    each.data,
                    id=each.id,
                    now_ms=self._clock.now_ms(),
                    bounds=self._bounds,
                )
            except PeerError as exc:
                each.answer(exc)
                continue
            if step.is_duplicate:
                plan.repeated.append(each)
                continue
            plan.made.append(each)
            state = step.state
            if step.difference is None:
                is_whole = True
            elif not is_whole:
                difference = (
                    step.difference if difference is None else joined(difference, step.difference)
                )
        if plan.made and state is not None:
            plan.change = self._change(id, state, None if is_whole else difference, item)
        return plan

    def _change(
        self, id: str, state: State, difference: Mapping[str, Any] | None, item: Item | None
    ) -> Change:
        guard = ABSENT if item is None else Guard("at", item.offset)
        # In tenths of the time: a widget that is given something all the time keeps its end for long, and stores need not note another with each.
        tenth = max(1, self._keep_ms // 10)
        expires_ms = (self._clock.now_ms() + self._keep_ms + tenth) // tenth * tenth
        event, data, whole = APPEND, difference, cast("Any", state)
        if difference is None:
            event, data = SET, shown(state)
            whole = state if HIDDEN in state else UNSET
        return Change(
            event=event, key=id, data=data, item=whole, guard=guard, expires_ms=expires_ms
        )

    def _published(
        self, topic: Topic, epoch: str, offset: int, mark: int, **more: Any
    ) -> Published:
        return Published(topic.wire, epoch, offset, mark, self._kind.durability, **more)

    # ── definitions ──
    def _changes(
        self, before: Definition, now: Definition, items: Mapping[str, Item]
    ) -> list[Change]:
        """What has to become of what widgets have."""
        changes = []
        for id, item in items.items():
            old, new = before.find(id), now.find(id)
            state = None if old is None or new is None else fitted(new, old, item.data)
            guard = Guard("at", item.offset)
            if state is None:
                changes.append(_removed(id, guard))
            elif state is not item.data:
                changes.append(self._change(id, state, None, item))
        return changes

    def _decoded(self, topic: Topic, item: Item) -> Definition:
        known = topic, item.data["etag"]
        found = self._known.get(known)
        if found is None:
            members = {name: value for name, value in item.data.items() if name not in _ABOUT}
            found = self._known[known] = msgspec.convert(members, Definition)
            if len(self._known) > KNOWN:
                del self._known[next(iter(self._known))]
        return found

    def _lock(self, topic: Topic) -> asyncio.Lock:
        lock = self._locks.get(topic)
        if lock is None:
            lock = self._locks[topic] = asyncio.Lock()
        return lock


_ABOUT: Final = ("id", "version", "etag")


def _defined(dashboard: Dashboard) -> Change:
    """The change that brings a definition into its topic; one that is older than what is there does nothing."""
    about = {"id": dashboard.id, "version": dashboard.version, "etag": dashboard.etag}
    data = {**about, **msgspec.to_builtins(dashboard.definition)}
    version = dashboard.version
    return Change(
        event=SET,
        key=DEFINITION,
        data=as_viewed(data),
        item=data,
        version=version,
        guard=Guard("newer", version),
    )


def _viewed(key: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return as_viewed(data) if key == DEFINITION else shown(data)


def _removed(id: str, guard: Guard) -> Change:
    return Change(event=REMOVE, key=id, data={"reason": "redefined"}, guard=guard)
