"""Connections that are passed on: who does not read, who goes, and what is left of them."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from clarion.clock import SystemClock
from clarion.realtime.transports import HttpServer, connections
from clarion.realtime.transports.connections import Connections
from clarion.realtime.transports.elsewhere import Others
from clarion.realtime.transports.relay import Relayed
from clarion.settings import Limits
from clarion.telemetry import spawn
from tests.support.raw_client import RawClient, hang_up, statuses, upgrade
from tests.support.raw_socketio import until
from tests.support.serving import serving

SID = b"x" * 20 + b"that"
POLL = b"/socket.io/?EIO=4&transport=polling&sid=" + SID


class Far:
    """Another host, which says what the test wants."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.Queue()
        )
        self.address = ""
        self.is_sought, self.may_be_found = asyncio.Event(), asyncio.Event()
        self.may_be_found.set()

    async def find(self, node: str) -> str:
        self.is_sought.set()
        await self.may_be_found.wait()
        return self.address if node == "that" else ""

    async def request(self) -> tuple[bytes, asyncio.StreamWriter]:
        """The next head that was passed on, and where its answer goes."""
        reader, writer = await self.came.get()
        return await reader.readuntil(b"\r\n\r\n"), writer


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    far = Far()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far.came.put_nowait((reader, writer))

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        far.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield far


@pytest.fixture
async def near(far: Far, tmp_path: Path) -> AsyncIterator[HttpServer]:
    others = Others("mine", ["/socket.io/"], tmp_path, far.find, "secret")
    limits = Limits(drain_s=0.5, close_s=0.1)
    async with serving(limits=limits, others=others) as server:
        yield server


class Piped:
    """Two connections that are one, and their other ends, which take little before somebody reads."""

    def __init__(self, limits: Limits) -> None:
        self.connections = Connections(limits, SystemClock())
        self.pair = Relayed(self.connections)
        (inner, self.client), (outer, self.process) = _small_pair(), _small_pair()
        self._inner, self._outer = inner, outer

    async def begin(self) -> "Piped":
        """Pass a request on."""
        loop = asyncio.get_running_loop()
        near, _ = await loop.connect_accepted_socket(asyncio.Protocol, self._inner)
        far, _ = await loop.connect_accepted_socket(lambda: self.pair.far, self._outer)
        self.pair.begin(near, far, b"?")
        return self

    def fill(self, end: socket.socket) -> None:
        """Send until nothing more is taken."""
        with suppress(BlockingIOError):
            while True:
                end.send(b"x" * 4_096)


def _small_pair() -> tuple[socket.socket, socket.socket]:
    pair = socket.socketpair()
    for each in pair:
        each.setblocking(False)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    return pair


@pytest.fixture
async def piped(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Piped]:
    monkeypatch.setattr(connections, "SWEEP_S", 0.02)
    piped = await Piped(Limits(stall_s=0.1, body_rate=1_000_000)).begin()
    with piped.client, piped.process:
        yield piped
    piped.connections.close()


async def read_all(end: socket.socket) -> int:
    """How many bytes come until the end."""
    loop, size = asyncio.get_running_loop(), 0
    async with asyncio.timeout(5):
        with suppress(ConnectionResetError):
            while data := await loop.sock_recv(end, 65_536):
                size += len(data)
    return size


async def test_who_does_not_read_the_end_of_an_answer_is_cut_off(piped: Piped) -> None:
    """Also where so little of it waits that the other side was never held up, and is long gone; until then the connection counts."""
    async with asyncio.timeout(5):
        await asyncio.get_running_loop().sock_sendall(piped.process, b"x" * 40_000)
    piped.process.close()
    await asyncio.sleep(0.05)
    assert len(piped.connections) == 1
    await until(lambda: len(piped.connections) == 0)
    assert await read_all(piped.client) < 40_000


async def test_who_reads_gets_all_of_an_answer_whose_sender_is_gone(piped: Piped) -> None:
    """And the connection is not counted any more."""
    async with asyncio.timeout(5):
        await asyncio.get_running_loop().sock_sendall(piped.process, b"x" * 40_000)
    piped.process.close()
    assert await read_all(piped.client) == 40_000
    await until(lambda: len(piped.connections) == 0)


async def test_of_two_that_do_not_read_one_that_goes_on_excuses_not_the_other(piped: Piped) -> None:
    """The process takes again what the client sends; the client still takes nothing, and is cut off."""
    for _ in range(100):
        piped.fill(piped.client)
        piped.fill(piped.process)
        await asyncio.sleep(0)
    reading = spawn(read_all(piped.process), name="test: read")
    await until(lambda: len(piped.connections) == 0)
    assert await reading > 0


async def test_an_old_client_is_passed_on_as_what_it_is(near: HttpServer, far: Far) -> None:
    """HTTP/1.0 needs no Host, and is answered so that it can tell the end."""
    asking = spawn(
        RawClient(near.port).ask(b"GET " + POLL + b" HTTP/1.0\r\n\r\n"), name="test: ask"
    )
    head, answer = await far.request()
    assert head.startswith(b"GET " + POLL + b" HTTP/1.0\r\n")
    answer.write(b"HTTP/1.0 200 OK\r\n\r\n6")
    answer.close()
    assert statuses(b"HTTP/1.1" + (await asking)[8:]) == [200]


@pytest.mark.parametrize("address", ["http://x:abc", "http://[::1", "http://a..b:80", "http://::"])
async def test_an_address_that_is_none_is_nobodys(near: HttpServer, far: Far, address: str) -> None:
    """Whatever another process says of where it is: the request is served here, where its session is not known."""
    far.address = address
    async with asyncio.timeout(5):
        answer = await RawClient(near.port).ask(
            b"GET " + POLL + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
    assert statuses(answer) == [200]  # served here


async def test_a_request_that_is_relayed_is_answered_although_its_process_stops(
    far: Far, tmp_path: Path
) -> None:
    """Within `close_s`; a poll that is held for longer is cut off, and a WebSocket is at once."""
    others = Others("mine", ["/socket.io/"], tmp_path, far.find, "secret")
    limits, post = (
        Limits(drain_s=0, close_s=2),
        b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    )
    async with asyncio.timeout(20), serving(limits=limits, others=others) as server:
        client = RawClient(server.port, path=POLL)
        asking = spawn(client.ask(b"POST " + POLL + post), name="test: post")
        _, answer = await far.request()
        held = spawn(client.ask(b"GET " + POLL + post), name="test: poll")
        _, unanswered = await far.request()
        _, writer = await client.dial(upgrade(path=POLL))
        upgraded, cut_off = await far.came.get()
        server.stop()
        assert (await upgraded.read()).startswith(b"GET " + POLL)
        assert not asking.done()
        answer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok")
        answer.close()
        assert statuses(await asking) == [200]
        assert statuses(await held) == []
        for each in (writer, unanswered, cut_off):
            await hang_up(each)


async def test_a_request_on_its_way_gets_there_although_its_process_stops(
    near: HttpServer, far: Far
) -> None:
    """Its session is another's, which does not stop: a request that is lost would end it."""
    far.may_be_found.clear()
    asked = b"POST " + POLL + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n3"
    asking = spawn(RawClient(near.port).ask(asked), name="test: ask")
    await far.is_sought.wait()
    near.stop()
    await until(lambda: near.connections.is_stopping)
    await asyncio.sleep(0.02)
    far.may_be_found.set()
    async with asyncio.timeout(5):
        _, answer = await far.request()
    answer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok")
    answer.close()
    assert statuses(await asking) == [200]
