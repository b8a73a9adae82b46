"""What the size of a room decides: what its subscribers get, and what they are told beside its list.

In a room whose users all see all others, n joins are n² messages. So a large room tells its subscribers who comes and goes, at most once per tick
(`presence-changes:<room>`), and a still larger one how many there are (`presence-count:<room>`): maps with one item. Its list can still be read.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from clarion.errors import ServerError, TooMany
from clarion.features.presence.arguments import Mode
from clarion.features.presence.writer import News
from clarion.protocol.codes import CloseCode
from clarion.settings import Presence as Settings
from clarion.telemetry import get_logger, limit_exceeded
from clarion.topics import Kind, Position, Topic, TopicEngine, Topics
from clarion.topics.changes import Change, Guard
from clarion.topics.stores import TopicStore

_log = get_logger(__name__)

ROOM: Final = "presence"
COUNT: Final = "presence-count"
CHANGES: Final = "presence-changes"
KINDS: Final[Mapping[Mode, str]] = {"full": ROOM, "changes": CHANGES, "count": COUNT}
USERS: Final = "users"
NEWS: Final = "changed"
"""The only keys of counts and of changes."""

TRIES: Final = 3  # of counting what others change meanwhile: they count, too
LOOK_S: Final = 5.0  # between two looks at the sizes of rooms that are watched here


class Sizes:
    """The sizes of rooms.

    Args:
        topics: Where rooms are told of.
        engine: Ends subscriptions that a room has outgrown.
        settings: `full`, `changes`, `members`.
        store: Where rooms are.
        count: The kind of counts.
        changes: The kind of changes.
    """

    def __init__(
        self,
        topics: Topics,
        engine: TopicEngine,
        settings: Settings,
        store: TopicStore,
        *,
        count: Kind,
        changes: Kind,
    ) -> None:
        self._topics = topics
        self._engine = engine
        self._settings = settings
        self._store = store
        self._count = count
        self._changes = changes
        # As this node counted last; of rooms in which it has somebody.
        self._sizes: dict[Topic, int] = {}
        # Rooms whose list somebody here is subscribed to.
        self._watched: dict[Topic, None] = {}

    def mode(self, users: int, wanted: Mode = "full") -> Mode:
        """What a subscriber to a room with so many users gets who wants no more than that."""
        if wanted == "count" or users > self._settings.changes:
            return "count"
        return "changes" if wanted == "changes" or users > self._settings.full else "full"

    async def topic_for(self, room: Topic, wanted: Mode, here: int) -> Topic:
        """The topic that a subscriber gets, in a room with so many users of this node, of whom some may not be written yet.

        Raises:
            Unavailable: The store is not there now.
        """
        mode = self.mode(max(here, await self._store.count(room)), wanted)
        return Topic(room.tenant, KINDS[mode], room.name)

    def check(self, room: Topic, here: int) -> None:
        """Refuse a user more in a room that has so many here.

        Raises:
            TooMany: It has `presence.members`.
        """
        most = self._settings.members
        if max(self._sizes.get(room, 0), here) >= most:
            limit_exceeded.labels("presence_members").inc()
            raise TooMany(f"this room has {most} users (presence.members)", limit=most)

    async def tell(self, room: Topic, news: News, at: Position) -> None:
        """Tell of what was written in a room.

        Raises:
            Unavailable: The store is not there now.
        """
        users = await self._count_users(room, at)
        self._sizes[room] = users
        told = Change(event="set", key=NEWS, data={"users": users, **news.told()})
        await self._topics.change(self._changes, Topic(room.tenant, CHANGES, room.name), [told])
        self._judge(room, users)

    async def _count_users(self, room: Topic, at: Position) -> int:
        topic, users = Topic(room.tenant, COUNT, room.name), 0
        for _ in range(TRIES):
            users = await self._store.count(room)
            (told,) = await self._store.get(topic, [USERS])
            if told is None or told.data != users:
                # Of two nodes that count, the one counts that has seen more; whoever writes last has looked again.
                guard = Guard("newer", at.offset)
                change = Change(event="set", key=USERS, data=users, guard=guard, version=at.offset)
                await self._topics.change(self._count, topic, [change])
            (top,) = await self._store.top([room])
            if top == at:
                break
            at = top
        return users

    def forget(self, room: Topic) -> None:
        """Nobody from here is in a room any longer."""
        self._sizes.pop(room, None)

    def watch(self, topic: Topic, begins: bool) -> None:
        """Somebody here is subscribed to a room's list, or nobody any longer."""
        if topic.kind == ROOM and begins:
            self._watched[topic] = None
        else:
            self._watched.pop(topic, None)

    async def look_forever(self) -> None:
        """See rooms grow in which nobody from here is."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """One look."""
        for room in list(self._watched):
            with suppress(ServerError):  # the next look is soon
                self._judge(room, await self._store.count(room))

    def _judge(self, room: Topic, users: int) -> None:
        if room in self._watched and self.mode(users) != "full":
            ended = self._engine.end_of_topic(room, CloseCode.RESIZED)
            _log.info("a room has outgrown its list", users=users, subscriptions=ended)
