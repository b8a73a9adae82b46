"""The wheel: what users install. Built once, tried in an empty virtual environment, where there is no Node."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.support.server import Server, clean_environment

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(out),
        str(ROOT),
    ]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (built,) = out.glob("clarion-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment with the wheel in it, on the versions that were tested together."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-c", str(ROOT / "requirements.txt"), str(wheel)], check=True)
    return python


def test_the_wheel_holds_the_page_and_the_migrations(wheel: Path) -> None:
    """Nothing that the server needs stays behind, and nothing of the tests comes along."""
    names = zipfile.ZipFile(wheel).namelist()
    assert "clarion/api/web/index.html" in names
    client = [name for name in names if name.startswith("clarion/realtime/client_dist/socket.io")]
    assert len(client) == 8
    assert "clarion/api/web/admin-ui/index.html" in names
    assert any(name.startswith("clarion/storage/migrations/0001") for name in names)
    assert "clarion/py.typed" in names
    assert not any(name.startswith(("tests", "benchmarks", "tools")) for name in names)


def test_it_serves_from_an_empty_environment_without_node(installed: Path, tmp_path: Path) -> None:
    """`pip install`, `clarion serve`, and the page is there."""
    server = Server(tmp_path, python=str(installed))
    server.environment = clean_environment(
        **{k: v for k, v in server.environment.items() if k.startswith("CLARION_")},
        PATH=os.pathsep.join([str(installed.parent), "/usr/bin", "/bin"]),
    )
    try:
        server.start()
        page = httpx.get(server.url)
        assert page.status_code == 200
        assert "<title>" in page.text
        client = httpx.get(f"{server.url}/socket.io/socket.io.min.js")
        assert client.status_code == 200
        assert "Socket.IO" in client.text[:100]
        assert server.register("ann")["user"]["id"] == "ann"
        assert server.stop() == 0
    finally:
        server.close()


def test_what_is_not_installed_is_named(installed: Path, tmp_path: Path) -> None:
    """Without the extra for Redis the start is refused in one line that says what to install."""
    out = subprocess.run(
        [str(installed), "-m", "clarion", "serve", "--port", "0", "--data-dir", str(tmp_path)],
        env={**clean_environment(), "CLARION_REDIS_URL": "redis://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 2
    assert 'pip install "clarion[redis]"' in out.stderr
    assert "Traceback" not in out.stderr
