"""Development mode: pages are told of every socket, room and event, as it happens.

Namespaces are watched only while a page is there, so that nothing is paid for before. What a page must know to keep its lists
right is always sent; events of sockets are left out where there are many, or where a page is behind.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from clarion.realtime.admin.view import shown, shown_socket
from clarion.realtime.admission import spend
from clarion.realtime.namespace import Namespace
from clarion.realtime.server import Server
from clarion.realtime.socket import Socket
from clarion.telemetry import limit_exceeded


class Watch:
    """Tells the pages.

    Args:
        io: What is watched.
        pages: The namespace of the pages; its own sockets' events are not shown, or each would bring another.
        most_sockets: That a page is shown when it connects.
        events_per_s: That pages are shown.
        now: The time of day.
    """

    def __init__(
        self,
        io: Server,
        pages: Namespace,
        *,
        most_sockets: int,
        events_per_s: int,
        now: Callable[[], datetime],
    ) -> None:
        # Fixed at creation
        self._io, self._pages, self._now = io, pages, now
        self._most_sockets, self._events_per_s = most_sockets, events_per_s
        # Changes while pages come and go. Those that are watched, and how to stop.
        self._stops: dict[Namespace, Callable[[], None]] = {}
        self._is_on = False
        # Of sockets that pages know: how they were shown last.
        self._last: dict[Socket, tuple[str, Any]] = {}
        self._spent_until = 0.0  # of the rate: see `admission.spend`
        io.on("new_namespace", self._found)

    # ── while pages are there ──
    def start(self) -> None:
        """A page is there: begin."""
        if not self._is_on:
            self._is_on = True
            for namespace in self._io.namespaces.values():
                self._found(namespace)

    def stop(self) -> None:
        """None is left: watch nothing."""
        self._is_on = False
        for stop in self._stops.values():
            stop()
        self._stops.clear()
        self._last.clear()

    def all_sockets(self) -> list[dict[str, Any]]:
        """The sockets that there are, as many as a page is shown."""
        out: list[dict[str, Any]] = []
        for namespace in self._io.namespaces.values():
            for socket in namespace.sockets.values():
                if len(out) == self._most_sockets:
                    limit_exceeded.labels("admin_ui_sockets").inc()
                    return out
                out.append(self._shown(socket))
        return out

    def look(self) -> None:
        """Tell of sockets whose transport or data have changed; and leave namespaces alone that are gone."""
        for namespace in [
            each for each in self._stops if self._io.namespaces.get(each.name) is not each
        ]:
            del self._stops[namespace]
        for socket, (transport, data) in list(self._last.items()):
            now = socket.transport, shown(socket.data)
            if now[0] != transport:
                self._update(socket, {"transport": now[0]})
            if now[1] != data:
                self._update(socket, {"data": now[1]})
            self._last[socket] = now

    def _update(self, socket: Socket, what: dict[str, Any]) -> None:
        self._pages.emit("socket_updated", {"id": socket.id, "nsp": socket.namespace, **what})

    def _shown(self, socket: Socket) -> dict[str, Any]:
        view = shown_socket(socket)
        self._last[socket] = view["transport"], view["data"]
        return view

    # ── a namespace ──
    def _found(self, namespace: Namespace) -> None:
        if not self._is_on or namespace in self._stops:
            return
        nsp = namespace.name

        def joined(room: str, id: str) -> None:
            self._pages.emit("room_joined", nsp, room, id, self._now())

        def left(room: str, id: str) -> None:
            self._pages.emit("room_left", nsp, room, id, self._now())

        def received(socket: Socket, *event: Any) -> None:
            self._event("event_received", socket, event)

        def sent(socket: Socket, *event: Any) -> None:
            self._event("event_sent", socket, event)

        namespace.on("connection", self._connected)
        namespace.handle("disconnect", self._disconnected)
        namespace.adapter.on("join_room", joined)
        namespace.adapter.on("leave_room", left)
        if namespace is not self._pages:
            namespace.on_any(received)
            namespace.on_any_outgoing(sent)

        def stop() -> None:
            namespace.off("connection", self._connected)
            namespace.unhandle("disconnect", self._disconnected)
            namespace.adapter.off("join_room", joined)
            namespace.adapter.off("leave_room", left)
            namespace.off_any(received)
            namespace.off_any_outgoing(sent)

        self._stops[namespace] = stop

    def _connected(self, socket: Socket) -> None:
        self._pages.emit("socket_connected", self._shown(socket), self._now())

    def _disconnected(self, socket: Socket, reason: str) -> None:
        self._last.pop(socket, None)
        nsp, id = socket.namespace, socket.id
        self._pages.emit("socket_disconnected", nsp, id, reason, self._now())

    def _event(self, kind: str, socket: Socket, event: tuple[Any, ...]) -> None:
        rate = self._events_per_s
        self._spent_until, wait_s = spend(
            self._spent_until, self._io.wheel.now(), rate, burst=2 * rate
        )
        if wait_s:
            limit_exceeded.labels("admin_ui_events_per_s").inc()
            return
        args = shown(event)
        self._pages.volatile.emit(kind, socket.namespace, socket.id, args, self._now())
