"""Attacks on the one port, each a promise; on uvloop and on asyncio, against a real process with short limits.

The attacks mostly wait, so all of them run at once when the module begins, and each test reports on one.
"""

import asyncio
from typing import TypeAlias

import pytest

from tests.realtime.transports.attacks import (  # noqa: F401  each adds its attacks
    deadlines,
    frames,
    process,
    requests,
    upgrades,
)
from tests.realtime.transports.attacks.target import ALONE, TOGETHER, Attack, Target

LOOPS = ("uvloop", "asyncio")
PATIENCE_S = 25.0

Findings: TypeAlias = dict[tuple[str, Attack], BaseException | None]


@pytest.fixture(scope="module")
def findings() -> Findings:
    return asyncio.run(all_attacks())


async def all_attacks() -> Findings:
    found: Findings = {}

    async def one(loop: str, target: Target, run: Attack) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await run(target)
            found[loop, run] = None
        except Exception as exc:  # noqa: BLE001  raised again by the attack's own test
            found[loop, run] = exc

    async def on(loop: str) -> None:
        target = await Target.start(loop)
        try:
            await asyncio.gather(*(one(loop, target, run) for run in TOGETHER))
            for run in ALONE:
                await one(loop, target, run)
        finally:
            await target.end()

    await asyncio.gather(*map(on, LOOPS))
    return found


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("run", TOGETHER + ALONE, ids=lambda run: run.__name__)
def test_attack(findings: Findings, run: Attack, loop: str) -> None:
    """What the attack's own docstring promises."""
    exc = findings[loop, run]
    if exc is not None:
        raise exc
