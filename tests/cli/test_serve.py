"""`clarion serve`: starting, saying where to look, refusing in one line, stopping."""

import re
import shlex
import signal
import socket
import stat
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.support.server import Server, clarion, free_port, running, until


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory):
    with running(tmp_path_factory.mktemp("demo"), "--demo") as server:
        yield server


def _refused(*arguments: str, env: dict[str, str], cwd: Path) -> str:
    done = clarion(*arguments, env=env, cwd=cwd)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    """Another program on the port: exit code 2 and what to do, no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = _refused("serve", env={"CLARION_PORT": port}, cwd=tmp_path)
    assert port in said
    assert "--port" in said


TAKES = """
import os, pathlib, socket

def setup(app):
    at = ("127.0.0.1", app.settings.port)
    try:
        socket.create_connection(at).close()
    except ConnectionRefusedError:
        pathlib.Path("refused").touch()
    if "TAKE" in os.environ:
        app.taken = socket.create_server(at)
"""


def test_nobody_can_connect_before_it_serves(tmp_path: Path) -> None:
    """The port is had from the start on, and refuses: a balancer asks another server, and nobody waits. Who takes it meanwhile is told of in one line."""
    (tmp_path / "takes.py").write_text(TAKES)
    port = str(free_port())
    env = {"CLARION_PORT": port, "TAKE": "1", "CLARION_LOG_LEVEL": "error"}
    assert f"port {port}" in _refused("serve", "--app", "takes:setup", env=env, cwd=tmp_path)
    (tmp_path / "refused").unlink()
    with running(tmp_path, "--app", "takes:setup", "--workers", "2"):
        assert (tmp_path / "refused").exists()


def test_a_data_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    """The folder is named, exit code 2."""
    (tmp_path / "file").write_text("not a folder")
    said = _refused(
        "serve", "--port", "0", "--data-dir", str(tmp_path / "file" / "data"), env={}, cwd=tmp_path
    )
    assert "data_dir" in said


def test_a_second_server_on_the_same_data_is_refused(demo: Server) -> None:
    """Two processes never write one database."""
    env = {"CLARION_DATA_DIR": str(demo.folder / "data"), "CLARION_PORT": str(free_port())}
    for flags in ([], ["--workers", "2"]):
        assert "another Clarion server" in _refused("serve", *flags, env=env, cwd=demo.folder)
    assert demo.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("arguments", "env", "says"),
    [
        (["serve"], {"CLARION_PORT": "eighty"}, "CLARION_PORT"),
        (["serve"], {"CLARION_PROT": "8001"}, "did you mean CLARION_PORT"),
        (["serve", "--port", "x"], {}, "flag --port"),
        (["serve", "--prot", "1"], {}, "--prot"),
        (["serve", "--demo", "--host", "0.0.0.0"], {}, "loopback"),
        (["serve", "--config", "missing.toml"], {}, "missing.toml"),
        (["serve", "--app", "nothing_like_it:setup"], {}, "it is looked for in"),
        (["serve", "--app", "json:nothing"], {}, "nothing"),
        (["serve", "--app", ":setup"], {}, "package.module:setup"),
        (["serve", "--app", ".here:setup"], {}, "package.module:setup"),
        (["serve", "--app", "json:"], {}, "package.module:setup"),
        (["serve", "--workers", "2"], {"CLARION_DATABASE_URL": "postgresql://x/y"}, "redis_url"),
        (["serv"], {}, "serv"),
        (["settings"], {"CLARION_LIMITS_ROOMS": "-1"}, "limits.rooms"),
    ],
)
def test_a_bad_setting_is_one_clear_line(
    arguments: list[str], env: dict[str, str], says: str, tmp_path: Path
) -> None:
    """Which one, from where, and exit code 2; nothing is started."""
    assert says in _refused(*arguments, env=env, cwd=tmp_path)
    assert not (tmp_path / "data").exists()


def test_a_local_socket_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    """Something else has its name: exit code 2, and no traceback in the log."""
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "clarion.sock").touch()
    done = clarion("serve", "--port", "0", "--log-level", "error", env={}, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "clarion.sock" in done.stderr.strip().splitlines()[-1]


def test_ctrl_c_stops_it_cleanly_and_it_starts_again(tmp_path: Path) -> None:
    """At once, with exit status 0, no traceback, nothing left of the local socket; the second start finds everything as it was."""
    with running(tmp_path, CLARION_LIMITS_NOTICE_S="600") as server:
        secrets = (tmp_path / "data" / "secrets.json").read_bytes()
        assert server.stop() == 0
        assert "Traceback" not in server.log
        assert not (tmp_path / "data" / "clarion.sock").exists()
        server.start()
        assert (tmp_path / "data" / "secrets.json").read_bytes() == secrets


@pytest.mark.parametrize("flags", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_a_stop_has_its_order(flags: tuple[str, ...], tmp_path: Path) -> None:
    """After SIGTERM it is not ready and serves on; after a second one it lets nobody in, and who had begun to ask is answered."""
    with running(tmp_path, *flags, CLARION_LIMITS_NOTICE_S="600") as server:
        for name in ("clarion", "worker-1") if flags else ():  # both listen
            until((tmp_path / "data" / f"{name}.sock").exists)
        server.send(signal.SIGTERM)
        until(lambda: server.get("/readyz").status_code == 503)
        assert server.get("/docs").status_code == 200
        with socket.create_connection(("127.0.0.1", server.port), 10) as early:
            early.sendall(b"GET /livez HTTP/1.1\r\n")
            server.send(signal.SIGTERM)
            until(lambda: _refuses(server.port))
            assert server.is_running
            early.sendall(b"Host: x\r\n\r\n")
            assert early.recv(12) == b"HTTP/1.1 200"
        assert server.ended(20)
        assert server.stop() == 0


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 10).close()
    except ConnectionRefusedError:
        return True
    return False


def test_secrets_and_data_are_for_their_owner_only(demo: Server) -> None:
    """Mode 0600, and 0700 for the folder."""
    data = demo.folder / "data"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    for name in ("secrets.json", "clarion.db", "clarion.sock"):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600, name


def test_the_demo_prints_two_accounts_that_can_sign_in(demo: Server) -> None:
    """Passwords are random and printed; they work."""
    accounts = re.findall(r"^\s+(\w+)\s+password\s+(\S+)$", demo.log, re.MULTILINE)
    assert [name for name, _ in accounts] == ["ann", "ben"]
    for username, password in accounts:
        answer = demo.post("/v1/auth/login", {"username": username, "password": password})
        assert answer.status_code == 200, answer.text


def test_the_printed_curl_line_works_when_pasted(demo: Server) -> None:
    """It is accepted, and durable."""
    line = next(line.strip() for line in demo.log.splitlines() if line.strip().startswith("curl "))
    done = subprocess.run(shlex.split(line), capture_output=True, text=True, check=True)
    assert '"durability":"fsync"' in done.stdout


def test_the_printed_addresses_answer(demo: Server) -> None:
    """The page and the API's documentation are where the start says."""
    for address in re.findall(rf"{re.escape(demo.url)}\S*", demo.log.split("curl")[0]):
        assert httpx.get(address).status_code == 200, address


def test_probes_answer(demo: Server) -> None:
    """`/livez` and `/readyz` are for anybody; `/metrics` is behind a right."""
    assert demo.get("/livez").status_code == 200
    assert demo.get("/readyz").status_code == 200
    assert demo.get("/metrics").status_code == 401
    metrics = demo.get("/metrics", token=demo.key("metrics:read"))
    assert metrics.status_code == 200
    assert "clarion_sessions" in metrics.text


def test_former_names_are_said_at_the_start(tmp_path: Path) -> None:
    """A `CLARION_*` value wins, and the log says so."""
    with running(
        tmp_path, RATE_LIMIT_MAX_REQUESTS="50", CLARION_LIMITS_API_REQUESTS="70"
    ) as server:
        assert "CLARION_LIMITS_API_REQUESTS, which wins over RATE_LIMIT_MAX_REQUESTS" in server.log


def test_a_redis_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    """In one line that names the setting; where the value came from is said before it."""
    env = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": "1", "CLARION_PORT": "0"}
    done = clarion("serve", env=env | {"CLARION_DATA_DIR": str(tmp_path / "data")})
    assert done.returncode == 1
    assert "redis_url is taken from REDIS_HOST" in done.stderr
    assert "clarion: redis_url: no answer from Redis at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
