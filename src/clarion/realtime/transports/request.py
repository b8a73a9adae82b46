"""A request as the application's hooks see it, whichever way it came."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from msgspec import Struct

from clarion.realtime.transports.head import Headers, Upgrade, joined


class Request(Struct, frozen=True):
    """A request of the Socket.IO path: polling, or for a WebSocket."""

    method: str
    target: bytes
    """Path and query, as they came."""
    raw_headers: Headers
    address: str
    """The client's, as a trusted proxy told it where there is one; empty if it is not known."""
    is_secure: bool
    """Whether the client's side speaks TLS, as far as we or a trusted proxy can tell."""
    is_upgrade: bool
    """Whether it asks for a WebSocket."""

    @classmethod
    def of_scope(cls, scope: Mapping[str, Any]) -> "Request":
        """Of an ASGI scope of type `http`."""
        path = scope.get("raw_path") or scope["path"].encode("latin-1", "replace")
        client = scope.get("client")
        return cls(
            scope["method"],
            path + b"?" + scope["query_string"],
            scope["headers"],
            client[0] if client else "",
            scope.get("scheme") == "https",
            is_upgrade=False,
        )

    @classmethod
    def of_upgrade(cls, upgrade: Upgrade) -> "Request":
        """Of a request for a WebSocket."""
        address = upgrade.client[0] if upgrade.client is not None else ""
        return cls("GET", upgrade.target, upgrade.headers, address, upgrade.is_secure, True)

    @property
    def url(self) -> str:
        """Path and query."""
        return self.target.decode("latin-1")

    @property
    def path(self) -> str:
        """Without the query."""
        return self.url.partition("?")[0]

    @property
    def raw_query(self) -> str:
        """What follows the question mark."""
        return self.url.partition("?")[2]

    @property
    def query(self) -> dict[str, str]:
        """Keys and values; of several values of a key the last. Made anew at each use."""
        return dict(parse_qsl(self.raw_query, keep_blank_values=True))

    @property
    def headers(self) -> dict[str, str]:
        """Names in lower case; several of a name joined by commas. Made anew at each use."""
        found: dict[str, str] = {}
        for raw, value in self.raw_headers:
            name, text = raw.decode("latin-1"), value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if name in found else text
        return found

    def header(self, name: bytes) -> bytes:
        """One header, its name in lower case; `b""` where there is none."""
        return joined(self.raw_headers, name)
