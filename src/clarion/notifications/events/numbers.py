"""Numbers of events: by the minute, and of people, all of them exact.

How often something happened is counted as it is written. How many people did it in a window that ends now is a range of an index over
who did what last, so that no estimate is needed: a window of 30 days costs what its people cost, not what its events do. How many
people did it in each minute is counted over the events themselves, and only of the last hours.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct

from clarion.clock import Clock, as_datetime
from clarion.errors import Fault, Invalid
from clarion.notifications.workflows import durations
from clarion.storage import events as sql
from clarion.storage.store import Store

MINUTES: Final = 1_440
PEOPLE_MINUTES: Final = 180
SHOWS: Final = ("count", "people", "rate", "counts", "people_by_minute")
_MINUTE_MS: Final = sql.MINUTE_MS


class Asked(Protocol):
    """What a widget asks for; see `features.dashboard.Asked`."""

    @property
    def tenant(self) -> str: ...  # noqa: D102
    @property
    def params(self) -> Mapping[str, Any]: ...  # noqa: D102


class Minute(Struct, frozen=True):
    """A minute that has begun then."""

    at: str
    count: int


class EventNumbers(Struct, frozen=True):
    """How often something happened in a window that ends now, how many people did it, and how often a minute on average.

    `minutes` has those in which it happened, of a window of a day at most.
    """

    event: str
    within: str
    count: int
    people: int
    per_minute: float
    minutes: list[Minute]


class EventName(Struct, frozen=True):
    """A name, and how many events of it are kept."""

    event: str
    count: int


class EventNames(Struct, frozen=True):
    """Names in their order; `next` is the cursor of the page that follows, null on the last one."""

    items: list[EventName]
    next: str | None


class Numbers:
    """Counts events.

    Args:
        store: Where they are.
        clock: The time.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def find(self, tenant: str, event: str, within: str = "1h") -> EventNumbers:
        """Numbers of one name in a window that ends now, to the minute.

        Raises:
            Invalid: `within` is no span of time.
            TooCostly: There are too many people to be counted within 5 s.
        """
        window_ms = _window(within)
        since = self._since(window_ms)
        [total] = await self._store.fetch(sql.TOTAL, tenant=tenant, name=event, since=since)
        [people] = await self._store.fetch(sql.PEOPLE, tenant=tenant, name=event, since=since)
        minutes: Sequence[sql.MinuteRow] = []
        if window_ms <= MINUTES * _MINUTE_MS:
            minutes = await self._store.fetch(sql.MINUTES, tenant=tenant, name=event, since=since)
        return EventNumbers(
            event,
            within,
            total.count,
            people.count,
            round(total.count * _MINUTE_MS / window_ms, 3),
            [Minute(as_datetime(row.minute_ms).isoformat(), row.count) for row in minutes],
        )

    async def names(self, tenant: str, after: str = "", limit: int = 100) -> EventNames:
        """What events there are."""
        rows = await self._store.fetch(sql.NAMES, tenant=tenant, after=after, n=limit + 1)
        items = [EventName(row.name, row.count) for row in rows[:limit]]
        return EventNames(items, items[-1].event if len(rows) > limit else None)

    async def asked(self, asked: Asked) -> Any:
        """The source `events` of dashboards: `params {event, show, within?}`; see `docs/explanation/events.md`.

        `count`, `people`, `rate` (a minute) are numbers; `counts`, `people_by_minute` are points, of each minute that is over, `{t, v}`.
        """
        params = asked.params
        name, show, within = (
            params.get("event"),
            params.get("show", "count"),
            params.get("within", "1h"),
        )
        if not isinstance(name, str) or show not in SHOWS or not isinstance(within, str):
            raise Invalid(faults=[Fault("/params", f"event, show ({', '.join(SHOWS)}), within")])
        window_ms = _window(within)
        since = self._since(window_ms)
        of: dict[str, str | int] = {"tenant": asked.tenant, "name": name, "since": since}
        match show:
            case "people":
                return (await self._store.fetch(sql.PEOPLE, **of))[0].count
            case "count" | "rate":
                count = (await self._store.fetch(sql.TOTAL, **of))[0].count
                return count if show == "count" else round(count * _MINUTE_MS / window_ms, 3)
        statement, most = sql.MINUTES, MINUTES
        if show == "people_by_minute":
            statement, most = sql.PEOPLE_BY_MINUTE, PEOPLE_MINUTES
        if window_ms > most * _MINUTE_MS:
            raise Invalid(faults=[Fault("/params/within", f"at most {most} minutes of {show}")])
        found = {row.minute_ms: row.count for row in await self._store.fetch(statement, **of)}
        # The minute that has not ended yet would look like a fall.
        t = range(since, self._clock.now_ms() - _MINUTE_MS + 1, _MINUTE_MS)
        return {"t": list(t), "v": [[found.get(at, 0) for at in t]]}

    def _since(self, window_ms: int) -> int:
        since = self._clock.now_ms() - window_ms
        return since - since % _MINUTE_MS


def _window(within: str) -> int:
    try:
        window_ms = durations.seconds(within) * 1000
    except ValueError as exc:
        raise Invalid(faults=[Fault("?within", str(exc))]) from exc
    if window_ms < _MINUTE_MS:
        raise Invalid(faults=[Fault("?within", "at least a minute")])
    return window_ms
