"""Notifications, measured on both databases: what `notified.py` finds out, as rows."""

from benchmarks.measures import Figures, Metric, Scenario
from benchmarks.notified import DIGESTS, MAILS, RATES, WINDOW_S
from benchmarks.peers import OURS
from benchmarks.running import in_a_process

PEOPLE = 100_000
SMALLER = 1
"""Only a part of them, for a test."""
DATABASES = ("sqlite", "postgresql")
_LIVE = "a trigger until its message is at an open page"
_BULK = {
    "alike": f"a send to {PEOPLE:,} inboxes, alike for all",
    "escalation": f"a send to {PEOPLE:,}, each with a run that waits for them to read it",
}
_ROWS: dict[str, tuple[str, str, bool]] = {
    **{
        f"live-{rate}-{q}": (f"{rate:,} triggers/s, {_LIVE}: {q}", "ms", True)
        for rate in RATES
        for q in ("p50", "p99")
    },
    "triggers": ("triggers one by one, 64 callers", "triggers/s", False),
    "trigger-cpu": ("such a trigger, with its message: processor time", "µs", True),
    **{
        f"bulk-{name}{row}": (f"{title}{more}", unit, is_less)
        for name, title in _BULK.items()
        for row, more, unit, is_less in (
            ("", "", "messages/s", False),
            ("-urgent-p50", f"; meanwhile {_LIVE}: p50", "ms", True),
            ("-urgent-p99", f"; meanwhile {_LIVE}: p99", "ms", True),
        )
    },
    "mails": (f"{MAILS:,} emails to a mail server", "mails/s", False),
    **{
        f"digest-late-{q}": (
            f"{DIGESTS:,} digests of {WINDOW_S} s: late at an open page by: {q}",
            "ms",
            True,
        )
        for q in ("p50", "p99")
    },
    "events": ("events by HTTP, 100 a call, 8 callers", "events/s", False),
}
METRICS = {
    f"{row}-{database}": Metric(f"notified_{database}", f"{title} ({database})", unit, is_less)
    for database in DATABASES
    for row, (title, unit, is_less) in _ROWS.items()
}


async def notified_sqlite(_peer: str, brief: bool) -> Figures:
    """All of it on SQLite."""
    async for figure in _notified("sqlite", brief):
        yield figure


async def notified_postgresql(_peer: str, brief: bool) -> Figures:
    """All of it on PostgreSQL."""
    async for figure in _notified("postgresql", brief):
        yield figure


async def _notified(database: str, brief: bool) -> Figures:
    seconds = 0.3 if SMALLER > 1 else 2 if brief else 5
    given = ("--database", database, "--people", PEOPLE // SMALLER, "--seconds", seconds)
    [found] = await in_a_process("notified", *given)
    for row, figure in found.items():
        yield f"{row}-{database}", figure


SCENARIOS = (
    Scenario(notified_sqlite, 60, rounds=1, peers=(OURS,)),
    Scenario(notified_postgresql, 70, rounds=1, peers=(OURS,)),
)
