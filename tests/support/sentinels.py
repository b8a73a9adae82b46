"""A primary, a replica and three Sentinels, which agree within a second that the primary is gone."""

from tests.support.redis_server import RedisServer, free_port

NAME = "mymaster"
DOWN_MS = 300  # without an answer, until a Sentinel takes the primary for gone


class Sentinel(RedisServer):
    """One that watches a primary.

    Args:
        primary: Its port.
    """

    def __init__(self, primary: int) -> None:
        self._primary, self.at = primary, free_port()
        super().__init__()

    def start(self) -> None:
        """Start it with a file of its own, which it writes as it learns."""
        file = self.folder / "sentinel.conf"
        lines = [
            f"port {self.at}",
            "bind 127.0.0.1",
            f"unixsocket {self.folder / 's'}",
            f"dir {self.folder}",
            f"pidfile {self.folder / 'pid'}",
            f"sentinel monitor {NAME} 127.0.0.1 {self._primary} 2",
            f"sentinel down-after-milliseconds {NAME} {DOWN_MS}",
            f"sentinel failover-timeout {NAME} 2000",
        ]
        file.write_text("\n".join(lines) + "\n")
        self._options = [str(file), "--sentinel"]
        super().start()


class Watched:
    """All five; `primary` may be killed.

    Attributes:
        url: What `redis_url` would be.
    """

    def __init__(self) -> None:
        ports = free_port(), free_port()
        self.primary = RedisServer("--port", str(ports[0]))
        copies = ("--port", str(ports[1]), "--replicaof", "127.0.0.1", str(ports[0]))
        self.replica = RedisServer(*copies, "--repl-diskless-sync-delay", "0")
        self.sentinels = [Sentinel(ports[0]) for _ in range(3)]
        where = ",".join(f"127.0.0.1:{each.at}" for each in self.sentinels)
        self.url = f"redis+sentinel://{where}/0?primary={NAME}"

    def is_ready(self) -> bool:
        """Whether all know of each other, and the replica has everything."""
        told = [each.cli("SENTINEL", "MASTER", NAME).splitlines() for each in self.sentinels]
        known = [dict(zip(each[::2], each[1::2], strict=True)) for each in told]
        return (
            all(one["num-slaves"] == "1" and one["num-other-sentinels"] == "2" for one in known)
            and "master_link_status:up" in self.replica.cli("INFO", "replication")
            and self.primary.cli("WAIT", "1", "100") == "1"
        )

    def remove(self) -> None:
        """End all."""
        for each in (*self.sentinels, self.replica, self.primary):
            each.remove()
