"""What a page is shown: values cut down to what it can show, and without what lets somebody in.

Pure: values in, plain values out. What the page gets is bounded, whatever an application keeps or sends.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from clarion.protocol.jsontext import MAX_SAFE_INTEGER
from clarion.realtime.handshake import Handshake
from clarion.realtime.socket import Socket

MOST_VALUES: Final = 200  # of one payload or of one socket's data
MOST_CHARACTERS: Final = 1_000  # of one text
DEEPEST: Final = 8

CLIENT_ID: Final = (
    12  # characters of a session's id: enough to tell clients apart, too few to take a session over
)

_CREDENTIALS: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
_SECRET: Final = re.compile(r"token|secret|passw|auth|api[-_]?key|session|^sid$", re.IGNORECASE)
_HIDDEN: Final = "***"


def shown_socket(socket: Socket) -> dict[str, Any]:
    """A socket as the page knows it."""
    return {
        "id": socket.id,
        "clientId": socket.session_id[:CLIENT_ID],
        "transport": socket.transport,
        "nsp": socket.namespace,
        "data": shown(socket.data),
        "handshake": _shown_handshake(socket.handshake),
        "rooms": list(socket.rooms),
    }


def _shown_handshake(handshake: Handshake) -> dict[str, Any]:
    query = {
        name: _HIDDEN if _SECRET.search(name) else value for name, value in handshake.query.items()
    }
    path = handshake.url.partition("?")[0]
    headers = handshake.headers
    return {
        "address": handshake.address,
        "headers": {name: headers[name] for name in headers if name not in _CREDENTIALS},
        "query": query,
        "issued": handshake.issued,
        "secure": handshake.secure,
        "time": handshake.time,
        "url": f"{path}?{urlencode(query, safe='*')}" if query else path,
        "xdomain": handshake.xdomain,
    }


def shown(value: Any) -> Any:
    """A value as JSON that a page can show: cut where it is large, named where it is nothing that JSON has."""
    return _Cut().value(value, DEEPEST)


class _Cut:
    """Counts what one value has shown."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def value(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return value if len(value) <= MOST_CHARACTERS else value[:MOST_CHARACTERS] + "…"
        if isinstance(value, int):
            return value if abs(value) <= MAX_SAFE_INTEGER else str(value)[:MOST_CHARACTERS]
        if isinstance(value, float):
            return value if value - value == 0.0 else str(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return f"<{len(value)} bytes>"
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC)
        return self._nested(value, depth)

    def _nested(self, value: Any, depth: int) -> Any:
        if not isinstance(value, Mapping | list | tuple):
            return f"<{type(value).__name__}>"
        if depth == 0:
            return "…"
        if isinstance(value, Mapping):
            return dict(self._items(value, depth))
        out: list[Any] = []
        for item in value:
            if self._left <= 0:
                out.append(f"… {len(value) - len(out)} more")
                break
            out.append(self.value(item, depth - 1))
        return out

    def _items(self, value: Mapping[Any, Any], depth: int) -> Any:
        for number, (key, item) in enumerate(value.items()):
            if self._left <= 0:
                yield "…", f"{len(value) - number} more"
                return
            yield str(key)[:MOST_CHARACTERS], self.value(item, depth - 1)
