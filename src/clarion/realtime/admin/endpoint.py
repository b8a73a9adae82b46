"""The endpoint put together: a namespace with a door, statistics every two seconds, and what the page's mode adds.

What is emitted to the pages reaches those of all nodes. A node with a page says so to the others, which observe for as long as they hear it.
"""

import os
import socket as network
from typing import Any, Final

from clarion.clock import Clock, SystemClock, as_datetime
from clarion.errors import ClarionError, UsageError
from clarion.ids import Ids
from clarion.realtime.admin.commands import FEATURES, Commands
from clarion.realtime.admin.counters import Counters
from clarion.realtime.admin.entrance import Entrance, Verify, same
from clarion.realtime.admin.watch import Watch
from clarion.realtime.heartbeat import Timed
from clarion.realtime.server import Server
from clarion.realtime.socket import Socket
from clarion.settings import AdminUi, check_password, checked
from clarion.telemetry import Tasks, get_logger, sessions

log = get_logger(__name__)

STATS_S: Final = 2.0  # as in Node; the page calls a server unhealthy after 10 s of silence
WATCHED_S: Final = 3 * STATS_S  # after this silence of the others no page is left there
WATCHED: Final = "clarion: watched"
SOCKETS: Final = "clarion: sockets"


def instrument(
    io: Server,
    settings: AdminUi,
    *,
    verify: Verify | None = None,
    server_id: str | None = None,
    clock: Clock | None = None,
    ids: Ids | None = None,
) -> "Admin":
    """Let Socket.IO's admin page look at a server, and act on it unless it is to be read-only.

    Args:
        io: The server. Pages of other origins than its own need `allowed_origins`.
        settings: Mode, namespace, username and password, limits.
        verify: Checks usernames and passwords instead of comparing them with the settings'; `lambda *_: True` lets anybody in.
        server_id: What the page calls this process; None: the host and the process's id.
        clock: None: the machine's.
        ids: Makes ids of the page's sessions; None: from the operating system's chance.

    Raises:
        UsageError: There is neither a password nor `verify`.
        SettingsError: The password has fewer than 12 characters, or another value is no good.
    """
    settings = checked(settings, AdminUi)
    check_password(settings)
    if verify is None:
        if not settings.password:
            raise UsageError("the admin page needs a password, or `verify`")
        verify = same(settings.username, settings.password)
    clock = clock or SystemClock()
    entrance = Entrance(verify, io.limits.login_tries, clock, ids or Ids())
    return Admin(io, settings, entrance, server_id, clock)


class Admin(Timed):
    """The endpoint; made by `instrument`."""

    __slots__ = ("_clock", "_counters", "_entrance", "_features", "_io", "_is_on", "_most_sockets", "_pages", "_process", "_started", "_tasks", "_watch", "_watched_until")  # fmt: skip

    def __init__(
        self,
        io: Server,
        settings: AdminUi,
        entrance: Entrance,
        server_id: str | None,
        clock: Clock,
    ) -> None:
        super().__init__()
        # Fixed at creation
        self._io, self._entrance, self._clock = io, entrance, clock
        self._most_sockets = settings.sockets
        self._started = clock.monotonic()
        host, pid = network.gethostname(), os.getpid()
        self._process = {"serverId": server_id or f"{host}#{pid}", "hostname": host, "pid": pid}
        self._pages = pages = io.of(settings.namespace)
        self._watch: Watch | None = None
        self._features = ["AGGREGATED_EVENTS"]
        if settings.mode == "development":
            self._features.append("ALL_EVENTS")
            self._watch = Watch(
                io,
                pages,
                most_sockets=settings.sockets,
                events_per_s=settings.events_per_s,
                now=lambda: as_datetime(clock.now_ms()),
            )
        if not settings.readonly:
            self._features = [*FEATURES, *self._features]
            Commands(io).install(pages)
        # Changes while pages come and go, here (they are in the namespace) or on other nodes
        self._counters = Counters()
        self._tasks = Tasks()
        self._is_on = False
        self._watched_until = 0.0
        pages.on_server_side(WATCHED, self._watched)
        pages.on_server_side(SOCKETS, self._sockets)
        pages.use(entrance)
        pages.on("connection", self._connected)
        pages.handle("disconnect", self._disconnected)

    # ── pages ──
    def _connected(self, page: Socket) -> None:
        page.drop_auth()
        # Node says it before CONNECT is answered, when the page does not listen yet: it asks for the password at each reload.
        session = self._entrance.new_session(page)
        if session is not None:
            page.emit("session", session)
        page.emit("config", {"supportedFeatures": self._features})
        self._begin()
        if self._watch is not None:
            page.emit("all_sockets", self._watch.all_sockets())
        page.emit("server_stats", self._stats([]))
        self._pages.server_side_emit(WATCHED)
        if self._watch is not None:
            self._tasks.spawn(self._show_others(page), name="admin page: sockets of other nodes")

    def _disconnected(self, _page: Socket, _reason: str) -> None:
        if not self._is_needed(self._io.wheel.now()):
            self._io.wheel.cancel(self)
            self._end()

    def _is_needed(self, now: float) -> bool:
        return bool(self._pages.sockets) or now < self._watched_until

    def _begin(self) -> None:
        if self._is_on:
            return
        self._is_on, self._counters = True, Counters()
        self._io.wheel.set(self, self._io.wheel.now() + STATS_S)
        if self._watch is not None:
            self._watch.start()

    def _end(self) -> None:
        self._is_on = False
        if self._watch is not None:
            self._watch.stop()

    # ── other nodes ──
    def _watched(self) -> None:
        """A page is there: it is told of this node, too."""
        self._watched_until = self._io.wheel.now() + WATCHED_S
        self._begin()

    def _sockets(self) -> list[dict[str, Any]]:
        return [] if self._watch is None else self._watch.all_sockets()

    async def _show_others(self, page: Socket) -> None:
        try:
            answers = await self._pages.server_side_emit_with_ack(SOCKETS)
        except ClarionError as exc:
            log.warning("the admin page is not shown the sockets of other nodes", error=exc.code)
            return
        others = [shown for answer in answers if isinstance(answer, list) for shown in answer]
        if others and page.connected:
            # In the place of what it was shown before.
            page.emit("all_sockets", [*self._sockets(), *others][: self._most_sockets])

    # ── statistics ──
    def on_time(self, now: float) -> float | None:
        """Tell all pages how the server does."""
        if not self._is_needed(now):
            self._end()
            return None
        if self._pages.sockets:
            self._pages.server_side_emit(WATCHED)
        self._pages.emit("server_stats", self._stats(self._counters.take(self._clock.now_ms())))
        if self._watch is not None:
            self._watch.look()
        return now + STATS_S

    def _stats(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        namespaces = self._io.namespaces.values()
        return {
            **self._process,
            "uptime": round(self._clock.monotonic() - self._started, 3),
            "clientsCount": self._io.engine.clients_count,
            "pollingClientsCount": sessions.labels("polling").value,
            "aggregatedEvents": events,
            "namespaces": [
                {"name": each.name, "socketsCount": len(each.sockets)} for each in namespaces
            ],
        }
