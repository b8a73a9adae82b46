"""The polling transport: what the server sends waits for a GET, what the client sends comes by POST.

A session has one place for a GET and one for a POST. A second of either breaks the rules and ends the session; so does a GET that
its client gives up. A body that is too large is refused, and the session lives on. Source: Engine.IO protocol, revision 4.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol, TypeAlias

from clarion.protocol import engineio
from clarion.protocol.codes import Reason
from clarion.protocol.engineio import Transport as Kind
from clarion.realtime.transports.base import Prepared, Session
from clarion.realtime.transports.head import Headers, Refused, joined
from clarion.telemetry import limit_exceeded, spawn

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
CorsHeaders: TypeAlias = list[tuple[bytes, bytes]]

_TEXT: Final = b"text/plain; charset=UTF-8"
_JSON: Final = b"application/json"
_NO_STORE: Final = (b"cache-control", b"no-store")


class Polling:
    """The two places of one session."""

    __slots__ = ("_poll", "is_posting", "is_writable")

    kind: Final = Kind.POLLING
    direct: Final = None  # an answer is no frame

    def __init__(self) -> None:
        # Only while a GET is held. Invariant: is_writable  <=>  _poll is there and not answered.
        self._poll: asyncio.Future[str] | None = None
        self.is_writable = False
        # Only while a POST comes in
        self.is_posting = False

    @property
    def is_polled(self) -> bool:
        """Whether a GET is held, answered or about to be."""
        return self._poll is not None

    def hold(self) -> "asyncio.Future[str]":
        """Hold a GET; its answer's body will be in the future."""
        self._poll = asyncio.get_running_loop().create_future()
        self.is_writable = True
        return self._poll

    def release(self) -> None:
        """The GET is answered, or was given up."""
        self._poll, self.is_writable = None, False

    def write(self, item: Prepared, /) -> None:
        """Answer the GET with one."""
        self._answer(item.messages)

    def write_many(self, items: list[Prepared], /) -> int:
        """Answer the GET with all there is: a client comes back for each answer."""
        self._answer([message for item in items for message in item.messages])
        return len(items)

    def _answer(self, messages: list[str | bytes]) -> None:
        self.is_writable = False
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(engineio.encode_payload(messages))

    def buffered(self) -> int:
        """Nothing waits here: an answer is whole."""
        return 0

    def close(self, code: int | None, text: str) -> None:
        """Nothing to do: the session's last packet says it."""


class PollingSession(Session, Protocol):
    """What a session does for polling besides."""

    @property
    def transport(self) -> Any:
        """Where its messages go now."""
        ...

    @property
    def expects(self) -> Kind | None:
        """The transport that requests with its id must name."""
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

    max_payload_bytes: int

    def find(self, sid: str) -> PollingSession | None:
        """The session of an id."""
        ...

    def check(
        self,
        query: engineio.Query,
        headers: Headers,
        *,
        method: str,
        is_upgrade: bool,
        is_secure: bool,
    ) -> None:
        """Raise `engineio.Refused` or `Refused` where the request is not to be served."""
        ...

    def open_polling(self, scope: Scope, polling: Polling) -> PollingSession:
        """Begin a session, or raise `Refused`."""
        ...

    def cors(self, headers: Headers) -> CorsHeaders:
        """Headers that let a page read the answer."""
        ...


class PollingEndpoint:
    """ASGI application for requests of the Socket.IO path that are no upgrades."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        answer = _Answer(send, self._door.cors(scope["headers"]))
        try:
            await self._serve(scope, receive, answer)
        except engineio.Refused as why:
            await answer(why.error.status, why.body(), _JSON)
        except Refused as why:
            if why.limit:
                limit_exceeded.labels(why.limit).inc()
            more = (
                [] if why.retry_after_s is None else [(b"retry-after", b"%d" % why.retry_after_s)]
            )
            await answer(why.status, why.body, why.content_type.encode(), more)

    async def _serve(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        method: str = scope["method"]
        query = engineio.parse_query(scope["query_string"].decode("latin-1"))
        if method == "OPTIONS" and answer.cors:
            await answer.preflight(scope["headers"])
            return
        is_secure = scope["scheme"] == "https"
        headers = scope["headers"]
        self._door.check(query, headers, method=method, is_upgrade=False, is_secure=is_secure)
        if not query.sid:
            await self._begin(scope, answer)
            return
        session = self._door.find(query.sid)
        assert session is not None, "check refuses unknown ids"
        polling: Polling = session.transport
        if method == "GET":
            await self._get(session, polling, receive, answer)
        elif method == "POST":
            await self._post(session, polling, scope, receive, answer)
        else:
            await answer(405, b"", _TEXT, [(b"allow", b"GET, POST")])

    async def _begin(self, scope: Scope, answer: "_Answer") -> None:
        polling = Polling()
        poll = polling.hold()
        self._door.open_polling(scope, polling)
        body = await poll  # the open packet, which is on its way
        polling.release()
        await answer(200, body.encode(), _TEXT)

    async def _get(
        self, session: PollingSession, polling: Polling, receive: Receive, answer: "_Answer"
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
            await answer(200, poll.result().encode(), _TEXT)
        else:
            session.lost(polling)

    async def _post(
        self,
        session: PollingSession,
        polling: Polling,
        scope: Scope,
        receive: Receive,
        answer: "_Answer",
    ) -> None:
        content_type = joined(scope["headers"], b"content-type")
        # CVE-2026-59725: revision 4 has no binary bodies, and the request must be answered all the same.
        if polling.is_posting or content_type.lower().startswith(b"application/octet-stream"):
            session.lost(polling, Reason.TRANSPORT_ERROR)
            await answer(400)
            return
        polling.is_posting = True
        try:
            body = await self._body(scope, receive)
        finally:
            polling.is_posting = False
        if body is None:
            session.lost(polling, Reason.TRANSPORT_ERROR)
        elif session.receive_payload(body, polling):
            await answer(200, b"ok", b"text/html")
        else:
            await answer(400)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The request's body; None if it never came. Raises Refused for a large one."""
        limit = self._door.max_payload_bytes
        too_large = Refused(413, limit="max_payload_bytes")
        length = joined(scope["headers"], b"content-length")
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

    def __init__(self, send: Send, cors: CorsHeaders) -> None:
        self._send, self.cors = send, cors

    async def __call__(
        self,
        status: int,
        body: bytes = b"",
        content_type: bytes = _TEXT,
        more: CorsHeaders | None = None,
    ) -> None:
        headers = [
            (b"content-type", content_type),
            (b"content-length", b"%d" % len(body)),
            _NO_STORE,
            *self.cors,
            *(more or ()),
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def preflight(self, asked: Headers) -> None:
        """Let a browser send what its page wants to send."""
        wanted = joined(asked, b"access-control-request-headers")
        more = [
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-max-age", b"600"),
        ]
        if wanted:
            more.append((b"access-control-allow-headers", wanted))
        await self(204, more=more)
