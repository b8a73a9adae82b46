"""Recovery over streams: who comes back to another node, of Clarion or of Node, finds its socket, and what it missed, once."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from clarion.realtime import Expired, Socket
from clarion.settings import Limits, Realtime
from clarion.telemetry import recovery
from tests.realtime.backplane.peers import Here, clarion_peer, node_peer
from tests.realtime.backplane.test_pubsub import until
from tests.support.quick_client import Client
from tests.support.redis_server import RedisServer
from tests.support.returning import Returning

CHILD, CLIENTS = "tests.realtime.backplane.streams_child", 5
SETTINGS, LIMITS = Realtime(recovery_s=60), Limits()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


@pytest.fixture
def redis(stack: AsyncExitStack) -> RedisServer:
    made = RedisServer()
    stack.callback(made.remove)
    return made


async def node(
    redis: RedisServer,
    stack: AsyncExitStack,
    seed: int,
    settings: Realtime = SETTINGS,
    limits: Limits = LIMITS,
) -> Here:
    peer = clarion_peer(redis, seed, "streams", settings=settings, limits=limits)
    return await stack.enter_async_context(peer)


def who(socket: Socket) -> None:
    """A middleware that believes what it is told."""
    socket.user = socket.handshake.auth.get("user")


class Guest(Returning):
    """A client that waits for what comes over a real Redis."""

    async def came(self, to: Here | None = None) -> "Guest":
        if to is not None:
            self.server = to.io
        self.sid = ""
        await self.connect()
        await until(self._is_in)
        return self

    async def _is_in(self) -> bool:
        await self.read()
        return bool(self.sid)

    async def hears(self, *events: list[Any]) -> None:
        """These have come since the last call, and no other."""

        async def enough() -> bool:
            await self.read()
            return len(self.events) >= len(events)

        await until(enough)
        assert self.events == list(events)
        self.events.clear()


async def kept(redis: RedisServer, guest: Guest, *, is_there: bool = True) -> None:
    """Return once it is known, or not, to those who come after."""

    async def look() -> bool:
        key = f"sio:session:{guest.pid}"
        return bool(int(await asyncio.to_thread(redis.cli, "EXISTS", key))) is is_there

    await until(look)


async def test_another_node_gives_back_what_a_dead_one_had(
    redis: RedisServer, stack: AsyncExitStack
) -> None:
    """Rooms, data, id, and each event that was meant for it, of whatever node, in one order and once; the dead one has written it before."""
    one, two = await node(redis, stack, 1), await node(redis, stack, 2)
    ann, bob = await Guest(one.io).came(), await Guest(two.io).came()
    assert ann.pid is not None
    was = ann.sid
    one.io.of("/").sockets[was].join("r")
    one.io.of("/").sockets[was].data["name"] = "ann"
    one.io.emit("first", 1)
    await ann.hears(["first", 1])
    await bob.hears(["first", 1])
    await kept(redis, ann)
    # It hears nothing any more, as a client of a dead node; its node knows nothing of that.
    for number in range(3):
        (one, two)[number % 2].io.to("r").emit("n", number)
    two.io.to(was).emit("own", 7)
    two.io.to("else").emit("not for it")
    two.io.except_("r").emit("nor this")
    two.io.of("/").to("r").volatile.emit("nor what is volatile")
    await bob.hears(["nor this"])
    await ann.came(two)
    assert (ann.recovered, ann.sid) == (True, was)
    socket = two.io.of("/").sockets[was]
    assert (set(socket.rooms), socket.data) == ({was, "r"}, {"name": "ann"})
    # In the order of the stream, which is that of each node.
    assert sorted(ann.events) == [["n", 0], ["n", 1], ["n", 2], ["own", 7]]
    assert ann.events.index(["n", 0]) < ann.events.index(["n", 2])
    ann.events.clear()

    async def has_gone() -> bool:
        return was not in one.io.of("/").sockets

    await until(has_gone)  # the node that thought it had it
    one.io.to("r").emit("later")
    await ann.hears(["later"])


async def test_clients_of_a_killed_process_come_back_as_themselves(
    redis: RedisServer, stack: AsyncExitStack
) -> None:
    """After `kill -9` of it, under events of another node: each client hears each event once, on whatever node."""
    two = await node(redis, stack, 2)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", CHILD, redis.url, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    port = int(await asyncio.wait_for(child.stdout.readline(), 20))
    clients = [await Client(port).connect() for _ in range(CLIENTS)]
    sent = 0

    def emit() -> int:
        nonlocal sent
        two.io.to("r").emit("n", sent := sent + 1)
        return sent

    async def have_some() -> bool:
        emit()
        return all(each.events for each in clients)

    await until(have_some)
    child.kill()
    await child.wait()
    emit()
    for each in clients:
        back = Guest(two.io)
        back.pid, back.offset = each.pid, each.offset
        await back.came()
        assert (back.recovered, back.sid) == (True, each.id)
        socket = two.io.of("/").sockets[back.sid]
        assert (set(socket.rooms), socket.data) == ({each.id, "r"}, {"seen": 1})
        last = emit()
        while not back.events or back.events[-1] != ["n", last]:
            await back.read()
            await asyncio.sleep(0)
        heard = each.events + back.events
        first = heard[0][1]
        assert heard == [["n", number] for number in range(first, last + 1)]
        each.reset()


async def test_who_comes_back_to_the_same_node_misses_nothing(
    redis: RedisServer, stack: AsyncExitStack
) -> None:
    """Also who has had nothing yet, comes twice, and was in other rooms meanwhile: what was sent there before it came is not for it."""
    one = await node(redis, stack, 1)
    ann = await Guest(one.io).came()
    one.io.emit("a")
    one.io.to("r").emit("before it came")
    one.io.of("/").sockets[ann.sid].join("s")
    ann.cut()
    one.io.to("s").emit("b")
    await (await ann.came()).hears(["a"], ["b"])
    assert ann.recovered
    ann.cut()
    one.io.emit("c")
    await (await ann.came()).hears(["c"])
    one.io.of("/").sockets[ann.sid].disconnect()
    await kept(redis, ann, is_there=False)
    await ann.came()
    assert not ann.recovered


async def test_what_node_keeps_and_what_we_keep_is_one(
    redis: RedisServer, stack: AsyncExitStack, tmp_path: Path
) -> None:
    """A client of Node's comes to us, and one of ours goes to Node, as itself, and gets what it missed."""
    peer = await stack.enter_async_context(node_peer(redis, tmp_path, "streams", "60000"))
    one = await node(redis, stack, 1)
    was = await peer.run("return client('cid', 'r')")
    await peer.run("io.to('r').emit('a', 1)")
    assert (await peer.hears(1))["cid"][:2] == ["a", 1]
    cid = Guest(one.io)
    cid.pid, cid.offset = await peer.run(
        "const c = clients.cid; const of = [c._pid, c._lastOffset]; c.io.engine.close(); return of"
    )
    await peer.hears(1)  # that it is disconnected
    one.io.to("r").emit("b", 2)
    one.io.to("r").emit("c", 3)
    await kept(redis, cid)
    await (await cid.came()).hears(["b", 2], ["c", 3])
    assert (cid.recovered, cid.sid) == (True, was)
    socket = one.io.of("/").sockets[was]
    assert (set(socket.rooms), socket.data) == ({was, "r"}, {"name": "cid"})

    socket.join("s")
    one.io.to("s").emit("d", 4)
    await cid.hears(["d", 4])
    cid.cut()
    one.io.to("s").emit("e", 5)
    await peer.run("io.to('s').emit('f', 6)")
    told = json.dumps({"pid": cid.pid, "offset": cid.offset})
    await peer.run(
        "const back = connect(url, { transports: ['websocket'], forceNew: true, reconnection: false, auth: "
        + told
        + " }); clients.back = back; back.onAny((...event) => say({ to: 'back', event }));"
        " await new Promise((ok) => back.on('connect', ok))"
    )
    heard = [await asyncio.wait_for(peer.heard.get(), 20) for _ in range(2)]
    assert sorted(event[:2] for _, event in heard) == [["e", 5], ["f", 6]]
    said = await peer.run(
        "const own = io.sockets.sockets.get(clients.back.id); return [own.id, own.recovered, [...own.rooms].sort(), own.data]"
    )
    assert said == [was, True, sorted([was, "r", "s"]), {"name": "cid"}]


async def test_of_who_is_back_elsewhere_nobody_is_told_that_it_is_lost(
    redis: RedisServer, stack: AsyncExitStack
) -> None:
    """What is another one's is given to nobody else; who comes when something was dropped that it may have missed is told to begin anew."""
    one, two = await node(redis, stack, 1), await node(redis, stack, 2)
    lost: list[Expired] = []
    for here in (one, two):
        here.io.on("recovery_expired", lost.append)
        here.io.use(who)
    bob, cat = await Guest(one.io, user="bob").came(), await Guest(one.io).came()
    one.io.emit("a")
    for guest in (bob, cat):
        await guest.hears(["a"])
        guest.cut()
    other_user = recovery.labels("other_user")
    before = other_user.value
    eve = Guest(two.io, user="eve")
    eve.pid, eve.offset = bob.pid, bob.offset
    await eve.came()
    assert (eve.recovered, other_user.value - before) == (False, 1)
    await bob.came(two)
    assert bob.recovered
    one.io.emit("b")
    await bob.hears(["b"])
    redis.cli("XTRIM", "socket.io", "MAXLEN", "0")
    await cat.came(two)
    assert not cat.recovered
    await one.io.in_(bob.sid).disconnect_sockets()
    await kept(redis, bob, is_there=False)
    assert [each.why for each in lost] == ["trimmed"]


async def test_who_stays_away_is_lost_once(redis: RedisServer, stack: AsyncExitStack) -> None:
    """By the node that it left, when its time is over; then nobody else has it either."""
    one = await node(redis, stack, 1, Realtime(recovery_s=0.1))
    lost: asyncio.Queue[Expired] = asyncio.Queue()
    one.io.on("recovery_expired", lost.put_nowait)
    ann = await Guest(one.io).came()
    await kept(redis, ann)
    ann.cut()
    assert (await lost.get()).why == "time"
    await kept(redis, ann, is_there=False)
    assert lost.empty()


async def test_who_comes_back_when_others_have_the_place_is_lost(
    redis: RedisServer, stack: AsyncExitStack
) -> None:
    """Where a user may have so many connections, one that comes back counts; that the former socket is lost is told."""
    one = await node(redis, stack, 1, limits=Limits(sessions_per_user=1))
    lost: asyncio.Queue[Expired] = asyncio.Queue()
    one.io.on("recovery_expired", lost.put_nowait)
    one.io.use(who)
    bob = await Guest(one.io, user="bob").came()
    await kept(redis, bob)
    bob.cut()
    await Guest(one.io, user="bob").came()
    await bob.connect()
    assert (await lost.get()).why == "too_many"
    await kept(redis, bob, is_there=False)


async def test_without_redis_events_of_a_node_reach_its_own_clients(
    redis: RedisServer, stack: AsyncExitStack
) -> None:
    """They are not kept; and when Redis is there again, what is sent is."""
    one = await node(redis, stack, 1)
    ann = await Guest(one.io).came()
    redis.kill()

    async def is_known() -> bool:
        one.io.emit("a")
        await ann.read()
        return bool(ann.events)

    await until(is_known)
    ann.events.clear()
    redis.start()

    async def is_back() -> bool:
        one.io.emit("b")
        await asyncio.sleep(0)
        return bool(int(await asyncio.to_thread(redis.cli, "EXISTS", "socket.io")))

    await until(is_back)
