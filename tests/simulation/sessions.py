"""Scenario `sessions`: what the real-time server promises to a connection, and that nothing is left of one that is gone.

Clients speak Engine.IO and Socket.IO to the real server: on polling, on a WebSocket, or moving from one to the other while events
flow both ways, some with attachments. Their connections are cut and held up, some vanish without a word. Oracles:

- per connection each event arrives at most once, in order, without a gap up to where it broke; both ways
- an answer belongs to its question, and comes once
- who comes back as the socket that it was gets on where it was: what it missed comes, once, in order, before it is let in
- at the end no session, socket, room, timer or connection is left

A fourth of the seeds are calm: there every session lives as long as its client wants, every upgrade succeeds, every question is
answered, and whoever comes back is recovered.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from clarion.clock import LoopClock
from clarion.errors import AckTimeout, Disconnected
from clarion.protocol import socketio
from clarion.protocol.socketio import Decoder, DecoderLimits, Packet, PacketType
from clarion.realtime import Server, Socket
from clarion.settings import Limits, Realtime
from clarion.telemetry import recovery_kept, spawn
from tests.simulation.engine_client import EngineClient
from tests.simulation.front import Front
from tests.simulation.wire import Wire
from tests.support.simulation import SimLoop
from tests.support.simulation_network import Network, pairs

SERVER, PORT = "server", 1
CLIENTS = 4
TICKS = 40
TICK_S = 0.2  # between two, at most …
PAUSE_S = 8.0  # … but now and then
SAY_S = 0.5  # likewise
SAYS = 20  # of a visit, at most
STAY_S = 12.0  # one that only listens, at most
ANSWER_S = 4.0  # for what was asked last, where nothing is in the way; longer than an upgrade
CONNECT_S = 30.0  # longer than any trouble lasts
TIMES = Realtime(
    ping_interval_s=4.0,
    ping_timeout_s=3.0,
    upgrade_timeout_s=3.0,
    connect_timeout_s=5.0,
    recovery_s=30.0,
)
BLOCKED_S = 9.0  # longer than the heartbeat's patience
QUIET_S = 90.0


class Blamed:
    """The broken promises of a run."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop
        self.all: list[str] = []

    def __call__(self, text: str) -> None:
        """Note one."""
        self.all.append(f"{self._loop.time():.3f} s: {text}")


class Application:
    """What runs on the server: it counts what each socket says, answers it, ticks in rooms, and asks back."""

    def __init__(self, loop: SimLoop, network: Network, blame: Blamed, *, is_calm: bool) -> None:
        self._loop, self._network, self._blame, self._is_calm = loop, network, blame, is_calm
        self.heard: dict[str, int] = {}
        """How many events each socket has said."""
        self.io = Server(TIMES, Limits(), clock=LoopClock(), ids=loop.ids())
        self.kept_before = _kept()
        self.front = Front(self.io, loop)
        self._asking: list[asyncio.Task[None]] = []
        self.io.on("connection", self._greet)
        self.io.handle("say", self._say)

    async def main(self) -> None:
        """Serve, and tick."""
        self._network.listen(PORT, lambda: Wire(self.front.accept))
        for n in range(TICKS):
            is_pause = self._loop.rng.random() < 0.1
            await asyncio.sleep(self._loop.rng.uniform(0, PAUSE_S if is_pause else TICK_S))
            self.io.to(f"room{n % 2}").emit("tick", n // 2, bytes([n]) if n % 3 == 0 else None)

    def _greet(self, socket: Socket) -> None:
        if not socket.recovered:
            socket.join(f"room{self._loop.rng.randrange(2)}")
        self.heard[socket.id] = 0
        self._asking += [spawn(self._ask(socket, n), name="ask") for n in range(3)]

    def _say(self, socket: Socket, n: int, attachment: Any) -> int:
        if n != self.heard[socket.id]:
            self._blame(f"{socket.id} said {n}, {self.heard[socket.id]} is due")
        if attachment != _attachment(n):
            self._blame(f"{socket.id} said {n} with {attachment!r}")
        self.heard[socket.id] = n + 1
        return n

    async def _ask(self, socket: Socket, n: int) -> None:
        try:
            answer = await socket.emit_with_ack("ask", n, timeout_s=30)
        except (Disconnected, AckTimeout) as exc:
            if self._is_calm and isinstance(exc, AckTimeout):
                self._blame(f"{socket.id} did not answer {n}")
            return
        if answer != 2 * n:
            self._blame(f"{socket.id} answered {n} with {answer!r}")


class Memory:
    """What a client knows of the socket that it was: the last argument of any event, if that is text, is where it is."""

    pid: str | None = None
    offset: str | None = None
    tick: int | None = None


class Connection:
    """One session of a client in the namespace `/`, and what came on it."""

    def __init__(self, network: Network, blame: Callable[[str], None], memory: Memory) -> None:
        self._network, self._blame, self._memory = network, blame, memory
        self.is_recovered = False
        self._last_tick = memory.tick
        self._decoder = Decoder(DecoderLimits())
        self.engine = EngineClient(network, (SERVER, PORT), self._receive)
        self.sid = ""
        self.connected = asyncio.Event()
        self._tick: int | None = None
        self._first_tick: int | None = None
        self._said = 0
        self.unanswered: dict[int, None] = {}
        known = {"pid": memory.pid, "offset": memory.offset}
        auth = {key: value for key, value in known.items() if value is not None}
        self.engine.send(socketio.encode(Packet(PacketType.CONNECT, "/", auth))[0])

    def say(self) -> None:
        """Send the next event, with a question for its number."""
        n, self._said = self._said, self._said + 1
        self.unanswered[n] = None
        self._send(PacketType.EVENT, ["say", n, _attachment(n)], n)

    def _send(self, kind: PacketType, data: Any, id: int | None) -> None:
        for message in socketio.encode(Packet(kind, "/", data, id)):
            self.engine.send(message)

    def _receive(self, message: str | bytes) -> None:
        packet = self._decoder.add(message)
        if packet is None:
            return
        match packet.type:
            case PacketType.CONNECT:
                self.sid = packet.data["sid"]
                self._is_back(packet.data["pid"])
                self.connected.set()
            case PacketType.ACK:
                if packet.data != [packet.id] or packet.id not in self.unanswered:
                    self._blame(f"{self.sid}: {packet.id} was answered {packet.data}")
                self.unanswered.pop(packet.id or 0, None)
            case PacketType.EVENT:
                self._take(packet)
            case other:
                self._blame(f"{self.sid}: {other}")

    def _take(self, packet: Packet) -> None:
        name, n = packet.data[:2]
        if name == "ask":
            self._send(PacketType.ACK, [2 * n], packet.id)
            return
        if self._tick is not None and n != self._tick + 1:
            self._blame(f"{self.sid}: tick {n} after {self._tick}")
        if self._first_tick is None:
            self._first_tick = n
        self._tick = self._memory.tick = n
        self._memory.offset = packet.data[-1]

    def _is_back(self, pid: str) -> None:
        memory = self._memory
        self.is_recovered, memory.pid = pid == memory.pid, pid
        last = self._last_tick
        if not self.is_recovered:
            if self._first_tick is not None:
                self._blame(
                    f"{self.sid}: tick {self._first_tick} came before a new socket was let in"
                )
            memory.tick = None
        elif last is not None and self._first_tick not in {None, last + 1}:
            self._blame(f"{self.sid}: tick {self._first_tick} after {last}, over a recovery")
        elif self._tick is None:
            self._tick = last


class Client:
    """Comes, says something, leaves, and comes again."""

    def __init__(self, network: Network, name: str, blame: Blamed, *, is_calm: bool) -> None:
        self._network, self.name, self._blame, self._is_calm = network, name, blame, is_calm
        self._rng = network.rng
        self._memory = Memory()

    async def main(self) -> None:
        """Two or three connections, one after the other."""
        for _ in range(self._rng.randint(2, 3)):
            await asyncio.sleep(self._rng.uniform(0, 2))
            await self._visit()

    async def _visit(self) -> None:
        connection = Connection(self._network, self._blame, self._memory)
        was_here = self._memory.pid is not None
        kind = self._rng.choice(["polling", "websocket", "upgrade"])
        running = spawn(
            connection.engine.run(on_websocket=kind == "websocket", upgrades=kind == "upgrade"),
            name=f"{self.name} on {kind}",
        )
        stays = spawn(self._stay(connection), name=f"{self.name} stays")
        await asyncio.wait([running, stays], return_when=asyncio.FIRST_COMPLETED)
        if self._is_calm:
            self._check_calm(connection, kind, is_running=not running.done())
            if was_here and not connection.is_recovered:
                self._blame(f"{self.name}: it came back, and was not recovered")
        if self._rng.random() < 0.5:
            connection.engine.leave()
            await asyncio.sleep(self._rng.uniform(0, 1))
        for task in (running, stays):
            task.cancel()
        await asyncio.wait([running, stays])

    async def _stay(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                await connection.connected.wait()
        except TimeoutError:
            self._blame(f"{self.name}: the session goes on, and CONNECT is not answered")
            return
        if self._rng.random() < 0.3:  # one that only listens
            await asyncio.sleep(self._rng.uniform(1, STAY_S))
        for _ in range(self._rng.randint(0, SAYS)):
            connection.say()
            await asyncio.sleep(self._rng.uniform(0, SAY_S))
        await asyncio.sleep(ANSWER_S)

    def _check_calm(self, connection: Connection, kind: str, *, is_running: bool) -> None:
        if not is_running:
            self._blame(f"{self.name}: the session on {kind} ended by itself")
        if connection.unanswered:
            self._blame(f"{self.name}: {list(connection.unanswered)} were not answered")
        if kind == "upgrade" and not connection.engine.has_upgraded:
            self._blame(f"{self.name}: the upgrade did not succeed")


async def sessions(loop: SimLoop) -> None:
    """One run."""
    is_calm = loop.rng.random() < 0.25
    network, blame = Network(loop), Blamed(loop)
    app = Application(loop, network, blame, is_calm=is_calm)
    serving = network.start(SERVER, app.main)
    names = [f"client{n}" for n in range(CLIENTS)]
    clients = [Client(network, name, blame, is_calm=is_calm) for name in names]
    running = {client.name: network.start(client.name, client.main) for client in clients}
    if not is_calm:
        await _trouble(network, running)
    await asyncio.gather(serving, *running.values())
    await asyncio.sleep(QUIET_S)
    assert not blame.all, blame.all[0]
    _check_nothing_left(app)


async def _trouble(network: Network, running: dict[str, asyncio.Task[None]]) -> None:
    rng, ways = network.rng, pairs(running, SERVER)
    for _ in range(rng.randint(2, 10)):
        await asyncio.sleep(rng.uniform(0, 3))
        match rng.randrange(5):
            case 0 | 1:
                network.cut(*rng.choice(ways))
            case 2 | 3:
                network.block(*rng.choice(ways), rng.uniform(0, BLOCKED_S))
            case _ if running:
                name = rng.choice(list(running))
                del running[name]
                network.crash(name, is_silent=rng.random() < 0.5)
            case _:
                pass


def _check_nothing_left(app: Application) -> None:
    root = app.io.of("/")
    left = {
        "sessions": app.io.sessions,
        "sockets": len(root.sockets),
        "rooms": len(root.rooms),
        "timers": len(app.io.wheel),
        "connections": app.front.connections,
        "kept for recovery": _kept() - app.kept_before,
    }
    assert not any(left.values()), f"left behind: {left}"


def _kept() -> int:
    """Of all servers of this process: a seed that failed leaves something."""
    return sum(recovery_kept.labels(what).value for what in ("events", "bytes", "sockets"))


def _attachment(n: int) -> bytes | None:
    return b"\x00\x1e" + bytes([n % 256]) if n % 4 == 1 else None
