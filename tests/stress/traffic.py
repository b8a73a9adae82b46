"""Clients that talk: all at once, and one of them without listening."""

import asyncio
from collections import Counter
from typing import Any

from tests.stress.harness import (
    PLAIN,
    TRANSPORTS,
    Stress,
    check,
    come,
    counted,
    follows,
    heard_all,
    leave,
    said,
)
from tests.support.measured import Child
from tests.support.quick_client import Client

TALKERS, ROOMS, ACTIONS = 18, 4, 12  # ACTIONS of each in a round

SLOW = ("websocket", "websocket", "polling", "upgrade")
POURED = 8_192  # bytes at a time


class Talker:
    """A client that says numbered things to its rooms."""

    def __init__(self, stress: Stress, client: Client, name: str, rooms: list[str]) -> None:
        self.stress, self.client, self.name, self.rooms = stress, client, name, rooms
        self.said = dict.fromkeys(rooms, 0)
        self.reached = 0

    async def round(self) -> None:
        """Do this and that at once; each answer is what it must be."""
        chance = self.stress.chance
        await asyncio.gather(*(self._act(chance.randrange(5)) for _ in range(ACTIONS)))

    async def _act(self, what: int) -> None:
        chance, client = self.stress.chance, self.client
        if what == 0:
            asked: list[Any] = [chance.random(), "é" * chance.randrange(200), None, {"a": [1]}]
        elif what == 1:
            asked = [chance.randbytes(chance.randrange(1, 5_000)), [chance.randbytes(3), "x"]]
        elif what == 2:
            number = chance.random()
            check(await client.ask("ask", number), [number], "the answer to the server's question")
            return
        else:
            await self._speak("say" if what == 3 else "tell")
            return
        check(await client.ask("echo", *asked), asked, "an echo")

    async def _speak(self, how: str) -> None:
        room = self.stress.chance.choice(self.rooms)
        self.said[room] += 1
        (reached,) = await self.client.ask(how, room, room, self.name, how, self.said[room])
        self.reached += reached


async def mixed_traffic(stress: Stress) -> str:
    """Answers, bytes, rooms and broadcasts, over an upgrade too: all that was sent arrives, once, and in a room in one order for all."""
    async with stress.server(limits=PLAIN) as child:
        before = await counted(child)
        talkers = [await _talker(stress, child, number) for number in range(TALKERS)]
        # In each room one that only listens: what it hears is the room's order.
        rooms = [f"room {number}" for number in range(ROOMS)]
        scribes = [await come(child.port, "websocket") for _ in rooms]
        for room, scribe in zip(rooms, scribes, strict=True):
            await scribe.ask("join", room)
        everybody = [each.client for each in talkers] + scribes
        for number in stress.rounds():
            rising = [each.client for each in talkers[2::3]] if number == 0 else []
            await asyncio.gather(
                *(each.round() for each in talkers), *(each.upgrade() for each in rising)
            )
            await heard_all(*everybody)
        heard = sum(len(each.events) for each in everybody)
        check(heard, sum(each.reached for each in talkers), "events heard")
        for room, scribe in zip(rooms, scribes, strict=True):
            _in_order(room, scribe.events, talkers)
        await leave(*everybody)
        due = Counter({"handshakes: opened": len(everybody)})
        for name in (
            "session_closed: transport_close",
            "told: connection",
            "told: transport close",
        ):
            due[name] = len(everybody)
        await child.until(lambda counts: not counts["sessions"])
        check(await counted(child) - before, due, "counts")
    return f"{heard} events heard"


async def _talker(stress: Stress, child: Child, number: int) -> Talker:
    """Of three one begins on polling and goes on by WebSocket while all talk."""
    client = await come(child.port, "websocket" if number % 3 == 0 else "polling")
    rooms = [f"room {each}" for each in stress.chance.sample(range(ROOMS), 2)]
    check(await client.ask("join", *rooms), [3], "rooms")
    return Talker(stress, client, str(number), rooms)


def _in_order(room: str, order: list[list[Any]], talkers: list[Talker]) -> None:
    """Compare what all heard in a room with its order; `say` reaches all but the speaker."""
    for talker in talkers:
        if room in talker.rooms:
            follows((e[4] for e in order if e[2] == talker.name), 1, talker.said[room] + 1, room)
            mine = [e for e in talker.client.events if e[1] == room]
            due = [e for e in order if e[2:4] != [talker.name, "say"]]
            check(mine, due, f"{room} for {talker.name}")


async def slow_client(stress: Stress) -> str:
    """Who reads nothing is closed as slow when `egress_hard_bytes` wait for it, and was sent all before that; nobody else notices."""
    total = 0
    async with stress.server(limits=PLAIN) as child:
        for _ in stress.rounds():
            before = await counted(child)
            good = [await come(child.port, each) for each in TRANSPORTS for _ in range(2)]
            slow = [await come(child.port, each) for each in SLOW]
            for client in (*good, *slow):
                await client.ask("join", "river")
            for client in slow:
                client.line.pause()
            poured = 0
            while (await counted(child) - before)["limit_exceeded: egress_hard_bytes"] < len(slow):
                await child.ask("emit", room="river", begin=poured, end=poured + 8, size=POURED)
                poured += 8
                await heard_all(*good)
            for client in slow:
                client.line.resume()
            codes = [await each.gone() for each in slow]
            is_polling = [each == "polling" for each in SLOW]
            check(codes, [0 if each else 3008 for each in is_polling], "close codes")
            reasons = [each.reason for each in slow]
            check(reasons, ["" if each else "slow" for each in is_polling], "reasons")
            for client in slow:
                follows(said(client, "river"), 0, len(said(client, "river")), "a slow client")
            for client in good:
                follows(said(client, "river"), 0, poured, "another one")
            found = await counted(child) - before
            everybody, gone = len(good) + len(slow), len(slow)
            due = Counter(
                {"handshakes: opened": everybody, "told: connection": everybody}
                | {"session_closed: transport_error": gone, "told: transport error": gone}
                | {"limit_exceeded: egress_hard_bytes": gone, "egress_dropped: overflow": gone}
                | {"handshakes: refused": sum(is_polling)}  # its next GET, by which it learns it
            )
            check(found, due, "counts")
            await leave(*good)
            total += poured
    return f"{total * POURED / 1e6:.1f} MB to each"
