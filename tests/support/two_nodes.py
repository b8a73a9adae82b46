"""Two real nodes over a real Redis and a real PostgreSQL, each of which a test may hurt.

Run as `python -m tests.support.two_nodes serve`, a node waits for seconds where others wait for a quarter of a minute.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from clarion.app import partition
from clarion.bus import nodes, registry
from clarion.cli import main
from tests.support.server import Server

SECRET: Final = "the secret of both processes, of 32 bytes or more"
BEAT_S, LEASE_S, WELL_S, SILENT_S = 0.5, 2.0, 1.2, 2.0


@contextmanager
def two_nodes(
    folder: Path, database: str, redis: tuple[str, str], *flags: str, **settings: str
) -> Iterator[tuple[Server, Server]]:
    """Nodes that form one server.

    Args:
        folder: For a folder of each.
        database: Its URL.
        redis: The URL by which each finds it.
        flags: Of `clarion serve`.
        settings: More of their environment.
    """
    here = os.environ.get("PYTHONPATH", "")
    with ExitStack() as stack:
        servers = []
        for name, url in zip(("one", "two"), redis, strict=True):
            (folder / name).mkdir()
            server = Server(
                folder / name,
                module="tests.support.two_nodes",
                PYTHONPATH=f"{folder}{os.pathsep}{Path.cwd()}{os.pathsep}{here}",
                CLARION_REDIS_URL=url,
                CLARION_DATABASE_URL=database,
                CLARION_AUTH_TOKEN_SECRET=SECRET,
                **settings,
            )
            stack.callback(server.close)
            servers.append(server)
        for server in servers:
            server.start(*flags)
        yield servers[0], servers[1]


def hurry() -> None:
    """Let this process wait for less."""
    for module in (nodes, registry):
        setattr(module, "BEAT_S", BEAT_S)  # noqa: B010  constants are Final for everybody else
        setattr(module, "LEASE_S", LEASE_S)  # noqa: B010
    setattr(partition, "WELL_S", WELL_S)  # noqa: B010
    setattr(partition, "SILENT_S", SILENT_S)  # noqa: B010


if __name__ == "__main__":
    hurry()
    main()
