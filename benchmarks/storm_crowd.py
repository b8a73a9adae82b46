"""Clients that come back by themselves, and clients that stay and ask: the two parts of a storm, each a process of its own.

    python -m benchmarks.storm_crowd crowd|watch PORT COUNT TOKEN

It is told a word a line, and answers with a line of JSON.
"""

import asyncio
import contextlib
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from typing import Any

from tests.support.quick_client import Client, NotLetIn
from tests.support.quick_wire import Refused

from clarion.realtime.transports import run
from clarion.telemetry import spawn

BASE_S, CAP_S = 1.0, 20.0  # of clients/client/src/backoff.ts
ASKS_S = 0.5  # between two of a client that stays
_BROKEN = (ConnectionError, OSError, TimeoutError, NotLetIn)


def backoff_s(attempt: int, chance: float) -> float:
    """How long our client waits: full jitter, up to a bound that doubles with each try that failed."""
    return chance * min(CAP_S, BASE_S * 2 ** min(attempt, 10))


class Crowd:
    """Clients that come back whenever their connection ends.

    Args:
        port: The server's.
        count: How many.
        auth: What each comes with.
    """

    def __init__(self, port: int, count: int, **auth: Any) -> None:
        self._port, self._count, self._auth = port, count, auth
        self._clients: list[Client] = []
        self._staying: list[asyncio.Task[None]] = []
        self._since, self._inside = 0.0, 0
        # Since the last cut
        self.took_s: list[float] = []
        """From the cut until each was in again."""
        self.tries = 0
        self.refused: Counter[str] = Counter()
        """Tries that failed, by what was said: a status, and `+` if it says when to come again."""

    async def come(self) -> None:
        """Come for the first time, all of them."""
        for _ in range(self._count):
            client = Client(self._port)
            self._clients.append(client)
            self._staying.append(spawn(self._stay(client), name="stay"))
        self.begin()
        await self.settle(self._count)

    def begin(self) -> None:
        """Count from here."""
        self._since, self.tries = time.monotonic(), 0
        self.took_s.clear()
        self.refused.clear()

    def cut(self) -> None:
        """Break all connections."""
        self.begin()
        for client in self._clients:
            client.reset()

    @property
    def away(self) -> int:
        """How many are not in."""
        return self._count - self._inside

    async def settle(self, returns: int) -> None:
        """Return once so many have come in since the cut, and all are there."""
        while len(self.took_s) < returns or self.away:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Leave."""
        for task in self._staying:
            task.cancel()
        await asyncio.gather(*self._staying, return_exceptions=True)
        for client in self._clients:
            client.reset()

    async def _stay(self, client: Client) -> None:
        while True:
            attempt = 0
            while not await self._come_in(client, backoff_s(attempt, random.random())):
                attempt += 1
            self.took_s.append(time.monotonic() - self._since)
            self._inside += 1
            await asyncio.shield(client.ended)
            self._inside -= 1

    async def _come_in(self, client: Client, after_s: float) -> bool:
        await asyncio.sleep(after_s)
        self.tries += 1
        try:
            await client.connect(**self._auth)
        except Refused as why:
            self.refused[f"{why.status}{'+' if why.retry_after else ''}"] += 1
        except _BROKEN as exc:
            self.refused[type(exc).__name__] += 1
            client.reset()
        else:
            return True
        return False

    def told(self) -> dict[str, Any]:
        """What came of it."""
        return {"took_s": self.took_s, "tries": self.tries, "refused": dict(self.refused)}


class Watch:
    """Clients that stay, and ask at fixed times: an answer counts from when it was due to be asked for.

    Args:
        port: The server's.
        count: How many.
        auth: What each comes with.
    """

    def __init__(self, port: int, count: int, **auth: Any) -> None:
        self._port, self._count, self._auth = port, count, auth
        self._asking: list[asyncio.Task[None]] = []
        self.clients: list[Client] = []
        self.took_ms: list[float] = []

    async def come(self) -> None:
        """Come, all of them, and begin to ask."""
        for n in range(self._count):
            self.clients.append(await Client(self._port).connect(**self._auth))
            self._asking.append(
                spawn(self._ask(self.clients[-1], n * ASKS_S / self._count), name="ask")
            )

    async def close(self) -> None:
        """Leave."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        for client in self.clients:
            client.reset()

    async def _ask(self, client: Client, offset_s: float) -> None:
        due = time.monotonic() + offset_s
        with contextlib.suppress(ConnectionError):  # it was on a worker that is gone
            while True:
                await asyncio.sleep(due - time.monotonic())
                await client.ask("echo", 1)
                self.took_ms.append((time.monotonic() - due) * 1000)
                due += ASKS_S

    async def longest_turn_ms(self) -> float:
        """Of the workers that they are on, in processor time, since this was asked last."""
        there = [client for client in self.clients if not client.ended.done()]
        return max([(await client.ask("longest"))[0] for client in there])

    def told(self) -> dict[str, float]:
        """How long answers took since this was asked last (ms), and how many are still there."""
        took, self.took_ms = sorted(self.took_ms), []
        stay = sum(not client.ended.done() for client in self.clients)
        if len(took) < 2:
            return {"stay": stay, "answers": len(took)}
        p99 = statistics.quantiles(took, n=100, method="inclusive")[98]
        median = statistics.median(took)
        return {"stay": stay, "answers": len(took), "p50": median, "p99": p99, "max": took[-1]}


async def main(kind: str, port: int, count: int, token: str) -> None:
    """Do what is said on standard input, until it ends."""
    part = {"crowd": Crowd, "watch": Watch}[kind](port, count, token=token)
    if kind == "crowd":
        os.nice(19)  # elsewhere clients have processors of their own
    loop = asyncio.get_running_loop()
    while words := (await loop.run_in_executor(None, sys.stdin.readline)).split():
        match words, part:
            case ["come"], _:
                await part.come()
            case ["begin"], Crowd():
                part.begin()
            case ["turn"], Watch():
                print(json.dumps({"ms": await part.longest_turn_ms()}), flush=True)
                continue
            case ["cut"], Crowd():
                part.cut()
                await part.settle(count)
            case ["settle", returns], Crowd():
                await part.settle(int(returns))
            case _:
                pass
        print(json.dumps(part.told()), flush=True)


if __name__ == "__main__":
    run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
