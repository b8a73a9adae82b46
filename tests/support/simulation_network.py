"""The simulation's hosts, and a network of memory between them.

A connection is a stream of bytes each way: it may be late, arrive in other pieces than it was sent in, be cut, or wait for a
while in one direction only; never reordered, as with TCP. Programs use it through `asyncio.Protocol`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context, copy_context
from typing import Any

from tests.support.simulation import HOST, SimLoop

LATENCY_S = (0.0002, 0.02)  # one way
CHOPPED = 0.3  # of what is written arrives in several pieces
# Between two pieces of one stream at the least: they keep their order.
_APART_S = 1e-6

Factory = Callable[[], asyncio.Protocol]


class End(asyncio.Transport):
    """One side of a connection."""

    peer: "End"
    protocol: asyncio.Protocol

    def __init__(self, network: "Network", context: Context) -> None:
        super().__init__()
        self._network = network
        self.context = context
        self.host = context.get(HOST, "")
        self.arrives = 0.0  # when the last piece that was sent gets there
        self._is_closing = False
        self._is_lost = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The peer's host is its name."""
        return (_name(self.peer.host), 0) if name == "peername" else default

    def is_closing(self) -> bool:
        """Whether it was closed here, or is gone."""
        return self._is_closing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send; nothing is said if the peer is gone, as with TCP."""
        rest = bytes(data)
        while rest and not self._is_closing:
            size = len(rest)
            if self._network.rng.random() < CHOPPED:
                size = self._network.rng.randint(1, size)
            self._network.carry(self, self.peer.arrived, rest[:size])
            rest = rest[size:]

    def close(self) -> None:
        """End it; what was written still arrives."""
        self._leave(None)

    def abort(self) -> None:
        """End it at once."""
        self._leave(ConnectionResetError())

    def _leave(self, told: Exception | None) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._network.carry(self, self.peer.lose, told)
            self._network.loop.call_soon(self.lose, None, context=self.context)

    # ── what the network does to it ──
    def arrived(self, data: bytes) -> None:
        """Take what the peer has sent."""
        if not self._is_lost and not self._is_closing:
            self.protocol.data_received(data)

    def lose(self, exc: Exception | None) -> None:
        """Take that there is no connection any more."""
        self._is_closing = True
        if not self._is_lost:
            self._is_lost = True
            self.protocol.connection_lost(exc)

    def die(self, *, is_silent: bool) -> None:
        """Its host has crashed. The peer is told by a reset, or by nothing, as when power fails."""
        if not self._is_closing and not is_silent:
            self._network.carry(self, self.peer.lose, ConnectionResetError())
        self._is_closing = self._is_lost = True


class Network:
    """Starts and crashes hosts, connects them, and disturbs that."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop, self.rng = loop, loop.rng
        self._lives: dict[str, int] = {}
        self._listeners: dict[tuple[str, int], tuple[Factory, Context]] = {}
        self._ends: list[End] = []
        self._blocked: dict[tuple[str, str], float] = {}

    # ── hosts ──
    def start(self, name: str, main: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Boot a host: what `main` starts and opens dies when the host crashes."""
        self._lives[name] = self._lives.get(name, 0) + 1
        context = copy_context()
        context.run(HOST.set, f"{name}#{self._lives[name]}")
        return self.loop.create_task(main(), name=f"main of {name}", context=context)

    def host(self, name: str) -> str:
        """The present life of a host, `node#2`."""
        return f"{name}#{self._lives[name]}"

    def crash(self, name: str, *, is_silent: bool = False) -> None:
        """End a host as kill -9 does; `is_silent`: as a power failure does."""
        host = self.host(name)
        self.loop.note("crash", host, "silent" if is_silent else "")
        self.loop.kill(host)
        self._listeners = {key: found for key, found in self._listeners.items() if key[0] != name}
        for end in self._ends:
            if end.host == host:
                end.die(is_silent=is_silent)
        self._forget_ended()

    # ── connections ──
    def listen(self, port: int, factory: Factory) -> None:
        """Accept connections to a port of the calling host."""
        self._listeners[_name(HOST.get()), port] = factory, copy_context()

    async def connect(self, host: str, port: int, protocol: asyncio.Protocol) -> End:
        """Open a connection from the calling host.

        Raises:
            ConnectionRefusedError: Nobody listens there.
        """
        me = _name(HOST.get())
        free = max(self._free(me, host), self._free(host, me))
        await asyncio.sleep(free - self.loop.time() + self._latency())
        if (host, port) not in self._listeners:
            raise ConnectionRefusedError(f"{host}:{port}")
        factory, context = self._listeners[host, port]
        here, there = End(self, copy_context()), End(self, context.copy())
        here.peer, there.peer = there, here
        here.protocol, there.protocol = protocol, there.context.run(factory)
        self._ends += [here, there]
        self.loop.call_soon(there.protocol.connection_made, there, context=there.context)
        protocol.connection_made(here)
        return here

    # ── disturbances ──
    def cut(self, a: str, b: str) -> None:
        """Reset all connections between two hosts."""
        self.loop.note("cut", a, b)
        for end in self._ends:
            if {_name(end.host), _name(end.peer.host)} == {a, b}:
                self.loop.call_soon(end.lose, ConnectionResetError(), context=end.context)
        self._forget_ended()

    def block(self, a: str, b: str, seconds: float) -> None:
        """Let what goes from `a` to `b` wait; the other direction flows."""
        self.loop.note("block", a, b, round(seconds, 3))
        self._blocked[a, b] = self.loop.time() + seconds

    # ── for `End` ──
    def carry(self, sender: End, deliver: Callable[[Any], None], what: Any) -> None:
        """Bring something to the peer, behind all that was sent before."""
        receiver = sender.peer
        if receiver.host in self.loop.dead:
            name, _, life = receiver.host.partition("#")
            if self._lives[name] > int(life):
                # Its successor knows no such connection, and says so.
                self.loop.call_later(
                    self._latency(), sender.lose, ConnectionResetError(), context=sender.context
                )
            return
        when = self._free(_name(sender.host), _name(receiver.host)) + self._latency()
        sender.arrives = max(sender.arrives + _APART_S, when)
        self.loop.call_at(sender.arrives, deliver, what, context=receiver.context)

    def _free(self, a: str, b: str) -> float:
        return max(self.loop.time(), self._blocked.get((a, b), 0.0))

    def _latency(self) -> float:
        return self.rng.uniform(*LATENCY_S)

    def _forget_ended(self) -> None:
        self._ends = [end for end in self._ends if not (end.is_closing() and end.peer.is_closing())]


def pairs(hosts: Iterable[str], hub: str) -> list[tuple[str, str]]:
    """Each way between a hub and the others."""
    return [way for host in hosts for way in ((host, hub), (hub, host))]


def _name(host: str) -> str:
    return host.partition("#")[0]
