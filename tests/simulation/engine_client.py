"""An Engine.IO client on the simulated network, as `engine.io-client` behaves: polling, a probe, the upgrade, the heartbeat."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from clarion.protocol import engineio
from clarion.protocol.engineio import CLOSE, PONG, Packet, PacketType
from tests.simulation.front import packed, unpacked
from tests.simulation.wire import Wire
from tests.support.simulation_network import Network

PROBE_S = 10.0  # for the answer to a probe
REQUEST_S = 60.0  # longer than a poll is ever held


class EngineClient:
    """One session, seen from its client. `run` ends with the session.

    Args:
        network: How to get there.
        host: Where the server is, and the port.
        on_message: Takes the messages of the session.
    """

    def __init__(
        self, network: Network, host: tuple[str, int], on_message: Callable[[str | bytes], None]
    ) -> None:
        # Fixed at creation
        self._network, self._host, self._on_message = network, host, on_message
        # Changes while open
        self._sid = ""
        self._deadline = 0.0  # for the next ping
        self._patience_s = 0.0
        self._wire: Wire | None = None  # not None: on a WebSocket
        self._out: list[str | bytes] = []
        self._is_wanted = asyncio.Event()
        self.has_upgraded = False
        self.was_closed = False
        """Whether the server has said that it ends the session."""
        # Only while upgrading
        self._is_paused = False
        self._polling: list[asyncio.Task[None]] = []

    def send(self, message: str | bytes) -> None:
        """Send a message of the session, behind all that was sent before."""
        self._send(Packet(PacketType.MESSAGE, message))

    def leave(self) -> None:
        """Say that it is over; the server ends the session."""
        self._send(CLOSE)

    async def run(self, *, on_websocket: bool, upgrades: bool) -> None:
        """Be a session until it breaks or ends; returns then, whatever the reason."""
        try:
            async with asyncio.TaskGroup() as group:
                if on_websocket:
                    wire = await self._dial(upgrade=True)
                    self._take(engineio.decode(unpacked(await wire.receive())))
                    self._move_to(wire)
                    group.create_task(self._receive(wire), name="receive")
                else:
                    self._take_payload(await self._request("GET"))
                    self._polling = [
                        group.create_task(self._poll(), name="poll"),
                        group.create_task(self._post(), name="post"),
                    ]
                    if upgrades:
                        group.create_task(self._upgrade(), name="upgrade")
                group.create_task(self._watch(), name="watch")
        except* OSError:
            pass
        finally:
            if self._wire is not None:
                self._wire.close()

    # ── out ──
    def _send(self, packet: Packet) -> None:
        message = engineio.encode(packet)
        if self._wire is not None:
            self._wire.send(packed(message))
        else:
            self._out.append(message)
            self._is_wanted.set()

    def _move_to(self, wire: Wire) -> None:
        """Send there from now on, and first what has waited."""
        waiting, self._out = self._out, []
        for message in waiting:
            wire.send(packed(message))
        self._wire = wire

    async def _post(self) -> None:
        while not self._is_paused:
            await self._is_wanted.wait()
            self._is_wanted.clear()
            if self._out and not self._is_paused:
                batch, self._out = self._out, []
                await self._request("POST", engineio.encode_payload(batch))

    # ── in ──
    async def _poll(self) -> None:
        while not self._is_paused:
            self._take_payload(await self._request("GET"))

    async def _receive(self, wire: Wire) -> None:
        while True:
            self._take(engineio.decode(unpacked(await wire.receive(REQUEST_S))))

    def _take_payload(self, body: str) -> None:
        for packet in engineio.decode_payload(body, 1_000):
            self._take(packet)

    def _take(self, packet: Packet) -> None:
        match packet.type:
            case PacketType.OPEN:
                hello = msgspec.json.decode(packet.data)
                self._sid = hello["sid"]
                self._patience_s = (hello["pingInterval"] + hello["pingTimeout"]) / 1000
                self._deadline = self._network.loop.time() + self._patience_s
            case PacketType.PING:
                self._deadline = self._network.loop.time() + self._patience_s
                self._send(PONG)
            case PacketType.MESSAGE:
                self._on_message(packet.data)
            case PacketType.CLOSE:
                self.was_closed = True
                raise ConnectionResetError
            case _:
                pass

    async def _watch(self) -> None:
        while True:
            left = self._deadline - self._network.loop.time()
            if left <= 0:
                raise TimeoutError("no ping from the server")
            await asyncio.sleep(left)

    # ── the upgrade ──
    async def _upgrade(self) -> None:
        try:
            wire = await self._dial(upgrade=True)
            wire.send(packed("2probe"))
            if unpacked(await wire.receive(PROBE_S)) != "3probe":
                raise ConnectionResetError
        except OSError:
            return  # polling goes on
        # What is under way on polling ends first; nothing new begins there.
        self._is_paused = True
        self._is_wanted.set()
        await asyncio.wait(self._polling)
        wire.send(packed("5"))
        self.has_upgraded = True
        self._move_to(wire)
        await self._receive(wire)

    # ── requests ──
    async def _request(self, method: str, body: str = "") -> str:
        """One HTTP request; raises OSError unless it is answered with 200."""
        wire = await self._dial(method=method, body=body)
        try:
            answer = await wire.receive(REQUEST_S)
        finally:
            wire.close()
        if answer["status"] != 200:
            raise ConnectionResetError
        text: str = answer["body"]
        return text

    async def _dial(self, **request: Any) -> Wire:
        transport = "websocket" if "upgrade" in request else "polling"
        sid = f"&sid={self._sid}" if self._sid else ""
        wire = await Wire.dial(self._network, *self._host)
        wire.send({"query": f"EIO=4&transport={transport}{sid}", **request})
        return wire
