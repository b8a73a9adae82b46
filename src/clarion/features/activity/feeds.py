"""Activity as a whole: streams and reactions, what users follow, timelines and feeds; put together for the server."""

from functools import partial

from clarion.bus import Bus
from clarion.clock import Clock
from clarion.features.activity.feed import Looks, feed_kind
from clarion.features.activity.leaving import Leaving
from clarion.features.activity.live import Live
from clarion.features.activity.log import activity_kind
from clarion.features.activity.news import News
from clarion.features.activity.publish import publish
from clarion.features.activity.reactions import Reactions
from clarion.features.activity.streams import Streams
from clarion.features.activity.timeline import timeline_kind
from clarion.features.activity.timelines import Timelines
from clarion.features.activity.viewing import MayRead
from clarion.features.activity.writing import Writer
from clarion.ids import Ids
from clarion.jobs import Queue, Worker
from clarion.settings import Limits
from clarion.storage import Store
from clarion.topics import TopicEngine


class Feeds:
    """Everything of activity.

    Args:
        store: Where it is.
        bus: Carries notices of changes.
        engine: Tells subscribers.
        queue: Takes the jobs that write timelines out.
        limits: `activity_*`, `publication_bytes`.
        clock: Time of changes.
        ids: For ids, epochs and marks.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        engine: TopicEngine,
        queue: Queue,
        limits: Limits,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        news = News(bus)
        self.streams = Streams(store, engine, limits, news=news, queue=queue, clock=clock, ids=ids)
        self.timelines = Timelines(store, queue, news, limits, clock)
        self.writer = Writer(store, self.timelines, limits, clock)
        self.live = Live(store, bus, engine, limits, clock=clock, ids=ids)
        self.reactions = Reactions(store, self.streams, limits, clock)
        self.leaving = Leaving(store, self.timelines, self.reactions)
        self.looks = Looks(store, self.streams, news)
        may_read = MayRead(store)
        self.kinds = [
            activity_kind(store, partial(publish, self.streams), may_read, limits),
            timeline_kind(self.live, self.timelines),
            feed_kind(self.live, self.looks, may_read),
        ]

    def start(self, worker: Worker) -> None:
        """Begin to keep timelines true; a worker, before it is started, gets the jobs."""
        self.writer.install(worker)
        self.reactions.install(worker)
        self.live.start()

    async def close(self) -> None:
        """End every task."""
        await self.live.close()
