"""The servers that are measured: each is started alone, on the first processor; the load comes from the second."""

import asyncio
import contextlib
import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

HERE = Path(__file__).parent
BIN = HERE / "bin"
FILES = 11_000  # descriptors for 10,000 connections, with room


def prepare() -> None:
    """Compile the generator and the C loop; install Node's packages; allow enough descriptors."""
    BIN.mkdir(exist_ok=True)
    for name, source in (("load", HERE / "load.c"), ("sendloop", HERE / "servers/sendloop.c")):
        out = BIN / name
        if not out.exists() or out.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["gcc", "-O2", "-Wall", "-o", out, source], check=True)
    if not (HERE / "servers/node_modules/socket.io").exists():
        install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(install, cwd=HERE / "servers", check=True)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < FILES:
        raise SystemExit(f"{FILES:,} open files are needed and the limit is {hard:,} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))


COMMANDS: dict[str, list[str]] = {
    "clarion": [sys.executable, "-m", "benchmarks.servers.clarion_server"],
    "node": ["node", str(HERE / "servers/node.mjs")],
    "send(2)": [str(BIN / "sendloop")],
}


class Peer:
    """A running server."""

    def __init__(self, name: str, port: int, process: asyncio.subprocess.Process) -> None:
        self.name, self.port, self.pid = name, port, process.pid

    def rss_kib(self) -> int:
        """Resident memory of the process now (KiB)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    def cpu_s(self) -> float:
        """Processor time that the process has used (s)."""
        user, system = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def started(name: str) -> AsyncIterator[Peer]:
    """Start a server and wait until it listens; end it afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *_on(0), *COMMANDS[name], str(port), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        if b"listening" not in await asyncio.wait_for(process.stdout.readline(), 20):
            raise SystemExit(f"{name} did not start")
        yield Peer(name, port, process)
    finally:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def loading(
    peer: Peer, clients: int, *scenario: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The generator against a server; its stdout is the result, or `ready` for `hold`."""
    process = await asyncio.create_subprocess_exec(
        *_on(1),
        str(BIN / "load"),
        str(peer.port),
        str(clients),
        *scenario,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _on(processor: int) -> list[str]:
    many = (os.cpu_count() or 1) > 1 and shutil.which("taskset")
    return ["taskset", "-c", str(processor)] if many else []
