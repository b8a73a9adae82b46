"""How a connection leaves HTTP: as a WebSocket, or to the process that has the session which a request names."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import httptools

from clarion.realtime.transports.elsewhere import Elsewhere, Moving
from clarion.realtime.transports.ending import Ending
from clarion.realtime.transports.head import Refused, Upgrade, wants_websocket, websocket_key
from clarion.realtime.transports.message import WebSocket, adopt
from clarion.telemetry import get_logger, spawn

log = get_logger(__name__)

Admit: TypeAlias = Callable[[Upgrade], WebSocket | Awaitable[WebSocket]]
"""Decides about an upgrade: the WebSocket that will serve it, or `Refused`; at once, or awaited, for at most `limits.handshake_s`."""

MOVE_S = 15.0  # for a request to get to the process that has its session


class Leaving(Ending):
    """A connection that may become something else. `HttpProtocol` makes it, and sets what is fixed."""

    # Fixed at creation
    _endpoints: Mapping[str, Admit]
    _elsewhere: Elsewhere | None
    # Once it is open
    _is_local = False
    # Not None: the application decides about an upgrade, and it is not too late yet.
    _deciding: asyncio.Task[None] | None = None
    # Only while a request is read whose session another process has, and what of its body has come
    _owner = ""
    _rest = b""
    _moving: asyncio.Task[None] | None = None
    _is_relayed = False
    _stays = False

    # ── sessions of other processes ──
    def _owner_of(self, elsewhere: Elsewhere) -> str:
        is_behind = self.cycle is not None and not self.cycle.response_complete
        if self._is_local or self._stays or is_behind:
            return ""
        if any(name == b"transfer-encoding" for name, _ in self.headers):
            return ""  # what is read of it is no longer as it came
        return elsewhere.owner(self.url)

    def _move(self, rest: bytes) -> None:
        """Send the request, and the connection with it, to the process that has its session."""
        owner, self._owner, self._rest = self._owner, "", b""
        self._discarding, self._deadline = True, self._all.now() + MOVE_S
        self.transport.pause_reading()
        upgrade = self._as_upgrade()
        request = Moving(
            self.parser.get_method(),
            self.url,
            self.headers,
            rest,
            upgrade.client,
            upgrade.is_secure,
            self.parser.get_http_version(),
        )
        work = self._take_elsewhere(owner, request)
        self._moving = spawn(work, name="request for another process")

    async def _take_elsewhere(self, owner: str, request: Moving) -> None:
        assert self._elsewhere is not None, "it has said who has it"
        is_relayed, to = self._is_relayed, self._elsewhere
        if await to.take(owner, request, self.transport, is_relayed=is_relayed):
            self._let_go()
        elif not self.transport.is_closing():
            # Nobody has it: served here, where its session is not known.
            self._discarding, self._stays = False, True
            self._deadline = self._all.now() + self._limits.head_s
            self.parser = httptools.HttpRequestParser(self)
            self.transport.resume_reading()
            self.data_received(request.as_bytes())

    def shutdown(self) -> None:
        """The process stops; a request that is on its way, here or to another process, gets there."""
        is_moving = self._moving is not None and not self._moving.done()
        if not is_moving and not self._is_beginning:
            super().shutdown()

    # ── upgrades ──
    def _should_upgrade(self) -> bool:
        return wants_websocket(self.headers)

    def _upgraded(self, tail: bytes) -> None:
        """The parser has stopped behind a head that asks for another protocol."""
        if not wants_websocket(self.headers):
            # Not ours (h2c): answered as plain HTTP, then closed, because what follows can't be trusted.
            self.cycle.keep_alive = False
            self._discarding, self._deadline, self._body_since = True, None, 0.0
            return
        self._in_head, self._body_since = True, 0.0
        if self.cycle is not None and not self.cycle.response_complete:
            self._refuse(Refused(400, "an upgrade behind a request that is still served"))
            return
        try:
            admit = self._endpoint()
            key = websocket_key(self.parser.get_method(), self.headers)
            upgrade = self._as_upgrade()
            admitted = admit(upgrade)
        except Exception as exc:  # noqa: BLE001  an application may raise anything
            self._not_admitted(exc)
            return
        if isinstance(admitted, WebSocket):
            self._hand_over(admitted, upgrade, key, tail)
            return
        # Meanwhile what follows stays with the kernel.
        self.transport.pause_reading()
        self._deadline = self._all.now() + self._limits.handshake_s
        work = self._decide(admitted, upgrade, key, tail)
        self._deciding = spawn(work, name="admission of a websocket")

    async def _decide(
        self, admitted: Awaitable[WebSocket], upgrade: Upgrade, key: bytes, tail: bytes
    ) -> None:
        try:
            socket = await admitted
        except Exception as exc:  # noqa: BLE001  as above
            self._not_admitted(exc)
            return
        if self._deciding is not None and not self.transport.is_closing():  # or it was too late
            self.transport.resume_reading()  # before: who gets the connection may want to pause
            self._hand_over(socket, upgrade, key, tail)

    def _hand_over(self, socket: WebSocket, upgrade: Upgrade, key: bytes, tail: bytes) -> None:
        self._let_go()
        adopt(socket, self.transport, key, tail, self._all, upgrade.answer)

    def _not_admitted(self, exc: Exception) -> None:
        if not isinstance(exc, Refused):
            log.error("admission of a websocket failed", exc_info=exc)
            exc = Refused(500, "internal error")
        self._refuse(exc)
        if self._deciding is not None and not self.transport.is_closing():
            self.transport.resume_reading()
        self._deciding = None

    def _endpoint(self) -> Admit:
        path = self.url.partition(b"?")[0].decode("latin-1")
        found = self._endpoints.get(path)
        if found is None:
            below = (
                each for each in self._endpoints if each.endswith("/") and path.startswith(each)
            )
            found = self._endpoints.get(max(below, key=len, default=""))
        if found is None or self._is_local:  # picows sets options that only TCP has
            raise Refused(404, "no WebSocket here")
        return found

    def _as_upgrade(self) -> Upgrade:
        client = self.scope["client"]
        return Upgrade(
            target=self.url,
            headers=self.headers,
            client=(client[0], client[1] or 0) if client is not None else None,
            is_secure=self.scope["scheme"] == "https",
        )
