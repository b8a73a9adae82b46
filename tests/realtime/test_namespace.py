"""Coming into a namespace: middlewares, refusals, and what happens meanwhile."""

import asyncio

import pytest
from structlog.testing import capture_logs

from clarion.errors import ConnectRefused, Forbidden, UsageError
from tests.support.memory_transport import MemoryClient, handshake, make_server, settle


async def test_middlewares_run_in_order_then_the_client_is_told_then_handlers_see_it():
    """Middlewares (not connected, in no room), CONNECT, `connect` handlers, `connection` handlers: in this order."""
    io, seen = make_server(), []

    @io.use
    def first(socket):
        seen.append(("first", socket.connected, socket.rooms))
        socket.data["n"] = 1

    @io.use
    async def second(socket):
        await asyncio.sleep(0)
        seen.append(("second", socket.connected, dict(socket.handshake.auth)))
        socket.user = "ada"

    @io.use
    def third(socket):
        seen.append("third")

    @io.use
    async def fourth(socket):
        seen.append("fourth")

    io.on("connection", lambda socket: seen.append(("connection", socket.connected, socket.rooms)))

    @io.on("connect")
    def connected(socket):
        seen.append("connect")
        socket.emit("welcome", socket.data["n"])

    client = MemoryClient(io)
    sid = await client.join(auth={"token": "1"})
    assert await client.hear() == ['42["welcome",1]']
    assert len(sid) == 20
    assert seen == [
        ("first", False, ()),
        ("second", False, {"token": "1"}),
        "third",
        "fourth",
        "connect",
        ("connection", True, (sid, "user:ada")),
    ]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("place", [0, 1])
async def test_a_middleware_that_returns_false_keeps_the_client_out(place, is_async):
    """As `allow_request` does, and python-socketio's `connect`: whoever means no must not let anybody in. Anything else passes."""
    io = make_server()

    async def later(socket):
        return False

    io.use(lambda socket: 0)
    if place:
        io.use(_passes)
    io.use(later if is_async else lambda socket: False)
    io.use(lambda socket: pytest.fail("it went on"))
    client = MemoryClient(io)
    await client.hear()
    client.say("40")
    assert await client.hear() == [
        '44{"message":"Not allowed to connect","data":{"code":"connect_refused","message":"Not allowed to connect"}}'
    ]


async def _passes(socket):
    return True


@pytest.mark.parametrize("wrong", [lambda: None, lambda socket, proceed: proceed()])
def test_what_cannot_be_called_with_a_socket_is_refused_when_it_is_registered(wrong):
    """Node's `(socket, next)`, or no parameter at all: an error where it is written, and not a client that is greeted by nobody."""
    io = make_server()
    for register in (
        io.use,
        io.on("connection"),
        io.once("connect"),
        io.on("recovery_expired"),
        lambda given: io.on("connection", given),
        lambda given: io.of("/a").once("connection", given),
    ):
        with pytest.raises(
            UsageError, match=r"called with (the socket|an `Expired`), and that alone"
        ):
            register(wrong)


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_refused_client_is_told_why_and_the_session_goes_on(is_async):
    """A middleware that raises keeps the client out: text in `message`, code and facts in `data`; other namespaces are open to it."""
    io = make_server()

    def refuse(socket):
        raise ConnectRefused("no room for you", beds=0)

    async def refuse_later(socket):
        await asyncio.sleep(0)
        refuse(socket)

    io.use(refuse_later if is_async else refuse)
    io.use(lambda socket: pytest.fail("the first middleware refused"))
    io.of("/open")
    client = MemoryClient(io)
    await client.hear()
    client.say("40")
    assert await client.hear() == [
        (
            '44{"message":"no room for you",'
            '"data":{"code":"connect_refused","message":"no room for you","beds":0}}'
        )
    ]
    await client.join("/open")
    assert io.of("/").sockets == {}


async def test_a_bug_in_a_middleware_is_told_without_detail():
    """A middleware that fails lets nobody in, and only the log says why."""
    io = make_server()

    @io.use
    async def broken(socket):
        raise ValueError("secret")

    client = MemoryClient(io)
    await client.hear()
    with capture_logs() as logs:
        client.say("40")
        (told,) = await client.hear()
    assert '"code":"internal"' in told
    assert "secret" not in told
    assert [entry["event"] for entry in logs] == ["middleware failed"]


async def test_middlewares_belong_to_their_namespace():
    """Those of `/` do not run for another namespace, and a client need not join `/`."""
    io = make_server()

    @io.use
    def nobody(socket):
        raise Forbidden()

    other = io.of("/other")
    await MemoryClient(io).join("/other")
    assert len(other.sockets) == 1


async def test_an_unknown_namespace_is_named_as_such():
    """The message is Node's, the data ours; with `bare_errors` the packet is Node's to the byte. The session goes on."""
    for is_bare, expected in (
        (False, ',"data":{"code":"unknown_namespace","message":"Invalid namespace"}'),
        (True, ""),
    ):
        client = MemoryClient(make_server(bare_errors=is_bare))
        await client.hear()
        client.say("40/random,")
        assert await client.hear() == ['44/random,{"message":"Invalid namespace"' + expected + "}"]
        await client.join()


async def test_who_leaves_while_a_middleware_waits_is_not_let_in():
    """A client that is gone when the middleware ends is seen by nobody, whether it left or its connection broke."""
    io, gate, seen = make_server(), asyncio.Event(), []

    @io.use
    async def wait(socket):
        await gate.wait()

    @io.use
    async def second(socket):
        seen.append("second middleware")

    @io.use
    def never(socket):
        seen.append("third middleware")

    io.on("connection", lambda socket: seen.append("connection"))
    leaving, breaking = MemoryClient(io), MemoryClient(io)
    leaving.say("40", "41")
    breaking.say("40")
    breaking.lose()
    gate.set()
    assert not any(str(m).startswith("40") for m in await leaving.hear())
    await settle()
    assert seen == []
    assert leaving.session.is_open


async def test_a_second_connect_while_the_first_is_joining_closes():
    """Joining counts as joined: Node would make two sockets, one of them nobody's."""
    io, gate = make_server(), asyncio.Event()

    @io.use
    async def wait(socket):
        await gate.wait()

    client = MemoryClient(io).say("40", "40")
    gate.set()
    await settle()
    assert client.transport.closed == (None, "")
    assert io.of("/").sockets == {}


async def test_who_leaves_while_a_middleware_finds_out_who_it_is_is_no_failure():
    """A page that is closed at once: the middleware ends as it would, and nobody is told of a fault."""
    io, gate = make_server(), asyncio.Event()

    @io.use
    async def find_out(socket):
        await gate.wait()
        socket.user = "ada"

    client = MemoryClient(io).say("40")
    await settle()
    client.lose()
    gate.set()
    with capture_logs() as logs:
        await settle()
    assert [log for log in logs if log["log_level"] == "error"] == []
    assert io.sockets == {}


async def test_a_socket_may_speak_in_a_middleware():
    """What a middleware sends reaches the client before the answer to its CONNECT, as in Node."""
    io = make_server()
    io.use(lambda socket: socket.emit("hint", 1) and None)
    client = MemoryClient(io)
    await client.hear()
    client.say("40")
    hint, told = await client.hear()
    assert hint == '42["hint",1]'
    assert told.startswith('40{"sid":')


async def test_events_wait_for_an_async_connection_handler_to_begin():
    """A client that sends at once finds the handlers that an async `connection` handler registers before it first waits."""
    io = make_server()

    @io.on("connection")
    async def connected(socket):
        socket.on("q", lambda: "a")

    client = MemoryClient(io).say("40", '420["q"]', '421["q"]')
    assert (await client.hear())[2:] == ['430["a"]', '431["a"]']


async def test_who_is_told_of_new_sockets_may_change():
    """`once` is for one socket, `off` and `remove_all_listeners` end it; the server's are those of `/`, and of its own events."""
    io, seen = make_server(), []
    root = io.of("/")

    @io.once("connection")
    def first(socket):
        seen.append("first")

    handler = io.on("connection", lambda socket: seen.append("each"))
    root.once("connect", lambda socket: seen.append("connect"))
    io.on("connection", first)
    io.off("connection", first)
    assert root.listeners("connection") == [first, handler]
    await MemoryClient(io).join()
    await MemoryClient(io).join()
    assert seen == ["connect", "first", "each", "each"]
    root.remove_all_listeners("connection")
    root.on("connect", handler)
    root.remove_all_listeners()
    made = io.once("new_namespace", lambda namespace: seen.append(namespace))
    io.off("new_namespace", made)
    io.once("new-namespace", seen.append)
    one, _ = io.of("/one"), io.of("/two")
    await MemoryClient(io).join()
    assert seen[4:] == [one]
    assert repr(one) == "<Namespace /one>"


async def test_handlers_of_a_namespace_serve_every_socket():
    """One registration for all sockets, with the socket first; the end of a socket can be handled so, too."""
    io, gone = make_server(), []

    @io.handle("whoami")
    def whoami(socket, greeting):
        return f"{greeting} {socket.id}"

    io.handle("disconnect", lambda socket, reason: gone.append((socket.id, reason)))
    io.handle("disconnecting", lambda socket: gone.append(len(socket.rooms)))
    client = MemoryClient(io)
    sid = await client.join()
    client.say('425["whoami","hi"]', "41")
    assert await client.hear() == [f'435["hi {sid}"]']
    assert gone == [1, (sid, "client namespace disconnect")]


async def test_a_namespace_is_made_on_demand_and_only_with_a_possible_name():
    """`of` adds the slash, gives the same namespace again, and refuses names that no client can ask for."""
    io = make_server()
    assert io.of("admin") is io.of("/admin")
    assert io.of("/admin").name == "/admin"
    with pytest.raises(UsageError):
        io.of("/a,b")
    with pytest.raises(UsageError, match="handle"):
        io.on("message", lambda socket: None)


async def test_speaking_to_a_namespace():
    """emit, to, except_, volatile, timeout, fetch_sockets, rooms and disconnect_sockets act on its sockets alone."""
    io = make_server()
    space = io.of("/s")
    clients = [MemoryClient(io) for _ in range(3)]
    ids = [await client.join("/s") for client in clients]
    outsider = MemoryClient(io)
    await outsider.join()
    space.sockets[ids[0]].join("x")
    space.sockets[ids[1]].join("x")
    assert space.rooms == {"x": 2}
    assert space.emit("a") == 3
    assert space.to("x").emit("b") == 2
    assert space.in_("x").except_(ids[0]).emit("c") == 1
    assert space.except_("x").emit("d") == 1
    assert space.volatile.emit("e") == 3
    for client, events in zip(clients, ("abe", "abce", "ade"), strict=True):
        assert await client.hear() == [f'42/s,["{event}"]' for event in events]
    assert [socket.id for socket in await space.fetch_sockets()] == ids
    assert [socket.id for socket in await space.to("x").fetch_sockets()] == ids[:2]
    prepared = space.prepare("f", {"a": 1})
    assert space.deliver(prepared) == 3
    await space.disconnect_sockets()
    assert await clients[0].hear() == ['42/s,["f",{"a":1}]', "41/s,"]
    assert space.sockets == {}
    assert await outsider.hear() == []
    assert io.of("/").timeout(1).timeout_s == 1


async def test_handshake_is_shared_and_auth_is_the_sockets_own():
    """Sockets of one session share its first request; what each said to be let in is its own, and can be forgotten."""
    io, seen = make_server(), []
    io.of("/a").use(lambda socket: seen.append(socket.handshake))
    io.use(lambda socket: seen.append(socket.handshake))
    client = MemoryClient(io, shook=handshake(raw_headers=b"user-agent:tests"))
    await client.join("/", {"n": 1})
    sid = await client.join("/a", {"n": 2})
    await client.hear()
    assert [shook.auth for shook in seen] == [{"n": 1}, {"n": 2}]
    assert [shook.headers for shook in seen] == [{"user-agent": "tests"}] * 2
    socket = io.of("/a").sockets[sid]
    socket.drop_auth()
    assert socket.handshake.auth == {}
    assert socket.session_id == client.session.id
    assert socket.transport == "websocket"
    assert socket.namespace == "/a"
    assert repr(socket) == f"<Socket {sid} /a connected>"


async def test_who_a_socket_is_is_said_by_middlewares_alone():
    """Later it would change nothing, neither rooms nor limits nor who may come back: an error, and no `emit_to_user` that reaches nobody."""
    io = make_server()
    await MemoryClient(io).join()
    (socket,) = io.sockets.values()
    with pytest.raises(UsageError, match="set by a middleware"):
        socket.user = "ada"
    assert socket.user is None
