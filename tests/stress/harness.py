"""What a scenario of the stress runner gets: a server in a process of its own, chance from a seed, and counts that must come out exactly.

A scenario is an async function; its docstring is what it promises. It raises what it finds wrong, and leaves a server as it was
before the first client came: that is looked at when it lets go of the server.
"""

import asyncio
import contextlib
import json
import random  # noqa: TID251  seeded
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from itertools import zip_longest
from typing import Any, Self

from tests.support.measured import Child, measured
from tests.support.quick_client import Client

TRANSPORTS = ("websocket", "polling", "upgrade")
PATIENCE_S = 30.0  # for what must come; a machine may be busy
PLAIN = {"max_payload_bytes": 20_000, "egress_soft_bytes": 65_536, "egress_hard_bytes": 262_144}
"""Limits of most scenarios, so that they share a process."""


class Servers:
    """Servers by their settings: scenarios that want the same ones follow each other on the same process."""

    def __init__(self) -> None:
        self._stack = contextlib.AsyncExitStack()
        self._children: dict[str, Child] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @contextlib.asynccontextmanager
    async def lent(self, **wanted: Any) -> AsyncIterator[Child]:
        """A server; arguments as for `measured`. One on which something went wrong is not lent again.

        Raises:
            NotAtRest: Something of the scenario is left on it, or it logged an error.
        """
        key = json.dumps(wanted, sort_keys=True)
        child = self._children.pop(key, None)
        if child is None:
            child = await self._stack.enter_async_context(measured(**wanted))
        yield child
        await child.rests(PATIENCE_S)
        self._children[key] = child


class Stress:
    """One run of one scenario.

    Args:
        servers: Where it gets its servers.
        name: The scenario's.
        seed: Of all chance.
        seconds: How long it goes on; 0: one round.
    """

    def __init__(self, servers: Servers, name: str, seed: int, seconds: float) -> None:
        self.server = servers.lent
        self.chance = random.Random(f"{seed}/{name}")
        self._seconds = seconds

    def rounds(self) -> Iterator[int]:
        """Numbers of rounds, the first one in any case, until the time is up."""
        loop = asyncio.get_running_loop()
        until, number = loop.time() + self._seconds, 0
        while not number or loop.time() < until:
            yield number
            number += 1


Scenario = Callable[[Stress], Awaitable[str]]
"""Returns in a few words how much there was."""


async def play(servers: Servers, name: str, scenario: Scenario, seed: int, seconds: float) -> str:
    """Run one; also what a client could only tell the loop is raised."""
    loop = asyncio.get_running_loop()
    wrong: list[str] = []
    loop.set_exception_handler(lambda _, what: wrong.append(f"{what['message']}: {what!r}"[:500]))
    try:
        told = await scenario(Stress(servers, name, seed, seconds))
    finally:
        loop.set_exception_handler(None)
    assert not wrong, wrong
    return told


# ── counts ──
async def counted(child: Child) -> Counter[str]:
    """Everything that a server has counted since its start, by name; take one from another for what came between."""
    families = await child.ask("metrics")
    told: Counter[str] = Counter(
        {f"told: {what}": count for what, count in (await child.ask("told")).items()}
    )
    for family, tallies in families.items():
        told.update({f"{family}: {label}": int(count) for label, count in tallies.items()})
    return told


async def stays(child: Child, sessions: int) -> None:
    """Return once there are so many sessions; the server may learn of a client's end after the client."""
    await child.until(lambda counts: counts["sessions"] == sessions, PATIENCE_S)


def check(found: Any, due: Any, what: str) -> None:
    """Two things are the same; said with what differs first where both are lists, with all of it where they are counts."""
    if isinstance(found, Counter) and isinstance(due, Counter):
        assert found == due, f"{what}: too many {found - due}, too few {due - found}"
    elif isinstance(found, list) and isinstance(due, list):
        pairs = enumerate(zip_longest(found, due))
        at = next((at for at, (one, other) in pairs if one != other), 0)
        assert found == due, (
            f"{what}: {found[at : at + 3]!r:.200} instead of {due[at : at + 3]!r:.200}, "
            f"the first that differ, at {at} of {len(due)}"
        )
    assert found == due, f"{what}: {found!r:.300} instead of {due!r:.300}"


def follows(numbers: Iterable[int], begin: int, end: int, what: str) -> None:
    """Each number once, in order, none missing."""
    found = list(numbers)
    if found != [*range(begin, end)]:
        at = next((i for i, n in enumerate(found) if n != begin + i), len(found))
        raise AssertionError(
            f"{what}: {begin} to {end - 1} are due; in place of {begin + at} came {found[at : at + 5]} "
            f"after {found[max(0, at - 3) : at]}, {len(found)} in all"
        )


# ── clients ──
async def come(port: int, transport: str, namespace: str = "/", **auth: Any) -> Client:
    """A client that has joined on one of `TRANSPORTS`, and upgraded if that is meant."""
    client = Client(port, namespace)
    await client.connect("polling" if transport == "upgrade" else transport, **auth)
    if transport == "upgrade":
        await client.upgrade()
    return client


async def leave(*clients: Client) -> None:
    """End sessions in words, and see their connections end."""
    for each in clients:
        each.close()
    await asyncio.gather(*(each.gone() for each in clients))


async def heard_all(*clients: Client) -> None:
    """Return once everything has arrived that was sent to these before: what is answered comes behind it."""
    async with asyncio.timeout(PATIENCE_S):
        answers = await asyncio.gather(*(each.ask("echo", "all?") for each in clients))
    check(answers, [["all?"]] * len(clients), "echoes")


def said(client: Client, room: str) -> list[int]:
    """Numbers that the server said to a room, as a client has heard them."""
    return [event[2] for event in client.events if event[:2] == ["said", room]]
