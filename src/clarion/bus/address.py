"""Where Redis is: a URL, taken apart."""

from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from msgspec import Struct

from clarion.errors import SettingsError

PORT: Final = 6379
SENTINEL_PORT: Final = 26379

Node = tuple[str, int]
"""Host and port of one server; of a Unix socket its path and 0."""


class Address(Struct, frozen=True):
    """What a URL says.

    Args:
        nodes: Where to begin; in a Cluster the others are found from there. With `primary` they are Sentinels.
        has_tls: Whether connections are encrypted, and the server's certificate checked.
        user: '': the default one.
        password: '': none.
        db: Its number; a Cluster has only 0.
        primary: What Sentinels call the server; '': there are none.
    """

    nodes: list[Node]
    has_tls: bool = False
    user: str = ""
    password: str = ""
    db: int = 0
    primary: str = ""


def parse(url: str) -> Address:
    """Take apart `redis://user:password@host:6379/0`, `rediss://…` (TLS) or `unix:///path?db=0`.

    Several hosts, `redis://one:7001,two:7001`, are places to begin at: the first that answers counts. Whether it is a Cluster, the server says.
    `redis+sentinel://one:26379,two:26379/0?primary=mymaster` (`rediss+sentinel`) names Sentinels, which know the server of that name; login and TLS are for all of them.

    Raises:
        SettingsError: It is nothing of that kind. The message names no password.
    """
    try:
        parts = urlsplit(url)
        login, _, hosts = parts.netloc.rpartition("@")
        user, _, password = login.partition(":")
        scheme, _, kind = parts.scheme.partition("+")
        primary = ""
        if parts.scheme == "unix":
            nodes = [(unquote(parts.path), 0)]
            db = int(parse_qs(parts.query).get("db", ["0"])[0])
        elif scheme in {"redis", "rediss"} and kind in {"", "sentinel"}:
            port = SENTINEL_PORT if kind else PORT
            nodes = [_node(host, port) for host in hosts.split(",")]
            if kind:
                primary = parse_qs(parts.query).get("primary", ["mymaster"])[0]
            db = int(parts.path.strip("/") or 0)
        else:
            raise ValueError
        if not all(name for name, _ in nodes) or db < 0:
            raise ValueError
    except ValueError:
        raise SettingsError(
            "redis_url must be like redis://user:password@host:6379/0, rediss://…, redis+sentinel://host:26379/0?primary=name or unix:///path"
        ) from None
    return Address(nodes, scheme == "rediss", unquote(user), unquote(password), db, primary)


def _node(text: str, port: int) -> Node:
    split = urlsplit(f"//{text}")
    return split.hostname or "", port if split.port is None else split.port
