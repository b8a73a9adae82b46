"""The soak finds what grows, whatever the noise, and nothing where nothing does."""

import asyncio
import random  # noqa: TID251  seeded
from collections.abc import Callable
from typing import Any

import pytest

from clarion.realtime.transports import run
from tests.soak.picture import draw
from tests.soak.run import Outcome, Plan, load, save, soak
from tests.soak.verdict import GAUGES, Sample, floors, growing, growth, kept, theil_sen

MB = 1e6


def series(value: Callable[[float], float], seconds: int = 3600, every: int = 5) -> list[Sample]:
    """Samples of gauges that are all the same."""
    times = range(0, seconds, every)
    return [Sample(at, dict.fromkeys(GAUGES, value(at))) for at in times]


# ── the line of Theil and Sen ──
def test_the_slope_is_that_of_most_pairs() -> None:
    """A line's own slope; 0 for what has none; and a third of odd points does not turn it."""
    assert theil_sen([(x, 3 + 2 * x) for x in range(8)]) == 2
    assert theil_sen([(1, 5)]) == theil_sen([]) == theil_sen([(1, 5), (1, 9)]) == 0
    assert theil_sen([(x, 900 if x in {2, 6} else 3 + 2 * x) for x in range(8)]) == 2


def test_a_tenth_counts_by_its_least_and_the_first_two_do_not() -> None:
    """Eight points, at the middles of their tenths, whatever the peaks."""
    samples = series(lambda at: 100 + (at % 50 == 0) * 1000 + (at < 720) * 7)
    points = floors(samples, "rss")
    assert [value for _, value in points] == [100] * 8
    assert [round(at / 360, 1) for at, _ in points] == [2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5]


# ── planted series ──
@pytest.mark.parametrize("seed", range(5))
def test_noise_and_warming_up_are_no_growth(seed: int) -> None:
    """Peaks of 20 %, steps that go away, and a beginning that fills caches."""
    chance = random.Random(seed)
    samples = series(
        lambda at: 80 * MB * (1 + 0.2 * chance.random()) + 30 * MB * min(at, 600) / 600
    )
    assert growing(samples) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_leak_is_found_under_noise(seed: int) -> None:
    """A tenth more in an hour, under peaks of 20 %: every gauge is named, with what it grows by."""
    chance = random.Random(seed)
    samples = series(lambda at: 80 * MB * (1 + 0.2 * chance.random()) + 10 * MB * at / 3600)
    assert [each.split()[0] for each in growing(samples)] == [*GAUGES]
    grown, allowed = growth(samples, "rss")
    assert grown == pytest.approx(8 * MB, rel=0.25)
    assert allowed == pytest.approx(4.3 * MB, rel=0.1)


def test_a_few_more_of_a_few_are_no_trend() -> None:
    """Of counts, eight more may come, of bytes to be sent a buffer's; of memory, no more than its share."""
    samples = series(lambda at: 20 + 8 * at / 3600)
    assert [each.split()[0] for each in growing(samples)] == ["rss", "uss"]


def test_memory_must_be_given_back() -> None:
    """Within 2 % and 8 MiB of what it was after the warm-up."""
    warm = {"rss": 80 * MB, "uss": 60 * MB}
    assert kept(warm, {"rss": 89 * MB, "uss": 60 * MB}) == []
    assert kept(warm, {"rss": 91 * MB, "uss": 60 * MB}) == [
        "rss is 91,000,000 at the end; 89,988,608 were allowed"
    ]


# ── real servers ──
def short(**more: Any) -> Plan:
    """Seconds instead of an hour, without recovery, which needs time to forget. Memory still warms up in so short a time."""
    settings = {"ping_interval_s": 0.5, "ping_timeout_s": 2.0}
    return Plan(
        4.0, 60, 150.0, every_s=0.1, warm_s=1.5, slow_s=1.4, replaced_per_min=40.0,
        settings=settings, growth=0.3, **{"rest_s": 10.0, **more},
    )  # fmt: skip


def test_a_server_under_churn_does_not_grow_and_one_with_planted_leaks_does(tmp_path: Any) -> None:
    """The same load for both, at the same time: the sound one comes to rest with nothing left and every message in its place; of the
    other one each leak is named."""

    async def both() -> tuple[Outcome, Outcome]:
        leaky = short(leaks=["memory", "task", "timer", "file"], rest_s=1.0)
        return await asyncio.gather(soak(short()), soak(leaky))

    sound, leaky = run(both())
    assert sound.wrong == []
    assert sound.seen["heard"] > 0
    assert sound.seen["answers"] > 0
    assert any(what.startswith("slow reader") for what in sound.seen)
    found = " ".join(leaky.wrong)
    for name in ("rss", "uss", "files", "tasks", "timers"):
        assert f"{name} grows" in found
        if name not in {"rss", "uss"}:
            assert f"'{name}': '" in found, "counted at rest"
    assert "uss is" in found
    save(sound, tmp_path / "soak.json")
    assert load(tmp_path / "soak.json") == sound
    assert draw(sound).count("<path") >= len(GAUGES)
