"""The polling transport's endpoint: a GET is held until there is something to send, a POST brings what the client sends.

A second of either breaks the rules and ends the session (see `places`); so does a GET that its client gives up. A body that is too
large is refused, and the session lives on. Source: Engine.IO protocol, revision 4.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol, TypeAlias

from clarion.protocol import engineio
from clarion.protocol.codes import Reason
from clarion.realtime.transports.base import Session
from clarion.realtime.transports.encoding import compressed
from clarion.realtime.transports.head import Headers, Refused
from clarion.realtime.transports.places import Payload, Polling
from clarion.realtime.transports.request import Request
from clarion.telemetry import limit_exceeded, spawn

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_TEXT: Final = b"text/plain; charset=UTF-8"
_JSON: Final = b"application/json"
_NO_STORE: Final = (b"cache-control", b"no-store")


class PollingSession(Session, Protocol):
    """What a session does for polling besides."""

    @property
    def id(self) -> str:
        """Names it in the query of each request."""
        ...

    @property
    def transport(self) -> Any:
        """Where its messages go now."""
        ...

    def receive_payload(self, body: bytes, via: Any) -> bool:
        """A body came in; False if it was wrong."""
        ...

    def polled(self, via: Any) -> None:
        """A GET is held."""
        ...

    def lost(self, via: Any, reason: Reason = ...) -> None:
        """Its rules were broken, or its client is gone."""
        ...


class Door(Protocol):
    """The server, as polling needs it."""

    def check(self, request: Request) -> PollingSession | None:
        """The session that a request names, None: it wants a new one; raises `engineio.Refused`."""
        ...

    async def delay(self, request: Request) -> None:
        """Wait before a refusal is told."""
        ...

    async def open_polling(self, request: Request, polling: Polling) -> PollingSession:
        """Begin a session, or raise `Refused` or `engineio.Refused`."""
        ...

    def cors(self, request: Request) -> Headers:
        """Headers that let a page read the answer."""
        ...

    def preflight(self, request: Request) -> Headers:
        """Headers that let a page ask."""
        ...

    def headers(self, request: Request, new_sid: str = "") -> Headers:
        """Further headers of an answer that is no refusal."""
        ...


class PollingEndpoint:
    """Serves requests of the Socket.IO path that are no upgrades.

    Args:
        door: The server.
        max_payload_bytes: Of a body.
        compress_from: Answers of so many bytes are compressed; None: none is.
    """

    def __init__(self, door: Door, max_payload_bytes: int, compress_from: int | None) -> None:
        self._door = door
        self._max_payload_bytes, self._compress_from = max_payload_bytes, compress_from

    async def __call__(self, request: Request, receive: Receive, send: Send) -> None:
        """Serve one; `receive` and `send` are ASGI's."""
        answer = _Answer(send, self._door.cors(request))
        try:
            await self._serve(request, receive, answer)
        except engineio.Refused as why:
            await self._door.delay(request)
            await answer(why.error.status, why.body(), _JSON)
        except Refused as why:
            if why.limit:
                limit_exceeded.labels(why.limit).inc()
            more = (
                [] if why.retry_after_s is None else [(b"retry-after", b"%d" % why.retry_after_s)]
            )
            await answer(why.status, why.body, why.content_type.encode(), more)

    async def _serve(self, request: Request, receive: Receive, answer: "_Answer") -> None:
        if request.method == "OPTIONS" and answer.cors:
            await answer(204, more=self._door.preflight(request))
            return
        session = self._door.check(request)
        if session is None:
            await self._begin(request, answer)
            return
        polling: Polling = session.transport
        if request.method == "GET":
            await self._get(session, polling, request, receive, answer)
        elif request.method == "POST":
            await self._post(session, polling, request, receive, answer)
        else:
            await answer(405, b"", _TEXT, [(b"allow", b"GET, POST")])

    async def _begin(self, request: Request, answer: "_Answer") -> None:
        polling = Polling()
        poll = polling.hold()
        session = await self._door.open_polling(request, polling)
        payload = await poll  # the open packet, which is on its way
        polling.release()
        await answer(
            200, payload.body.encode(), _TEXT, self._door.headers(request, new_sid=session.id)
        )

    async def _get(
        self,
        session: PollingSession,
        polling: Polling,
        request: Request,
        receive: Receive,
        answer: "_Answer",
    ) -> None:
        if polling.is_polled:
            session.lost(polling, Reason.TRANSPORT_ERROR)
            await answer(400)
            return
        poll = polling.hold()
        session.polled(polling)
        if not poll.done():
            gone = spawn(_gone(receive), name="wait for a poll to be given up")
            try:
                await asyncio.wait({poll, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
        polling.release()
        if poll.done():
            await self._deliver(poll.result(), request, answer)
        else:
            session.lost(polling)

    async def _deliver(self, payload: Payload, request: Request, answer: "_Answer") -> None:
        body, more = payload.body.encode(), list(self._door.headers(request))
        if self._compress_from is not None and len(body) >= self._compress_from:
            more.append((b"vary", b"Accept-Encoding"))
            if payload.may_compress:
                body, encoding = await compressed(body, request.header(b"accept-encoding"))
                more += [(b"content-encoding", encoding)] if encoding else []
        await answer(200, body, _TEXT, more)

    async def _post(
        self,
        session: PollingSession,
        polling: Polling,
        request: Request,
        receive: Receive,
        answer: "_Answer",
    ) -> None:
        content_type = request.header(b"content-type")
        # CVE-2026-59725: revision 4 has no binary bodies, and the request must be answered all the same.
        if polling.is_posting or content_type.lower().startswith(b"application/octet-stream"):
            session.lost(polling, Reason.TRANSPORT_ERROR)
            await answer(400)
            return
        polling.is_posting, polling.held_s = True, 0.0
        try:
            body = await self._body(request, receive)
            is_good = body is not None and session.receive_payload(body, polling)
            if polling.held_s:
                await asyncio.sleep(polling.held_s)
        finally:
            polling.is_posting = False
        if body is None:
            session.lost(polling, Reason.TRANSPORT_ERROR)
        elif is_good:
            await answer(200, b"ok", b"text/html", self._door.headers(request))
        else:
            await answer(400)

    async def _body(self, request: Request, receive: Receive) -> bytes | None:
        """The request's body; None if it never came. Raises Refused for a large one."""
        limit = self._max_payload_bytes
        too_large = Refused(413, limit="max_payload_bytes")
        length = request.header(b"content-length")
        if length.isdigit() and (len(length) > 12 or int(length) > limit):
            raise too_large
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise too_large
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)


async def _gone(receive: Receive) -> None:
    """Return when the client has given up."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _Answer:
    """Answers one request."""

    def __init__(self, send: Send, cors: Headers) -> None:
        self._send, self.cors = send, cors

    async def __call__(
        self,
        status: int,
        body: bytes = b"",
        content_type: bytes = _TEXT,
        more: Headers = (),
    ) -> None:
        headers = [
            (b"content-type", content_type),
            (b"content-length", b"%d" % len(body)),
            _NO_STORE,
            *self.cors,
            *more,
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
