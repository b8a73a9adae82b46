"""What is attacked, a real process with short limits, and what attacks there are: each module of this folder adds its own."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

from tests.support.raw_client import RawClient, hang_up

Attack: TypeAlias = Callable[["Target"], Awaitable[None]]
TOGETHER: list[Attack] = []
ALONE: list[Attack] = []


def attack(function: Attack) -> Attack:
    """One that disturbs no other."""
    TOGETHER.append(function)
    return function


def alone(function: Attack) -> Attack:
    """One that fills, weighs or stops the server: run after the others, one at a time, in the order of their module."""
    ALONE.append(function)
    return function


class Target(RawClient):
    """The attacked process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        super().__init__(port)
        self.process = process
        self._dialled: list[asyncio.StreamWriter] = []

    @classmethod
    async def start(cls, loop: str) -> "Target":
        program = Path(__file__).parents[3] / "support" / "attack_server.py"
        process = await asyncio.create_subprocess_exec(
            sys.executable, program, loop,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        return cls(process, int(await process.stdout.readline()))

    async def dial(
        self, data: bytes = b"", *, limit: int = 1 << 26
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await super().dial(data, limit=limit)
        self._dialled.append(writer)
        return reader, writer

    async def end(self) -> None:
        """Kill the process if it still runs, and close what an attack that failed has left open."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()
        for writer in self._dialled:
            await hang_up(writer)

    def rss_kb(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found
        return int(found[1])
