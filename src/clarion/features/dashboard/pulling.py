"""Pulling: sources are asked on their schedule, by one node, while somebody watches; what they give is given to their widgets.

A node that has viewers of a dashboard with sources tries to get its lease; who has it asks every source in a task of its own. Everybody watches
the same topic, so one answer serves all, on whatever node they are. Widgets with alerts are always watched: they are a part of their own, with a lease for
which every node tries.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import UNSET, Struct

from clarion.clock import Clock
from clarion.errors import ClarionError, NotFound, ServerError
from clarion.features.dashboard.board import Boards
from clarion.features.dashboard.definition import KIND, Source, alerts_of
from clarion.features.dashboard.definitions import Definitions
from clarion.features.dashboard.sources import Sources
from clarion.features.dashboard.widgets import PULLED, STALE
from clarion.ids import Ids
from clarion.jobs import Lease, Leases
from clarion.settings import Dashboards as Settings
from clarion.telemetry import dashboard_polls, get_logger, spawn, spawn_forever
from clarion.topics.kinds import Topic

_log = get_logger(__name__)

SPREAD: Final = 0.1  # of the time between two questions: what began together need not stay so
BACKOFF_S: Final = 300.0  # longest pause after failures, unless it is asked less often anyway
KNOWN: Final = 10_000  # widgets whose next turn is remembered


class _Poll(Struct, eq=False):
    """One source that is being asked."""

    source: Source
    task: asyncio.Task[None]


class Part(Struct, frozen=True):
    """What one node asks of a dashboard: what is asked while it is watched, or what its alerts are about."""

    topic: Topic
    is_always: bool = False

    @property
    def lease(self) -> Lease:
        """Who has it asks."""
        return self.topic.tenant, f"{self.topic.wire}/alerts" if self.is_always else self.topic.wire


class _Watched(Struct, eq=False):
    """A part that is wanted on this node."""

    polls: dict[str, _Poll]
    has_lease: bool = False
    until: float = 0.0  # of the lease, by our own clock (monotonic)


class Pulling:
    """Asks the sources of the dashboards that are watched on this node.

    Args:
        boards: What sources give is given there.
        definitions: Know which dashboards are always asked.
        sources: Are asked.
        leases: Say which node asks.
        settings: `lease_s`, `source_concurrency`.
        clock: The schedule.
        ids: Its spread.
    """

    def __init__(
        self,
        boards: Boards,
        definitions: Definitions,
        sources: Sources,
        leases: Leases,
        settings: Settings,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._boards = boards
        self._definitions = definitions
        self._sources = sources
        self._leases = leases
        self._lease_s = settings.lease_s
        self._slots = asyncio.Semaphore(settings.source_concurrency)
        self._clock = clock
        self._ids = ids
        # Changes while open
        self._watched: dict[Part, _Watched] = {}
        self._new: dict[Part, None] = {}  # to be looked at now
        self._next_look = 0.0
        self._free: dict[Lease, None] = {}  # to be let go now
        self._wake = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        # When a widget's source may be asked again (monotonic), and when it last gave something (ms): viewers that come and go change neither.
        self._due: dict[tuple[Topic, str], tuple[Source, float]] = {}
        self._good: dict[tuple[Topic, str], int] = {}

    def start(self) -> None:
        """Begin to ask."""
        self._looking = spawn_forever(self._look_forever, name="dashboards: pulling")

    async def close(self) -> None:
        """Ask no more, and leave it to others."""
        if self._looking is None:
            return
        self._looking.cancel()
        tasks = [self._looking]
        for watched in self._watched.values():
            tasks += [poll.task for poll in watched.polls.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        held = [part for part, watched in self._watched.items() if watched.has_lease]
        self._free |= {part.lease: None for part in held}
        try:
            await self._let_go()
        except ServerError as exc:
            _log.warning("leases not released", error=exc.code)

    def watched(self, topic: Topic, is_watched: bool) -> None:
        """The first viewer of a dashboard has come to this node, or the last has gone."""
        if is_watched:
            self._want(Part(topic))
        else:
            self._leave(Part(topic))

    def look_at(self, topic: Topic) -> None:
        """What a dashboard shows may have changed, and with it what is always asked."""
        self._new[Part(topic)] = None
        self._next_look = 0.0
        self._wake.set()

    def _want(self, part: Part) -> None:
        self._watched[part] = _Watched({})
        self._free.pop(part.lease, None)
        self._new[part] = None
        self._wake.set()

    def _leave(self, part: Part) -> None:
        gone = self._watched.pop(part)
        _stop(gone, gone.polls)
        if gone.has_lease:
            self._free[part.lease] = None
            self._wake.set()

    # ── who asks what ──
    async def _look_forever(self) -> None:
        while True:
            try:
                if (now := self._clock.monotonic()) >= self._next_look:
                    self._next_look = now + self._lease_s / 3
                    await self._find_always()
                    self._new = dict.fromkeys(self._watched)
                parts = [part for part in self._new if part in self._watched]
                self._new.clear()
                self._wake.clear()
                await self._look(parts)
                await self._let_go()
            except ClarionError as exc:
                _log.warning("dashboards cannot be looked at", error=exc.code)
            self._give_up()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._next_look - self._clock.monotonic())):
                    await self._wake.wait()

    async def _find_always(self) -> None:
        found = {
            Part(Topic(tenant, KIND, id), is_always=True): None
            for tenant, id in await self._definitions.always_pulled()
        }
        for part in [part for part in self._watched if part.is_always and part not in found]:
            self._leave(part)
        for part in found:
            if part not in self._watched:
                self._want(part)

    async def _look(self, parts: Sequence[Part]) -> None:
        found = {part: await self._sources_of(part) for part in parts}
        wanted = [part for part, sources in found.items() if sources]
        began = self._clock.monotonic()
        mine = await self._leases.take([part.lease for part in wanted], self._lease_s)
        for part, sources in found.items():
            watched = self._watched.get(part)
            if watched is None:  # its last viewer has gone meanwhile
                self._free.update({part.lease: None} if part.lease in mine else {})
                continue
            if not sources and watched.has_lease:
                self._free[part.lease] = None
            watched.has_lease = part.lease in mine
            watched.until = began + self._lease_s
            self._ask_these(part.topic, watched, sources if watched.has_lease else {})

    async def _sources_of(self, part: Part) -> dict[str, Source]:
        try:
            definition = await self._boards.definition(part.topic)
        except NotFound:
            return {}
        return {
            widget.id: widget.source
            for widget in definition.widgets
            if widget.source is not UNSET and bool(alerts_of(widget)) == part.is_always
        }

    def _ask_these(self, topic: Topic, watched: _Watched, sources: dict[str, Source]) -> None:
        polls = watched.polls
        _stop(watched, [id for id, poll in polls.items() if sources.get(id) != poll.source])
        for id, source in sources.items():
            if id not in polls:
                work = self._poll_forever(topic, watched, id, source)
                polls[id] = _Poll(source, spawn(work, name="dashboards: a source"))

    def _give_up(self) -> None:
        """Stop where a lease could not be renewed: another node may have it."""
        now = self._clock.monotonic()
        for watched in self._watched.values():
            if watched.has_lease and now >= watched.until:
                watched.has_lease = False
                _stop(watched, watched.polls)

    async def _let_go(self) -> None:
        free = list(self._free)
        if free:
            await self._leases.release(free)
            for lease in free:
                self._free.pop(lease, None)

    # ── one source ──
    async def _poll_forever(self, topic: Topic, watched: _Watched, id: str, source: Source) -> None:
        key, failures = (topic, id), 0
        asked, due = self._due.get(key, (source, 0.0))
        if asked == source:
            await asyncio.sleep(due - self._clock.monotonic())
        while True:
            async with self._slots:
                if self._clock.monotonic() < watched.until:  # it may have waited for long
                    failures = 0 if await self._poll(topic, id, source) else failures + 1
            pause = min(source.every_s * 2.0 ** min(failures, 20), max(source.every_s, BACKOFF_S))
            pause *= self._ids.uniform(1 - SPREAD, 1)
            self._remember(key, source, self._clock.monotonic() + pause)
            await asyncio.sleep(pause)

    async def _poll(self, topic: Topic, id: str, source: Source) -> bool:
        """Ask once, and say what came of it; whether something came."""
        try:
            answer = await self._sources.ask(topic, id, source)
            made = await self._boards.give(topic, id, PULLED, answer, "")
        except ClarionError as exc:
            code = exc.code
            _log.info("a source gives nothing", widget=id, error=code, why=exc.message)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            code = "internal"  # something that it waited for was cancelled
        except Exception as exc:  # noqa: BLE001  a function's failure is its widget's, whatever it is
            _log.error("a source has failed", widget=id, function=source.function, exc_info=exc)
            code = "internal"
        else:
            dashboard_polls.labels("same" if made.dropped else "changed").inc()
            self._good[topic, id] = self._clock.now_ms()
            return True
        dashboard_polls.labels("failed").inc()
        told: dict[str, Any] = {"since": self._good.get((topic, id)), "code": code}
        try:
            await self._boards.give(topic, id, STALE, told, "")
        except ClarionError as exc:
            _log.warning("a widget cannot be said to be stale", widget=id, error=exc.code)
        return False

    def _remember(self, key: tuple[Topic, str], source: Source, due: float) -> None:
        if len(self._due) >= KNOWN:
            now = self._clock.monotonic()
            self._due = {known: turn for known, turn in self._due.items() if turn[1] > now}
            self._good = {known: at for known, at in self._good.items() if known in self._due}
        self._due[key] = source, due


def _stop(watched: _Watched, ids: Iterable[str]) -> None:
    for id in list(ids):
        watched.polls.pop(id).task.cancel()
