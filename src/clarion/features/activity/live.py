"""What is kept true for whoever is subscribed on this node: newest items that are read, and then follow what happens.

Notices say what has changed (`news`). An activity that was added or changed is read once and put where it belongs; for anything else the
items are read anew and the difference is told. So what a subscriber has been told always makes what a reader would find. The logs are in
this process: who comes back to another one gets the state.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

from clarion.bus import Bus
from clarion.clock import Clock
from clarion.errors import ServerError, TooMany, Unavailable
from clarion.features.activity.news import CHANNEL, Notice, decode
from clarion.features.activity.window import LOG_AGE_S, Item, Newest, Window
from clarion.ids import Ids
from clarion.settings import Limits
from clarion.storage import Store
from clarion.storage import activity as sql
from clarion.telemetry import Tasks, activity_live, get_logger, limit_exceeded
from clarion.topics import TopicEngine
from clarion.topics.kinds import Read, Snapshot, Topic
from clarion.topics.stream import Entry, Position

_log = get_logger(__name__)

LINGER_S: Final = 30.0  # of what nobody is subscribed to any more: who blinks recovers
SWEEP_S: Final = 1.0
READ_PAUSE_S: Final = 0.1  # before items are read anew: what happens meanwhile is one change
AGAIN_S: Final = 1.0
READS_AT_ONCE: Final = 8
NOTICES: Final = 10_000  # that wait; beyond that everything is read anew
TURN: Final = 50  # windows that a notice is put into in one turn of the loop
_GONE: Final = Position("gone", 0, 0)


class Source(Protocol):
    """Where the items of one topic come from."""

    @property
    def user(self) -> str:
        """Whose follows they depend on; '': nobody's."""
        ...

    async def streams(self) -> Sequence[str]:
        """The streams that they come from."""
        ...

    async def read(self) -> Newest:
        """The newest."""
        ...

    @property
    def item(self) -> Callable[[str, sql.ActivityRow], Item] | None:
        """Makes an item, under its id, of an activity of a stream; None: items are made of many, and have to be read."""
        ...

    def sees(self, stream: str) -> bool:
        """Whether what happens in a stream concerns those who look."""
        ...


class _Kept:
    """One topic that is kept true."""

    def __init__(self, topic: Topic, source: Source, ids: Ids) -> None:
        # Fixed at creation
        self.topic = topic
        self.source = source
        # Changes while open
        self.window = Window(ids)
        self.streams: dict[str, None] = {}
        self.reading = asyncio.Lock()
        self.missed: list[Notice] = []  # what was told while the items were read
        self.is_behind = False  # they have to be read anew …
        self.is_awaited = False  # … and a task will


class Live:
    """All topics that are kept true on this node.

    Args:
        store: Has the activities.
        bus: Carries notices.
        engine: Has the subscribers.
        limits: `activity_live`.
        clock: For what lingers.
        ids: For epochs and marks.
    """

    def __init__(
        self, store: Store, bus: Bus, engine: TopicEngine, limits: Limits, *, clock: Clock, ids: Ids
    ) -> None:
        # Fixed at creation
        self._store = store
        self._bus = bus
        self._engine = engine
        self._limits = limits
        self._clock = clock
        self._ids = ids
        # Changes while open. Invariant: a topic is in `_kept` <=> it is in `_by_stream` under each of its streams.
        self._kept: dict[Topic, _Kept] = {}
        self._by_stream: dict[tuple[str, str], dict[Topic, None]] = {}
        self._by_user: dict[tuple[str, str], dict[Topic, None]] = {}
        self._idle: dict[Topic, float] = {}
        self._notices: deque[Notice] = deque()
        # What topics were told while they were read, which is over now: one look for all of them.
        self._missed: dict[Notice, dict[Topic, None]] = {}
        self._woken = asyncio.Event()
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._tasks = Tasks()

    def start(self) -> None:
        """Begin to listen."""
        self._bus.subscribe(CHANNEL, self._receive)
        self._bus.on_gap(lambda channels: self._read_all() if CHANNEL in channels else None)
        self._tasks.spawn_forever(self._heed_forever, name="activity: notices")
        self._tasks.spawn_forever(self._sweep_forever, name="activity: forget")

    async def close(self) -> None:
        """Keep nothing true any more."""
        self._bus.unsubscribe(CHANNEL, self._receive)
        await self._tasks.close()

    def keep(self, topic: Topic, source: Source) -> None:
        """Keep a topic true, as long as somebody is subscribed, and for a moment at least. Twice is once.

        Raises:
            TooMany: There are `limits.activity_live`.
        """
        if topic in self._kept:
            if topic in self._idle:
                self._idle[topic] = self._clock.monotonic()
            return
        most = self._limits.activity_live
        if len(self._kept) >= most:
            limit_exceeded.labels("activity_live").inc()
            raise TooMany(
                f"this process keeps {most} timelines and feeds true (limits.activity_live)",
                limit=most,
            )
        self._kept[topic] = _Kept(topic, source, self._ids)
        if source.user:
            self._by_user.setdefault((topic.tenant, source.user), {})[topic] = None
        self._idle[topic] = self._clock.monotonic()
        activity_live.set(len(self._kept))

    # ── what the engine asks ──
    def watched(self, topic: Topic, is_watched: bool) -> None:
        """Somebody has subscribed, or nobody is subscribed any more."""
        if topic not in self._kept:
            return
        if is_watched:
            self._idle.pop(topic, None)
        else:
            self._idle[topic] = self._clock.monotonic()

    async def top(self, topics: Sequence[Topic]) -> list[Position]:
        """Where each log stands; of a topic that is kept no longer, in no epoch that anybody knows."""
        found = (self._kept.get(topic) for topic in topics)
        return [_GONE if each is None else each.window.position for each in found]

    async def read(self, topic: Topic, after: int, limit: int) -> Read:
        """At most `limit` entries behind an offset."""
        kept = self._kept.get(topic)
        if kept is None:
            return Read(_GONE, [])
        return kept.window.read(after, limit, self._clock.now_ms() - LOG_AGE_S * 1000)

    async def snapshot(self, topic: Topic) -> Snapshot:
        """The items as they are read now. Who is subscribed already is told what that changes.

        Raises:
            Unavailable: It has just ended.
        """
        kept = self._kept.get(topic)
        if kept is None:
            raise Unavailable("this has just ended: subscribe again")
        return await self._read(kept)

    # ── what happens ──
    def _receive(self, data: bytes) -> None:
        notice = decode(data)
        if not self._concerned(notice):
            return
        if len(self._notices) >= NOTICES:
            self._notices.clear()
            self._read_all()
            return
        self._notices.append(notice)
        self._woken.set()

    def _concerned(self, notice: Notice, only: Collection[Topic] | None = None) -> list[Topic]:
        index, name = self._by_stream, notice.stream
        if notice.user:
            index, name = self._by_user, notice.user
        there = index.get((notice.tenant, name), {})
        return list(there) if only is None else [topic for topic in only if topic in there]

    async def _heed_forever(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._missed or self._notices:
                only: Collection[Topic] | None = None
                if self._missed:
                    notice = next(iter(self._missed))
                    only = self._missed.pop(notice)
                else:
                    notice = self._notices.popleft()
                try:
                    await self._heed(notice, only)
                except ServerError as exc:
                    _log.warning("an activity could not be read", error=exc.code)
                    for topic in self._concerned(notice, only):
                        self._read_again(self._kept[topic])

    async def _heed(self, notice: Notice, only: Collection[Topic] | None) -> None:
        row: sql.ActivityRow | None = None
        if notice.id:
            of = {"tenant": notice.tenant, "stream": notice.stream, "id": notice.id}
            row = next(iter(await self._store.fetch(sql.FIND, **of)), None)
        item: Item | None = None  # the same for all
        for n, topic in enumerate(self._concerned(notice, only)):
            if n % TURN == TURN - 1:
                await asyncio.sleep(0)
            kept = self._kept.get(topic)
            # Of a stream as a whole it may be told that they see it from now on.
            if kept is None or (notice.id and not kept.source.sees(notice.stream)):
                continue
            if kept.reading.locked():
                kept.missed.append(notice)
                continue
            make = kept.source.item
            if row is None or make is None:
                if self._may_concern(kept, notice):
                    self._read_again(kept)
                continue
            if item is None:
                item = make(notice.stream, row)
            self._tell(kept, kept.window.put(item, self._clock.now_ms()))

    def _may_concern(self, kept: _Kept, notice: Notice) -> bool:
        """Whether what is no longer there, or not known by its name, may have been shown."""
        return not notice.id or kept.source.item is None or kept.window.knows(notice.id)

    def _read_all(self) -> None:
        for kept in self._kept.values():
            self._read_again(kept)

    def _read_again(self, kept: _Kept) -> None:
        kept.is_behind = True
        if not kept.is_awaited:
            kept.is_awaited = True
            self._tasks.spawn(self._read_soon(kept), name="activity: read anew")

    async def _read_soon(self, kept: _Kept) -> None:
        pause = READ_PAUSE_S
        try:
            while kept.is_behind and self._kept.get(kept.topic) is kept:
                await asyncio.sleep(pause)
                try:
                    async with self._reads:
                        await self._read(kept)
                except ServerError as exc:
                    _log.warning("what is kept true could not be read", error=exc.code)
                    pause = AGAIN_S
        finally:
            kept.is_awaited = False

    async def _read(self, kept: _Kept) -> Snapshot:
        async with kept.reading:
            kept.is_behind = False
            try:
                self._listen(kept, dict.fromkeys(await kept.source.streams()))
                newest = await kept.source.read()
            except BaseException:
                self._read_again(kept)
                raise
            self._tell(kept, kept.window.replace(newest, self._clock.now_ms()))
            found = kept.window.state(newest)
        missed, kept.missed = kept.missed, []
        for notice in missed:
            self._missed.setdefault(notice, {})[kept.topic] = None
        self._woken.set()
        return found

    def _listen(self, kept: _Kept, streams: dict[str, None]) -> None:
        tenant = kept.topic.tenant
        if self._kept.get(kept.topic) is not kept:
            streams = {}
        for stream in streams:
            self._by_stream.setdefault((tenant, stream), {})[kept.topic] = None
        for stream in kept.streams:
            if stream not in streams:
                _drop(self._by_stream, (tenant, stream), kept.topic)
        kept.streams = streams

    def _tell(self, kept: _Kept, entries: Sequence[Entry]) -> None:
        if entries:
            self._engine.announce_here(kept.topic, kept.window.position.epoch, entries)

    def _forget(self, kept: _Kept) -> None:
        if self._kept.get(kept.topic) is not kept:
            return
        del self._kept[kept.topic]
        self._listen(kept, {})
        self._idle.pop(kept.topic, None)
        if kept.source.user:
            _drop(self._by_user, (kept.topic.tenant, kept.source.user), kept.topic)
        activity_live.set(len(self._kept))

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            since = self._clock.monotonic() - LINGER_S
            for topic in [topic for topic, at in self._idle.items() if at <= since]:
                self._forget(self._kept[topic])


def _drop(
    index: dict[tuple[str, str], dict[Topic, None]], key: tuple[str, str], topic: Topic
) -> None:
    there = index.get(key)
    if there is not None:
        there.pop(topic, None)
        if not there:
            del index[key]
