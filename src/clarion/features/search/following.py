"""Following a collection on this node: each of its changes, in order and once, is shown to the standing queries that it may concern.

Who writes tells all nodes how far the log of the collection has come, and on its own node what it wrote. What is not told is read from the log; where the
log has lost it, every window is fetched anew. Nothing here knows who subscribes.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from clarion.bus import Bus
from clarion.clock import Clock
from clarion.errors import NotFound, ServerError
from clarion.features.search.collections import Kept
from clarion.features.search.document import Prepared, prepare
from clarion.features.search.documents import Change, State
from clarion.features.search.order import place_of
from clarion.features.search.percolator import Percolator
from clarion.features.search.shelf import Shelf, Shown
from clarion.features.search.standing import Happening, Standing
from clarion.features.search.window import Row
from clarion.storage import Store
from clarion.storage import search as sql
from clarion.telemetry import get_logger, spawn
from clarion.topics.stream import Entry

_log = get_logger(__name__)

AT_ONCE: Final = 500  # changes that are read in one go
WAITING: Final = 2_000  # changes that wait in memory; beyond that they are read from the log
TURN: Final = 100  # queries are told of a change in one go; then others have a turn
AGAIN_S: Final = 1.0  # until the log is asked again that could not be read
LOOK_S: Final = 25.0  # between two looks at the log: a notice may have been lost
_decode = msgspec.json.Decoder(float_hook=float).decode

Tell = Callable[[Standing, Sequence[Entry]], None]
"""Takes what happened in a standing query's window."""


def channel(tenant: str, number: int) -> str:
    """Where the changes of a collection are announced."""
    return f"search:{tenant}|{number}"


class Follower:
    """The standing queries of one collection.

    Args:
        kept: The collection.
        store: Has its log.
        bus: Carries notices of changes.
        clock: Time of publications.
        shelf: Holds what is shown.
        unselective: See `Percolator`.
        tell: Takes what subscribers are to be told.
        fetch: Takes a query whose window has to be fetched.
        gone: Called when the collection is no more.
    """

    def __init__(
        self,
        kept: Kept,
        store: Store,
        bus: Bus,
        clock: Clock,
        *,
        shelf: Shelf,
        unselective: int,
        tell: Tell,
        fetch: Callable[[Standing], None],
        gone: Callable[["Follower"], None],
    ) -> None:
        self.kept = kept
        self._store = store
        self._bus = bus
        self._clock = clock
        self.percolator = Percolator(unselective)
        self._shelf = shelf
        self._tell = tell
        self._fetch = fetch
        self._gone = gone
        self.standing: dict[str, Standing] = {}
        # Changes up to this offset were shown to all; those that wait follow, or have gaps.
        self._applied = -1
        self._top = 0
        self._direct: deque[Change] = deque()
        self._woken = asyncio.Event()
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = spawn(self._follow(), name="search: follow a collection")

    def add(self, name: str, standing: Standing) -> None:
        """Show it changes from now on.

        Raises:
            TooMany: See `Percolator.check`.
        """
        self.percolator.add(name, standing.query)
        self.standing[name] = standing

    def remove(self, name: str) -> None:
        """Show it no more."""
        self.percolator.remove(name)
        del self.standing[name]

    def written(self, changes: Sequence[Change]) -> None:
        """Take what was written on this node."""
        if len(self._direct) < WAITING:
            self._direct.extend(changes)
        self._hear(changes[-1].offset)

    async def close(self) -> None:
        """Follow no more."""
        self._bus.unsubscribe(self._channel, self._receive)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.started.cancel()

    @property
    def _channel(self) -> str:
        return channel(self.kept.tenant, self.kept.number)

    def _receive(self, data: bytes) -> None:
        self._hear(msgspec.json.decode(data, type=int))

    def _hear(self, top: int) -> None:
        self._top = max(self._top, top)
        self._woken.set()

    async def _follow(self) -> None:
        self._bus.subscribe(self._channel, self._receive)
        looks = False
        while True:
            try:
                if self._applied < 0:
                    await self._begin()
                if looks:
                    self._hear((await self._read(1))[0].top)
                await self._catch_up()
            except ServerError as exc:
                _log.warning("a collection cannot be followed now", error=exc.code)
                await asyncio.sleep(AGAIN_S)
                continue
            except Exception as exc:
                # It is gone; or a bug: better that subscribers come back than that they believe what is no longer true.
                if not self.started.done():
                    self.started.set_exception(exc)
                    self.started.exception()
                self._gone(self)
                if isinstance(exc, NotFound):
                    return
                raise
            looks = not await self._wake()

    async def _wake(self) -> bool:
        """Wait for a notice; False: there was none for a while."""
        try:
            async with asyncio.timeout(LOOK_S):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    async def _begin(self) -> None:
        await self._bus.settle(self._channel)
        self._applied = (await self._read(1))[0].top
        self.started.set_result(None)

    async def _catch_up(self) -> None:
        while self._direct or self._top > self._applied:
            while self._direct and self._direct[0].offset <= self._applied + 1:
                await self._apply(self._direct.popleft())
            if self._top <= self._applied:
                continue
            rows = await self._read(AT_ONCE)
            first = rows[0].off
            if first is None:
                self._top = min(self._top, self._applied)
            elif first != self._applied + 1:
                self._lose(rows[0].top)
            for row in rows:
                if row.off is not None:
                    await self._apply(_change(row))

    async def _read(self, n: int) -> list[sql.ChangeRow]:
        rows = await self._store.fetch(
            sql.CHANGES,
            tenant=self.kept.tenant,
            collection=self.kept.number,
            after=self._applied if self._applied >= 0 else 2**53,
            n=n,
        )
        if not rows:
            raise NotFound("the collection is gone")
        return rows

    def _lose(self, top: int) -> None:
        """The log keeps no longer what comes next."""
        _log.warning("changes of a collection were lost", applied=self._applied, top=top)
        self._applied = top
        for standing in self.standing.values():
            if not standing.is_behind:
                standing.fall_behind()
                self._fetch(standing)

    async def _apply(self, change: Change) -> None:
        if change.offset != self._applied + 1:
            return
        self._applied = change.offset
        if not self.standing:
            return
        before = self._prepared(change.id, change.before)
        after = change.prepared or self._prepared(change.id, change.after)
        was = {} if before is None else await self.percolator.matching(before)
        now = {} if after is None else await self.percolator.matching(after)
        shown: Shown | None = None
        if now and change.after is not None:
            data, version = _decode(change.after.data), change.after.version
            shown = self._shelf.put(self.kept.number, change.id, data, version, change.offset)
        for n, name in enumerate({**was, **now}, 1):
            if n % TURN == 0:
                await asyncio.sleep(0)
            standing = self.standing.get(name)
            if standing is None:  # it has ended meanwhile
                continue
            place = place_of(before, standing.order) if before is not None and name in was else None
            row = None
            if after is not None and shown is not None and name in now:
                row = Row(place_of(after, standing.order), change.id, shown)
            happening = Happening(change.offset, change.id, place, row)
            was_behind = standing.is_behind
            if entries := standing.take(happening, self._clock.now_ms()):
                self._tell(standing, entries)
            if standing.is_behind and not was_behind:
                self._fetch(standing)
        await asyncio.sleep(0)

    def _prepared(self, id: str, state: State | None) -> Prepared | None:
        if state is None:
            return None
        return prepare(id, _decode(state.data), self.kept.fields, _decode(state.access))


def _change(row: sql.ChangeRow) -> Change:
    assert row.off is not None
    before = after = None
    if row.before is not None and row.access_before is not None:
        before = State(0, row.before, row.access_before, 0)
    if row.data is not None and row.access is not None:
        after = State(0, row.data, row.access, row.version)
    return Change(row.off, row.id, before, after)
