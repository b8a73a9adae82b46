"""The echo server that conformance suites talk to, started as they start it."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.raw_client import RawClient


@pytest.fixture(scope="package")
def echo_port() -> Iterator[int]:
    """The port of a server that compresses for those who offer it."""
    command = [sys.executable, "-m", "clarion.testing.echo_server", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline())
        server.terminate()
    assert server.returncode == 0


@pytest.fixture
def echo(echo_port: int) -> RawClient:
    """Sends back what it gets."""
    return RawClient(echo_port, path=b"/")
