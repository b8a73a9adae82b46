"""Which requests open a session, which belong to one, and what the others are told: Engine.IO's side of the server.

A request is checked against Engine.IO's table, then for its origin; one that wants a session is counted, then shown to the
application (`allow_request`), and gets an id. Only then is there a session: until it is let in, a client costs no memory.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from inspect import isawaitable
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import PeerError, UsageError
from clarion.ids import Ids
from clarion.protocol import engineio
from clarion.protocol.codes import EngineError
from clarion.realtime.admission import Admission
from clarion.realtime.cookie import Cookie
from clarion.realtime.engine import Engine
from clarion.realtime.handshake import Handshake, make_handshake
from clarion.realtime.origins import Cors, Origins
from clarion.realtime.transports.asgi import Begin
from clarion.realtime.transports.base import Transport
from clarion.realtime.transports.head import Headers, Networks, Refused, Upgrade
from clarion.realtime.transports.places import Polling
from clarion.realtime.transports.polling import PollingSession
from clarion.realtime.transports.request import Request
from clarion.settings import Limits, Realtime
from clarion.telemetry import get_logger, handshakes, limit_exceeded

log = get_logger(__name__)

AllowRequest: TypeAlias = Callable[[Request], Awaitable[bool | None] | bool | None]
"""Judges a request for a new session. False, or a PeerError with words of its own, refuses it; anything else that it raises is a bug."""

GenerateId: TypeAlias = Callable[[Request], Awaitable[str] | str]
"""Makes the id of a new session; it must be hard to guess, since whoever knows it can speak for the client."""

AnswerHeaders: TypeAlias = dict[str, str | list[str]]
"""What listeners of `headers` may change: names in lower case."""

DELAYED: Final = 1_000  # refusals that may wait to be told; more are told at once

# A made-up id stands in URLs, cookies and log lines. Six characters are still guessed; this only keeps out what is no id at all.
_ID: Final = re.compile(r"[A-Za-z0-9_-]{6,128}")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class RefusedRequest(Struct, frozen=True):
    """What listeners of `io.engine.on("connection_error")` get."""

    req: Request
    code: int
    """Of the table of Engine.IO's errors."""
    message: str
    context: Mapping[str, str | int]
    """What it was about, such as `{"sid": …}`."""


class Known(PollingSession, Protocol):
    """A session, as a request needs it."""

    @property
    def expects(self) -> engineio.Transport | None:
        """The transport that requests with its id must name; None once it has ended."""
        ...

    def probe(self, transport: Transport) -> bool:
        """A WebSocket with its id has opened; False: it must be closed."""
        ...


S = TypeVar("S", bound=Known)

Open: TypeAlias = Callable[[str, Transport, Handshake], S]
"""Makes the session of an id on a transport."""


class Entrance(Generic[S]):
    """The door of a server.

    Args:
        open_session: Called with the id, the transport and what the client said, once it is let in.
        settings: Which transports there are.
        limits: How many may come.
        ids: Makes ids, and chance.
        node: The 4 characters of this process.
        clock: Says when a session began.
        sessions: Those that are open, by id.
        now: The time that limits are measured with (s).
        engine: Whom to tell.
        cors: Which pages may come.
        exempt: Networks whose addresses are not counted.
        allow_request: The application's judge; None: there is none.
        generate_id: Makes ids in our place; the 4 characters of the node are put behind.
        cookie: Names the session in the first answer on polling; None: no cookie.
    """

    def __init__(
        self,
        open_session: Open[S],
        settings: Realtime,
        limits: Limits,
        *,
        ids: Ids,
        node: str,
        clock: Clock,
        sessions: Mapping[str, S],
        now: Callable[[], float],
        engine: Engine,
        cors: Cors,
        exempt: Networks = (),
        allow_request: AllowRequest | None = None,
        generate_id: GenerateId | None = None,
        cookie: Cookie | None = None,
    ) -> None:
        # Fixed at creation
        self._open, self._clock = open_session, clock
        self.origins = Origins(cors)
        self._transports = settings.transports
        self._limits, self._ids, self._node = limits, ids, node
        self._sessions, self._now, self._engine = sessions, now, engine
        self._allow_request, self._generate_id, self._cookie = allow_request, generate_id, cookie
        # Changes while open
        self.admission = Admission(limits, ids, exempt)
        self._asking = self._delayed = 0
        self._has_met_old = False  # a client of Socket.IO 2

    # ── what Engine.IO serves ──
    def check(self, request: Request) -> S | None:
        """The session that a request names; None: it wants a new one.

        Raises:
            engineio.Refused: What Engine.IO does not serve, and pages of foreign origins.
        """
        try:
            query = engineio.parse_query(request.raw_query)
            session = self._sessions.get(query.sid) if query.sid else None
            origin = request.header(b"origin")
            engineio.check_request(
                query,
                method=request.method,
                upgrade=request.is_upgrade,
                session=session.expects if session is not None else None,
                origin=origin.decode("latin-1"),
                transports=self._transports,
            )
            host = request.header(b"host")
            if not self.origins.allows(origin, host, is_secure=request.is_secure):
                context = {"name": "FOREIGN_ORIGIN", "origin": origin.decode("latin-1")}
                raise engineio.Refused(EngineError.FORBIDDEN, **context)
        except engineio.Refused as why:
            self._tell(request, why)
            raise
        return session

    async def delay(self, request: Request) -> None:
        """Wait before a refusal is told, where an address has had too many: who tries for ever shall try slowly."""
        seconds = self.admission.delay_s(self._now(), request.address)
        if seconds:
            limit_exceeded.labels("refusals_per_address").inc()
        if seconds and self._delayed < DELAYED:
            self._delayed += 1
            try:
                await asyncio.sleep(seconds)
            finally:
                self._delayed -= 1

    # ── new sessions ──
    def begin(self, upgrade: Upgrade) -> Begin | Awaitable[Begin]:
        """Decide about a request for a WebSocket, whatever will carry it: at once, or awaited where the application is asked.

        Returns:
            What to call with the transport once it is open.

        Raises:
            Refused: 400 for what Engine.IO does not serve, 403 for a foreign page or by `allow_request`, 503 and 429 for limits.
        """
        request = Request.of_upgrade(upgrade)
        try:
            session = self.check(request)
            sid = "" if session is not None else self.let_in(request)
        except engineio.Refused as why:
            raise _bare(why) from why
        if session is not None:
            upgrade.answer.extend(self._headers(request))
            return _probing(session)
        if isinstance(sid, str):
            return self._beginning(upgrade, request, sid)
        return self._begin_later(upgrade, request, sid)

    async def _begin_later(self, upgrade: Upgrade, request: Request, sid: Awaitable[str]) -> Begin:
        try:
            return self._beginning(upgrade, request, await sid)
        except engineio.Refused as why:
            raise _bare(why) from why

    def _beginning(self, upgrade: Upgrade, request: Request, sid: str) -> Begin:
        upgrade.answer.extend(self._headers(request, sid))
        handshake = make_handshake(request, self._clock.now_ms())
        # Another may have been given the same made-up id meanwhile.
        return lambda transport: (
            None if sid in self._sessions else self._open(sid, transport, handshake)
        )

    async def open_polling(self, request: Request, polling: Polling) -> S:
        """Begin a session on polling; raises as `let_in`."""
        waiting = self.let_in(request)
        sid = waiting if isinstance(waiting, str) else await waiting
        return self._open(sid, polling, make_handshake(request, self._clock.now_ms()))

    def let_in(self, request: Request) -> str | Awaitable[str]:
        """The id of a new session: at once, or awaited where the application is asked.

        Raises:
            Refused: 503 or 429 where there are too many.
            engineio.Refused: Code 4 where the application refuses, 3 where its function fails.
        """
        self.count(request.address)
        if self._allow_request is None and self._generate_id is None:
            return self._ids.session_id(self._node)
        return self._ask(request)

    def count(self, address: str = "") -> None:
        """Take a new session into account.

        Raises:
            Refused: 503 or 429 where there are too many.
        """
        try:
            self.admission.check(self._now(), len(self._sessions), address)
        except Refused:
            _overloaded.inc()
            raise

    async def _ask(self, request: Request) -> str:
        if self._asking >= self._limits.pending_handshakes:
            _overloaded.inc()
            raise Refused(503, "too many new sessions wait", limit="pending_handshakes")
        self._asking += 1
        try:
            async with asyncio.timeout(self._limits.handshake_s):
                sid = await self._judged(request)
        except TimeoutError as exc:
            raise Refused(503, "no decision in time", limit="handshake_s") from exc
        except engineio.Refused as why:
            self._tell(request, why)
            raise
        finally:
            self._asking -= 1
        # Others may have come meanwhile, or the end.
        self.admission.check_room(len(self._sessions), request.address)
        return sid

    async def _judged(self, request: Request) -> str:
        try:
            if self._allow_request is not None:
                verdict = self._allow_request(request)
                if (await verdict if isawaitable(verdict) else verdict) is False:
                    raise engineio.Refused(EngineError.FORBIDDEN)
            return await self._made_up(request)
        except engineio.Refused:
            raise
        except PeerError as exc:
            why = engineio.Refused(EngineError.FORBIDDEN, exc.message, message=exc.message)
            raise why from exc
        except Exception as exc:
            log.exception("allow_request or generate_id failed")
            raise engineio.Refused(EngineError.BAD_REQUEST, name="MIDDLEWARE_FAILURE") from exc

    async def _made_up(self, request: Request) -> str:
        if self._generate_id is None:
            return self._ids.session_id(self._node)
        made = self._generate_id(request)
        sid = await made if isawaitable(made) else made
        if not isinstance(sid, str) or not _ID.fullmatch(sid):
            raise UsageError("generate_id must return 6 to 128 characters of A-Z a-z 0-9 _ -")
        if sid + self._node in self._sessions:
            raise UsageError("generate_id returned the id of a session that is open")
        return sid + self._node

    # ── what answers say besides ──
    def cors(self, request: Request) -> Headers:
        """Headers that let a page of an allowed origin read the answer."""
        return self.origins.headers(request.header(b"origin"))

    def preflight(self, request: Request) -> Headers:
        """Headers that let a page of an allowed origin ask."""
        return self.origins.preflight(request.raw_headers)

    def headers(self, request: Request, new_sid: str = "") -> Headers:
        """Further headers of an answer that is no refusal; listeners of `initial_headers` and `headers` may have changed them.

        Args:
            request: What is answered.
            new_sid: The session that begins with this answer; empty: none does.
        """
        return [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in self._headers(request, new_sid)
        ]

    def _headers(self, request: Request, new_sid: str = "") -> list[tuple[str, str]]:
        found: AnswerHeaders = {}
        if new_sid and self._cookie is not None and not request.is_upgrade:
            found["set-cookie"] = [self._cookie.header(new_sid)]
        if self._engine.is_heard:
            if new_sid:
                self._engine.tell("initial_headers", found, request)
            self._engine.tell("headers", found, request)
        return list(_lines(found)) if found else []

    def _tell(self, request: Request, why: engineio.Refused) -> None:
        _refused.inc()
        if why.error is EngineError.UNSUPPORTED_PROTOCOL_VERSION and not self._has_met_old:
            # Such a client tells its user of a failed request, and nothing more. Once: anybody can send it.
            self._has_met_old = True
            told_once = (
                "a client of Socket.IO 2 was refused: update it to socket.io-client 3 or later"
            )
            log.warning(told_once, address=request.address)
        if self._engine.is_heard:
            # Its own words of a refusal are in the context, as in Node.
            message, code = why.error.message, why.error.value
            told = RefusedRequest(request, code, message, why.context)
            self._engine.tell("connection_error", told)


def _probing(session: Known) -> Begin:
    """Lets a WebSocket try to take a session over."""
    return lambda transport: session if session.probe(transport) else None


def _bare(why: engineio.Refused) -> Refused:
    """A refusal as an upgrade is answered: the message alone, and 400 for all but what is forbidden."""
    status = 403 if why.error is EngineError.FORBIDDEN else 400
    return Refused(status, why.bare(), "text/html")


def _lines(headers: AnswerHeaders) -> Iterator[tuple[str, str]]:
    """As they go over the wire. What would end a header early is left out: a listener may have put in what a client said."""
    for name, values in headers.items():
        for value in values if isinstance(values, list) else [values]:
            if _HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value):
                yield name, value
            else:
                log.error("a listener's header can't be sent", name=name[:100])


_refused = handshakes.labels("refused")
_overloaded = handshakes.labels("overloaded")
