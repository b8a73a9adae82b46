"""Writes what rooms want written: entries of users into the map of a room, guarded; what a dead node has left there is taken out."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from clarion.features.presence.leases import Leases
from clarion.features.presence.room import Entry, Room, without
from clarion.topics import Kind, Position, Topic, Topics
from clarion.topics.changes import REMOVE, Change, Guard, Item, Outcome
from clarion.topics.stores import TopicStore

SLICE: Final = 500  # changes that are written at one moment: others have a turn between two slices
TRIES: Final = 8  # of writing what another node changes all the time, in one tick
NAMED: Final = 100  # users that the news of one tick name


class News:
    """Who came, changed and went in a tick: the first of them by name, all by number."""

    def __init__(self) -> None:
        self._told: dict[str, list[Any]] = {"entered": [], "updated": [], "left": []}
        self._count = 0
        self.at: Position | None = None
        """Where the room's log stood after the last of them; None: there was nothing."""

    def take(
        self, changes: Mapping[str, Change], outcomes: Sequence[Outcome], at: Position
    ) -> None:
        """Add changes that were made, and with what outcomes."""
        self.at = at
        for (user, change), outcome in zip(changes.items(), outcomes, strict=True):
            if outcome.refused is not None:
                continue
            self._count += 1
            if self._count > NAMED:
                continue
            if change.event == REMOVE:
                self._told["left"].append(user)
            else:
                kind = "entered" if change.event == "enter" else "updated"
                self._told[kind].append({"user": user, **change.data})

    def told(self) -> dict[str, Any]:
        """As subscribers get it; `more`: how many are not named."""
        named = {kind: users for kind, users in self._told.items() if users}
        return named if self._count <= NAMED else {**named, "more": self._count - NAMED}


Tell = Callable[[Topic, News, Position], Awaitable[None]]
"""Tells of what was written in a room."""


class Writer:
    """Writes rooms of one kind.

    Args:
        topics: Where they are.
        kind: Which.
        leases: Notes them for the case that this node dies.
        tell: Called after each write that changed something; None: nobody wants to know.
        lost: Called with a user who went with a dead node; None: likewise.
    """

    def __init__(
        self,
        topics: Topics,
        kind: Kind,
        leases: Leases,
        tell: Tell | None = None,
        lost: Callable[[Topic, str], None] | None = None,
    ) -> None:
        assert isinstance(kind.log, TopicStore)
        self._topics = topics
        self._kind = kind
        self._store = kind.log
        self._leases = leases
        self._tell = tell
        self._lost = lost

    async def write(self, topic: Topic, room: Room | None) -> Position:
        """Write a room's changes; see `agenda.Write`.

        Raises:
            Unavailable: The store is not there now; what was not written is due again.
        """
        news = News()
        if room is not None and not room.is_settled:
            await self._leases.hold(topic)
            for _ in range(TRIES):
                changes = room.changes()
                if not changes:
                    break
                await self._write_changes(topic, room, changes, news)
            if not room.people:
                await self._leases.release(topic)
        if news.at is None:
            return (await self._store.top([topic]))[0]
        if self._tell is not None:
            await self._tell(topic, news, news.at)
        return news.at

    async def clean(self, node: str, topic: Topic) -> None:
        """Take a dead node's connections out of a room.

        Raises:
            Unavailable: The store is not there now.
        """
        news, after, more = News(), "", True
        while more:
            page = await self._store.items(topic, after, SLICE)
            todo = dict(page.items)
            while changes := _without(todo, node):
                done = await self._topics.change(self._kind, topic, list(changes.values()))
                news.take(changes, done.outcomes, done.position)
                self._tell_lost(topic, changes, done.outcomes)
                todo = {
                    user: outcome.item
                    for user, outcome in zip(changes, done.outcomes, strict=True)
                    if outcome.refused is not None and outcome.item is not None
                }
            more, after = page.more, page.items[-1][0] if page.items else ""
        if news.at is not None and self._tell is not None:
            await self._tell(topic, news, news.at)

    def _tell_lost(
        self, topic: Topic, changes: Mapping[str, Change], outcomes: Sequence[Outcome]
    ) -> None:
        if self._lost is not None:
            for (user, change), outcome in zip(changes.items(), outcomes, strict=True):
                if change.event == REMOVE and outcome.refused is None:
                    self._lost(topic, user)

    async def _write_changes(
        self, topic: Topic, room: Room, changes: dict[str, Change], news: News
    ) -> None:
        left = iter(changes.items())
        while some := dict(islice(left, SLICE)):
            try:
                done = await self._topics.change(self._kind, topic, list(some.values()))
            except BaseException:
                room.failed([*some, *(user for user, _ in left)])
                raise
            room.applied(some, done.outcomes)
            news.take(some, done.outcomes, done.position)
            if len(changes) > SLICE:
                await asyncio.sleep(0)


def _without(items: Mapping[str, Item], node: str) -> dict[str, Change]:
    """What takes a node's connections out of entries."""
    changes = {}
    for user, item in items.items():
        entry: Entry = item.data
        left, guard = without(entry, node), Guard("at", item.offset)
        if left is None:
            gone = {"reason": "lost"}
            changes[user] = Change(event=REMOVE, data=gone, key=user, guard=guard)
        elif left["devices"] != entry["devices"]:
            changes[user] = Change(event="update", data=left, key=user, guard=guard)
    return changes
