"""HTTP on one connection: uvicorn's protocol with its open ends closed.

Each state of a connection has a deadline (head, body, idle, an answer that is not read), each thing the peer sends a size. What becomes
a WebSocket, or is another process' business, leaves (`leaving`); everything else is served by the ASGI application. docs/explanation/one-port.md tells the holes that this closes.
"""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

from clarion.realtime.transports.connections import Connections
from clarion.realtime.transports.elsewhere import Elsewhere
from clarion.realtime.transports.ending import LINGER_S
from clarion.realtime.transports.head import (
    Networks,
    Refused,
    check_head,
    check_header,
    has_body,
    original,
)
from clarion.realtime.transports.leaving import Admit, Leaving
from clarion.realtime.transports.relay import Signing, relayed_by
from clarion.telemetry import limit_exceeded

LOCAL = "clarion.local"
"""Key in `scope["extensions"]` of requests that came by the local socket."""

TINY_CHUNKS = (
    1024,
    64,
)  # so many chunks of fewer bytes on average are an attack on our time, not a body


class HttpProtocol(Leaving):
    """One connection, for as long as it speaks HTTP.

    Args:
        connections: Where it is counted and swept.
        endpoints: By path, who admits WebSockets there; a path that ends with a slash is meant with all below it.
        trusted: Proxies whose `X-Forwarded-*` headers are believed.
        elsewhere: Where requests for sessions of other processes go; None: there are no others.
        always: Paths that are answered even where there is no room for more connections, as probes are.
        signing: Checks what other hosts say of those who ask; None: there are none.
        arrived: What another process had read from the connection when it handed it over.
        config: uvicorn's.
        server_state: uvicorn's.
        app_state: uvicorn's.
        _loop: uvicorn's.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        connections: Connections,
        endpoints: Mapping[str, Admit],
        trusted: Networks,
        elsewhere: Elsewhere | None = None,
        always: Collection[bytes] = (),
        signing: Signing | None = None,
        arrived: bytes = b"",
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # Fixed at creation
        self._all, self._limits = connections, connections.limits
        self._endpoints, self._elsewhere = endpoints, elsewhere
        self._trusted, self._signing, self._always = trusted, signing, always
        self._is_too_many = False  # known once it is open
        # Changes while open; times are monotonic seconds, 0 where nothing runs
        self._unheard = 0  # bytes since the parser last told of something: it keeps a header that is not complete to itself
        self._body_bytes = self._chunks = self._trailer_bytes = 0
        self._stalled_since, self._stalled_with = 0.0, 0
        # Only until it is read
        self._arrived = arrived

    # ── life ──
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Count it, and refuse it where too many are open."""
        # Instead of uvicorn's own, which makes a socket object for each question: 10 us of 340 (measured).
        self.connections.add(self)
        self.transport, self.flow = transport, FlowControl(transport)
        own, peer = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        self._is_local = isinstance(own, str)  # the path of a Unix domain socket
        self.server = (own, None) if self._is_local else own and own[:2]
        self.client = peer[:2] if isinstance(peer, tuple) else None
        self.scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._all.add(self)
        self._all.watch(self)
        self._deadline = self._all.now() + self._limits.head_s
        # Who has come by the local socket is the operator, who may be needed now.
        if self._all.is_full and not self._is_local:
            # It keeps no descriptor from those who have one for longer than it takes to ask, and be refused.
            self._is_too_many, self._deadline = True, self._all.now() + LINGER_S
            if self._all.is_overrun:
                self._all.note_refusal()
                self.abort()
                return
        if self._arrived:
            self.loop.call_soon(self.data_received, b"")  # perhaps nothing more comes

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._all.discard(self)
        self._arrived = b""
        super().connection_lost(exc)

    def sweep(self, now: float) -> None:
        """Once a second: end it if its peer is late."""
        limits = self._limits
        if self._stalled_since:
            # Judged by its rate alone: a big answer may take long, and may outlast the deadline that follows it.
            taken = max(0, self._stalled_with - self.transport.get_write_buffer_size())
            if now > self._stalled_since + limits.stall_s + taken / limits.body_rate:
                limit_exceeded.labels("stall_s").inc()
                self.abort()
        elif self._is_late(now):
            if self._discarding or self.transport.is_closing():
                self.abort()
            elif self._deciding is not None:
                self._not_admitted(Refused(503, "no decision in time", limit="handshake_s"))
            elif self._body_since:
                self._refuse(Refused(408, "the body took too long", limit="body_s"))
            elif self._is_beginning:
                self._refuse(Refused(408, "the request took too long", limit="head_s"))
            else:
                self.transport.close()  # nothing was asked: nothing to answer

    @property
    def _is_beginning(self) -> bool:
        """Whether a part of a head is here."""
        return self._in_head and self._unheard > 0

    def _is_late(self, now: float) -> bool:
        if not self._body_since:
            return self._deadline is not None and now > self._deadline
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:
            self._body_since, self._body_bytes = now, 0  # the application is slow, not the peer
        grace = self._limits.body_s + self._body_bytes / self._limits.body_rate
        return now > self._body_since + grace

    # ── bytes ──
    def data_received(self, data: bytes) -> None:
        """Parse, or throw away where the connection is being refused."""
        if self._arrived:
            data, self._arrived = self._arrived + data, b""
        if self._discarding or not data:
            return
        self._unheard += len(data)
        try:
            self.parser.feed_data(data)
            if self._unheard > self._limits.head_bytes:
                raise Refused(431, "request head too large", limit="head_bytes")
            if self._owner:
                self._move(self._rest)
        except httptools.HttpParserUpgrade as upgrade:
            tail = data[upgrade.args[0] :]
            if self._owner:
                self._move(tail)
            else:
                self._upgraded(tail)
        except httptools.HttpParserCallbackError as exc:
            # An exception in one of the callbacks below; anything but a refusal is a target that does not parse.
            why = exc.__context__
            self._refuse(why if isinstance(why, Refused) else Refused(400, "bad request"))
        except httptools.HttpParserError:
            self._refuse(Refused(400, "bad request"))
        except Refused as why:
            self._refuse(why)

    def on_message_begin(self) -> None:
        """The first byte of a request; the connection's first deadline runs since it was made."""
        if self._owner:
            raise Refused(400, "a request behind one for another process")
        super().on_message_begin()
        # At least this one byte has come; how many more of what is parsed now belong to this head is told nowhere.
        self._in_head, self._unheard, self._trailer_bytes = True, 1, 0
        if self.cycle is not None:
            self._deadline = self._all.now() + self._limits.head_s

    def on_url(self, url: bytes) -> None:
        """The target, in pieces."""
        super().on_url(url)
        if len(self.url) > self._limits.head_bytes:
            raise Refused(414, "target too long", limit="head_bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; behind a chunked body a trailer, which nobody asked for."""
        if not self._in_head:
            self._trailer_bytes += len(name) + len(value) + 4
            if self._trailer_bytes > self._limits.head_bytes:
                raise Refused(431, "trailers too large", limit="head_bytes")
            return
        super().on_header(name, value)
        check_header(*self.headers[-1])
        if len(self.headers) > self._limits.headers:
            raise Refused(431, "too many headers", limit="headers")

    def on_headers_complete(self) -> None:
        """Judge the head, then let uvicorn start the application."""
        check_head(self.parser.get_http_version(), self.headers, self._limits)
        if self.parser.should_upgrade() and has_body(self.headers):
            raise Refused(
                400, "a body with an upgrade"
            )  # llhttp stops at the head and would skip it: smuggling
        if self._is_too_many and self.url.partition(b"?")[0] not in self._always:
            self._all.note_refusal()
            raise Refused(503, "too many connections", retry_after_s=5)
        self._identify()
        if self._elsewhere is not None and (owner := self._owner_of(self._elsewhere)):
            self._owner, self._rest, self._unheard = owner, b"", 0
            return
        self._in_head, self._unheard, self._deadline = False, 0, None
        self._body_since, self._body_bytes, self._chunks = self._all.now(), 0, 0
        super().on_headers_complete()
        # Who keeps it might use it in the moment in which it is closed. An upgrade has no cycle.
        if (self._is_too_many or self._all.is_stopping) and self.cycle is not None:
            self.cycle.keep_alive = False

    def _identify(self) -> None:
        """Tell the application who asks."""
        if self._is_local:
            self.scope["extensions"] = {LOCAL: {}}
        elif self._signing is not None and (said := relayed_by(self.headers)):
            method = self.parser.get_method()
            client, is_tls = self._signing.read(said, method, self.url)
            self._is_relayed = True
            self.scope["client"], self.scope["scheme"] = client, "https" if is_tls else "http"
        elif self._trusted:
            is_tls = self.scheme == "https"
            client, is_tls = original(self.client, is_tls, self.headers, self._trusted)
            self.scope["client"], self.scope["scheme"] = client, "https" if is_tls else "http"

    def on_chunk_header(self) -> None:
        """The head of a chunk, each of which costs the same however small it is."""
        self._unheard = 0
        self._chunks += 1
        most, least = TINY_CHUNKS
        if self._chunks >= most and self._body_bytes < self._chunks * least:
            raise Refused(400, "too many tiny chunks")

    def on_body(self, body: bytes) -> None:
        """A piece of the body; its whole size is the application's to judge, which reads it."""
        self._unheard = 0
        if self._owner:
            self._rest += body
            return
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of the body."""
        self._body_since, self._unheard = 0.0, 0
        if not self._owner:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is out; perhaps another request waits behind it."""
        super().on_response_complete()
        self._stays = False
        self._unset_keepalive_if_required()  # uvicorn's timer: the sweep has its work
        if self.cycle.response_complete:
            # Answered before the body was there: what remains of it gets its grace, not a rate.
            grace = self._limits.body_s if self._body_since else self._limits.keep_alive_s
            self._body_since, self._deadline = 0.0, self._all.now() + grace

    def pause_writing(self) -> None:
        """The peer is slower than the application."""
        self._stalled_since = self._all.now()
        self._stalled_with = self.transport.get_write_buffer_size()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._stalled_since = 0.0
        super().resume_writing()
