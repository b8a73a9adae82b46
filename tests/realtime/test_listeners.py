"""Who handles what: a registry that may change at any time, and listening to every event of a socket and of a namespace."""

import pytest
from structlog.testing import capture_logs

from clarion.errors import UsageError
from clarion.realtime.listeners import Listeners
from tests.support.memory_transport import MemoryClient, make_server


async def connected(io=None):
    """A server, a client, and the client's socket."""
    io = io or make_server()
    client = MemoryClient(io)
    sid = await client.join()
    await client.hear()
    return io, client, io.sockets[sid]


def test_a_registry_gives_back_what_was_put_in():
    """In the order of registration, and without what was taken out; empty lists are not kept."""
    registry, first, second = Listeners(), (lambda: 1), (lambda: 2)
    for handler in (first, second, first):
        registry.add("e", handler)
    registry.add_once("e", second)
    assert registry.handlers("e") == [first, second, first, second]
    registry.remove("e", first)
    assert registry.handlers("e") == [first, second, second]
    registry.remove("e", print)
    for handler in (first, second, second):
        registry.remove("e", handler)
    registry.remove("e", first)
    assert registry.by_event == {}
    registry.add(5, first)
    registry.add_any(first)
    registry.add_any(second, first=True)
    assert [listener.handler for listener in registry.any] == [second, first]
    registry.remove_any(second)
    registry.remove_all(5)
    assert registry.by_event == {}
    assert len(registry.any) == 1
    registry.remove_all()
    assert not registry.any


async def test_a_listener_of_the_end_that_wants_more_than_it_is_told_is_refused():
    """It would never be called: an error where it is written. Who wants less is told less."""
    io, client, socket = await connected()
    told: list[object] = []
    for event in ("disconnecting", "disconnect"):
        with pytest.raises(UsageError, match="told the reason and details"):
            socket.on(event, lambda a, b, c: None)
        with pytest.raises(UsageError, match="told the reason and details"):
            io.handle(event, lambda socket, a, b, c: None)
        socket.on(event, lambda: told.append("nothing"))
        io.handle(event, lambda socket, reason: told.append(reason))
    client.say("41")
    await client.hear()
    assert told == ["client namespace disconnect", "nothing"] * 2


async def test_a_decorator_without_the_events_name_is_refused():
    """python-socketio's `@sio.event` names the event by its function; here that would register nothing, without a word."""
    io, _, socket = await connected()

    def say(socket):
        """Handle it."""

    for decorator in (
        *(io.on, io.once, io.handle, io.of("/").on, io.of("/").handle, io.engine.on),
        *(socket.on, socket.once),
    ):
        with pytest.raises(UsageError, match=r"not named.*\(\"say\"\)"):
            decorator(say)


@pytest.mark.parametrize("event", ["connect", "connect_error", "newListener"])
async def test_a_handler_that_no_client_could_call_is_refused(event):
    """No peer may send these names; `handle("connect")` is what python-socketio would have been told."""
    io, _, socket = await connected()
    for register in (io.handle, socket.on, socket.once):
        with pytest.raises(UsageError, match="`use` judges who comes in"):
            register(event, lambda socket: None)


async def test_a_handler_of_all_sockets_takes_the_socket():
    """One that takes nothing fails where it is written, and not with the first client."""
    io = make_server()
    for wrong in (lambda: None, lambda *, ack: None):
        with pytest.raises(UsageError, match="called with the socket first"):
            io.handle("say", wrong)
    io.handle("say", lambda *args: None)


async def test_a_misspelt_event_of_a_namespace_is_answered_with_those_there_are():
    """And with where events of clients go, which Node's `io.on` takes in silence and never tells."""
    with pytest.raises(
        UsageError, match=r"'say', only connect, connection, recovery_expired: .*handle\('say'\)"
    ):
        make_server().on("say")


async def test_what_a_handler_of_connection_refuses_is_in_the_log():
    """`join(5)` there is the application's mistake; no client asked, so that nobody else could be told. The others are called all the same."""
    io = make_server()
    seen = []

    @io.on("connection")
    def first(socket):
        socket.join(5)

    io.on("connection", seen.append)
    with capture_logs() as logs:
        await connected(io)
    assert len(seen) == 1
    (line,) = [line for line in logs if line["event"] == "handler failed"]
    assert line["log_level"] == "warning"
    assert (line["event_name"], line["why"]) == ("connection", "a room's name is text, not int")


async def test_a_socket_changes_its_mind():
    """on, once, off, listeners and remove_all_listeners of a socket; the namespace's handlers stay."""
    io, client, socket = await connected()
    io.handle("q", lambda socket: None)

    @socket.once("q")
    def once():
        seen.append("once")

    seen = []
    handler = socket.on("q", lambda: seen.append("on"))
    assert socket.listeners("q") == [once, handler]
    client.say('42["q"]', '42["q"]')
    assert seen == ["once", "on", "on"]
    socket.off("q", handler)
    socket.on("r", handler)
    socket.remove_all_listeners("r")
    socket.on_any(handler)
    socket.remove_all_listeners()
    client.say('420["q"]', '421["r"]')
    heard = await client.hear()
    assert heard[0] == "430[]"
    assert "unknown_event" in heard[1]
    assert seen == ["once", "on", "on"]


async def test_handlers_may_change_while_an_event_goes_through():
    """Who is taken off while an event is handled still gets that one; who is added does not."""
    _, client, socket = await connected()
    seen = []

    @socket.on("e")
    def first():
        seen.append("first")
        socket.off("e", first)
        socket.off("e", second)
        socket.on("e", lambda: seen.append("third"))

    @socket.on("e")
    def second():
        seen.append("second")

    client.say('42["e"]', '42["e"]')
    assert seen == ["first", "second", "third"]


async def test_every_event_of_a_socket_and_of_a_namespace_can_be_watched():
    """Those of the namespace get the socket first, and are called before the socket's own; all can be taken off again."""
    io, client, socket = await connected()
    nsp, seen = io.of("/"), []
    nsp.on_any(lambda socket, name, *args: seen.append(("nsp", socket.id, name, *args)))
    nsp.prepend_any(lambda socket, *event: seen.append("before"))
    own = socket.on_any(lambda name: seen.append(name))
    client.say('42["e",1]')
    assert seen == ["before", ("nsp", socket.id, "e", 1), "e"]
    assert socket.listeners_any() == [own]
    socket.off_any(own)
    nsp.off_any()
    client.say('42["e",1]')
    assert len(seen) == 3
    assert nsp.listeners_any() == []


async def test_every_event_that_goes_out_can_be_watched():
    """Of a socket and of a namespace: emits, questions and broadcasts, once for each recipient; answers are not among them."""
    io, client, socket = await connected()
    nsp, seen = io.of("/"), []
    shared = nsp.on_any_outgoing(lambda socket, *event: seen.append(("nsp", *event)))
    own = socket.prepend_any_outgoing(lambda *event: seen.append(("own", *event)))
    other = MemoryClient(io)
    await other.join()
    socket.on("q", lambda: "an answer")
    client.say('420["q"]')
    socket.emit("one", 1)
    io.volatile.emit("all")
    asked = socket.emit_with_ack("question")
    asked.close()
    assert seen == [
        ("nsp", "one", 1),
        ("own", "one", 1),
        ("nsp", "all"),
        ("own", "all"),
        ("nsp", "all"),
    ]
    assert nsp.listeners_any_outgoing() == [shared]
    assert socket.listeners_any_outgoing() == [own]
    client.lose()
    assert socket.emit("late") is not None
    nsp.off_any_outgoing(shared)
    assert len(seen) == 5
    assert not io.of("/")._hub.outgoing.is_heard
