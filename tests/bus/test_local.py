"""The bus inside one process."""

import asyncio
from collections.abc import Sequence

import pytest

from clarion.bus import LocalBus
from tests.conformance.bus import BusConformance


@pytest.fixture
def bus() -> LocalBus:
    return LocalBus()


class TestLocalBus(BusConformance):
    pass


async def test_a_gap_is_told(bus: LocalBus) -> None:
    """Who must know about lost messages is told which channels may miss some, in the order of subscribing; a broken listener hurts nobody."""
    told: list[Sequence[str]] = []

    def broken(_: Sequence[str]) -> None:
        raise ValueError

    for channel in ("b", "a"):
        bus.subscribe(channel, lambda _: None)
    bus.on_gap(broken)
    bus.on_gap(told.append)
    bus.gap()
    bus.gap(["c"])
    assert told == []
    await asyncio.sleep(0)
    assert told == [("b", "a"), ("c",)]
