"""What surrounds every answer: a request id, security headers, metrics, and the last net under all doors.

From the outside in: `Envelope` (id, headers, metrics), mounted applications, CORS, `Doors` (bugs become 500, a success without an authorised mark
does, too). So every answer that a page may read carries CORS headers, whatever went wrong.
"""

import re
from typing import Final
from urllib.parse import unquote

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clarion.api.guards import AUTHORISED
from clarion.api.layer import TEMPLATE
from clarion.api.problem import ProblemResponse
from clarion.api.reading import MARKED_SLASH
from clarion.clock import Clock
from clarion.errors import Internal, NotFound
from clarion.ids import Ids
from clarion.telemetry import get_logger, http_requests, http_seconds

_log = get_logger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
REQUEST_ID_BYTES: Final = 12

# Of answers that are not pages: nothing in them may ever run or load, should a browser be made to show one.
_BARE_POLICY: Final = b"default-src 'none'; frame-ancestors 'none'"
_SECURITY: Final = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"content-security-policy": _BARE_POLICY,
}

# Labels have few values: methods that we know, routes by template, all else under one name.
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Envelope:
    """The outermost part of the application.

    Args:
        app: What it surrounds.
        clock: For the time that an answer took.
        ids: For the id of a request that brings none.
    """

    def __init__(self, app: ASGIApp, *, clock: Clock, ids: Ids) -> None:
        self._app = app
        self._clock = clock
        self._ids = ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} here: only requests are served")
        started, status = self._clock.monotonic(), 0
        request_id = _given_id(scope) or self._ids.token(REQUEST_ID_BYTES)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": _with_ours(message["headers"], request_id)}
            await send(message)

        # To the end of the task, which is this request's own.
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._app(scope, receive, sending)
        finally:
            # 499, as nginx counts it: the caller was gone before there was an answer.
            self._measure(scope, status or 499, started)

    def _measure(self, scope: Scope, status: int, started: float) -> None:
        route = scope.get(TEMPLATE, "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        http_requests.labels(route, method, str(status)).inc()
        http_seconds.labels(route).observe(self._clock.monotonic() - started)


def _given_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text: str = value.decode("latin-1")
            return text if REQUEST_ID.fullmatch(text) else None
    return None


def _with_ours(headers: list[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    present = {name.lower() for name, _ in headers}
    more = [(name, value) for name, value in _SECURITY.items() if name not in present]
    return [*headers, *more, (b"x-request-id", request_id.encode())]


class Doors:
    """The last net: an exception becomes a 500 whose story is in the log alone, and nobody gets through unchecked.

    Args:
        app: The router.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        has_begun = is_refused = False

        async def sending(message: Message) -> None:
            nonlocal has_begun, is_refused
            if message["type"] == "http.response.start":
                if _is_unchecked(scope, message["status"]):
                    is_refused = True
                has_begun = not is_refused
            if not is_refused:
                await send(message)

        try:
            if not scope["path"].isprintable():
                raise NotFound()  # nothing here has such a name, and `$` in a pattern would ignore a last line feed
            _mark_slashes(scope)
            await self._app(scope, receive, sending)
        except NotFound as error:
            await ProblemResponse(error)(scope, receive, send)
            return
        except Exception:
            _log.exception("request failed", method=scope["method"], route=scope.get(TEMPLATE))
            if has_begun:
                raise  # half an answer is out: only the end of the connection says that it is not whole
            await ProblemResponse(Internal())(scope, receive, send)
            return
        if is_refused:
            _log.error("answer withheld: no right was checked", route=scope.get(TEMPLATE))
            await ProblemResponse(Internal())(scope, receive, send)


def _mark_slashes(scope: Scope) -> None:
    """RFC 3986 §2.2: a slash that is written `%2F` is part of a name. Decoded as it is, `a%2Foccupancy` would be taken for a path."""
    raw = scope.get("raw_path") or b""
    if b"%2f" in raw.lower():
        scope["path"] = unquote(_SLASH.sub(MARKED_SLASH, raw.decode("latin-1")))


_SLASH = re.compile("%2f", re.IGNORECASE)


def _is_unchecked(scope: Scope, status: int) -> bool:
    return status < 400 and scope["method"] != "OPTIONS" and not scope.get(AUTHORISED)


async def nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers where no route matches."""
    await ProblemResponse(NotFound("there is nothing at this address"))(scope, receive, send)
