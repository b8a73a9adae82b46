"""The servers that are measured: how each is installed (into this folder only) and started.

A peer that can't be had on a machine raises `NotAvailable` with the reason, which the run prints.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.debian import NotAvailable, unpack, with_dependencies

OURS, NULL, JOINED = "clarion", "send(2)", "send(2), joined"
HERE = Path(__file__).parent
BIN = HERE / "bin"
SERVERS = HERE / "servers"
NODE = SERVERS / "node"
PYTHON = HERE / ".venv/bin/python"


@dataclass(frozen=True)
class Peer:
    """A server to measure."""

    name: str
    about: str
    prepare: Callable[[], None]
    """Installs what it needs; quick the second time."""
    command: Callable[[int], list[str]]
    """How it is started on a port."""
    dialect: str = "socket.io"
    """What the generator speaks."""
    only: tuple[str, ...] = ()
    """The scenarios that it takes part in; empty: all."""
    rounds: int = 99
    """Most rounds: a slow server is not measured often."""
    pace: float = 1
    """How many times as long as others it takes."""


# ── preparing ──
def compile_c(name: str, *sources: Path) -> None:
    """Compile a program of ours into bin/, unless it is newer than its sources."""
    BIN.mkdir(exist_ok=True)
    out = BIN / name
    if shutil.which("gcc") is None:
        raise SystemExit("the load generator is compiled by gcc, which is not installed")
    if not out.exists() or out.stat().st_mtime < max(each.stat().st_mtime for each in sources):
        code = [str(source) for source in sources if source.suffix == ".c"]
        subprocess.run(["gcc", "-O2", "-Wall", "-o", str(out), *code], check=True)


def _sendloop() -> None:
    compile_c("sendloop", SERVERS / "sendloop.c")


def _npm() -> None:
    """Node's packages, as the lock file says. No install scripts: what needs one is not available."""
    if shutil.which("npm") is None:
        raise NotAvailable("it needs Node.js")
    done, wanted = NODE / "node_modules/.package-lock.json", NODE / "package-lock.json"
    if not done.exists() or done.stat().st_mtime < wanted.stat().st_mtime:
        install = ["npm", "ci", "--ignore-scripts", "--loglevel=error"]
        if subprocess.run(install, cwd=NODE, check=False, timeout=180).returncode:
            raise NotAvailable("npm ci failed")
        done.touch()


def _uws() -> None:
    _npm()
    _try(["node", "--eval", "require('@trufflesuite/uws-js-unofficial').App()"], cwd=NODE)


def _bun() -> None:
    _npm()
    _try([str(_bun_program()), "--version"], cwd=NODE)


def _bun_program() -> Path:
    kind = {"x86_64": "x64"}.get(platform.machine(), platform.machine())
    return NODE / f"node_modules/@oven/bun-linux-{kind}/bin/bun"


def venv() -> None:
    """benchmarks/.venv, as requirements.txt says."""
    done, wanted = HERE / ".venv/done", HERE / "requirements.txt"
    if done.exists() and done.stat().st_mtime >= wanted.stat().st_mtime:
        return
    subprocess.run([sys.executable, "-m", "venv", HERE / ".venv"], check=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    ran = subprocess.run([*pip, "-r", str(wanted)], check=False, timeout=180)
    if ran.returncode:
        raise NotAvailable("pip install failed")
    done.touch()


def _nchan() -> None:
    unpack(BIN / "nchan", "nginx", "libnginx-mod-nchan")
    _try([str(BIN / "nchan/usr/sbin/nginx"), "-v"])


def _centrifuge() -> None:
    """Built with Debian's Go from Debian's sources, in GOPATH mode: nothing is fetched by Go."""
    source, out, debian = SERVERS / "centrifuge", BIN / "centrifuge", BIN / "go"
    if out.exists() and out.stat().st_mtime >= (source / "main.go").stat().st_mtime:
        return
    # The library's package forgets the last four.
    wanted = (
        "golang-go",
        "golang-github-centrifugal-centrifuge-dev",
        "golang-github-centrifugal-protocol-dev",
        "golang-github-fzambia-eagle-dev",
        "golang-github-igm-sockjs-go-dev",
        "golang-github-mna-redisc-dev",
    )
    # Of two versions of protobuf's runtime that satisfy the same dependency, the newer.
    only = r"golang-(?!github-golang-protobuf-1-3)"
    unpack(debian, *(with_dependencies(wanted, only=only) or wanted))
    root = next(iter(debian.glob("usr/lib/go-*")), None)
    if root is None:
        raise NotAvailable("Debian's Go was not found in its package")
    env = {
        **os.environ,
        "GOROOT": str(root),
        "GOPATH": str(debian / "usr/share/gocode"),
        "GOCACHE": str(debian / "cache"),
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "CGO_ENABLED": "0",
    }
    _try([str(root / "bin/go"), "build", "-o", str(out), "."], cwd=source, env=env)
    shutil.rmtree(debian)  # three quarters of a gigabyte


def _try(command: list[str], cwd: Path = HERE, env: dict[str, str] | None = None) -> None:
    try:
        ran = subprocess.run(
            command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=180
        )
    except OSError as exc:
        raise NotAvailable(f"{command[0]}: {exc.strerror}") from exc
    if ran.returncode:
        why = (ran.stderr.strip() or f"status {ran.returncode}").splitlines()[-1]
        raise NotAvailable(f"{Path(command[0]).name}: {why}")


# ── starting ──
def _nginx(port: int) -> list[str]:
    folder = BIN / "nchan"
    config = (SERVERS / "nchan.conf").read_text().replace("PORT", str(port))
    (folder / "nginx.conf").write_text(config)
    return [str(folder / "usr/sbin/nginx"), "-p", str(folder), "-c", "nginx.conf"]


def _node(script: str) -> Callable[[int], list[str]]:
    return lambda port: ["node", str(NODE / script), str(port)]


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            OURS,
            "this project, on its defaults",
            lambda: None,
            lambda port: [sys.executable, "-m", "benchmarks.servers.clarion_server", str(port)],
        ),
        Peer("node", "socket.io on Node, its default engine (ws)", _npm, _node("ws.mjs")),
        Peer("uws", "socket.io on Node, on uWebSockets", _uws, _node("uws.mjs")),
        Peer(
            "bun",
            "socket.io on Bun, on its official engine",
            _bun,
            lambda port: [str(_bun_program()), str(NODE / "bun.mjs"), str(port)],
        ),
        Peer(
            "python-socketio",
            "python-socketio on uvicorn, uvloop and httptools",
            venv,
            lambda port: [str(PYTHON), str(SERVERS / "python_socketio.py"), str(port)],
            rounds=1,
            pace=2.5,
        ),
        Peer(
            "centrifuge",
            "Centrifuge (Go), its own protocol",
            _centrifuge,
            lambda port: [str(BIN / "centrifuge"), str(port)],
            dialect="centrifuge",
            only=("fanout", "many"),
        ),
        Peer(
            "nchan",
            "nchan (nginx), bare messages",
            _nchan,
            _nginx,
            dialect="raw",
            only=("fanout", "many"),
        ),
        Peer(
            NULL,
            "a C loop that does nothing but one system call a recipient and event: the generator's null server",
            _sendloop,
            lambda port: [str(BIN / "sendloop"), str(port)],
        ),
        Peer(
            JOINED,
            "the same, with one call a recipient for a whole burst",
            _sendloop,
            lambda port: [str(BIN / "sendloop"), str(port), "joined"],
            only=("burst",),
        ),
    )
}


def prepare(names: list[str]) -> dict[str, str]:
    """Install what the peers need, and say so; why some are not available, by name."""
    missing = {}
    for name in names:
        print(f"preparing {name}", file=sys.stderr, flush=True)
        try:
            PEERS[name].prepare()
        except NotAvailable as exc:
            missing[name] = str(exc)
        except subprocess.TimeoutExpired:
            missing[name] = "its installation took longer than three minutes"
        if name in missing:
            print(f"  not available: {missing[name]}", file=sys.stderr, flush=True)
    return missing
