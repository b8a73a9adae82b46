"""Where we differ from the official server on purpose, and why."""

from typing import Any

from tests.conformance.socketio.exchanges.stage import LINES, Said, captured

NO_CODE = {"close": 1005, "reason": ""}
HELLO = '0{"sid":"<sid>","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100}'
ERROR = {"content-type": "text/html"}
BAD_BODY = {"status": 400, "headers": {}, "body": ""}, "a body that breaks the rules is no success"
ONE_NOTICE = {"body": "1"}, "`1` alone says it: a poll that is answered anyway needs no noop"
BEFORE_101 = "refused before the 101: an answer that HTTP clients understand"


def before_101(message: str, **more: Any) -> tuple[Said, str]:
    return {"status": 400, "headers": ERROR, "body": message, "frames": None, **more}, BEFORE_101


def foreign(origin: str) -> tuple[Said, str]:
    errors = [(4, "Forbidden", {"name": "FOREIGN_ORIGIN", "origin": origin})]
    body = '{"code":4,"message":"Forbidden"}'
    said = {"status": 403, "headers": {}, "body": body, "errors": errors}
    return said, "foreign pages are refused; CORS alone refuses nothing"


DIFFERENT: dict[str, tuple[Said, str]] = {
    "put-existing": ({"status": 405}, "500 is for mistakes of ours; `Allow` says what is offered"),
    "post-empty": BAD_BODY,
    "post-junk": BAD_BODY,
    "after-sio-invalid": ONE_NOTICE,
    "after-event-before-connect": ONE_NOTICE,
    "after-double-connect": (
        {"body": '40{"sid":"<sid>"}\x1e1'},
        "one of the two sockets would be nobody's: the second CONNECT closes",
    ),
    "cors-other-origin": foreign("https://evil.example"),
    "cors-list-miss": foreign("https://c.example"),
    "ws-deflate-on": (
        {
            "headers": {
                "sec-websocket-extensions": "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
            }
        },
        "each message by itself: nothing is kept for a connection, and a broadcast is compressed once",
    ),
    "ws-polling-transport": before_101(
        "Bad request", errors=[(3, "Bad request", {"name": "TRANSPORT_HANDSHAKE_ERROR"})]
    ),
    "ws-eio3": before_101("Unsupported protocol version"),
    "ws-no-eio": before_101("Unsupported protocol version"),
    "ws-bad-origin": ({"body": "bad request"}, "the refusal has a body"),
    "ws-forbidden": ({"status": 403}, "what it is called in HTTP, on either transport"),
    "allow-request-refused": ({"headers": {}}, "who names no origin may read every answer"),
    "ws-other-path": (
        {"status": 404, "body": "no WebSocket here"},
        "an answer at once, where Node is silent for a second and closes",
    ),
    "ws-cookie": ({"headers": {}}, "CORS means nothing to a WebSocket"),
    "middleware-error": (
        {
            "received": [
                '44{"message":"no","data":{"code":"connect_refused","message":"no","data":{"code":1}}}'
            ]
        },
        "`data` always has `code` and `message`; facts of the application stand beside them",
    ),
    "ws-close-packet": (
        {"received": [HELLO, NO_CODE], "still_open": False},
        "nothing can come after `1`: closed at once",
    ),
    "ws-disconnect-then-event": (
        {"received": [HELLO, '40{"sid":"<sid>"}'], "still_open": True},
        "it was sent in good faith, before the client knew",
    ),
}
# Close codes say why; Node sends none.
CODES = {"connect-timeout": 3502, "server-close": 3001, "disconnect-close": 1000}
# Ours besides, on answers that Node leaves to chance: no cache may keep them, and a body says what it is.
MORE_HEADERS = {"cache-control", "content-type", "access-control-max-age", "vary"}


def expected(name: str) -> Said:
    theirs = captured(LINES[name]) | DIFFERENT.get(name, ({}, ""))[0]
    if name in CODES:
        theirs["received"][-1] = {"close": CODES[name], "reason": ""}
    return {key: value for key, value in theirs.items() if value is not None}


def is_same(said: Said, wanted: Said) -> bool:
    """Whether all that was wanted was said, and no more than a header."""
    ours, theirs = dict(said.pop("headers", {})), dict(wanted.pop("headers", {}))
    more = {key: ours.pop(key) for key in ours.keys() - theirs.keys()}
    return said == wanted and ours == theirs and more.keys() <= MORE_HEADERS
