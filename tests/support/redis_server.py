"""A private Redis for tests: no port unless it is one of a Cluster, nothing on disk that was not asked for, gone at the end."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path


class RedisServer:
    """A redis-server of our own, on a Unix socket; as one of a Cluster on a port as well.

    Args:
        options: Further settings, as on its command line.
        inside: A command that runs another one where the server is to run; (): here.
        is_cluster: Whether it is one of a Cluster: it has no slots then until `add_slots`.
    """

    def __init__(self, *options: str, inside: Sequence[str] = (), is_cluster: bool = False) -> None:
        self._inside = inside
        # Not in the tests' own folder: a socket's path may have 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="clarion-redis-", dir="/tmp"))
        self.port = free_port() if is_cluster else 0
        self._options = [
            "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.folder / "s"),
            "--dir", str(self.folder), "--save", "", "--loglevel", "warning",
            "--pidfile", str(self.folder / "pid"), *options,
        ]  # fmt: skip
        if is_cluster:
            self._options += ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
        # Ends the server when this process closes the pipe or is gone, even if it was killed.
        pid, folder = shlex.quote(str(self.folder / "pid")), shlex.quote(str(self.folder))
        self._cleaner = subprocess.Popen(
            ["sh", "-c", f"read _; kill -9 $(cat {pid}); rm -rf {folder}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}" if self.port else f"unix://{self.folder / 's'}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            [*self._inside, "redis-server", *self._options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 10
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("redis-server does not start")
            time.sleep(0.005)

    def kill(self) -> None:
        """End it as a crash does: what is not on disk is lost."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @property
    def is_running(self) -> bool:
        """Whether it was not killed since it was started."""
        return self._process is not None and self._process.poll() is None

    def pause(self) -> None:
        """Stop it: connections stay, and nobody answers."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def cli(self, *command: str) -> str:
        """Run a command from outside."""
        done = subprocess.run(
            ["redis-cli", "-s", str(self.folder / "s"), *command],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def backup(self) -> None:
        """Write everything to disk: what a later `kill` and `start` come back with."""
        self.cli("SAVE")

    def remove(self) -> None:
        """End it, with its files."""
        assert self._cleaner.stdin is not None
        self._cleaner.stdin.close()
        self._cleaner.wait()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(self.folder / "s"))
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def make_cluster(count: int = 2, *options: str, copies: bool = False) -> list[RedisServer]:
    """Servers that form a Cluster and share the slots evenly. Returns when all of them serve.

    Args:
        count: Of those that have slots; they come first.
        options: See `RedisServer`.
        copies: Whether each has a replica, which come after them in the same order.
    """
    servers = [RedisServer(*options, is_cluster=True) for _ in range(count * (1 + copies))]
    share = 16384 // count
    for at, server in enumerate(servers[:count]):
        last = 16383 if at == count - 1 else (at + 1) * share - 1
        server.cli("CLUSTER", "ADDSLOTSRANGE", str(at * share), str(last))
    for other in servers[1:]:
        bus = other.cli("CONFIG", "GET", "cluster-port").splitlines()[1]
        servers[0].cli("CLUSTER", "MEET", "127.0.0.1", str(other.port), bus)
    deadline = time.monotonic() + 20
    while not all(_serves(server, count, len(servers)) for server in servers):
        if time.monotonic() > deadline:
            raise RuntimeError("the Cluster does not come together")
        time.sleep(0.05)
    for copy, server in zip(servers[count:], servers, strict=False):
        copy.cli("CLUSTER", "REPLICATE", server.cli("CLUSTER", "MYID"))
    return servers


def _serves(server: RedisServer, count: int, known: int) -> bool:
    told = server.cli("CLUSTER", "INFO").split()
    wanted = {"cluster_state:ok", f"cluster_size:{count}", f"cluster_known_nodes:{known}"}
    return wanted <= set(told)


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
