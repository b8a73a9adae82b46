"""A measured server from outside: started, asked, ended."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from tests.support.server import clean_environment

ANSWER_S = 60.0
SAME = 4  # times
REST_S = 60.0  # for everything to end that was begun


class NotAtRest(AssertionError):
    """Something is left that should not be."""


class Child:
    """A process of `tests.support.measured_server`; one at a time may ask it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.port = self._asked = 0
        self.at_rest: dict[str, int] = {}
        """Its counts before the first client came."""

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    async def ask(self, command: str, **more: Any) -> Any:
        """Give a command of `measured_server.Measured`; its answer."""
        assert self._process.stdin is not None
        self._asked += 1
        number = self._asked
        self._process.stdin.write(json.dumps([number, command, more]).encode() + b"\n")
        while True:
            # What somebody asked who did not wait for the answer is passed over.
            answered, answer = await self.hear()
            if answered == number:
                return answer

    async def hear(self) -> Any:
        """The next line."""
        assert self._process.stdout is not None
        async with asyncio.timeout(ANSWER_S):
            line = await self._process.stdout.readline()
        assert line, "the server ended by itself"
        return json.loads(line)

    async def begin(self) -> None:
        """Take its counts once they have been the same for a while: a whole Clarion does this and that at its start."""
        self.port = await self.hear()
        same = 0
        while same < SAME:
            counts = await self.ask("counts")
            same = same + 1 if counts == self.at_rest else 0
            self.at_rest = counts
            await asyncio.sleep(0.02)

    async def rests(self, within_s: float = REST_S) -> None:
        """Return once all counts are what they were before the first client came.

        Raises:
            NotAtRest: They never were; or something was logged as an error.
        """
        await self.until(lambda counts: counts == self.at_rest, within_s)
        if errors := await self.ask("errors"):
            raise NotAtRest(f"the server logged errors: {errors[:5]}")

    async def until(
        self, holds: Callable[[dict[str, int]], bool], within_s: float = REST_S
    ) -> dict[str, int]:
        """Return the counts once they are as wanted.

        Raises:
            NotAtRest: They never were.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        counts: dict[str, int]
        while not holds(counts := await self.ask("counts")):
            if loop.time() > until:
                left = {
                    name: f"{counts[name]} instead of {count}"
                    for name, count in self.at_rest.items()
                    if counts[name] != count
                }
                sessions = (await self.ask("sessions"))[:5]
                raise NotAtRest(f"left at the end: {left}; sessions: {sessions}")
            await asyncio.sleep(0.02)
        return counts


@contextlib.asynccontextmanager
async def measured(
    settings: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    *,
    auth: Mapping[str, Any] | None = None,
    leaks: Sequence[str] = (),
    by: Sequence[str] = (),
) -> AsyncIterator[Child]:
    """A server; `by` is a command that runs commands, such as `nice`. It is ended afterwards.

    Args:
        settings: Of `Realtime`, as far as they are not the defaults.
        limits: Of `Limits`, likewise.
        auth: Settings of a whole Clarion's `Auth`; None: a Socket.IO server by itself.
        leaks: Bugs to plant, see `tests.support.leaks`.
        by: The command.
    """
    wanted: dict[str, Any] = {
        "settings": dict(settings or {}),
        "limits": dict(limits or {}),
        "leaks": [*leaks],
    }
    module = "measured_server"
    if auth is not None:
        wanted["auth"], module = dict(auth), "measured_house"
    process = await asyncio.create_subprocess_exec(
        *(*by, sys.executable, "-m", f"tests.support.{module}", json.dumps(wanted)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=clean_environment(MALLOC_ARENA_MAX="2"),
    )
    child = Child(process)
    try:
        await child.begin()
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
