"""Numbers of what became of messages: counts, rates and how long it took, by the hour.

They are exact: each change of a message says in its own transaction what it adds and takes away, and what is read is the sum of all. To
be added up is housekeeping. How long it took is kept on a scale whose steps are 10 %, so that hours can be merged: a percentile is right
within 5 %.
"""

import math
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, Protocol

import msgspec
from msgspec import Struct

from clarion.clock import Clock, as_datetime, as_ms
from clarion.errors import Fault, Invalid
from clarion.ids import Ids
from clarion.jobs import Loop
from clarion.notifications.workflows import durations
from clarion.storage import stats as sql
from clarion.storage.slices import in_slices
from clarion.storage.stats import HOUR_MS, Change
from clarion.storage.store import Store

STEP: Final = math.log(1.1)
EVERY_S: Final = 5.0  # between two times that changes are added up
AT_ONCE: Final = 500  # changes that are added up in one transaction: 2 ms, for which others wait
PURGE: Final = 1_000
INTERVALS: Final = {"hour": HOUR_MS, "day": 24 * HOUR_MS}
HOURS_MAX: Final = 24 * 14  # of a question by the hour
DAYS_MAX: Final = 400
ENDS: Final = ("failed", "bounced", "suppressed", "cancelled")

What = Literal["message", "attempt", "run"]
Interval = Literal["hour", "day", "all"]
By = Literal["", "workflow", "channel", "provider", "category"]
SHOWS: Final = (
    "queued",
    "sent",
    "delivered",
    "seen",
    "read",
    "clicked",
    "snoozed",
    "archived",
    *ENDS,
)


class AskedOf(Protocol):
    """What a widget asks for; see `features.dashboard.Asked`."""

    @property
    def tenant(self) -> str: ...  # noqa: D102
    @property
    def params(self) -> Mapping[str, Any]: ...  # noqa: D102


class Asked(Struct, frozen=True, kw_only=True):
    """Which numbers; '' any. `since` and `until` are taken to their hours; by default the last 24 hours."""

    what: What = "message"
    since: datetime | None = None
    until: datetime | None = None
    interval: Interval = "all"
    by: By = ""
    workflow: str = ""
    channel: str = ""
    provider: str = ""
    category: str = ""


class Took(Struct, frozen=True):
    """How long it took (ms) for the quickest 50, 90 and 99 %, within 5 %."""

    p50: float
    p90: float
    p99: float


class Numbers(Struct, frozen=True):
    """Of one interval and name.

    `counts`: how many came to each status then; of runs only `failed` is counted, without rates. `rates`: of those that were sent how many were delivered, seen, read, clicked;
    `failed`: what failed or bounced, of all that was sent, failed or bounced. `took_ms`: from being made to each status, or of an attempt until the answer.
    """

    at: datetime
    name: str
    counts: dict[str, int]
    rates: dict[str, float]
    took_ms: dict[str, Took]


class Stats(Struct, frozen=True):
    """Numbers from `since` until before `until`."""

    since: datetime
    until: datetime
    interval: Interval
    by: By
    items: list[Numbers]


def bucket(took_ms: float) -> int:
    """Where a time is on the scale; migration 0076 says it in SQL."""
    return math.floor(math.log(took_ms) / STEP) + 1 if took_ms >= 1 else 0


def hour_of(now_ms: int) -> int:
    """When its hour began."""
    return now_ms - now_ms % HOUR_MS


def change(
    tenant: str, now_ms: int, workflow: str, channel: str, category: str, status: str, count: int, took_ms: float = 0
) -> Change:  # fmt: skip
    """So many messages came to a status now."""
    return Change(
        tenant,
        hour_of(now_ms),
        "message",
        workflow,
        channel,
        "",
        category,
        status,
        bucket(took_ms),
        count,
    )


class Counts:
    """Counts messages, and adds the counts up.

    Args:
        store: Where they are.
        days: For how long; 0: for ever.
        clock: The time.
        ids: Jitter.
    """

    def __init__(self, store: Store, days: int, *, clock: Clock, ids: Ids) -> None:
        self._store, self._days, self._clock = store, days, clock
        self.loop = Loop("stats", self.add_up, ids, poll_s=EVERY_S)

    async def find(self, tenant: str, asked: Asked) -> Stats:
        """Numbers.

        Raises:
            Invalid: `until` is not after `since`, or there are too many intervals between them.
            TooCostly: It would take more than 5 s.
        """
        now_ms = self._clock.now_ms()
        until = now_ms + 1 if asked.until is None else as_ms(asked.until)
        until += -until % HOUR_MS
        since = until - 24 * HOUR_MS if asked.since is None else as_ms(asked.since)
        since -= since % HOUR_MS
        step = INTERVALS.get(asked.interval, max(until - since, HOUR_MS))
        most = {"hour": HOURS_MAX, "day": DAYS_MAX}.get(asked.interval, 1)
        if since >= until:
            raise Invalid(faults=[Fault("?from", "has to be before `to`")])
        if (until - since) / step > most:
            detail = f"before `to` by at most {most} intervals ({asked.interval})"
            raise Invalid(faults=[Fault("?from", detail)])
        given = {
            name: value
            for name, value in msgspec.structs.asdict(asked).items()
            if name not in ("since", "until", "interval")
        }
        rows = await self._store.fetch(
            sql.NUMBERS, tenant=tenant, since=since, until=until, step=step, **given
        )
        items = _items(rows)
        if asked.what == "run":  # of what there was beside those that failed, nothing is known
            items = [msgspec.structs.replace(each, rates={}) for each in items]
        return Stats(as_datetime(since), as_datetime(until), asked.interval, asked.by, items)

    async def asked(self, asked: AskedOf) -> Any:
        """The source `messages` of dashboards: `params {show, within?, workflow?, channel?, provider?, category?, series?}`.

        `show` is a status, `failure_rate`, or `p50`, `p90`, `p99` of the time until it was sent (ms). With `series: true` points, one for each hour.
        """
        try:
            params = msgspec.convert(dict(asked.params), _Params)
            within_ms = durations.seconds(params.within) * 1000
        except (msgspec.ValidationError, ValueError) as exc:
            raise Invalid(faults=[Fault("/params", str(exc)[:200])]) from exc
        until = self._clock.now_ms()
        found = await self.find(
            asked.tenant,
            Asked(
                since=as_datetime(until - within_ms + HOUR_MS),
                interval="hour" if params.series else "all",
                workflow=params.workflow,
                channel=params.channel,
                provider=params.provider,
                category=params.category,
            ),
        )
        if not params.series:
            return _shown(found.items[0], params.show) if found.items else 0
        values = {as_ms(each.at): _shown(each, params.show) for each in found.items}
        times = range(as_ms(found.since), as_ms(found.until), HOUR_MS)
        return {"t": list(times), "v": [[values.get(at, 0) for at in times]]}

    async def add_up(self) -> float:
        """Add up what has changed; returns how long to wait before the next look (s)."""
        if not await self._store.fetch(sql.PENDING):
            return EVERY_S
        async with self._store.transaction() as tx:
            taken = await tx.fetch(sql.TAKE, n=AT_ONCE)
            sums: Counter[Change] = Counter()
            for row in taken:
                sums[msgspec.structs.replace(row, count=0)] += row.count
            if sums:
                await tx.apply(
                    sql.RAISE,
                    [msgspec.structs.replace(key, count=count) for key, count in sums.items()],
                )
        return 0.0 if len(taken) == AT_ONCE else EVERY_S

    async def purge(self) -> AsyncIterator[int]:
        """Remove what is older than `limits.stats_days`."""
        if not self._days:
            return
        before = self._clock.now_ms() - self._days * 24 * HOUR_MS
        async for count in in_slices(self._store, sql.FORGET, PURGE, before=before):
            yield count


class _Params(Struct, frozen=True, forbid_unknown_fields=True):
    show: Literal[
        "queued", "sent", "delivered", "seen", "read", "clicked", "snoozed", "archived", "failed", "bounced", "suppressed",
        "cancelled", "failure_rate", "p50", "p90", "p99",
    ]  # fmt: skip
    within: str = "24h"
    workflow: str = ""
    channel: str = ""
    provider: str = ""
    category: str = ""
    series: bool = False


def _shown(numbers: Numbers, show: str) -> float:
    if show == "failure_rate":
        return numbers.rates.get("failed", 0.0)
    if show.startswith("p"):
        took = numbers.took_ms.get("sent")
        return 0.0 if took is None else float(getattr(took, show))
    return numbers.counts.get(show, 0)


def _items(rows: Sequence[sql.Number]) -> list[Numbers]:
    found: dict[tuple[int, str], dict[str, list[sql.Number]]] = {}
    for row in rows:
        found.setdefault((row.at_ms, row.name), {}).setdefault(row.status, []).append(row)
    return [_numbers(at_ms, name, of_status) for (at_ms, name), of_status in sorted(found.items())]


def _numbers(at_ms: int, name: str, of_status: Mapping[str, list[sql.Number]]) -> Numbers:
    counts = {status: sum(row.count for row in rows) for status, rows in of_status.items()}
    sent = counts.get("sent", 0)
    rates: dict[str, float] = {}
    for status in ("delivered", "seen", "read", "clicked"):
        if sent and status in counts:
            rates[status] = round(counts[status] / sent, 4)
    failed = counts.get("failed", 0) + counts.get("bounced", 0)
    if sent or failed:
        # Whether what bounced was sent before, and in which hour, counts do not tell.
        rates["failed"] = round(failed / (sent + failed), 4)
    took = {
        status: _took(rows) for status, rows in of_status.items() if any(row.bucket for row in rows)
    }
    return Numbers(as_datetime(at_ms), name, counts, rates, took)


def _took(rows: Iterable[sql.Number]) -> Took:
    """The percentiles of a histogram."""
    ordered = sorted((row.bucket, row.count) for row in rows if row.count > 0)
    total = sum(count for _, count in ordered)
    return Took(*(_percentile(ordered, total * share) for share in (0.5, 0.9, 0.99)))


def _percentile(ordered: Sequence[tuple[int, int]], rank: float) -> float:
    before = 0
    for which, count in ordered:
        before += count
        if before >= rank:
            # The middle of its step, as the ratio goes.
            return round(1.1 ** (which - 0.5), 1) if which else 0.0
    return 0.0
