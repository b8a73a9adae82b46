"""Clients that are cut off again and again while much is said to them, and come back as who they were."""

import asyncio
from collections import Counter

from clarion.telemetry import spawn
from tests.stress.harness import (
    PLAIN,
    TRANSPORTS,
    Stress,
    check,
    come,
    counted,
    follows,
    heard_all,
    said,
)
from tests.support.measured import Child
from tests.support.quick_client import Client

MEMBERS, ROOMS = 24, 5
AT_ONCE = 7  # messages
CUTS = 3  # of each in a round, at most
AWAY_S = 0.05  # at most, as is the time between two cuts
SETTINGS = {"recovery_s": 60.0}
# Nobody comes too late for anything, however long it goes on.
LIMITS = PLAIN | {"recovery_events": 1_000_000, "recovery_bytes": 1 << 30}


async def recovery_storm(stress: Stress) -> str:
    """Everybody is cut off and comes back while messages come: as the same socket, with every message of its rooms once, in order."""
    chance, returns = stress.chance, 0
    spoken: Counter[str] = Counter()
    async with stress.server(settings=SETTINGS, limits=LIMITS) as child:
        before = await counted(child)
        members: list[tuple[Client, str, list[str]]] = []
        for number in range(MEMBERS):
            transport = TRANSPORTS[number % len(TRANSPORTS)]
            rooms = chance.sample([f"room {each}" for each in range(ROOMS)], 2)
            client = await come(child.port, transport)
            check(await client.ask("join", *rooms), [3], "rooms")
            members.append((client, transport, rooms))
        clients = [client for client, *_ in members]
        for number in stress.rounds():
            done = asyncio.Event()
            talking = spawn(_talk(child, spoken, done), name="talk")
            stumbling = (_stumbles(stress, *each[:2], short=not number) for each in members)
            returns += sum(await asyncio.gather(*stumbling))
            done.set()
            await talking
            await heard_all(*clients)
            for client, transport, rooms in members:
                for room in rooms:
                    follows(said(client, room), 0, spoken[room], f"{transport}, {room}")
        for client in clients:
            client.leave()  # for good: nobody is kept
        for client in clients:
            client.close()
            await client.gone()
        await child.until(lambda counts: not counts["sessions"])
        check((await child.ask("counts"))["kept_sockets"], 0, "sockets kept")
        await child.ask("forget")
        due = Counter({"recovery: recovered": returns, "told: transport close": returns})
        for name in ("handshakes: opened", "told: connection", "session_closed: transport_close"):
            due[name] = MEMBERS + returns
        due["told: client namespace disconnect"] = MEMBERS
        check(await counted(child) - before, due, "counts")
    return f"{returns} returns, {sum(spoken.values())} messages"


async def _talk(child: Child, spoken: Counter[str], done: asyncio.Event) -> None:
    while not done.is_set():
        for number in range(ROOMS):
            room = f"room {number}"
            end = spoken[room] + AT_ONCE
            await child.ask("emit", room=room, begin=spoken[room], end=end)
            spoken[room] = end
        await asyncio.sleep(AWAY_S / 10)


async def _stumbles(stress: Stress, client: Client, transport: str, *, short: bool) -> int:
    """Be cut off and come back, a few times; how many.

    A session on polling that is cut off unnoticed stays for five seconds after its client is back: in the short form it is ended in words.
    """
    chance, id = stress.chance, client.id
    cuts = chance.randint(1, CUTS)
    for _ in range(cuts):
        await asyncio.sleep(chance.random() * AWAY_S)
        if client.is_on_websocket or not short:
            client.reset()
        else:
            client.close()
        await client.gone()
        await asyncio.sleep(chance.random() * AWAY_S)
        await client.connect("polling" if transport == "upgrade" else transport)
        check((client.recovered, client.id), (True, id), f"a return on {transport}")
        if transport == "upgrade" and chance.random() < 0.5:
            await client.upgrade()
    return cuts
