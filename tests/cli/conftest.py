"""One server for the commands that speak to one over HTTP: each test has names of its own."""

from collections.abc import Iterator

import pytest

from tests.support.server import Server, running


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server
