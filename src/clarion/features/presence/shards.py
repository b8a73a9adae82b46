"""Following users on this node: what is published of those whom somebody here has as a contact, from whatever node.

Of a shard every change is heard; where something may be missing, what it has of the users is read anew. Nothing here knows who may see whom.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from clarion.bus import Bus
from clarion.errors import ServerError
from clarion.features.presence.room import Entry as Published
from clarion.telemetry import Tasks, get_logger
from clarion.topics import Topic
from clarion.topics.books import channel
from clarion.topics.changes import REMOVE
from clarion.topics.engine import Frame
from clarion.topics.stores import TopicStore
from clarion.topics.stream import Position, Verdict, follow

_log = get_logger(__name__)

PAGE: Final = 500  # users that are read together
WAITING: Final = 2_000  # frames that wait in memory; beyond that all is read anew
AGAIN_S: Final = 1.0  # until a store is asked again that was not there
LOOK_S: Final = 25.0  # between two looks at the position: an announcement may have been lost

_decode = msgspec.json.Decoder(Frame, float_hook=float).decode

Tell = Callable[[str, Published | None], None]
"""Takes a user, and what is published of them now; None: they are not connected."""


class Shard:
    """The followed users of one shard.

    Args:
        topic: The shard.
        log: Where it is.
        bus: Where its changes are announced.
        tell: Takes what has changed.
    """

    def __init__(self, topic: Topic, log: TopicStore, bus: Bus, tell: Tell) -> None:
        self._topic = topic
        self._log = log
        self._bus = bus
        self._tell = tell
        # How many want to hear of a user; and the offset up to which what was told of them is known, once it was read.
        self._wanted: dict[str, int] = {}
        self._offsets: dict[str, int] = {}
        self.entries: dict[str, Published] = {}
        # Up to where changes were shown; None: all is to be read anew.
        self._at: Position | None = None
        self._new: dict[str, None] = {}
        self._frames: deque[bytes] = deque()
        self._woken = asyncio.Event()
        self._reads: list[asyncio.Future[None]] = []
        bus.subscribe(channel(topic), self._receive)
        self._tasks = Tasks()
        self._tasks.spawn_forever(self._follow, name="presence: follow users")

    @property
    def is_idle(self) -> bool:
        """Whether nobody wants to hear of anybody."""
        return not self._wanted

    def want(self, users: Iterable[str]) -> None:
        """Hear of users from now on."""
        for user in users:
            self._wanted[user] = self._wanted.get(user, 0) + 1
            if user not in self._offsets:
                self._new[user] = None
        self._woken.set()

    async def read(self) -> None:
        """Return when `entries` has all that are wanted.

        Raises:
            Unavailable: The store is not there now; they are followed all the same.
        """
        if self._new or self._at is None:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._reads.append(done)
            self._woken.set()
            await done

    def unwant(self, users: Iterable[str]) -> None:
        """One less wants to hear of them."""
        for user in users:
            self._wanted[user] -= 1
            if not self._wanted[user]:
                for book in (self._wanted, self._offsets, self.entries, self._new):
                    book.pop(user, None)

    def doubt(self) -> None:
        """Announcements may have been lost."""
        self._at = None
        self._woken.set()

    async def close(self) -> None:
        """Follow no more."""
        self._bus.unsubscribe(channel(self._topic), self._receive)
        await self._tasks.close()
        for done in self._reads:
            done.cancel()

    def _receive(self, data: bytes) -> None:
        if len(self._frames) >= WAITING:
            self._frames.clear()
            self._at = None
        self._frames.append(data)
        self._woken.set()

    async def _follow(self) -> None:
        while True:
            reads, self._reads = self._reads, []
            try:
                if self._at is None or self._new:
                    await self._read()
                self._apply()
            except ServerError as exc:
                _log.warning("users cannot be followed now", error=exc.code)
                self._at = None
                _settle(reads, exc)
                await asyncio.sleep(AGAIN_S)
                continue
            except BaseException:
                self._reads, self._at = reads + self._reads, None
                raise
            _settle(reads, None)
            if self._at is not None and not self._new and not self._reads:
                await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(LOOK_S):
                await self._woken.wait()
        except TimeoutError:
            await self._look()
        self._woken.clear()

    async def _look(self) -> None:
        try:
            (top,) = await self._log.top([self._topic])
        except ServerError:
            self._at = None
            return
        if top != self._at:
            self._at = None

    async def _read(self) -> None:
        """Read all that are followed, or those that are new."""
        await self._bus.settle(channel(self._topic))
        (top,) = await self._log.top([self._topic])
        is_anew = self._at is None
        if is_anew:
            # What has come until now is in what is read.
            self._frames.clear()
            self._at = top
        users = list(self._wanted if is_anew else self._new)
        self._new.clear()
        for at in range(0, len(users), PAGE):
            await self._read_some(users[at : at + PAGE], top)

    async def _read_some(self, users: Sequence[str], top: Position) -> None:
        items = await self._log.get(self._topic, users)
        for user, item in zip(users, items, strict=True):
            if user in self._wanted:
                self._offsets[user] = top.offset if item is None else item.offset
                self._show(user, None if item is None else item.data)

    def _apply(self) -> None:
        while self._frames and self._at is not None:
            frame = _decode(self._frames.popleft())
            if frame.epoch != self._at.epoch:
                self._at = None
                return
            followed = follow(self._at, frame.entries)
            self._at = followed.position if followed.verdict is Verdict.NEXT else None
            for entry in followed.taken:
                user = entry.key
                if user in self._offsets and entry.offset > self._offsets[user]:
                    self._offsets[user] = entry.offset
                    self._show(user, None if entry.event == REMOVE else entry.data)

    def _show(self, user: str, entry: Published | None) -> None:
        if entry is None:
            self.entries.pop(user, None)
        else:
            self.entries[user] = entry
        self._tell(user, entry)


def _settle(reads: Iterable[asyncio.Future[None]], exc: Exception | None) -> None:
    for done in reads:
        if done.done():
            continue
        if exc is None:
            done.set_result(None)
        else:
            done.set_exception(exc)
