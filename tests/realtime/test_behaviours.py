"""What was observed of Node's server, line by line of `behaviours.jsonl`, and what this one does: the same, or better on purpose.

Each test is named by its vector. Lines about the heartbeat, requests, recovery and clusters are tested with those.
"""

import re

import pytest

from clarion.errors import AckTimeout, ConnectRefused, Disconnected, UsageError
from clarion.protocol.engineio import Transport as Kind
from clarion.realtime import Sent
from clarion.telemetry import spawn
from tests.support.memory_transport import MemoryClient, handshake, in_time, make_server, settle
from tests.support.vectors import lines, value

OBSERVED = {line["name"]: line.get("observed") for line in lines("behaviours")}


async def connected(io=None, kind=Kind.WEBSOCKET, **more):
    """A server, a client, and the client's socket."""
    io = io or make_server(**more)
    client = MemoryClient(io, kind)
    sid = await client.join()
    await client.hear()
    return io, client, io.sockets[sid]


async def test_lifecycle_order():
    """Middleware, adapter events, CONNECT, `connect`, `connection`; then `disconnecting`, adapter events, `disconnect`."""
    io, log, sid = make_server(), [], []
    told = {
        "create-room": lambda room: f"create-room {room}",
        "join-room": lambda room, id: f"join-room {room}",
        "leave-room": lambda room, id: f"leave-room {room}",
        "delete-room": lambda room: f"delete-room {room}",
    }
    for event, say in told.items():
        io.of("/").adapter.on(event, lambda *args, say=say: log.append(say(*args)))

    @io.use
    def middleware(socket):
        sid.append(socket.id)
        log.append(f"io.use connected={str(socket.connected).lower()} rooms={len(socket.rooms)}")

    io.on("connect", lambda socket: log.append("connect"))

    @io.on("connection")
    def connection(socket):
        log.append(f"connection rooms={len(socket.rooms)}")
        socket.join(["a", "b"])
        log.append("--")

        @socket.on("disconnecting")
        def disconnecting(reason):
            state = f"rooms={len(socket.rooms)} connected={str(socket.connected).lower()}"
            log.append(f"disconnecting {reason} {state}")

        @socket.on("disconnect")
        def disconnect(reason, details):
            is_there = str(socket.id in io.sockets).lower()
            state = f"rooms={len(socket.rooms)} connected={str(socket.connected).lower()}"
            what = "undefined" if details is None else details
            log.append(f"disconnect {reason} {state} desc={what} inNsp={is_there}")

    client = MemoryClient(io)
    await client.join()
    client.say("41")
    assert [line.replace(sid[0], "<sid>") for line in log] == OBSERVED["lifecycle-order"]


async def test_after_disconnect():
    """Joining after the end does nothing; sending says that it was refused."""
    io, client, socket = await connected()
    client.lose()
    socket.join("late")
    assert {"rooms": len(socket.rooms), "adapterRooms": len(io.rooms)} == OBSERVED[
        "after-disconnect"
    ]
    assert socket.emit("e") is Sent.REFUSED


def test_acks_on_disconnect():
    """On purpose not as Node, which never tells who asked: a question to a client that leaves fails at once."""

    async def scenario(loop) -> None:
        _, client, socket = await connected()
        questions = [
            loop.create_task(socket.emit_with_ack("q")),
            loop.create_task(socket.timeout(5).emit_with_ack("q")),
        ]
        await settle()
        began = loop.time()
        client.lose()
        for question in questions:
            with pytest.raises(Disconnected):
                await question
        assert loop.time() - began < 1

    in_time(scenario)


def test_broadcast_ack_partial():
    """On time-out the error has the answers that came: the first argument of each, None for undefined; and how many did not."""

    async def scenario(loop) -> None:
        io = make_server()
        clients = [(await connected(io))[1] for _ in range(3)]
        asked = loop.create_task(io.timeout(1).emit_with_ack("q"))
        await settle()
        clients[0].say("430[1,2]")
        clients[1].say("430[]")
        with pytest.raises(AckTimeout) as caught:
            await asked
        expected = value(OBSERVED["broadcast-ack-partial"]["responses"])
        assert list(caught.value.responses) == expected
        assert caught.value.missing == 1
        again = loop.create_task(io.timeout(1).emit_with_ack("q", all_args=True))
        await settle()
        clients[0].say("431[1,2]")
        with pytest.raises(AckTimeout) as caught:
            await again
        assert caught.value.responses == ((1, 2),)
        # Nothing is left behind of questions that are over: answers that come now are ignored.
        clients[2].say("430[3]", "431[3]")
        assert all(not socket.acks._pending for socket in io.sockets.values())

    in_time(scenario)


async def test_broadcast_ack_empty():
    """Nobody is there: [] at once."""
    assert await make_server().timeout(1).emit_with_ack("q") == OBSERVED["broadcast-ack-empty"]


async def test_broadcast_ack_no_timeout():
    """On purpose not as Node, where it is 1 ms: a time must be named."""
    with pytest.raises(UsageError, match="timeout"):
        await make_server().to("a").emit_with_ack("q")


async def test_broadcast_ack_leaver():
    """On purpose not as Node, which can only time out: who leaves is not waited for."""
    io = make_server()
    _, staying, _ = await connected(io)
    _, leaving, _ = await connected(io)
    asked = spawn(io.timeout(5).emit_with_ack("q"), name="question")
    await settle()
    staying.say("430[1]")
    leaving.lose()
    assert await asked == OBSERVED["broadcast-ack-leaver"]["responses"]


async def test_event_pipeline():
    """Listeners of any event, then middlewares, which may change the arguments, then the handler; acks once.

    On purpose not as Node: a refused event answers its ack, and the middlewares do not get the ack function.
    """
    _, client, socket = await connected()
    log = []
    socket.on_any(lambda name, *args: log.append(f"any {name} {args[0] if args else ''}"))
    socket.prepend_any(lambda name, *args: log.append(f"prependAny {name}"))

    @socket.use
    def first(event):
        log.append(f"use1 {event[0]}")
        if event[0] == "bad":
            raise ConnectRefused("refused", c=1)

    @socket.use
    def second(event):
        log.append(f"use2 {event[0]}")
        if event[0] == "ok":
            event[1] = "changed"

    @socket.on("ok")
    def handler(arg, ack):
        log.append(f"handler {arg}")
        ack("a1")
        ack("a2")

    client.say('420["ok","orig"]', '421["bad",1]', '42["unhandled"]')
    ack, refused = await client.hear()
    assert ack == f'430["{OBSERVED["event-pipeline"]["acks"][0]}"]'
    assert refused == '431[{"error":{"code":"connect_refused","message":"refused","c":1}}]'
    # Node's listeners run in a later turn, so that its order over several events differs.
    node = [re.sub(" lastIsFn=.*", "", entry) for entry in OBSERVED["event-pipeline"]["log"]]
    assert sorted([*log, 'error refused {"c":1}']) == sorted(node)
    assert log[:5] == ["prependAny ok", "any ok orig", "use1 ok", "use2 ok", "handler changed"]


@pytest.mark.parametrize(("name", "verdict"), OBSERVED["reserved-socket-emit"].items())
async def test_reserved_socket_emit(name, verdict):
    """The same names are refused, with the same words, to one client and to many; the others are sent."""
    _, client, socket = await connected()
    if verdict == "allowed":
        assert socket.emit(name) is Sent.NOW
        assert await client.hear() == [f'42["{name}"]']
    else:
        for emit in (socket.emit, socket.broadcast.emit, socket.volatile.emit):
            with pytest.raises(UsageError, match=f"^{verdict}$"):
                emit(name)
        with pytest.raises(UsageError, match=f"^{verdict}$"):
            await socket.emit_with_ack(name)


@pytest.mark.parametrize(("name", "verdict"), OBSERVED["reserved-io-emit"].items())
def test_reserved_io_emit(name, verdict):
    """The same for everybody of a namespace."""
    io = make_server()
    if verdict == "allowed":
        assert io.emit(name) == 0
    else:
        with pytest.raises(UsageError, match=f"^{verdict}$"):
            io.emit(name)


@pytest.mark.parametrize(("name", "verdict"), OBSERVED["reserved-server-side-emit"].items())
async def test_reserved_server_side_emit(name, verdict):
    """Other names are reserved between nodes; alone, nobody is told, and nobody answers."""
    io = make_server()
    if verdict == "allowed":
        io.on_server_side(name, lambda *args: pytest.fail("it reaches other nodes only"))
        io.server_side_emit(name, 1)
        assert await io.server_side_emit_with_ack(name, 1) == []
    else:
        for call in (io.server_side_emit, lambda name: io.on_server_side(name, print)):
            with pytest.raises(UsageError, match=f"^{verdict}$"):
                call(name)
        with pytest.raises(UsageError, match=f"^{verdict}$"):
            await io.server_side_emit_with_ack(name)


async def test_dynamic_namespaces():
    """A parent's child: made, entered, cleaned up; what a parent can and can't say to all children."""
    seen = OBSERVED["dynamic-namespaces"]
    io, log = make_server(), []
    io.on("new_namespace", lambda namespace: log.append(f"new {namespace.name}"))
    parent = io.of(re.compile(r"^/dyn-\d+$"))
    parent.use(lambda socket: log.append(f"mw {socket.nsp.name}"))
    parent.on("connection", lambda socket: log.append(f"conn {socket.nsp.name}"))
    client = MemoryClient(io)
    await client.join("/dyn-1")
    log.append(f"has {str('/dyn-1' in io.namespaces).lower()}")
    io.of("/dyn-1").emit("x", 1)
    parent.to("nobody").emit("x", 2)
    parent.emit("x", 3)
    heard = await client.hear()
    client.say("41/dyn-1,")
    log.append(f"has {str('/dyn-1' in io.namespaces).lower()}")
    log.append(f"parent name {parent.name}")
    assert log == seen["log"]
    assert heard == [f'42/dyn-1,["x",{number}]' for number in seen["received"]]
    with pytest.raises(UsageError, match=seen["fetchSockets"].removeprefix("fetchSockets()")):
        await parent.fetch_sockets()


async def test_dynamic_namespace_function():
    """The function gets name and auth."""
    io, log = make_server(), []
    io.of(lambda name, auth: log.append(["fn", name, auth]) or name == "/f")
    client = MemoryClient(io)
    await client.join("/f", {"t": 1})
    client.say("40/g,")
    (told,) = await client.hear()
    assert log == OBSERVED["dynamic-namespace-function"]["log"]
    assert f'"message":"{OBSERVED["dynamic-namespace-function"]["refused"]}"' in told


async def test_volatile_polling():
    """With no poll held a volatile event is dropped; with one it is sent."""
    _, client, socket = await connected(kind=Kind.POLLING)
    client.transport.is_writable = False
    assert socket.emit("first") is Sent.QUEUED
    assert socket.volatile.emit("volatile1") is Sent.DROPPED
    client.transport.is_writable = True
    client.session.polled(client.transport)
    assert socket.volatile.emit("volatile2") is Sent.NOW
    assert await client.hear() == [f'42["{name}"]' for name in OBSERVED["volatile-polling"]]


async def test_volatile_ws():
    """On purpose not as Node, which drops the second of one turn: it is dropped where the client is behind, and only there."""
    assert OBSERVED["volatile-ws"] == [1]
    _, client, socket = await connected()
    assert [socket.volatile.emit("v", n) for n in (1, 2)] == [Sent.NOW, Sent.NOW]
    assert await client.hear() == ['42["v",1]', '42["v",2]']


async def test_handshake():
    """The fields of the handshake are Node's, but for headers that say nothing of who made the connection."""
    shook = handshake(
        url="/socket.io/?x=1&EIO=4&transport=websocket", raw_headers=b"host:localhost:3000"
    )
    io = make_server()
    client = MemoryClient(io, shook=shook)
    sid = await client.join(auth={"a": 1})
    given, expected = io.sockets[sid].handshake, OBSERVED["handshake"]
    for name in expected["handshakeKeys"]:
        assert hasattr(given, name)
    assert given.url == expected["handshake"]["url"]
    assert given.query == expected["handshake"]["query"]
    assert given.auth == expected["handshake"]["auth"]
    assert (given.xdomain, given.secure) == (False, False)
    assert (type(given.time), type(given.issued)) == (str, int)
    assert set(given.headers) < set(expected["handshake"]["headers"])


async def test_emit_after_namespace_disconnect():
    """On purpose not as Node, which still writes it: what is sent after the end is refused."""
    io, client, socket = await connected()
    io.of("/b")
    await client.join("/b")
    socket.emit("x", "before")
    socket.disconnect()
    assert socket.emit("x", "after") is Sent.REFUSED
    assert await client.hear() == OBSERVED["emit-after-namespace-disconnect"][2:4]
