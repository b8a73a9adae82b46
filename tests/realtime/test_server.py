"""The server as a whole: what it offers to an application, and to whom it speaks."""

import asyncio

import pytest

from clarion.errors import SettingsError, UsageError
from clarion.realtime import Server
from clarion.settings import Limits, Realtime
from clarion.telemetry import spawn
from tests.support.memory_transport import MemoryClient, make_server, settle
from tests.support.raw_socketio import wired


async def test_the_root_namespace_is_there_and_the_servers_methods_are_its():
    """on, use, handle, emit, to, in_, except_, volatile, timeout, fetch_sockets of the server mean `/`."""
    io, seen = make_server(), []
    io.use(lambda socket: seen.append("use"))
    io.on("connection", lambda socket: seen.append("on"))

    @io.on("connect")
    def connect(socket):
        seen.append("connect")

    io.handle("a", lambda socket: seen.append("handle"))

    @io.handle("b")
    def handle(socket):
        seen.append("handled")

    client = MemoryClient(io)
    sid = await client.join()
    client.say('42["a"]', '42["b"]')
    assert seen == ["use", "connect", "on", "handle", "handled"]
    assert io.emit("1") == io.to(sid).emit("2") == io.in_(sid).emit("3") == 1
    assert io.except_(sid).emit("4") == 0
    assert io.volatile.emit("5") == 1
    assert io.timeout(3).timeout_s == 3
    assert [socket.id for socket in await io.fetch_sockets()] == [sid]
    assert await client.hear() == [f'42["{n}"]' for n in (1, 2, 3, 5)]


async def test_short_ways_to_a_user_a_room_and_everybody():
    """They act in the home namespace, or in the one that is named; one that does not exist is the caller's mistake."""
    io = make_server(home="/clarion")
    io.of("/clarion").use(lambda socket: setattr(socket, "user", "ada"))
    client = MemoryClient(io)
    sid = await client.join("/clarion")
    await client.join("/")
    io.of("/clarion").sockets[sid].join("room")
    assert io.emit_to_user("ada", "1") == 1
    assert io.emit_to_user("bob", "1") == 0
    assert io.emit_to_room("room", "2", {"a": 1}) == 1
    assert io.emit_to_room("room", "2", namespace="/") == 0
    assert io.broadcast("3") == 1
    assert io.broadcast("4", namespace="/") == 1
    assert await client.hear() == [
        '42/clarion,["1"]',
        '42/clarion,["2",{"a":1}]',
        '42/clarion,["3"]',
        '42["4"]',
    ]
    with pytest.raises(UsageError, match="no namespace"):
        io.broadcast("5", namespace="/typo")
    assert "/typo" not in io.namespaces


async def test_closing_waits_for_handlers():
    """What a handler has begun is let end; afterwards the server is silent."""
    io, ended = make_server(), []

    async def slow(socket):
        await asyncio.sleep(0.01)
        ended.append(socket.connected)

    io.handle("slow", slow)
    client = MemoryClient(io)
    await client.join()
    client.say('42["slow"]')
    await settle()
    await io.close()
    assert ended == [False]
    assert client.transport.closed == (3001, "draining")
    assert io.sessions == 0
    assert len(io.wheel) == 0


async def test_ids_are_long_and_name_the_node():
    """A session's id is 24 characters, the last 4 the same for all of a process; a socket's is 20."""
    io = make_server()
    clients = [MemoryClient(io) for _ in range(3)]
    sids = [await client.join() for client in clients]
    assert {len(sid) for sid in sids} == {20}
    assert len({client.session.id[-4:] for client in clients}) == 1
    assert len({client.session.id for client in clients}) == 3


async def test_other_paths_are_not_served():
    """Outside its path the ASGI application answers 404."""
    async with wired(Realtime(path="/engine/")) as wire:
        assert (await wire.ask("GET", b"/socket.io/?EIO=4&transport=polling")).status == 404
        assert (await wire.ask("GET", b"/engine/?EIO=4&transport=polling")).status == 200


def test_a_limit_of_no_attachments_is_possible():
    """`limits.attachments = 0` forbids binary."""
    from clarion.clock import ManualClock
    from clarion.ids import Ids

    io = Server(Realtime(), Limits(attachments=0), clock=ManualClock(), ids=Ids.seeded(1))
    assert io.decoding.attachments == 0


async def test_a_server_needs_no_arguments_and_can_run_alone():
    """`Server()` has Node's defaults; `serve` answers clients on its own port, and `close` ends it."""
    io = Server()
    assert (io.path, io.timing.ping_interval_s, io.max_payload_bytes) == (
        "/socket.io/",
        25.0,
        1_000_000,
    )
    port = asyncio.get_running_loop().create_future()
    serving = spawn(
        io.serve(port=0, on_started=port.set_result, handle_signals=False), name="server"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", await port)
    writer.write(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\n\r\n")
    assert b'0{"sid":"' in await reader.readuntil(b"}")
    assert io.engine.clients_count == 1
    with pytest.raises(SettingsError, match="taken"):
        await Server().serve(port=await port, handle_signals=False)
    await io.close()
    await serving
    assert await reader.read() == b""
    writer.close()


def test_run_has_a_loop_of_its_own():
    """`run` serves until the server is closed, and leaves nothing running."""
    io, ports = Server(), []

    def started(port):
        ports.append(port)
        spawn(io.close(), name="close")

    io.run(port=0, on_started=started, handle_signals=False)
    assert ports[0] > 0


async def test_new_sessions_can_be_watched():
    """`io.engine` tells of each session that begins; a listener that is taken off hears no more."""
    io, seen = make_server(), []
    io.engine.on("connection", lambda session: seen.append((session.id, session.transport_name)))
    client = MemoryClient(io)
    io.engine.remove_all_listeners("connection")
    MemoryClient(io)
    assert seen == [(client.session.id, "websocket")]
    assert io.engine.clients_count == 2


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"settings": Realtime(path="socket.io")}, r"Realtime: .*\$\.path"),
        ({"settings": Realtime(transports=["ws"])}, r"Realtime: .*\$\.transports"),
        ({"settings": Realtime(parser="xml")}, r"Realtime: .*\$\.parser"),
        ({"settings": Realtime(ping_interval_s=0)}, r"Realtime: .*\$\.ping_interval_s"),
        ({"limits": Limits(events_per_s=0)}, r"Limits: .*\$\.events_per_s"),
        ({"settings": Limits()}, r"Realtime\(…\) is wanted here"),
        ({"settings": 3000}, r"Realtime\(…\) is wanted here, not 3000"),
        ({"settings": Limits()}, r"not Limits\(.{53}$"),
        ({"cookie": "io"}, r"Cookie\(…\), not 'io'"),
        ({"allow_request": True}, "True is no function"),
        (
            {"allow_request": lambda request, callback: None},
            "called with the request, and that alone",
        ),
        ({"generate_id": lambda: "x"}, "called with the request, and that alone"),
        ({"allowed_origins": None}, "origins are text or patterns"),
        ({"allowed_origins": [5]}, "origins are text or patterns"),
        ({"cors": "*"}, r"Cors\(origins=…\), not '\*'"),
        ({"cors": {"origin": "*"}}, r"Cors\(origins=…\)"),
        ({"trusted_proxies": ["nginx"]}, "trusted_proxies: 'nginx'"),
    ],
)
def test_arguments_that_are_no_good_are_refused_when_the_server_is_made(arguments, why):
    """By name, and not by a path that answers 404, or in the middle of the first handshake: `Realtime` and `Limits` judge nothing themselves."""
    with pytest.raises(UsageError, match=why):
        Server(**arguments)


def test_functions_that_cannot_be_called_are_refused_when_they_are_registered():
    """Judges of namespaces get a name and the client's `auth`, endpoints the connection: Node's three arguments, or none, would fail with each client."""
    io = make_server()
    for wrong in (None, ["/a"], lambda: True, lambda name, auth, proceed: True):
        with pytest.raises(UsageError, match=r"no function|called with a name and the client's"):
            io.of(wrong)
    for wrong in (5, lambda: None):
        with pytest.raises(UsageError, match=r"no function|called with the connection"):
            io.websocket("/echo", wrong)


def test_one_trusted_proxy_need_be_no_list():
    """Its text would be taken for a list of letters."""
    assert Server(trusted_proxies="10.0.0.0/8")
