"""A server under test on the first processor, the load generator on the second."""

import asyncio
import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers import BIN, HERE, PEERS, Peer, compile_c

FILES = 11_000  # descriptors for 10,000 connections, with room
LONGEST_S = 300  # the generator gives up earlier by itself


class Failed(Exception):
    """A server did not start, or a delivery was missing, doubled or wrong: there is no figure."""


class Server:
    """A running peer."""

    def __init__(
        self, peer: Peer, port: int, environment: Mapping[str, str], arguments: Sequence[str]
    ) -> None:
        self.peer, self.port = peer, port
        self._environment = {**os.environ, **environment}
        self._command = [*on(0), *peer.command(port), *arguments]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it listens.

        Raises:
            Failed: It does not.
        """
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdout=asyncio.subprocess.DEVNULL, env=self._environment
        )
        await _until_listening(self.peer.name, self.port, self._process)

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None, "it was not started"
        return self._process.pid

    def kill(self) -> None:
        """End it at once."""
        os.kill(self.pid, signal.SIGKILL)

    async def end(self) -> None:
        """End it at once, and wait until it is gone."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()

    def rss_bytes(self) -> int:
        """Resident memory now."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def cpu_s(self) -> float:
        """Processor time that it has used, all threads."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(each.read_text().split()[0]) for each in threads) / 1e9


class Load:
    """The generator, in conversation: a command, an answer."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, *command: object) -> dict[str, Any]:
        """Run a scenario of load/main.c; its figures.

        Raises:
            Failed: With what the generator says.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write((" ".join(map(str, command)) + "\n").encode())
        line = await asyncio.wait_for(process.stdout.readline(), LONGEST_S)
        if not line.endswith(b"}\n"):
            said = (await process.stderr.read()).decode(errors="replace").strip()
            await process.wait()
            raise Failed(f"{' '.join(map(str, command))}: {said.removeprefix('load: ')}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def compile_load() -> None:
    """Compile the generator."""
    compile_c("load", *(HERE / "load").iterdir())


def set_up() -> None:
    """Compile the generator; allow enough descriptors."""
    compile_load()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < FILES:
        raise SystemExit(f"{FILES:,} open files are needed and the limit is {hard:,} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))


class Others:
    """How much of the machine other programs took, from its making to a call of `share`."""

    def __init__(self) -> None:
        self._began, self._taken = time.monotonic(), self._taken_s()

    def share(self) -> float:
        """Part of all processors' time; that of servers and generators counts as ours once they have ended."""
        passed = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        return max(0.0, (self._taken_s() - self._taken) / passed)

    @staticmethod
    def _taken_s() -> float:
        # user, nice, system, and what the host gave to others (steal); interrupts are everybody's
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        ticks = sum(int(fields[i]) for i in (0, 1, 2, 7))
        ours = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return ticks / os.sysconf("SC_CLK_TCK") - sum(u.ru_utime + u.ru_stime for u in ours)


@contextlib.asynccontextmanager
async def started(
    name: str, environment: Mapping[str, str] | None = None, *arguments: str
) -> AsyncIterator[Server]:
    """Start a peer and wait until it listens; end it afterwards."""
    server = Server(PEERS[name], free_port(), environment or {}, arguments)
    try:
        await server.start()
        yield server
    finally:
        await server.end()


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _until_listening(name: str, port: int, process: asyncio.subprocess.Process) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        if process.returncode is not None:
            break
        await asyncio.sleep(0.1)
    raise Failed(f"{name} did not start")


@contextlib.asynccontextmanager
async def loading(
    server: Server, dialect: str = "", *, pinned: bool = True, **environment: str
) -> AsyncIterator[Load]:
    """A generator that talks to a server, in its dialect or another; what load/main.c reads from its environment can be given."""
    process = await asyncio.create_subprocess_exec(
        *(
            *(on(1) if pinned else ()),
            str(BIN / "load"),
            str(server.port),
            dialect or server.peer.dialect,
        ),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        yield Load(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def in_a_process(name: str, *arguments: object) -> list[dict[str, float]]:
    """What another measurement of this folder says with `--json`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments), "--json"),
        cwd=HERE.parent,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise Failed(f"benchmarks.{name} {' '.join(map(str, arguments))} failed")
    found = json.loads(out)
    return found if isinstance(found, list) else [found]


def on(processor: int) -> list[str]:
    """Keeps a program on the first or the second of the processors that we may use, if there are two."""
    ours = sorted(os.sched_getaffinity(0))
    many = len(ours) > 1 and shutil.which("taskset")
    return ["taskset", "-c", str(ours[processor])] if many else []
