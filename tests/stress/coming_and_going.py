"""Clients that come and go, well or badly."""

import asyncio
from collections import Counter

from tests.stress.harness import PLAIN, TRANSPORTS, Stress, check, come, counted, heard_all, leave
from tests.support.measured import Child
from tests.support.quick_client import Client
from tests.support.raw_client import RawClient, hang_up, upgrade

CLIENTS = 24  # at a time
WAYS = ("close", "reset", "leave", "put out", "no namespace", "half an upgrade")
REASONS = {"leave": "client namespace disconnect", "put out": "server namespace disconnect"}
HASTE = (b"GET /socket.io/?EI", upgrade(path=b"/socket.io/?EIO=4&transport=websocket"))

PINGS = {"ping_interval_s": 0.2, "ping_timeout_s": 2.5}
GOOD, MUTE = 6, 4  # of each transport


async def connect_churn(stress: Stress) -> str:
    """However clients come and go: each session that was opened is closed once, each socket is told of once, for the reason it had."""
    due: Counter[str] = Counter()
    hasty = 0
    async with stress.server(limits=PLAIN) as child:
        before = await counted(child)
        for _ in stress.rounds():
            visits = [
                (stress.chance.choice(TRANSPORTS), stress.chance.choice(WAYS))
                for _ in range(CLIENTS)
            ]
            haste = [stress.chance.choice(HASTE) for _ in range(CLIENTS // 4)]
            hasty += sum(each is HASTE[1] for each in haste)
            await asyncio.gather(
                *(_visit(child, *each, due) for each in visits),
                *(_flinch(child, each) for each in haste),
            )
        await child.until(lambda counts: not counts["connections"])
        found = await counted(child) - before
    # Whether one who has left again was let in first is chance: both must agree, and no others may be missing.
    opened, closed = "handshakes: opened", "session_closed: transport_close"
    check(found[opened], found[closed], "sessions opened and closed")
    extra = found[opened] - due[opened]
    assert 0 <= extra <= hasty, f"{extra} sessions more than clients"
    due.update({opened: extra, closed: extra})
    check(found, due, "counts")
    return f"{found[opened]} sessions"


async def _visit(child: Child, transport: str, way: str, due: Counter[str]) -> None:
    """Come and go in one way. On polling the server may not notice a reset before the ping: there it is said in words."""
    due.update(["handshakes: opened", "session_closed: transport_close"])
    if way == "no namespace":
        client = await Client(child.port).open("polling" if transport == "polling" else "websocket")
        await leave(client)
        return
    if way == "half an upgrade":
        client = await come(child.port, "polling")
        await _begin_upgrade(client)
    else:
        client = await come(child.port, transport)
    due.update(["told: connection", f"told: {REASONS.get(way, 'transport close')}"])
    check(await client.ask("join", "a", "b"), [3], "rooms")
    if way == "leave":
        client.leave()
    elif way == "put out":
        client.emit("out")
        await client.put_out()
    if way == "reset" and transport != "polling":
        client.reset()
        await client.gone()
    else:
        await leave(client)


async def _begin_upgrade(client: Client) -> None:
    """Probe, and go away: the session stays where it is."""
    socket = await RawClient(client.port).websocket(
        path=b"/socket.io/?EIO=4&transport=websocket&sid=" + client.sid.encode()
    )
    socket.send("2probe")
    check(await socket.receive(), (1, b"3probe"), "the probe")
    await socket.hang_up()


async def _flinch(child: Child, said: bytes) -> None:
    """Connect, say something and be gone before the answer."""
    _, writer = await RawClient(child.port).dial(said)
    await hang_up(writer)


async def no_pong(stress: Stress) -> str:
    """Who answers no ping is closed for that, on either transport; whoever answers stays."""
    total = 0
    async with stress.server(settings=PINGS, limits=PLAIN) as child:
        for _ in stress.rounds():
            before = await counted(child)
            good = [await come(child.port, each) for each in TRANSPORTS for _ in range(GOOD)]
            mute = [await come(child.port, each) for each in TRANSPORTS for _ in range(MUTE)]
            for client in mute:
                client.answers_pings = False
            await asyncio.gather(*(each.gone() for each in mute))
            await heard_all(*good)
            assert all(each.pings for each in (*good, *mute)), "somebody was not asked"
            found = await counted(child) - before
            here, gone = len(good) + len(mute), len(mute)
            due = Counter(
                {"handshakes: opened": here, "told: connection": here}
                | {"session_closed: ping_timeout": gone, "told: ping timeout": gone}
            )
            check(found, due, "counts")
            await leave(*good)
            total += gone
    return f"{total} closed"
