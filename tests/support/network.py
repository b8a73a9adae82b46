"""A Redis in a network namespace of its own, with an address for each of two nodes: the kernel drops what goes there, or what comes back.

Unlike a proxy's hole nobody's packets are acknowledged: the end of a connection gets lost as well, and the other side believes in it. It needs
root, `ip`, `nft` and `nsenter`, and a kernel that has what they ask for. The namespace ends with the processes in it.
"""

import os
import shutil
import subprocess

from tests.support.redis_server import RedisServer
from tests.support.server import until

PORT = 6379
_TOOLS = ("ip", "nft", "nsenter", "unshare")
_RULES = """table inet cut {{
  chain to {{
    type filter hook input priority 0; policy accept;
    {to}
  }}
  chain back {{
    type filter hook output priority 0; policy accept;
    {back}
  }}
}}
"""


def impossible() -> str:
    """Why there can be none here; '': there can."""
    if os.geteuid():
        return "only root makes network namespaces"
    if missing := [each for each in _TOOLS if shutil.which(each) is None]:
        return f"there is no {', '.join(missing)} (Debian: iproute2, nftables, util-linux)"
    tried = subprocess.run(
        ["unshare", "-n", "nft", "list", "ruleset"], capture_output=True, text=True, check=False
    )
    return f"the kernel refuses: {tried.stderr.strip()}" if tried.returncode else ""


class Network:
    """The namespace, its Redis, and the way there.

    Attributes:
        redis: Keeps what it has answered.
        urls: What `redis_url` would be, of each node.
    """

    def __init__(self) -> None:
        # At the end of its input, when this process is gone too, it ends.
        self._holder = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", "read _"], stdin=subprocess.PIPE
        )
        until(self._is_apart)
        within, pid = f"/proc/{self._holder.pid}/ns/net", self._holder.pid
        self._inside = ("nsenter", f"--net={within}")
        start = f"10.231.{pid % 256}."
        self._addresses = [f"{start}{last}" for last in (2, 3)]
        here, there = f"cl{pid}a", f"cl{pid}b"
        _run("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", str(pid))
        _run("ip", "address", "add", f"{start}1/29", "dev", here)
        _run("ip", "link", "set", here, "up")
        for each in self._addresses:
            _run(*self._inside, "ip", "address", "add", f"{each}/29", "dev", there)
        _run(*self._inside, "ip", "link", "set", there, "up")
        keeps = ("--appendonly", "yes", "--appendfsync", "always")
        listens = ("--port", str(PORT), "--bind", *self._addresses, "--protected-mode", "no")
        self.redis = RedisServer(*keeps, *listens, inside=self._inside)
        self.urls = [f"redis://{each}:{PORT}" for each in self._addresses]

    def _is_apart(self) -> bool:
        own, its = (os.readlink(f"/proc/{each}/ns/net") for each in ("self", self._holder.pid))
        return own != its

    def drop(self, *, to: bool, back: bool) -> None:
        """Of the first node lose what goes to Redis, or what comes back from there, or both."""
        first = self._addresses[0]
        rules = _RULES.format(
            to=f"ip daddr {first} drop" if to else "", back=f"ip saddr {first} drop" if back else ""
        )
        _run(*self._inside, "nft", "-f", "-", given=rules)

    def heal(self) -> None:
        """Lose nothing any more."""
        _run(*self._inside, "nft", "flush", "ruleset")

    def remove(self) -> None:
        """End all."""
        self.redis.remove()
        self._holder.communicate()


def _run(*command: str, given: str = "") -> None:
    subprocess.run(command, input=given, text=True, check=True, stdout=subprocess.DEVNULL)
