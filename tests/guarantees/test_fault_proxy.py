"""The proxy of faults does what it says: otherwise the tests that use it test nothing."""

import socket
import threading
from collections.abc import Iterator

import pytest

from clarion.clock import SystemClock
from tests.support.fault_proxy import FaultProxy

BYTES = bytes(range(256)) * 1_000


class Echo:
    """A server that sends back what it gets; `ends` says how each connection ended."""

    def __init__(self) -> None:
        self.got, self.ends = bytearray(), list[str]()
        self.ended = threading.Semaphore(0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = ("127.0.0.1", int(self._listener.getsockname()[1]))
        self._threads = [threading.Thread(target=self._run, daemon=True)]
        self._threads[0].start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    self.got += data
                    connection.sendall(data)
                self.ends.append("fin")
            except OSError:
                self.ends.append("reset")
        self.ended.release()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[FaultProxy]:
    with FaultProxy(echo.address) as proxy:
        yield proxy


def _connected(proxy: FaultProxy) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", proxy.port))
    client.settimeout(10)
    return client


def _ask(client: socket.socket, data: bytes) -> float:
    """Send and get it back; how long that took (s)."""
    began = SystemClock().monotonic()
    sending = threading.Thread(target=client.sendall, args=(data,))
    sending.start()
    got = b""
    while len(got) < len(data):
        got += client.recv(65_536)
    sending.join()
    assert got == data
    return SystemClock().monotonic() - began


def _hear_out(client: socket.socket) -> None:
    while client.recv(65_536):
        pass


def test_bytes_are_delayed_slowed_held_and_handed_on_in_order(proxy: FaultProxy) -> None:
    """Delay and rate are lower bounds that are kept, a hole holds everything until it is healed, and nothing is lost or mixed up."""
    with _connected(proxy) as client:
        _ask(client, BYTES)
        proxy.up.delay = 0.05
        assert _ask(client, b"late") >= 0.05
        proxy.heal()
        proxy.down.rate = 100_000
        assert _ask(client, BYTES[:20_000]) >= 0.18
        proxy.heal()
        proxy.hole()
        client.sendall(b"held")
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(4)
        client.settimeout(10)
        proxy.heal()
        assert client.recv(4) == b"held"


def test_connections_end_as_they_are_told(proxy: FaultProxy, echo: Echo) -> None:
    """An end in order comes through as one; cut means reset at both ends, at an exact byte if wished; refused means reset at once."""
    with _connected(proxy) as client:
        _ask(client, b"x")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert echo.ended.acquire(timeout=10)
    with _connected(proxy) as client:
        _ask(client, b"x")
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert echo.ended.acquire(timeout=10)
    with _connected(proxy) as client:
        _ask(client, b"x")
        echo.got.clear()
        proxy.up.cut_after = 7
        client.sendall(b"0123456789")
        with pytest.raises(ConnectionResetError):
            _hear_out(client)
    assert echo.ended.acquire(timeout=10)
    assert (echo.ends, bytes(echo.got)) == (["fin", "reset", "reset"], b"0123456")
    proxy.refuses = True
    with _connected(proxy) as client, pytest.raises(ConnectionResetError):
        client.recv(1)
    assert proxy.connections == 0


def test_who_stays_of_a_half_open_connection_hears_nothing(proxy: FaultProxy, echo: Echo) -> None:
    """The server sees a reset, the client neither that nor an answer."""
    with _connected(proxy) as client:
        _ask(client, b"x")
        assert proxy.half_open("client") == 1
        assert echo.ended.acquire(timeout=10)
        client.sendall(b"anyone?")
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
    assert echo.ends == ["reset"]
