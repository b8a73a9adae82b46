"""The balancers of `deploy/proxies`, as they are there but for the addresses."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.support.server import await_port, free_port

DEPLOY: Final = Path(__file__).parents[2] / "deploy/proxies"


@contextlib.contextmanager
def balancing(folder: Path, name: str, nodes: Sequence[int]) -> Iterator[int]:
    """A balancer before the nodes on these ports; gives the port that it listens on.

    Args:
        folder: For its files.
        name: `nginx`, `haproxy` or `caddy`.
        nodes: Their ports; haproxy and caddy take two.
    """
    port = free_port()
    command = _COMMANDS[name](folder, port, nodes)
    environment = os.environ | {"HOME": str(folder)}
    with (folder / f"{name}-{port}.log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, env=environment)
        try:
            await_port(port, process)
            yield port
        finally:
            process.kill()
            process.wait()


def _nginx(folder: Path, port: int, nodes: Sequence[int]) -> list[str]:
    site = (DEPLOY / "nginx.conf").read_text()
    (line,) = (each for each in site.splitlines() if "server clarion:8000" in each)
    servers = [line.replace("clarion:8000", f"127.0.0.1:{node}") for node in nodes]
    site = site.replace(line, "\n".join(servers))
    site = site.replace("listen 80;", f"listen 127.0.0.1:{port};")
    config = f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr warn;"
    config += f"events {{ worker_connections 8192; }} http {{ access_log off; client_body_temp_path {folder}; {site} }}"
    (folder / "nginx.conf").write_text(config)
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def _haproxy(folder: Path, port: int, nodes: Sequence[int]) -> list[str]:
    config = (DEPLOY / "haproxy.cfg").read_text().replace("bind :80", f"bind 127.0.0.1:{port}")
    (folder / "haproxy.cfg").write_text(_named(config, nodes))
    return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]


def _caddy(folder: Path, port: int, nodes: Sequence[int]) -> list[str]:
    config = (DEPLOY / "Caddyfile").read_text().replace(":80 {", f"http://127.0.0.1:{port} {{")
    (folder / "Caddyfile").write_text("{\n\tadmin off\n}\n" + _named(config, nodes))
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


def _named(config: str, nodes: Sequence[int]) -> str:
    for number, node in enumerate(nodes, 1):
        assert f"127.0.0.1:800{number}" in config
        config = config.replace(f"127.0.0.1:800{number}", f"127.0.0.1:{node}")
    return config


_COMMANDS: Final = {"nginx": _nginx, "haproxy": _haproxy, "caddy": _caddy}
