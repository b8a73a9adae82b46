"""A socket: its events, what it sends, and how it leaves."""

import asyncio
import gc
import json
import weakref

import msgspec
import pytest
from structlog.testing import capture_logs

from clarion.errors import AckTimeout, Disconnected, Invalid, UsageError
from clarion.protocol.codes import CloseCode
from clarion.protocol.engineio import Transport as Kind
from clarion.realtime import Sent
from clarion.settings import Limits
from clarion.telemetry import spawn
from tests.support.memory_transport import (
    MemoryClient,
    MemoryTransport,
    in_time,
    make_server,
    settle,
)


async def connected(io=None, **more):
    """A server, a client, and the client's socket."""
    io = io or make_server(**more)
    client = MemoryClient(io)
    sid = await client.join()
    await client.hear()
    return io, client, io.of("/").sockets[sid]


# ── what comes in ──
async def test_an_event_reaches_its_handlers_and_is_answered_once():
    """All handlers of an event are called; the first that ends answers."""
    _, client, socket = await connected()
    calls = []
    socket.on("q", lambda *a: calls.append(a) or "first")
    socket.on("q", lambda *a: calls.append(a) or "second")
    client.say('427["q",{"a":[1]},null]', '42["q"]')
    assert await client.hear() == ['437["first"]']
    assert calls == [({"a": [1]}, None)] * 2 + [()] * 2


async def test_any_event_can_be_listened_to():
    """`on_any` sees name and arguments of every event before its handler, and answers nothing."""
    _, client, socket = await connected()
    seen = []
    socket.on_any(lambda *a: seen.append(a))
    socket.on("q", lambda: seen.append("handler"))
    client.say('420["q"]', '421["other",1]', '42[5,"numbers are names"]')
    heard = await client.hear()
    assert seen == [("q",), "handler", ("other", 1), (5, "numbers are names")]
    assert heard[0] == "430[]"
    assert "unknown_event" in heard[1]


async def test_an_event_that_nobody_handles_is_in_the_log_where_no_answer_is_wanted():
    """At debug: a misspelt name is found there by who looks for it, and a stranger cannot fill the log."""
    client = MemoryClient(make_server())
    await client.join()
    with capture_logs() as logs:
        client.say('42["sya","hello"]')
    (line,) = logs
    assert (line["log_level"], line["why"]) == ("debug", "nobody listens to 'sya' here")


async def test_an_event_that_nobody_handles_is_answered_by_an_error():
    """Where an answer is wanted the client gets one; Node lets it wait for ever."""
    _, client, _ = await connected()
    client.say('420["nope"]', '42["nope"]')
    (told,) = await client.hear()
    assert told.startswith('430[{"error":{"code":"unknown_event"')


async def test_handlers_begin_in_the_order_of_the_wire():
    """An async handler begins before a plain one whose event came later; how long it then takes is its own."""
    _, client, socket = await connected()
    order, gate = [], asyncio.Event()

    @socket.on("slow")
    async def slow(n):
        order.append(("slow", n))
        await gate.wait()
        return n

    @socket.on("quick")
    def quick(n):
        order.append(("quick", n))
        return n

    client.say(
        '420["slow",0]', '421["quick",1]', '422["slow",2]', '423["slow",3]', '424["quick",4]'
    )
    assert await client.hear() == ["431[1]", "434[4]"]
    assert order == [("slow", 0), ("quick", 1), ("slow", 2), ("slow", 3), ("quick", 4)]
    gate.set()
    assert await client.hear() == ["430[0]", "432[2]", "433[3]"]


async def test_events_of_a_client_that_has_left_meanwhile_are_dropped():
    """What waits for an earlier handler to begin is not handled for a client that is gone; nobody is answered."""
    _, client, socket = await connected()
    seen = []

    @socket.on("a")
    async def slow():
        seen.append("a")
        await asyncio.sleep(0)
        return "unheard"

    socket.on("b", lambda: seen.append("b"))
    client.say('420["a"]', '421["b"]', "41")
    assert await client.hear() == []
    assert seen == ["a"]


def test_too_many_events_are_refused_and_after_a_while_closed():
    """Above `events_per_s` an event is answered rate_limited, not handled; who goes on for 3 s is closed with 3009."""

    async def scenario(loop) -> None:
        _, client, socket = await connected(limits=Limits(events_per_s=10))
        handled = []
        socket.on("e", lambda: handled.append(1))
        client.say(*['420["e"]'] * 21)
        heard = await client.hear()
        assert len(handled) == 20
        assert heard[:20] == ["430[]"] * 20
        assert '"code":"rate_limited"' in heard[20]
        assert '"retry_after":' in heard[20]
        await asyncio.sleep(2)
        client.say('42["e"]')
        assert len(handled) == 21
        for _ in range(40):
            client.say(*['42["e"]'] * 20)
            await asyncio.sleep(0.1)
        assert client.transport.closed == (CloseCode.RATE, "rate")

    in_time(scenario)


async def test_an_overlong_name_is_answered_by_an_error():
    """An event's name has a limit in bytes; the session goes on."""
    _, client, socket = await connected()
    socket.on("é" * 128, lambda: "fits")
    client.say(f'420["{"é" * 128}"]', f'421["{"é" * 129}"]')
    fits, told = await client.hear()
    assert fits == '430["fits"]'
    assert '"code":"invalid"' in told


# ── what goes out ──
class Point(msgspec.Struct):
    x: int


async def test_emit_says_what_became_of_it():
    """Now, queued while the client does not read, dropped if volatile and behind, refused when it is gone."""
    io, client, socket = await connected(limits=Limits(egress_soft_bytes=100))
    assert socket.emit("e", Point(1), b"\x01") is Sent.NOW
    assert await client.hear() == ['451-["e",{"x":1},{"_placeholder":true,"num":0}]', b"\x01"]
    client.transport.is_writable = False
    assert socket.emit("e", "." * 100) is Sent.QUEUED
    assert socket.volatile.emit("e") is Sent.DROPPED
    client.transport.is_writable = True
    client.session.writable(client.transport)
    client.say("41")
    await client.hear()
    # The session goes on; Node would send it, and the client get it after it comes back.
    assert socket.emit("e") is Sent.REFUSED
    assert await client.hear() == []
    assert socket.deliver(io.of("/").prepare("e")) is Sent.REFUSED
    with pytest.raises(UsageError):
        socket.emit("disconnect")


async def test_a_question_to_the_client():
    """emit_with_ack gives the first argument of the answer, None if there is none."""
    _, client, socket = await connected()
    first = spawn(socket.emit_with_ack("q", 1), name="question")
    second = spawn(socket.timeout(5).volatile.emit_with_ack("q", 2), name="question")
    assert await client.hear() == ['420["q",1]', '421["q",2]']
    client.say('430["yes","more"]', "431[]", '430["again"]', '4399["nobody asked"]', "43[]")
    assert await asyncio.gather(first, second) == ["yes", None]
    assert client.session.is_open


def test_a_question_without_an_answer():
    """It fails after its time, or at once where the client leaves or has left."""

    async def scenario(loop) -> None:
        _, client, socket = await connected()
        began = loop.time()
        with pytest.raises(AckTimeout):
            await socket.timeout(3).emit_with_ack("q")
        assert 3 <= loop.time() - began < 3.2
        asked = loop.create_task(socket.emit_with_ack("q"))
        await settle()
        client.lose()
        with pytest.raises(Disconnected):
            await asked
        with pytest.raises(Disconnected):
            await socket.emit_with_ack("q")

    in_time(scenario)


async def test_a_question_to_many():
    """A broadcast with answers gives the first argument of each, needs a time-out, and does not wait for who leaves."""
    io = make_server()
    clients = [(await connected(io))[1] for _ in range(3)]
    with pytest.raises(UsageError, match="timeout"):
        await io.of("/").to("x").emit_with_ack("q")
    asked = spawn(io.timeout(5).emit_with_ack("q"), name="question")
    assert await clients[0].hear() == ['420["q"]']
    clients[2].say('430["c"]')
    clients[1].say("430[]")
    clients[0].lose()
    assert await asked == ["c", None]
    assert await io.to("nobody").timeout(1).emit_with_ack("q") == []


async def test_broadcasts_of_a_socket_leave_it_out():
    """to, in_, except_ and broadcast of a socket mean everybody else."""
    io = make_server()
    trio = [await connected(io) for _ in range(3)]
    a, b, c = (socket for _, _, socket in trio)
    for socket in (a, b):
        socket.join("x", "y")
    assert a.broadcast.emit("1") == 2
    assert a.to("x", "y").emit("2") == 1
    assert a.in_("x").emit("3") == 1
    assert a.except_("x").emit("4") == 1
    assert c.to("x").volatile.emit("5") == 2
    heard = [await client.hear() for _, client, _ in trio]
    assert heard == [
        ['42["5"]'],
        ['42["1"]', '42["2"]', '42["3"]', '42["5"]'],
        ['42["1"]', '42["4"]'],
    ]


async def test_operators_never_change():
    """Each step gives a new operator; what was made before still means what it meant."""
    io, client, socket = await connected()
    base = io.to("a")
    base.to("b").except_(socket.id).volatile.timeout(1)
    assert base == io.to("a")
    assert io.to("a").to("a", "b").selection.rooms == ("a", "b")
    await io.to(socket.id).sockets_join("a", "b")
    assert base.emit("e") == 1
    await io.to("a").sockets_leave("a")
    assert base.emit("e") == 0
    assert socket.rooms == (socket.id, "b")
    await io.to("b").disconnect_sockets(close=True)
    assert not client.session.is_open


async def test_who_sends_much_can_wait_for_the_client_to_read():
    """`drained` returns at once for a client that keeps up, else when at most the soft mark waits; a client that leaves raises."""
    _, client, socket = await connected(limits=Limits(egress_soft_bytes=100))
    await socket.drained()
    for _ in range(3):
        socket.emit("e", "." * 100)
    await socket.drained()  # the end of this turn
    client.transport.is_writable = False
    assert socket.emit("small") is Sent.QUEUED
    await socket.drained()
    socket.emit("e", "." * 100)
    waiting = [spawn(socket.drained(), name="drained") for _ in range(2)]
    waiting[0].cancel()  # who gives up takes nothing from who waits
    await settle()
    assert not waiting[1].done()
    client.transport.is_writable = True
    client.session.writable(client.transport)
    await waiting[1]
    client.transport.is_writable = False
    socket.emit("e", "." * 200)
    last = spawn(socket.drained(), name="drained")
    await settle()
    client.lose()
    with pytest.raises(Disconnected):
        async with asyncio.timeout(5):
            await last
    with pytest.raises(Disconnected):
        await socket.drained()


async def test_a_client_that_changes_to_a_websocket_takes_what_waits():
    """Whoever waits for a client on polling goes on when its WebSocket has taken over."""
    io = make_server(limits=Limits(egress_soft_bytes=100))
    client = MemoryClient(io, Kind.POLLING)
    socket = io.sockets[await client.join()]
    client.transport.is_writable = False
    socket.emit("e", "." * 200)
    waiting = spawn(socket.drained(), name="drained")
    await settle()
    assert not waiting.done()
    websocket = MemoryTransport()
    assert client.session.probe(websocket)
    client.session.receive("2probe", websocket)
    client.session.receive("5", websocket)
    async with asyncio.timeout(5):
        await waiting
    assert websocket.sent[-1] == f'42["e","{"." * 200}"]'


async def test_send_and_write_are_the_event_message():
    """As in Node, of a socket, of those it chooses, of a namespace and of the server."""
    io, client, socket = await connected()
    nsp = io.of("/")
    for speaker in (socket, socket.compress(True), io, nsp, io.local, nsp.compress(False)):
        speaker.send("a")
        speaker.write(1, 2)
    socket.local.send("not to itself")
    assert await client.hear() == ['42["message","a"]', '42["message",1,2]'] * 6


async def test_all_arguments_of_an_answer():
    """With `all_args` an answer is a tuple, of one client and of many."""
    io, client, socket = await connected()
    first = spawn(socket.emit_with_ack("q", all_args=True), name="question")
    second = spawn(socket.timeout(1).emit_with_ack("q", all_args=True), name="question")
    third = spawn(io.timeout(1).emit_with_ack("q", all_args=True), name="question")
    await client.hear()
    client.say("430[1,2]", "431[]", "432[3,4]")
    assert await asyncio.gather(first, second, third) == [(1, 2), (), [(3, 4)]]


async def test_what_a_socket_runs_on():
    """`nsp` is its namespace, `conn` says how its session comes here, and nothing was recovered."""
    io, client, socket = await connected()
    assert socket.nsp is io.of("/")
    assert socket.conn.id == client.session.id
    assert (socket.conn.transport, socket.conn.protocol) == ("websocket", 4)
    assert socket.conn.remote_address == "192.0.2.1"
    assert socket.recovered is False


# ── rooms ──
@pytest.mark.parametrize("name", ["", "a\0b", "a\nb", "\ud800", "é" * 128, 5, None])
async def test_a_bad_room_name_is_refused(name):
    """Names are text with 1 to 255 bytes and no control characters; the client whose handler passes one on is told."""
    _, client, socket = await connected()
    with pytest.raises(Invalid):
        socket.join("good", name)
    assert socket.rooms == (socket.id,)
    socket.on("join", lambda room: socket.join("é" * 128))
    client.say('420["join","x"]')
    assert '"code":"invalid"' in (await client.hear())[0]


@pytest.mark.parametrize("name", [5, None, {}, ["a"]])
async def test_what_is_no_rooms_name_cannot_be_left(name):
    """As for `join`: the client whose handler passes it on is told, and no bug is logged."""
    io, client, socket = await connected()
    socket.on("leave", lambda room: socket.leave(room))
    with capture_logs() as logs:
        client.say(f'420["leave",{json.dumps(name)}]')
    assert '"code":"invalid"' in (await client.hear())[0]
    assert logs == []
    with pytest.raises(Invalid):
        await io.sockets_leave([name])


async def test_rooms_end_with_the_socket():
    """Who left is in no room and can join none; leaving the own room works."""
    io, client, socket = await connected()
    socket.join("x")
    socket.leave(socket.id)
    socket.leave("not in there")
    assert socket.rooms == ("x",)
    assert io.to(socket.id).emit("e") == 0
    client.lose()
    socket.join("y")
    socket.leave("x")
    assert socket.rooms == ()
    assert io.of("/").rooms == {}


async def test_a_user_has_a_room():
    """A socket with a user is in `user:<id>`, and emit_to_user reaches all of the user's sockets."""
    io = make_server()
    io.use(lambda socket: setattr(socket, "user", socket.handshake.auth["user"]))
    clients = [MemoryClient(io) for _ in range(3)]
    for client, user in zip(clients, ["ada", "bob", "ada"], strict=True):
        await client.join("/", {"user": user})
    assert io.emit_to_user("ada", "hi", 1) == 2
    assert [await client.hear() for client in clients] == [['42["hi",1]'], [], ['42["hi",1]']]


# ── leaving ──
async def test_leaving_is_told_while_the_rooms_are_there_then_after():
    """`disconnecting` sees the rooms and a connected socket, `disconnect` neither; both know the reason; each once."""
    _, client, socket = await connected()
    seen = []
    socket.join("x")

    @socket.on("disconnecting")
    def leaving(reason):
        seen.append((reason, socket.connected, socket.rooms))
        socket.disconnect()

    @socket.on("disconnect")
    def left(reason):
        seen.append((reason, socket.connected, socket.rooms))

    client.say("41")
    client.lose()
    reason = "client namespace disconnect"
    assert seen == [(reason, True, (socket.id, "x")), (reason, False, ())]


async def test_why_a_session_ended_is_told_in_detail():
    """Behind the reason come close code and text of what this server chose, or what was wrong with a packet; or nothing."""
    told = []
    for end in (
        lambda client, socket: socket.end(CloseCode.AGED),
        lambda client, socket: client.say('42["unclosed"'),
        lambda client, socket: client.say("40"),
        lambda client, socket: client.lose(),
    ):
        _, client, socket = await connected()
        socket.on("disconnecting", lambda reason: told.append(reason))
        socket.on("disconnect", lambda reason, details: told.append(details))
        end(client, socket)
    aged, bad, early, lost = told[1::2]
    assert told[::2] == [
        "forced server close",
        "forced close",
        "forced server close",
        "transport close",
    ]
    assert (aged.code, aged.text) == (3002, "aged")
    assert "bad JSON" in bad.text
    assert early.text == "a second CONNECT"
    assert lost is None


async def test_who_has_left_is_freed_at_once():
    """Socket, session and handlers do not wait for the garbage collector: a storm of reconnects leaves no garbage."""

    async def story() -> list[weakref.ref]:
        _, client, socket = await connected()

        @socket.on("e")
        def handler():
            return socket.id

        socket.once("never", lambda: socket)
        socket.use(lambda event: socket and None)
        socket.on_any_outgoing(lambda *event: socket)
        client.say('420["e"]')
        assert await client.hear() == [f'430["{socket.id}"]']
        client.lose()
        await settle()
        return [weakref.ref(handler), weakref.ref(client.transport)]

    gc.collect()
    gc.disable()
    try:
        assert [ref() for ref in await story()] == [None, None]
    finally:
        gc.enable()


async def test_putting_a_client_out():
    """Disconnect sends DISCONNECT and leaves the session open; with close all its sockets are told, then it ends."""
    io, client, socket = await connected()
    io.of("/other")
    await client.join("/other")
    gone = []
    socket.on("disconnect", gone.append)
    socket.disconnect()
    socket.disconnect()
    assert await client.hear() == ["41"]
    assert gone == ["server namespace disconnect"]
    assert client.session.is_open
    (other,) = io.of("/other").sockets.values()
    other.on("disconnect", gone.append)
    other.disconnect(close=True)
    assert await client.hear() == ["41/other,"]
    assert client.transport.closed == (CloseCode.NORMAL, "")
    assert gone == ["server namespace disconnect"] * 2


async def test_a_credential_that_ends_ends_the_session_for_good():
    """A code that says "stop" puts the sockets out first, because stock clients read no code; one that says "recover" does not."""
    _, client, socket = await connected()
    socket.end(CloseCode.TOKEN_EXPIRED)
    assert await client.hear() == ["41"]
    assert client.transport.closed == (3501, "token_expired")
    _, client, socket = await connected()
    socket.end(CloseCode.AGED)
    assert await client.hear() == []
    assert client.transport.closed == (3002, "aged")


async def test_a_listener_that_fails_does_not_keep_a_socket():
    """An exception in a `disconnect` listener is logged, and the socket is gone all the same."""
    io, client, socket = await connected()

    @socket.on("disconnecting")
    def broken(reason):
        raise ValueError

    with capture_logs() as logs:
        client.lose()
    assert [entry["log_level"] for entry in logs] == ["error"]
    assert io.of("/").sockets == {}
