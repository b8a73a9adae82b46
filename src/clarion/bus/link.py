"""One connection to Redis: commands leave together, answers come back in their order.

Whatever is asked in one turn of the loop leaves in one write, so that many callers share a connection and none waits for another:
there is no pool. An answer belongs to the oldest question. A caller that gives up leaves its place in the row, so nobody ever gets
the answer to somebody else's question. A link lives once: when it breaks, or an answer is overdue, it is thrown away with all that waits.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis

from clarion.bus.address import Address, Node
from clarion.errors import Overloaded, Unavailable
from clarion.telemetry import limit_exceeded, redis_links_lost

DEADLINE_S: Final = 2.0
"""For how long (s) an answer, or a connection, is waited for."""
GRACE_S: Final = 0.02
"""Until an answer that is overdue is given up."""
IN_FLIGHT: Final = 10_000
"""Questions of one link that are not answered yet; beyond that callers are refused at once."""
UNSENT: Final = 64 << 20
"""Bytes of them that Redis does not take; likewise."""

Push = Callable[[list[Any]], None]
"""Takes what the server sends unasked: `[kind, channel, data]`."""


class Lost(Exception):
    """The link broke before the answer came. A value that is handed out in its place."""


class Link(asyncio.Protocol):
    """One connection. Answers may be exceptions (`hiredis.ReplyError`, `Lost`, `Overloaded`): they are values here, and nothing is raised.

    Args:
        node: Where it leads.
        deadline_s: After so long (s) without an answer that is due, the link is lost.
        on_push: Called with what comes unasked.
    """

    def __init__(self, node: Node, deadline_s: float, on_push: Push | None) -> None:
        # Fixed at creation
        self.node = node
        self._loop = asyncio.get_running_loop()
        self._deadline_s = deadline_s
        self._on_push = on_push
        self._reader = hiredis.Reader(notEnoughData=Ellipsis)
        self.lost: asyncio.Future[str] = self._loop.create_future()  # with the reason
        # What the server says it is, once it has let us in.
        self.mode = ""
        # Changes while open
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._asked: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._overdue: asyncio.Future[Any] | None = None
        self._why = "broken"

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be asked any more."""
        return self.lost.done()

    def ask(self, *parts: bytes | str | int) -> asyncio.Future[Any]:
        """Send a command; the future is its answer. `Overloaded`: too much waits already, nothing was sent. Raises `ValueError` for text that has lone surrogates."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if (refused := self._refusal()) is not None:
            future.set_result(refused)
            return future
        # Before it has a place in the row: what cannot be written has no answer, and must not get somebody else's.
        packed = hiredis.pack_command(parts)  # type: ignore[arg-type]  # the stub means: of any length
        now = self._loop.time()
        self._asked.append((future, now))
        if self._watch is None:
            self._watch = self._loop.call_at(now + self._deadline_s, self._check)
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(packed)
        return future

    def tell(self, *parts: bytes | str | int) -> None:
        """Send a command that is answered by pushes only: SUBSCRIBE and its kin."""
        if not self.lost.done():
            if not self._unsent:
                self._loop.call_soon(self._send)
            self._unsent.append(hiredis.pack_command(parts))  # type: ignore[arg-type]  # likewise

    def abort(self, why: str) -> None:
        """Throw the link away, with all that waits."""
        self._why = why
        if self._transport is not None:
            self._transport.abort()

    async def ended(self) -> None:
        """Return when it is lost. Whoever gives up waiting does nothing to it: awaited by itself, `lost` would be cancelled."""
        await asyncio.shield(self.lost)

    # ── asyncio.Protocol ──
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there."""
        # uvloop's transports are no subclasses.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand out answers and pushes."""
        reader = self._reader
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not Ellipsis:
                if type(reply) is hiredis.PushNotification:
                    if self._on_push is not None:
                        self._on_push(reply)
                    continue
                if not self._asked:  # an error of what was told
                    self.abort("refused")
                    return
                future, _ = self._asked.popleft()
                if not future.done():
                    future.set_result(reply)
        except hiredis.ProtocolError:
            self.abort("garbage")

    def connection_lost(self, exc: Exception | None) -> None:
        """Everything that waits learns that it is lost."""
        if self._watch is not None:
            self._watch.cancel()
        self._unsent.clear()
        redis_links_lost.labels(self._why).inc()
        self.lost.set_result(self._why)
        while self._asked:
            future, _ = self._asked.popleft()
            if not future.done():
                future.set_result(Lost())

    # ── within ──
    def _send(self) -> None:
        if self._unsent and self._transport is not None:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _refusal(self) -> Exception | None:
        if self.lost.done():
            return Lost()
        assert self._transport is not None
        if len(self._asked) < IN_FLIGHT and self._transport.get_write_buffer_size() < UNSENT:
            return None
        limit_exceeded.labels("redis_in_flight").inc()
        return Overloaded("Redis answers too slowly: too much waits for it", limit=IN_FLIGHT)

    def _check(self) -> None:
        """Answers come in order, so the oldest question tells whether any is overdue: one timer for all."""
        self._watch = None
        if not self._asked:
            return
        oldest, since = self._asked[0]
        due = since + self._deadline_s
        if due > self._loop.time():
            self._watch = self._loop.call_at(due, self._check)
        elif oldest is self._overdue:
            self.abort("deadline")
        else:
            # Where this process stood still, the answers are here and were not read yet.
            self._overdue = oldest
            self._watch = self._loop.call_later(GRACE_S, self._check)


async def dial(
    address: Address,
    node: Node,
    *,
    deadline_s: float = DEADLINE_S,
    on_push: Push | None = None,
    is_sentinel: bool = False,
) -> Link:
    """Connect to a server and introduce ourselves; to a Sentinel only if that is wanted.

    Raises:
        Unavailable: It cannot be reached, is too old (Redis 6 is needed, or Valkey), does not let us in, or is no primary where Sentinels have named one.
    """
    where = f"{node[0]}:{node[1]}" if node[1] else node[0]
    link: Link | None = None
    try:
        async with asyncio.timeout(deadline_s):
            link = await _connect(address, node, deadline_s, on_push)
            hello = await _introduce(link, address)
    except (OSError, TimeoutError) as exc:
        _drop(link)
        raise Unavailable(f"no answer from Redis at {where}") from exc
    except BaseException:
        _drop(link)
        raise
    if isinstance(hello, Exception):
        _drop(link)
        raise Unavailable(f"Redis at {where} does not let us in: {hello}")
    if not isinstance(hello, dict) or type(hello.get(b"mode")) is not bytes:
        _drop(link)
        raise Unavailable(f"what answers at {where} is no Redis: it does not say what it is")
    link.mode = hello[b"mode"].decode()
    if (link.mode == "sentinel") is not is_sentinel:
        _drop(link)
        what = "no Sentinel" if is_sentinel else "a Sentinel: redis_url must begin redis+sentinel:"
        raise Unavailable(f"Redis at {where} is {what}")
    if address.primary and not is_sentinel and hello.get(b"role") != b"master":
        _drop(link)
        raise Unavailable(f"Redis at {where} is no primary any more")
    return link


async def _connect(address: Address, node: Node, deadline_s: float, on_push: Push | None) -> Link:
    loop = asyncio.get_running_loop()

    def make() -> Link:
        return Link(node, deadline_s, on_push)

    if node[1] == 0:
        return (await loop.create_unix_connection(make, node[0]))[1]
    tls = ssl.create_default_context() if address.has_tls else None
    return (await loop.create_connection(make, *node, ssl=tls))[1]


async def _introduce(link: Link, address: Address) -> Any:
    login = ("AUTH", address.user or "default", address.password) if address.password else ()
    hello = await link.ask("HELLO", 3, *login, "SETNAME", "clarion")
    if not isinstance(hello, dict) or not address.db or hello.get(b"mode") == b"sentinel":
        return hello
    selected = await link.ask("SELECT", address.db)
    return selected if isinstance(selected, Exception) else hello


def _drop(link: Link | None) -> None:
    if link is not None:
        link.abort("refused")
