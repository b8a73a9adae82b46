"""When users were here last, in the database: noted in memory, written together now and then.

Exact for who left in good order. Of who was on a process that was killed another process knows within a lease; if there is none, it is known as of
the last writing, `presence.seen_s` before.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import ServerError
from clarion.settings import Presence as Settings
from clarion.storage import Store
from clarion.storage import presence as sql
from clarion.storage.slices import in_slices
from clarion.telemetry import get_logger

_log = get_logger(__name__)

SLICE: Final = 500  # rows of one write: others have a turn between two
DAY_MS: Final = 86_400_000


class Times(Struct, frozen=True):
    """When a user was connected and did something last (ms since 1970); None: never, as far as is known."""

    seen_ms: int | None
    active_ms: int | None


class Seen:
    """The times of users.

    Args:
        store: Where they are written.
        settings: `seen_s`, `seen_keep_days`.
        clock: For the present.
        connected: Who is connected here: tenant, user, when they did something last.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        clock: Clock,
        connected: Callable[[], Iterable[tuple[str, str, int]]],
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._connected = connected
        # Of users who went and are not written yet.
        self._gone: dict[tuple[str, str], sql.Seen] = {}

    def left(self, tenant: str, user: str, active_ms: int, ago_ms: int = 0) -> None:
        """A user has lost a connection now, or some time ago."""
        self._note(sql.Seen(tenant, user, self._clock.now_ms() - ago_ms, active_ms))

    def _note(self, left: sql.Seen) -> None:
        """Of several times the latest counts, as in the database: who is told of late may have been here since."""
        key = left.tenant, left.id
        known = self._gone.get(key, left)
        seen_ms = max(known.seen_ms, left.seen_ms)
        self._gone[key] = sql.Seen(*key, seen_ms, max(known.active_ms, left.active_ms))

    async def find(self, tenant: str, users: Sequence[str]) -> list[tuple[Times, int | None]]:
        """Times of users, and what they have chosen (see `People.chosen`), in their order.

        Raises:
            Unavailable: The database is not there now.
        """
        rows = await self._store.apply(sql.PEOPLE, [sql.User(tenant, user) for user in users])
        found: list[tuple[Times, int | None]] = []
        for user, row in zip(users, rows, strict=True):
            times = Times(row.seen_ms, row.active_ms)
            if (gone := self._gone.get((tenant, user))) is not None:
                seen_ms = max(gone.seen_ms, times.seen_ms or 0)
                times = Times(seen_ms, max(gone.active_ms, times.active_ms or 0) or None)
            found.append((times, row.visibility))
        return found

    async def flush(self) -> None:
        """Write who is connected and who went.

        Raises:
            Unavailable: The database is not there now; who went is written the next time.
        """
        now_ms = self._clock.now_ms()
        gone, self._gone = self._gone, {}
        rows = list(gone.values())
        rows += [
            sql.Seen(tenant, user, now_ms, active_ms)
            for tenant, user, active_ms in self._connected()
        ]
        for at in range(0, len(rows), SLICE):
            try:
                await self._store.apply(sql.SEE, rows[at : at + SLICE])
            except BaseException:
                for each in gone.values():
                    self._note(each)
                raise

    async def flush_forever(self) -> None:
        """Write now and then."""
        while True:
            await asyncio.sleep(self._settings.seen_s)
            try:
                await self.flush()
            except ServerError as exc:
                _log.warning("last seen not written", error=exc.code)

    def purge(self) -> AsyncIterator[int]:
        """Forget users who have not been here for `presence.seen_keep_days`. See `jobs.purging.Slices`."""
        before_ms = self._clock.now_ms() - self._settings.seen_keep_days * DAY_MS
        return in_slices(self._store, sql.PURGE, SLICE, before_ms=before_ms)
