"""Planted bugs of the real-time server."""

import contextlib
from typing import Any
from unittest.mock import patch

from clarion.protocol import session as protocol_session
from clarion.protocol.engineio import Transport
from clarion.protocol.session import Session as Machine
from clarion.realtime import Sent
from clarion.realtime.acks import Acks
from clarion.realtime.egress import Egress
from clarion.realtime.history import History
from clarion.realtime.hub import Hub
from tests.simulation.sabotage.base import bug


@bug("sessions")
def queue_lost_at_upgrade() -> Any:
    """What waited for a poll is forgotten when the session moves to the WebSocket."""
    attach = Egress.attach

    def forget(self: Egress, transport: Any) -> None:
        self._first = self._rest = None
        attach(self, transport)

    return patch.object(Egress, "attach", forget)


@bug("sessions")
def rest_of_a_write_lost() -> Any:
    """What the transport did not take at once is not kept."""

    def careless(self: Egress, queue: list[Any]) -> None:
        self._first = self._rest = None
        self._transport.write_many(queue)
        self._debt -= sum(item.size for item in queue)

    return patch.object(Egress, "_flush_many", careless)


@bug("sessions")
def sent_while_full() -> Any:
    """The first event goes past a queue that waits for a full connection."""
    push = Egress.push

    def hasty(self: Egress, item: Any) -> Any:
        if self._rest is not None and self._transport.kind is Transport.WEBSOCKET:
            self._transport.write(item)
            return Sent.NOW
        return push(self, item)

    return patch.object(Egress, "push", hasty)


@bug("sessions")
def poll_not_released() -> Any:
    """A held GET is not answered when the client wants to leave polling: it waits for the next event, or ping."""
    stack = contextlib.ExitStack()
    stack.enter_context(
        patch.object(protocol_session, "_PROBE_ANSWER", protocol_session._PROBE_ANSWER[:1])
    )
    stack.enter_context(patch.object(Machine, "releases_polls", False))
    return stack


@bug("sessions")
def heartbeat_stops() -> Any:
    """Nobody notices that a peer is gone."""

    def nothing(self: Machine, now: float) -> Any:
        self._timer = None
        return ()

    return patch.object(Machine, "expire", nothing)


@bug("sessions")
def room_left_behind() -> Any:
    """A socket that leaves stays in its rooms."""

    def forget_only(self: Any, socket: Any) -> None:
        self.sockets.pop(socket.id, None)

    return patch.object(Hub, "discard", forget_only)


@bug("sessions")
def answers_mixed_up() -> Any:
    """Two questions that are open at a time get each other's answers."""
    answered = Acks.answered

    def newest(self: Acks, id: int, args: Any) -> None:
        answered(self, max(self._pending, default=id), args)

    return patch.object(Acks, "answered", newest)


@bug("sessions")
def one_missed_event_too_many() -> Any:
    """Who comes back gets the last event that it has seen once more."""
    after = History.after
    return patch.object(History, "after", lambda self, number: after(self, max(0, number - 1)))
