"""A real server in a process of its own: started, killed and started again by a test."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx

from clarion.client import Client, calls

T = TypeVar("T")

PATIENCE_S = 15.0  # for an answer: longer than a server may take for any


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def await_port(port: int, process: "subprocess.Popen[Any]") -> None:
    """Return once a process accepts connections."""
    for _ in range(600):
        assert process.poll() is None, "the server ended by itself"
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.02)
    raise AssertionError("the server does not listen after 12 s")


def until(what: Callable[[], T], seconds: float = 40.0) -> T:
    """What is asked for, once there is something: another process has to do its part first."""
    for _ in range(int(seconds * 20)):
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:g} s")


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without anything that would set Clarion up otherwise."""
    former = ("REDIS_", "FRONTEND_URL", "CORS_ORIGIN", "RATE_LIMIT_", "CLARION_")
    return {k: v for k, v in os.environ.items() if not k.startswith(former)} | more


def clarion(
    *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "clarion", *arguments],
        env=clean_environment(**(env or {})),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Server:
    """`clarion serve` on a folder and a port that stay the same when it is started again.

    Args:
        folder: Where its data is, and what it says.
        python: What runs it.
        module: What is run.
        before: A command that becomes it, such as `prlimit`.
        settings: Its environment, as `CLARION_…`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        python: str = sys.executable,
        module: str = "clarion",
        before: Sequence[str] = (),
        **settings: str,
    ) -> None:
        self._command = [*before, python, "-m", module]
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = clean_environment(
            CLARION_PORT=str(self.port),
            CLARION_DATA_DIR=str(folder / "data"),
            **({"CLARION_LIMITS_NOTICE_S": "0"} | settings),  # no balancer has to hear of a stop
        )
        # A connection a call: one that was kept would be dead after a kill. No TLS, so no certificates to load.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(
            base_url=self.url, verify=False, limits=limits, timeout=PATIENCE_S
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._log = (folder / "server.log").open("ab")

    @property
    def log(self) -> str:
        """Everything it has said so far."""
        return (self.folder / "server.log").read_text()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *flags: str) -> "Server":
        """Start it and wait until it is ready."""
        self._process = subprocess.Popen(
            [*self._command, "serve", *flags],
            env=self.environment,
            cwd=self.folder,
            stdout=self._log,
            stderr=self._log,
            stdin=subprocess.DEVNULL,
        )
        self._await_ready()
        return self

    def _await_ready(self) -> None:
        assert self._process is not None
        for _ in range(600):
            if self._process.poll() is not None:
                raise AssertionError(f"the server ended by itself:\n{self.log}")
            with contextlib.suppress(httpx.TransportError):
                if self._http.get("/readyz").status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(f"the server is not ready after 30 s:\n{self.log}")

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def ended(self, seconds: float) -> bool:
        """Whether it ends by itself within so long."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return not self.is_running

    def kill(self) -> None:
        """`kill -9`."""
        self._end(signal.SIGKILL)

    def send(self, what: signal.Signals) -> None:
        """Tell it something."""
        os.kill(self.pid, what)

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Ctrl-C, as a person would, or SIGTERM, as a supervisor; returns the exit status."""
        return self._end(how)

    def _end(self, how: signal.Signals) -> int:
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(how)
        status = self._process.wait(60)
        self._process = None
        return status

    def close(self) -> None:
        """End it, whatever it does."""
        self._end(signal.SIGKILL)
        self._log.close()
        self._http.close()

    # ── what tests need of it ──
    def key(self, *scopes: str) -> str:
        """An API key, made over the local socket, which of several workers the first has: another may be ready before it."""
        local = self.folder / "data" / "clarion.sock"
        until(lambda: _is_taken_in(local))
        with Client(socket=local) as owner:
            return owner.call(calls.create_key("tests", scopes)).key

    def post(self, path: str, body: Any, *, token: str = "", **headers: str) -> httpx.Response:
        """POST JSON, as `token`."""
        return self._http.post(path, json=body, headers=_bearer(token) | headers)

    def put(self, path: str, body: Any, *, token: str = "") -> httpx.Response:
        """PUT JSON, as `token`."""
        return self._http.put(path, json=body, headers=_bearer(token))

    def get(self, path: str, *, token: str = "", **headers: str) -> httpx.Response:
        """GET, as `token`."""
        return self._http.get(path, headers=_bearer(token) | headers)

    def register(self, username: str, password: str = "correct horse battery") -> dict[str, Any]:
        """Make an account; returns the tokens."""
        answer = self.post("/v1/auth/register", {"username": username, "password": password})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())


def _is_taken_in(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as line, contextlib.suppress(OSError):
        line.connect(str(path))
        return True
    return False


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


@contextlib.contextmanager
def running(folder: Path, *flags: str, **settings: str) -> Iterator[Server]:
    """A server for a test."""
    server = Server(folder, **settings)
    try:
        yield server.start(*flags)
    finally:
        server.close()
