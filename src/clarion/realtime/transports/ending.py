"""How an HTTP connection ends: with an answer that its peer can read, or by becoming somebody else's."""

from abc import ABC, abstractmethod

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from clarion.realtime.transports.connections import Connections
from clarion.realtime.transports.head import Refused
from clarion.settings import Limits
from clarion.telemetry import get_logger, limit_exceeded

log = get_logger(__name__)

LINGER_S = 2.0  # time for the peer to read a refusal; a close with unread input is a reset, which destroys the answer


class Ending(HttpToolsProtocol, ABC):
    """uvicorn's protocol, with an end. `HttpProtocol` makes it, and sets what is fixed."""

    # Fixed at creation
    _all: Connections
    _limits: Limits
    # Changes while open; times are monotonic seconds, 0 or None where nothing runs
    _deadline: float | None = None
    _in_head = True
    _body_since = 0.0
    _discarding = False

    @property
    @abstractmethod
    def _is_beginning(self) -> bool:
        """Whether a part of a head is here."""

    @abstractmethod
    def sweep(self, now: float) -> None:
        """Once a second: end it if its peer is late."""

    def abort(self) -> None:
        """Cut it off at once."""
        self.transport.abort()

    def _refuse(self, why: Refused) -> None:
        """Answer so that the peer can read it: close our side, throw away what still comes, end after `LINGER_S`."""
        if self._discarding or self.transport.is_closing():
            return
        if why.limit:
            limit_exceeded.labels(why.limit).inc()
        log.debug("request refused", status=why.status, reason=str(why))
        self._discarding, self._deadline = True, self._all.now() + LINGER_S
        is_body, self._body_since = not self._in_head, 0.0
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not is_body:
                # An earlier request is being served: its answer goes out whole, then uvicorn closes.
                cycle.keep_alive, self._deadline = False, None
                return
            if cycle.response_started or self.pipeline:
                self.abort()  # in the middle of an answer nothing sane can follow
                return
            cycle.disconnected = (
                True  # the application reads a disconnect, and what it sends goes nowhere
            )
            cycle.message_event.set()
        self.transport.write(why.as_response())
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _let_go(self) -> None:
        """The connection is somebody else's."""
        self._all.discard(self)
        self.connections.discard(self)
        # The parser holds our methods: without this the two would live on as a cycle.
        self.parser = self.cycle = None  # type: ignore[assignment]
