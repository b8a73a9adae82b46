"""Real nodes in a row behind nginx as `deploy/` has it, round robin, over one Redis and one database of PostgreSQL."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.support.balancers import balancing
from tests.support.redis_server import RedisServer
from tests.support.server import Server
from tests.support.two_nodes import APP, SECRET, Home

ANY_NUMBER: Final = "1000000"


class Row(Home):
    """So many nodes.

    Args:
        folder: For a folder of each.
        database: Its URL.
        count: Of nodes.
        settings: More of their environment.
    """

    def __init__(self, folder: Path, database: str, count: int, **settings: str) -> None:
        self._stack = ExitStack()
        (folder / "kinds.py").write_text(APP)
        self.database = database
        redis = RedisServer("--appendonly", "yes", "--appendfsync", "everysec")
        self._stack.callback(redis.remove)
        self.nodes = [
            self._node(folder / f"node-{n}", redis.url, settings) for n in range(1, count + 1)
        ]
        for node in self.nodes:
            self.start(node)
        self._let_in()
        ports = [node.port for node in self.nodes]
        self.port = self._stack.enter_context(balancing(folder, "nginx", ports))

    def _node(self, folder: Path, redis: str, settings: dict[str, str]) -> Server:
        folder.mkdir()
        here = os.environ.get("PYTHONPATH", "")
        given = {
            "PYTHONPATH": f"{folder.parent}{os.pathsep}{here}",
            "CLARION_REDIS_URL": redis,
            "CLARION_DATABASE_URL": self.database,
            "CLARION_AUTH_TOKEN_SECRET": SECRET,
            "CLARION_PRESENCE_OPEN": "lobby",
            "CLARION_TRUSTED_PROXIES": "127.0.0.1",
            "CLARION_LIMITS_API_REQUESTS": ANY_NUMBER,
        }
        server = Server(folder, **(given | settings))
        server.environment["CLARION_NODE_URL"] = server.url
        self._stack.callback(server.close)
        return server

    def close(self) -> None:
        """End everything."""
        self._stack.close()
