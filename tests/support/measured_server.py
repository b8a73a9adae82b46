"""A Socket.IO server as a process that does what it is told and says how it is: JSON, a line each way.

    python -m tests.support.measured_server '{"settings": {…}, "limits": {…}}'

Its first line has the port. Commands come and answers go by its standard streams, so that asking takes no connection, no session
and no task beyond those that it has anyway: what it counts at rest is the same at any time.
"""

import asyncio
import contextlib
import gc
import json
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.realtime import Server
from clarion.realtime.client import Client
from clarion.realtime.transports import HttpServer, run, settle_memory
from clarion.settings import Limits, Realtime
from clarion.telemetry import (
    configure_logging,
    egress_dropped,
    handshakes,
    limit_exceeded,
    recovery,
    session_closed,
    spawn,
)
from tests.support.leaks import plant
from tests.support.measured_app import serve_events
from tests.support.memory import memory

Wanted = dict[str, Any]

LAG_S = 0.1  # between two looks at how late the loop is


class Errors(logging.Handler):
    """Collects what was logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.getMessage()[:300])


class Pauses:
    """How long the collector, and whatever else, kept the loop from turning; the longest since it was last asked."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lag_s = self._gc_s = self._began = 0.0
        gc.callbacks.append(self._collects)
        self._due = self._loop.time() + LAG_S
        self._loop.call_at(self._due, self._tick)

    def take(self) -> dict[str, float]:
        """The longest; forgets them."""
        taken = {"lag_s": self._lag_s, "gc_pause_s": self._gc_s}
        self._lag_s = self._gc_s = 0.0
        return taken

    def _tick(self) -> None:
        now = self._loop.time()
        self._lag_s = max(self._lag_s, now - self._due)
        self._due = now + LAG_S
        self._loop.call_at(self._due, self._tick)

    def _collects(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self._gc_s = max(self._gc_s, time.perf_counter() - self._began)


class Measured:
    """The server and what can be asked of it; a command is a method."""

    def __init__(
        self, io: Server, http: HttpServer, errors: Errors, told: Mapping[str, int]
    ) -> None:
        self.io, self.http, self._errors, self._told = io, http, errors, told
        self._pauses = Pauses()

    def counts(self) -> dict[str, int]:
        """What there is of everything that comes and goes: at rest always the same."""
        io, connections = self.io, self.http.connections
        spaces, sessions = list(io.namespaces.values()), list(io._sessions.values())
        shelf = io._shelf
        return {
            "sessions": len(sessions),
            "connections": len(connections),
            "watched": len(connections._watched),
            "sockets": sum(len(each.sockets) for each in spaces),
            "guests": sum(each._hub.guests for each in spaces),
            "rooms": sum(len(each.rooms) for each in spaces),
            "members": sum(len(each._hub._rooms_of) for each in spaces),
            "tasks": len(asyncio.all_tasks()),
            "timers": len(io.wheel),
            "files": len(os.listdir("/proc/self/fd")),
            "egress": sum(each.egress.waiting + each.transport.buffered() for each in sessions),
            "kept_events": len(shelf._order) if shelf is not None else 0,
            "kept_sockets": len(shelf._parked) if shelf is not None else 0,
        }

    def metrics(self) -> dict[str, dict[str, float]]:
        """What was counted since the start, by metric and label."""
        families = {
            "handshakes": handshakes,
            "session_closed": session_closed,
            "limit_exceeded": limit_exceeded,
            "egress_dropped": egress_dropped,
            "recovery": recovery,
        }
        return {
            name: {label: tally.value for label, tally in family._tallies.items()}
            for name, family in families.items()
        }

    def told(self) -> dict[str, int]:
        """How many sockets connected, and how many left for each reason, as the application is told."""
        return dict(self._told)

    def health(self) -> dict[str, float]:
        """Memory, processor time, collections of garbage, and the longest pauses since the last question."""
        times = os.times()
        return {
            **dict(memory()),
            "cpu_s": times.user + times.system,
            "gen2": gc.get_stats()[2]["collections"],
            **self._pauses.take(),
        }

    def errors(self) -> list[str]:
        """What was logged as an error, and what the loop was told of."""
        return self._errors.seen

    def sessions(self) -> list[str]:
        """What each session is, in a line: for whoever wonders why it is still there."""
        return [
            f"{sid} on {each.transport_name}: {each._machine.state.name}, egress {each.egress.waiting}, "
            f"in {[(name, socket._state.name, socket.rooms) for name, socket in each._sockets.items()]}"
            for sid, each in self.io._sessions.items()
            if isinstance(each, Client)
        ]

    def collect(self) -> int:
        """Collect garbage; how many objects that were."""
        return gc.collect()

    def emit(self, room: str, begin: int, end: int, size: int = 0, namespace: str = "/") -> int:
        """Say the numbers to a room, each with its name and a text so long; to how many sockets in all."""
        target, text = self.io.of(namespace).to(room), "." * size
        return sum(target.emit("said", room, number, text) for number in range(begin, end))

    def members(self, room: str) -> list[str]:
        """Ids of the sockets in a room."""
        return [each.id for each in self.io.sockets.values() if room in each.rooms]

    def forget(self) -> None:
        """As if the time had passed for which recovery keeps anything."""
        shelf, wheel = self.io._shelf, self.io.wheel
        assert shelf is not None
        wheel.cancel(shelf)
        shelf.on_time(wheel.now() + shelf.seconds + shelf.certain_s)


async def alone(wanted: Wanted, _: contextlib.AsyncExitStack) -> tuple[Server, HttpServer]:
    """A Socket.IO server by itself."""
    limits, clock = Limits(**wanted.get("limits", {})), SystemClock()
    io = Server(Realtime(**wanted.get("settings", {})), limits, clock=clock, ids=Ids())
    return io, HttpServer(
        io.asgi,
        limits=limits,
        clock=clock,
        endpoints=io.endpoints,
        on_stopping=io.stop,
        handle_signals=False,
    )


Make = Callable[[Wanted, contextlib.AsyncExitStack], Awaitable[tuple[Server, HttpServer]]]
"""Makes a server, and leaves to the stack what must end with it."""


async def main(wanted: Wanted, make: Make = alone) -> None:
    """Serve until the commands end."""
    errors = Errors()
    configure_logging("warning")
    logging.getLogger().addHandler(errors)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, what: errors.seen.append(f"loop: {what}"[:300]))
    async with contextlib.AsyncExitStack() as stack:
        io, http = await make(wanted, stack)
        told = serve_events(io)
        for name in wanted.get("leaks", ()):
            plant(name, io)
        serving = spawn(http.serve(), name="server")
        await http.started.wait()
        await obey(Measured(io, http, errors, told))
        http.stop()
        await serving
        await io.close()


async def obey(measured: Measured) -> None:
    """Do what is asked until nobody can ask any more."""
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    settle_memory()
    say(measured.http.port)
    while line := await commands.readline():
        number, name, more = json.loads(line)
        say([number, getattr(measured, name)(**more)])


def say(what: Any) -> None:
    """Answer."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run(main(json.loads(sys.argv[1])))
