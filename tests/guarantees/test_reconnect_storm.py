"""What happens when all clients are cut off at once, and come back at once."""

import asyncio
from typing import Any

import pytest
from benchmarks import storm_crowd
from benchmarks.storm_crowd import Crowd, Watch

from clarion.settings import Limits
from tests.support.raw_socketio import wired

CLIENTS, STAY = 200, 20
A_SECOND = 120  # new sessions that are let in; twice as many at once


async def test_all_come_back_and_who_stays_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is too many at once is told 503 and when to come again, and is let in later; nobody else is cut off, and all that they ask is answered."""
    monkeypatch.setattr(storm_crowd, "BASE_S", 0.3)  # a third of our client's patience
    async with wired(limits=Limits(handshakes_per_s=A_SECOND, drain_s=0.1, close_s=1.0)) as wire:
        root = wire.io.of("/")
        root.handle("echo", _same)
        watch, crowd = Watch(wire.http.port, STAY), Crowd(wire.http.port, CLIENTS)
        await watch.come()
        await crowd.come()
        assert len(root.sockets) == CLIENTS + STAY
        crowd.cut()
        await crowd.settle(CLIENTS)
        told = crowd.told()
        assert told["refused"].keys() == {"503+"}
        assert told["tries"] == CLIENTS + told["refused"]["503+"]
        assert len(told["took_s"]) == CLIENTS
        assert len(root.sockets) == CLIENTS + STAY
        assert watch.told()["stay"] == STAY
        async with asyncio.timeout(10):
            await asyncio.gather(*[each.ask("echo", 1) for each in watch.clients])
        await crowd.close()
        await watch.close()


def _same(_: Any, value: Any) -> Any:
    return value
