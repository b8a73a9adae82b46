"""The soak finds what grows, whatever the noise, and nothing where nothing does."""

import asyncio
import random  # noqa: TID251  seeded
from collections.abc import Callable
from typing import Any

import pytest

from clarion.realtime.transports import run
from tests.soak.churn import ENDS
from tests.soak.picture import draw
from tests.soak.run import Outcome, Plan, load, save, soak
from tests.soak.verdict import (
    GAUGES,
    GIVEN,
    IN_USE,
    MEMORY,
    Sample,
    growing,
    growth,
    kept,
    tenths,
    theil_sen,
)

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


def test_the_first_two_tenths_do_not_count() -> None:
    """Eight points, at the middles of their tenths, whatever came before; of what the system gave, five."""
    samples = series(lambda at: 100 + (at % 50 == 0) * 1000 + (at < 720) * 7)
    points = tenths(samples, "blocks", min)
    assert [value for _, value in points] == [100] * 8
    assert [round(at / 360, 1) for at, _ in points] == [2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5]
    assert tenths(samples, "rss", min) == points[3:]


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
    samples = series(lambda at: 80 * MB * (1 + 0.2 * chance.random() ** 3) + 10 * MB * at / 3600)
    assert [each.split()[0] for each in growing(samples)] == [*GAUGES]
    grown, allowed = growth(samples, "blocks")
    assert grown == pytest.approx(8 * MB, rel=0.25)
    assert allowed == pytest.approx(4.3 * MB, rel=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_a_machine_that_others_use_for_half_of_the_run_makes_no_leak(seed: int) -> None:
    """While the load cannot be kept up, sometimes there is less of everything, and sometimes very much."""
    chance = random.Random(seed)

    def value(at: float) -> float:
        if at < 1800 and chance.random() < 0.3:
            return 80 * MB * chance.choice((0.5, 1.4))
        return 80 * MB * (1 + 0.01 * chance.random())

    assert growing(series(value)) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_count_that_dips_until_near_the_end_is_none_that_grows(seed: int) -> None:
    """As the tasks of clients on polling do while these get no turn: how many there are at most stays the same."""
    chance = random.Random(seed)

    def value(at: float) -> float:
        return chance.randint(20, 182) if at < 2400 and chance.random() < 0.7 else 182.0

    found = {each.split()[0] for each in growing(series(value))}
    assert found.isdisjoint({*GAUGES} - {*MEMORY})
    assert found.issuperset(IN_USE), "which does not dip because clients are late"


def test_what_the_system_gave_may_go_up_once_what_is_in_use_may_not() -> None:
    """A rise in the first half and a little more is named for blocks and counts, and is none of `rss` and `uss`."""
    samples = series(lambda at: 80 * MB + 20 * MB * min(at, 2000) / 2000)
    assert {each.split()[0] for each in growing(samples)} == {*GAUGES} - {*GIVEN}


def test_a_few_more_of_a_few_are_no_trend() -> None:
    """Of counts, eight more may come, of bytes to be sent a buffer's; of memory, no more than its share."""
    samples = series(lambda at: 20 + 8 * at / 3600)
    assert [each.split()[0] for each in growing(samples)] == ["rss", "uss", "blocks", "heap"]


def test_memory_must_be_given_back() -> None:
    """Within 2 % and a little of what it was after the warm-up; what the allocator keeps of it is its own."""
    warm = {"rss": 80 * MB, "blocks": 200_000.0, "heap": 10 * MB}
    assert kept(warm, {"rss": 99 * MB, "blocks": 208_000.0, "heap": 11 * MB}) == []
    assert kept(warm, {"rss": 80 * MB, "blocks": 208_001.0, "heap": 12 * MB}) == [
        "blocks is 208,001 at the end; 208,000 were allowed",
        "heap is 12,000,000 at the end; 11,248,576 were allowed",
    ]


# ── real servers ──
def short(**more: Any) -> Plan:
    """Seconds instead of an hour, without recovery and silent clients, which need time to go. Memory still warms up in so short a time."""
    settings = {"ping_interval_s": 1.0, "ping_timeout_s": 10.0}
    ends = {how: weight for how, weight in ENDS.items() if how not in {"mute", "return"}}
    return Plan(
        3.0, 60, 150.0, every_s=0.1, warm_s=1.0, slow_s=1.4, replaced_per_min=20.0, beside=False,
        ends=ends, settings=settings, growth=0.3, **{"rest_s": 30.0, **more},
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
    for name in ("files", "tasks", "timers"):
        assert f"'{name}': '" in found, "counted at rest"
    for name in ("blocks", "heap"):
        assert f"{name} is" in found, "in use at rest"
    save(sound, tmp_path / "soak.json")
    assert load(tmp_path / "soak.json") == sound
    assert draw(sound).count("<path") >= len(GAUGES)
