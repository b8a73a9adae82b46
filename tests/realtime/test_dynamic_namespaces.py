"""Namespaces that are made when a client asks: by pattern, by function, and how they end."""

import asyncio
import re

import pytest
from structlog.testing import capture_logs

from clarion.errors import ConnectRefused, UsageError
from clarion.settings import Limits, Realtime
from clarion.telemetry import REGISTRY
from tests.support.memory_transport import MemoryClient, make_server, settle

NUMBERED = re.compile(r"^/n-\d+$")


async def refused(client: MemoryClient, namespace: str) -> str:
    """What a client is told that asks in vain."""
    await client.hear()
    client.say(f"40{namespace},")
    (told,) = await client.hear()
    assert told.startswith(f"44{namespace},")
    return told


async def test_a_client_makes_the_namespace_that_it_asks_for():
    """A name that matches is a namespace from then on, another is none; the first parent that accepts has it."""
    io, seen = make_server(), []
    io.of(NUMBERED).on("connection", lambda socket: seen.append(("numbers", socket.namespace)))
    io.of(re.compile("^/n")).on("connection", lambda socket: seen.append(("n", socket.namespace)))
    io.on("new_namespace", lambda namespace: seen.append(("new", namespace.name)))
    client = MemoryClient(io)
    await client.join("/n-1")
    await client.join("/north")
    assert "unknown_namespace" in await refused(client, "/south")
    assert seen == [("new", "/n-1"), ("numbers", "/n-1"), ("new", "/north"), ("n", "/north")]
    assert sorted(io.namespaces) == ["/", "/n-1", "/north"]


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_function_decides_whether_there_is_such_a_namespace(is_async):
    """It gets the name and the client's auth; no and an exception lead on to the next parent."""
    io, asked = make_server(), []

    def decide(name, auth):
        asked.append((name, auth))
        if name == "/broken":
            raise ValueError
        return auth.get("key") == "good"

    async def decide_later(name, auth):
        await asyncio.sleep(0)
        return decide(name, auth)

    io.of(decide_later if is_async else decide)
    io.of(lambda name, auth: name == "/second")
    client = MemoryClient(io)
    await client.join("/first", {"key": "good"})
    await client.join("/second")
    assert "Invalid namespace" in await refused(client, "/third")
    with capture_logs() as logs:
        assert "Invalid namespace" in await refused(client, "/broken")
    assert [entry["log_level"] for entry in logs] == ["error"]
    assert asked[:3] == [("/first", {"key": "good"}), ("/second", {}), ("/third", {})]


async def test_who_leaves_while_a_function_decides_is_not_let_in():
    """A client that left, or whose connection broke, is seen by nobody, and leaves no namespace behind; a second CONNECT closes."""
    io, gate, seen = make_server(), asyncio.Event(), []

    async def decide(name, auth):
        await gate.wait()
        return True

    io.of(decide).on("connection", lambda socket: seen.append(socket.namespace))
    leaving, breaking, twice, staying = (MemoryClient(io) for _ in range(4))
    leaving.say("40/a,", "41/a,")
    breaking.say("40/b,")
    breaking.lose()
    twice.say("40/c,", "40/c,")
    staying.say("40/d,")
    early = MemoryClient(io).say("40/e,", '42/e,["too early"]')
    await settle()
    gate.set()
    await settle()
    assert seen == ["/d"]
    assert sorted(io.namespaces) == ["/", "/d"]
    assert leaving.session.is_open
    assert not twice.session.is_open
    assert not early.session.is_open


async def test_two_clients_may_ask_for_one_name_at_a_time():
    """Both are decided about, and both get into the one namespace."""
    io, made = make_server(), []

    async def decide(name, auth):
        await asyncio.sleep(0)
        return True

    io.of(decide)
    io.on("new_namespace", made.append)
    clients = [MemoryClient(io).say("40/x,") for _ in range(2)]
    await settle()
    assert len(io.namespaces["/x"].sockets) == len(clients) == 2
    assert len(made) == 1


async def test_children_have_all_that_their_parent_has():
    """Middlewares, handlers and listeners, also those that come later, and also what is taken away; a child may add its own."""
    io, seen = make_server(), []
    parent = io.of(NUMBERED)

    @parent.use
    def first(socket):
        seen.append("middleware")

    @parent.handle("q")
    def answer(socket):
        return socket.namespace

    parent.once("connection", lambda socket: seen.append("once"))
    client = MemoryClient(io)
    await client.join("/n-1")
    io.of("/n-1").handle("own", lambda socket: "own")
    parent.handle("later", lambda socket: "later")
    parent.on_any(lambda socket, event, *args: seen.append(event))
    parent.unhandle("q", answer)
    await client.join("/n-2")
    client.say('42/n-1,0["later"]', '42/n-2,1["later"]', '42/n-1,2["own"]')
    client.say('42/n-2,3["own"]', '42/n-1,4["q"]')
    heard = await client.hear()
    assert heard[:3] == ['43/n-1,0["later"]', '43/n-2,1["later"]', '43/n-1,2["own"]']
    assert all("unknown_event" in told for told in heard[3:])
    assert seen == ["middleware", "once"] * 2 + ["later", "later", "own", "own", "q"]
    assert parent.listeners_any() == io.of("/n-1").listeners_any()


async def test_a_parent_speaks_to_all_its_children():
    """emit, to, except_, rooms and disconnecting reach every child; what would mix namespaces is refused by name."""
    io = make_server()
    parent = io.of(NUMBERED)
    clients = [MemoryClient(io) for _ in range(2)]
    ids = [await client.join(f"/n-{i}") for i, client in enumerate(clients)]
    await parent.to(ids[0]).sockets_join("x")
    assert parent.emit("a", 1) == 2
    assert parent.to("x").emit("b") == 1
    assert parent.except_("x").volatile.emit("c") == 1
    await parent.sockets_leave("x")
    assert parent.to("x").emit("d") == 0
    assert await clients[0].hear() == ['42/n-0,["a",1]', '42/n-0,["b"]']
    assert await clients[1].hear() == ['42/n-1,["a",1]', '42/n-1,["c"]']
    for refuse in (parent.fetch_sockets, parent.timeout(1).emit_with_ack):
        with pytest.raises(UsageError, match="not supported on parent namespaces"):
            await (refuse("q") if "ack" in refuse.__name__ else refuse())
    with pytest.raises(UsageError, match="not supported on parent namespaces"):
        parent.prepare("e")
    await parent.disconnect_sockets()
    assert await clients[0].hear() == ["41/n-0,"]
    assert sorted(io.namespaces) == ["/"]
    assert parent.children == {}


async def test_a_child_goes_with_its_last_client():
    """One that leaves, is refused, or breaks off in a middleware; whoever still waits in a middleware keeps the child alive."""
    io, gate = make_server(), asyncio.Event()

    @io.of(NUMBERED).use
    async def wait(socket):
        if socket.handshake.auth.get("wait"):
            await gate.wait()
        if socket.handshake.auth.get("refuse"):
            raise ConnectRefused()

    waiting, first = MemoryClient(io), MemoryClient(io)
    waiting.say('40/n-1,{"wait":1}')
    await first.join("/n-1")
    child = io.namespaces["/n-1"]
    first.say("41/n-1,")
    await settle()
    assert io.namespaces["/n-1"] is child
    gate.set()
    await settle()
    assert len(child.sockets) == 1
    waiting.lose()
    assert "/n-1" not in io.namespaces
    refused_one = MemoryClient(io).say('40/n-2,{"refuse":1}')
    await settle()
    assert refused_one.session.is_open
    assert "/n-2" not in io.namespaces


async def test_a_child_that_the_application_names_stays():
    """It is the application's: with its handlers, whoever comes and goes."""
    io = make_server()
    io.of(lambda name, auth: pytest.fail("a function decides about clients"))
    io.of(NUMBERED).handle("q", lambda socket: "inherited")
    named = io.of("/n-7")
    client = MemoryClient(io)
    await client.join("/n-7")
    client.say('42/n-7,0["q"]', "41/n-7,")
    assert await client.hear() == ['43/n-7,0["inherited"]']
    assert io.of("/n-7") is named
    assert io.of(NUMBERED) is io.of(NUMBERED)


async def test_a_child_that_a_client_made_is_not_kept_by_asking_for_it():
    """A program that speaks to `io.of(socket.namespace)` does not keep every name that clients make up."""
    io = make_server()
    io.of(NUMBERED).on("connection", lambda socket: io.of(socket.namespace).emit("hello"))
    client = MemoryClient(io)
    await client.join("/n-1")
    assert await client.hear() == ['42/n-1,["hello"]']
    client.say("41/n-1,")
    assert sorted(io.namespaces) == ["/"]


async def test_what_all_namespaces_need_comes_before_what_a_parent_has():
    """The check of credentials that a server gives to each namespace is the first middleware of a child, too; listeners of
    `new_namespace` come last."""
    order = []

    def note(what):
        return lambda socket: order.append(what)

    io = make_server(new_namespace=lambda namespace: namespace.use(note("server")) and None)
    parent = io.of(NUMBERED)
    parent.use(note("parent"))
    io.on("new-namespace", lambda namespace: namespace.use(note("listener")) and None)
    await MemoryClient(io).join("/n-1")
    assert order == ["server", "parent", "listener"]


async def test_children_may_be_kept():
    """With `cleanup_empty_namespaces` off an empty child stays, as in Node by default."""
    io = make_server(Realtime(cleanup_empty_namespaces=False))
    io.of(NUMBERED)
    client = MemoryClient(io)
    await client.join("/n-1")
    client.lose()
    assert "/n-1" in io.namespaces


async def test_clients_can_make_so_many_namespaces_and_no_more():
    """Beyond `limits.dynamic_namespaces` a client is told so by name, and counted; what goes makes room."""

    def count() -> float:
        labels = {"limit": "dynamic_namespaces"}
        return REGISTRY.get_sample_value("clarion_limit_exceeded_total", labels) or 0

    io = make_server(limits=Limits(dynamic_namespaces=2))
    io.of(NUMBERED)
    io.of("/n-100")  # the application's own does not count
    client, before = MemoryClient(io), count()
    await client.join("/n-1")
    await client.join("/n-2")
    told = await refused(client, "/n-3")
    assert '"code":"too_many"' in told
    assert "limits.dynamic_namespaces" in told
    assert count() == before + 1
    client.say("41/n-1,")
    await client.join("/n-3")


async def test_names_that_are_being_decided_about_count():
    """A session cannot have more functions of the application asked than it may have namespaces."""
    io = make_server(limits=Limits(namespaces=2))
    asked, gate = [], asyncio.Event()

    async def decide(name, auth):
        asked.append(name)
        return await gate.wait()

    io.of(decide)
    client = MemoryClient(io)
    await client.hear()
    client.say("40/a,", "40/b,", "40/c,")
    (told,) = await client.hear()
    assert '"code":"too_many"' in told
    assert asked == ["/a", "/b"]
    gate.set()
    assert len(await client.hear()) == 2
