"""Live search: the kind of topic `search:<collection>`, whose subscribers keep the results of a query and hear how they change.

A subscription names a query; the topic that is meant is `search:<collection>/<digest>`, where the digest stands for the tenant, the canonical query and what its
asker may see: identical queries are one standing query, and nobody shares one with somebody who may see something else. Its log is in this process.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from clarion.auth import rights
from clarion.auth.principal import Principal
from clarion.bus import Bus
from clarion.clock import Clock
from clarion.errors import (
    ClarionError,
    Fault,
    Invalid,
    NotFound,
    PeerError,
    ServerError,
    TooCostly,
    Unavailable,
    pointer_step,
)
from clarion.features.search.collections import COLLECTION_NAME, Collections, Kept
from clarion.features.search.documents import Change
from clarion.features.search.finding import AT_ONCE, Finder, Found, Whose, seen_by
from clarion.features.search.following import Follower, channel
from clarion.features.search.order import place_of
from clarion.features.search.query import Query, digest, parse
from clarion.features.search.register import KIND, Register
from clarion.features.search.standing import LOG_AGE_S, LOG_SIZE, Standing
from clarion.features.search.viewers import tags_of
from clarion.features.search.window import SPARE, Row
from clarion.ids import Ids
from clarion.settings import Limits
from clarion.storage import Store
from clarion.telemetry import Tasks, get_logger, limit_exceeded, search_fetches
from clarion.topics import Granted, Kind, TopicEngine
from clarion.topics.kinds import Read, Snapshot, Topic
from clarion.topics.stream import Entry, Position

_log = get_logger(__name__)

SWEEP_S: Final = 1.0  # between two looks at queries that nobody is subscribed to
FETCH_PAUSE_S: Final = (
    0.1  # of one query, before its window is fetched anew: what happens meanwhile is one change
)
FETCH_TRIES: Final = 5
AGAIN_S: Final = 1.0
_GONE: Final = Position("gone", 0, 0)
_name_matches = re.compile(COLLECTION_NAME).match


class Live:
    """The standing queries of this node.

    Args:
        store: Has the collections' logs.
        collections: What there is.
        finder: Fetches windows.
        bus: Carries notices of changes.
        engine: Has the subscribers.
        limits: `search_*`.
        clock: For what lingers.
        ids: For epochs and marks.
    """

    def __init__(
        self,
        store: Store,
        collections: Collections,
        finder: Finder,
        bus: Bus,
        engine: TopicEngine,
        limits: Limits,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store = store
        self._collections = collections
        self._finder = finder
        self._bus = bus
        self._engine = engine
        self._limits = limits
        self._clock = clock
        self._ids = ids
        self._register = Register(limits, clock, self._follow, self._drop)
        self._beginning: dict[Topic, asyncio.Future[None]] = {}
        # Windows that are fetched anew stand in a line of their own: many at once must not keep those out who come now.
        self._refreshing = asyncio.Semaphore(AT_ONCE[store.engine])
        self._tasks = Tasks()

    @property
    def kind(self) -> Kind:
        """The kind `search`."""
        return Kind(
            name=KIND,
            rights={"subscribe": Granted()},
            log=self,
            durability="recoverable",
            log_size=LOG_SIZE,
            log_age_s=LOG_AGE_S,
            open=self.open,
            watched=self.watched,
        )

    def start(self) -> None:
        """Begin to forget queries that nobody is subscribed to."""
        self._tasks.spawn_forever(self._sweep_forever, name="search: forget")

    async def close(self) -> None:
        """End every task."""
        await self._tasks.close()
        for follower in list(self._register.followers.values()):
            await follower.close()

    # ── what the engine asks ──
    async def open(
        self, topic: Topic, principal: Principal | None, params: Mapping[str, Any]
    ) -> Topic:
        """The standing query that somebody means by `{query}`; begins it if there is none.

        Raises:
            NotFound: There is no such collection.
            Invalid: It is no query for this collection.
            TooMany: There are `limits.search_standing`, `limits.search_standing_caller` of this caller, `limits.search_unselective` that ask for
                nothing in particular, or `limits.search_windows_bytes` to be shown; and somebody is subscribed to all of them.
            TooCostly, Overloaded, Unavailable: Its window cannot be fetched.
        """
        if not _name_matches(topic.name):
            raise NotFound("there is no such collection")
        for name in params:
            if name != "query":
                raise Invalid(faults=[Fault(f"/params/{pointer_step(name)}", "is not known here")])
        kept = await self._collections.find(topic.tenant, topic.name)
        query = self._query(params.get("query", {}), kept, principal)
        name = digest(query, topic.tenant, str(kept.number))
        meant = Topic(topic.tenant, KIND, f"{topic.name}/{name}")
        if self._register.get(meant) is None:
            self._begin(meant, name, kept, query, None if principal is None else principal.key)
        beginning = self._beginning.get(meant)
        if beginning is not None:
            await asyncio.shield(beginning)
        self._register.touch(meant)
        return meant

    def watched(self, topic: Topic, is_watched: bool) -> None:
        """Somebody has subscribed, or nobody is subscribed any more."""
        self._register.watched(topic, is_watched)

    async def top(self, topics: Sequence[Topic]) -> list[Position]:
        """Where the log of each query stands; of one that has ended, in no epoch that anybody knows."""
        found = (self._register.get(topic) for topic in topics)
        return [_GONE if each is None else each.position for each in found]

    async def read(self, topic: Topic, after: int, limit: int) -> Read:
        """At most `limit` entries behind an offset."""
        standing = self._register.get(topic)
        if standing is None:
            return Read(_GONE, [])
        return standing.read(after, limit, self._clock.now_ms() - LOG_AGE_S * 1000)

    async def snapshot(self, topic: Topic) -> Snapshot:
        """The window and its position.

        Raises:
            TooCostly: It has more than `limits.search_window_bytes`.
            Unavailable: The query has just ended.
        """
        standing = self._register.get(topic)
        if standing is None:
            raise Unavailable("the query has just ended: subscribe again")
        most = self._limits.search_window_bytes
        if standing.window.size > most:
            limit_exceeded.labels("search_window_bytes").inc()
            raise TooCostly(
                f"these documents have more than {most} bytes: ask for fewer (`limit`)", limit=most
            )
        return Snapshot(standing.position, standing.window.state)

    # ── what happens ──
    async def changed(self, kept: Kept, changes: Sequence[Change]) -> None:
        """Documents were written on this node."""
        follower = self._register.followers.get((kept.tenant, kept.number))
        if follower is not None:
            follower.written(changes)
        await self._notify(kept.tenant, kept.number, changes[-1].offset)

    async def ended(self, tenant: str, number: int) -> None:
        """A collection is no more."""
        await self._notify(tenant, number, 2**53 - 1)

    async def _notify(self, tenant: str, number: int, top: int) -> None:
        try:
            await self._bus.publish(channel(tenant, number), str(top).encode())
        except ClarionError as exc:
            _log.warning("notice of a change lost", error=exc.code)

    # ── standing queries ──
    def _query(self, given: Any, kept: Kept, principal: Principal | None) -> Query:
        try:
            asked = parse(given, kept.fields)
        except Invalid as exc:
            faults = [Fault(f"/params/query{each.pointer}", each.detail) for each in exc.faults]
            raise Invalid(exc.message, faults=faults) from exc
        if principal is None:
            return seen_by(asked, ())
        sees_all = rights.holds(principal.scopes, "search:read")
        return seen_by(asked, None if sees_all else tags_of(principal))

    def _begin(self, topic: Topic, name: str, kept: Kept, query: Query, whose: Whose) -> None:
        standing = Standing(topic, kept, query, self._ids, whose)
        follower = self._register.add(standing, name)
        ready = self._beginning[topic] = asyncio.get_running_loop().create_future()
        self._tasks.spawn(self._fetch_first(follower, standing, ready), name="search: begin")

    async def _fetch_first(
        self, follower: Follower, standing: Standing, ready: "asyncio.Future[None]"
    ) -> None:
        try:
            await asyncio.shield(follower.started)
            for _ in range(FETCH_TRIES):
                found = await self._page(standing, standing.whose)
                rows = self._rows(standing, found)
                if standing.first(found.offset, rows, found.total, self._clock.now_ms()):
                    break
            else:
                raise Unavailable("the documents change more quickly than they can be read")
            self._register.weigh()
        except Exception as exc:  # noqa: BLE001  whatever it is, those who wait get it
            self._register.forget(standing)
            ready.set_exception(exc)
            ready.exception()
        except BaseException:
            self._register.forget(standing)
            ready.cancel()
            raise
        else:
            ready.set_result(None)
            if standing.is_behind:
                self._fetch(standing)
        finally:
            self._register.began(standing)
            if self._beginning.get(standing.topic) is ready:
                del self._beginning[standing.topic]

    def _fetch(self, standing: Standing) -> None:
        self._tasks.spawn(self._fetch_again(standing), name="search: fetch")

    async def _fetch_again(self, standing: Standing) -> None:
        tries = 0
        while standing.is_behind and self._register.get(standing.topic) is standing:
            await asyncio.sleep(AGAIN_S if tries else FETCH_PAUSE_S)
            try:
                async with self._refreshing:
                    found = await self._page(standing)
            except (PeerError, ServerError) as exc:
                tries += 1
                if isinstance(exc, PeerError) or tries == FETCH_TRIES:
                    _log.warning("a standing query ends", error=exc.code)
                    await self._end(standing)
                continue
            rows = self._rows(standing, found)
            entries = standing.fetched(found.offset, rows, found.total, self._clock.now_ms())
            self._tell(standing, entries)

    async def _page(self, standing: Standing, whose: Whose = None) -> Found:
        search_fetches.inc()
        return await self._finder.page(
            standing.kept, standing.query, limit=standing.query.limit + SPARE, whose=whose
        )

    def _rows(self, standing: Standing, found: Found) -> list[Row]:
        put, number = self._register.shelf.put, standing.kept.number
        return [
            Row(
                place_of(hit.prepared, standing.order),
                hit.id,
                put(number, hit.id, hit.data, hit.version, hit.offset),
            )
            for hit in found.hits
        ]

    def _tell(self, standing: Standing, entries: Sequence[Entry]) -> None:
        if entries:
            self._engine.announce_here(standing.topic, standing.position.epoch, entries)

    async def _end(self, standing: Standing) -> None:
        """Let subscribers come back: what they are told then is why it ended."""
        self._register.forget(standing)
        await self._engine.check_positions([standing.topic])

    def _follow(self, kept: Kept) -> Follower:
        return Follower(
            kept,
            self._store,
            self._bus,
            self._clock,
            shelf=self._register.shelf,
            unselective=self._limits.search_unselective,
            tell=self._tell,
            fetch=self._fetch,
            gone=self._gone,
        )

    def _drop(self, follower: Follower) -> None:
        self._tasks.spawn(follower.close(), name="search: follow no more")

    def _gone(self, follower: Follower) -> None:
        for standing in list(follower.standing.values()):
            self._tasks.spawn(self._end(standing), name="search: a collection is gone")

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self._register.sweep()
