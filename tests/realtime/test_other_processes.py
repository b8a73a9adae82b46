"""No sticky sessions: whichever process of a server a request comes to, the one that has its session serves it."""

import asyncio
import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from clarion.clock import SystemClock
from clarion.realtime.transports.elsewhere import Moving
from clarion.realtime.transports.relay import HEADER, Signing
from clarion.telemetry import spawn
from tests.support.balancers import balancing
from tests.support.official import official
from tests.support.raw_socketio import Heard, Polled, Reach, until
from tests.support.redis_server import RedisServer
from tests.support.server import Server, running
from tests.support.services import Postgres

APP = """
def setup(app):
    root = app.io.of("/")

    @root.handle("echo")
    def echo(socket, value):
        return value

    @root.handle("who")
    def who(socket):
        return [socket.handshake.address, socket.handshake.secure]
"""
OPEN = {"CLARION_AUTH_OPEN_NAMESPACES": "/", "CLARION_LIMITS_DRAIN_S": "1"}
UNKNOWN = b'{"code":1,"message":"Session ID unknown"}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("others")
    (folder / "echoes.py").write_text(APP)
    return folder


@pytest.fixture(scope="module")
def workers(folder: Path) -> Iterator[Server]:
    """Two workers of one host, on one port: the kernel chooses."""
    with running(folder, "--app", "echoes:setup", CLARION_WORKERS="2", **OPEN) as server:
        yield server


class Nodes:
    """Two that count as two hosts, for their folders differ; the second has two workers. nginx asks them in turn, as `deploy/` has it."""

    def __init__(self, folder: Path, database: str, redis: str) -> None:
        self._stack = ExitStack()
        self.nodes = [
            self._node(folder, name, database, redis, workers)
            for name, workers in (("one", 1), ("two", 2))
        ]
        for node in self.nodes:
            node.start("--app", "echoes:setup")
        self.port = self.proxy(folder, "nginx")

    def _node(self, folder: Path, name: str, database: str, redis: str, workers: int) -> Server:
        (folder / name).mkdir()
        shutil.copy(folder / "echoes.py", folder / name)
        node = Server(
            folder / name,
            CLARION_DATABASE_URL=database,
            CLARION_REDIS_URL=redis,
            CLARION_AUTH_TOKEN_SECRET="the secret of both, of 32 bytes or more",
            CLARION_WORKERS=str(workers),
            CLARION_TRUSTED_PROXIES="127.0.0.1",
            **OPEN,
        )
        node.environment["CLARION_NODE_URL"] = f"http://127.0.0.1:{node.port}"
        self._stack.callback(node.close)
        return node

    def proxy(self, folder: Path, name: str) -> int:
        """One more balancer, as `deploy/` has it; the port that it listens on."""
        ports = [node.port for node in self.nodes]
        return self._stack.enter_context(balancing(folder, name, ports))

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def nodes(folder: Path, postgres: Postgres, redis_server: RedisServer) -> Iterator[Nodes]:
    nodes = Nodes(folder, asyncio.run(postgres.new_database()), redis_server.url)
    yield nodes
    nodes.close()


def moved(server: Server, way: str) -> float:
    """How many requests its workers have sent elsewhere."""
    return total(server, rf'clarion_moved_connections_total{{.*way="{way}".*}}')


def polling(server: Server) -> float:
    """How many sessions are on polling there."""
    return total(server, r'clarion_sessions{.*transport="polling".*}')


def total(server: Server, name: str) -> float:
    """A metric, over all workers."""
    said = server.get("/metrics", token=server.key("metrics:read")).text
    return sum(map(float, re.findall(f"^{name} (.*)", said, re.MULTILINE)))


@pytest.mark.parametrize("proxy", ["haproxy", "caddy"])
async def test_the_other_proxies_of_the_deployment_do_as_well(
    nodes: Nodes, folder: Path, proxy: str
) -> None:
    """With the files that are in `deploy/`, but for the addresses; a health check that fails in the first moment is tried again."""
    port = nodes.proxy(folder, proxy)
    async with asyncio.timeout(20):
        while (await Reach(port).ask("GET", b"/livez")).status != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert await crowd(port, 60) == {"polling": 20, "websocket": 40}


def forked(server: Server) -> set[int]:
    """The processes that the first has started."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    return {int(pid) for pid in children.split()}


def owner(server: Server) -> int:
    """The process that has the lock on the file."""
    return int((server.folder / "data/clarion.db.lock").read_text())


async def crowd(port: int, count: int) -> dict[str, int]:
    """What became of official clients, by the transport that they ended on."""
    async with official("crowd.mjs", port, str(count)) as facts:
        async for _, value in facts:
            return dict(value)
    raise AssertionError("the clients said nothing")


async def test_default_clients_are_served_by_any_worker_of_a_host(workers: Server) -> None:
    """Those that poll, those that go on by WebSocket and those that begin with one: no session fails."""
    assert await crowd(workers.port, 150) == {"polling": 50, "websocket": 100}
    assert moved(workers, "handover") > 0


async def test_default_clients_are_served_behind_a_round_robin_balancer(nodes: Nodes) -> None:
    """Two hosts, nginx that knows of no sessions, hundreds of clients."""
    assert await crowd(nodes.port, 240) == {"polling": 80, "websocket": 160}
    assert all(moved(node, "relay") > 0 for node in nodes.nodes)
    assert moved(nodes.nodes[1], "handover") > 0


async def elsewhere(polled: Polled, *, data: str = "40") -> Heard:
    """A POST of a session's data from a connection of its own."""
    return await polled.post(data)


async def until_elsewhere(server: Server, reach: Reach, way: str) -> Polled:
    """A session on polling of which a request has gone to another process."""
    for _ in range(50):
        polled = await reach.polling()
        before = moved(server, way)
        answer = await elsewhere(polled)
        assert (answer.status, answer.body) == (200, b"ok"), answer
        if moved(server, way) > before:
            return polled
    raise AssertionError("the kernel always chooses the same worker")


async def test_a_body_is_bounded_and_whole_wherever_it_comes(workers: Server) -> None:
    """What is too large is refused by whoever has the session, which lives on; what comes in pieces comes whole."""
    reach = Reach(workers.port)
    for _ in range(4):
        polled = await reach.polling()
        assert (await elsewhere(polled)).status == 200
        assert (await elsewhere(polled, data="2" * 1_000_001)).status == 413
        long = '42["echo","' + "x" * 900_000 + '"]'
        assert (await elsewhere(polled, data=long)).status == 200
        chunked = b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        heard = await reach.raw.ask(chunked % polled.target + b"1\r\n3\r\n0\r\n\r\n", 10)
        assert Heard.parse(heard).status in {200, 400}  # by whoever it came to


@pytest.mark.parametrize("where", ["workers", "nodes"])
async def test_a_session_of_nobody_is_unknown(where: str, request: pytest.FixtureRequest) -> None:
    """Of a process that is not there, of one that was killed, of ids that are none; the client begins a new one."""
    reach = Reach(request.getfixturevalue(where).port)
    for sid in (b"A" * 24, b"A" * 20 + b"....", b"../../../../../../etc/passwd", b"%00" * 8):
        for method in ("GET", "POST"):
            answer = await reach.ask(method, reach.query + b"polling&sid=" + sid, b"3")
            assert answer.status == 400, answer
            assert answer.body.startswith(b'{"code":1,'), answer


async def test_a_poll_that_is_given_up_ends_its_session_elsewhere(nodes: Nodes) -> None:
    """As it does where the session is: the connections of both processes go with it."""
    one = Reach(nodes.nodes[0].port)
    polled, before = await one.polling(), moved(nodes.nodes[1], "relay")
    _, writer = await asyncio.open_connection("127.0.0.1", nodes.nodes[1].port)
    writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % polled.target)
    await writer.drain()
    await until(lambda: moved(nodes.nodes[1], "relay") > before)
    open_before = polling(nodes.nodes[0])
    writer.close()
    await writer.wait_closed()
    await until(lambda: polling(nodes.nodes[0]) < open_before)
    assert (await one.ask("GET", polled.target)).body == UNKNOWN


async def test_only_processes_of_the_server_may_say_who_asks(nodes: Nodes) -> None:
    """A header that nobody of them has signed, for another request, or long ago, is refused, on polling and for WebSockets."""
    reach, clock = Reach(nodes.nodes[0].port), SystemClock()
    request = Moving(b"GET", reach.query + b"polling", (), b"", ("203.0.113.9", 1), True)
    forged = Signing("a guess", clock).header(request)
    for said in (b";", b"x" * 90_000, b"1;2;3", forged, forged[:-1], "1;é;2;https;".encode()):
        for kind in (b"polling", b"websocket"):
            more = HEADER + b": " + said + b"\r\n"
            if kind == b"websocket":
                more += b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
                more = more.replace(b"Upgrade:", b"Connection: Upgrade\r\nUpgrade:")
            answer = await reach.ask("GET", reach.query + kind, headers=more)
            assert answer.status == (431 if len(said) > 9_000 else 403), (said, answer)


async def test_garbage_on_the_socket_of_the_host_hurts_nobody(workers: Server) -> None:
    """Nothing, half a message, one without a connection, one that is too long: the next one is served."""
    paths = list((workers.folder / "data").glob("node-*"))
    assert len(paths) == 2
    for path in paths:
        assert path.stat().st_mode & 0o777 == 0o600
        for garbage in (
            b"",
            b"\x00",
            b"\x00\x00\x00\x05abc",
            b"\x00\x00\x00\x03abc",
            b"\xff" * 100_000,
        ):
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(str(path))
                with suppress(BrokenPipeError):
                    line.sendall(garbage)
    assert await crowd(workers.port, 30) == {"polling": 10, "websocket": 20}


async def test_a_worker_that_was_killed_leaves_nothing_behind(folder: Path) -> None:
    """Sessions of a killed worker are unknown to the others at once, and its successor serves its own."""
    (folder / "killed").mkdir()
    shutil.copy(folder / "echoes.py", folder / "killed")
    settings = {"CLARION_WORKERS": "2", **OPEN}
    with running(folder / "killed", "--app", "echoes:setup", **settings) as server:
        reach = Reach(server.port)
        polled = await until_elsewhere(server, reach, "handover")
        killed = forked(server) - {owner(server)}
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: len(forked(server)) == 3 and not forked(server) & killed)
        answer = await reach.ask("GET", polled.target)
        assert (answer.status, answer.body) == (400, UNKNOWN)
        assert await crowd(server.port, 30) == {"polling": 10, "websocket": 20}
        assert len(list((server.folder / "data").glob("node-*"))) == 2


async def test_a_poll_that_waits_elsewhere_is_answered_when_its_process_stops(nodes: Nodes) -> None:
    """As one that waits there; afterwards its session is of nobody, and the client begins anew at the one that is left."""
    one, two = nodes.nodes
    polled = await Reach(one.port).polling()
    assert (await polled.post("40")).status == 200
    assert (await polled.get()).body.startswith(b"40{")
    far, before = Polled(Reach(two.port), polled.sid), moved(two, "relay")
    waiting = spawn(far.get(), name="test: poll")
    await until(lambda: moved(two, "relay") > before)
    one.send(signal.SIGTERM)
    answer = await waiting
    assert (answer.status, answer.body[-1:]) == (200, b"1"), answer  # Engine.IO's close
    assert await asyncio.to_thread(one.ended, 20)
    assert (await far.get()).body == UNKNOWN
    assert await crowd(nodes.port, 30) == {"polling": 10, "websocket": 20}
