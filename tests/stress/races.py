"""Who joins, leaves and goes while much is said: a model tells who must hear a message, and who may.

The server does what one client asks in its order, but how two clients, and those who speak, fall together is open. Each thing is done
at some time between two that the runner knows: when it was asked for, and when its answer came. A message that was begun after a join
was answered, and had gone out before the leave was sent, must be heard; one that overlaps neither may not be; in between it may.
"""

import asyncio
from math import inf

from clarion.clock import SystemClock
from clarion.telemetry import spawn
from tests.stress.harness import PLAIN, Stress, check, come, counted, heard_all, leave, stays
from tests.support.measured import Child
from tests.support.quick_client import Client

PLACES, ROOMS, STEPS = 10, ("a", "b", "c"), 30  # STEPS of each place in a round
PAUSE_S = 0.002  # at most, between two
NOW = (
    SystemClock().monotonic
)  # uvloop's own time stands still within a turn, and counts milliseconds
ENDS = ("leave", "put out", "close", "reset")


class Stay:
    """One stay in a room: when it was asked for and certain, and when its end was."""

    __slots__ = ("asked", "certain", "ending", "over")

    def __init__(self, asked: float) -> None:
        self.asked, self.certain, self.ending, self.over = asked, inf, inf, inf

    def must(self, begun: float, gone: float) -> bool:
        """Whether a message that went out between these times went to it for certain."""
        return self.certain < begun and gone < self.ending

    def may(self, begun: float, gone: float) -> bool:
        """Whether it can have."""
        return self.asked < gone and begun < self.over


class Racer:
    """One client's life, as the model knows it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.stays: dict[str, list[Stay]] = {room: [] for room in ROOMS}
        self.inside: dict[str, Stay] = {}
        self.is_cut = False
        self._answers: list[tuple[asyncio.Future[list[int]], int]] = []

    def toggle(self, room: str) -> None:
        """Join a room, or leave it; whoever is asked answers in how many rooms it is then, its own included."""
        if room in self.inside:
            stay = self.inside.pop(room)
            stay.ending = NOW()
            self._ask("leave", room, stay, "over")
        else:
            stay = self.inside[room] = Stay(NOW())
            self.stays[room].append(stay)
            self._ask("join", room, stay, "certain")

    def _ask(self, what: str, room: str, stay: Stay, then: str) -> None:
        answer = self.client.ask(what, room)
        self._answers.append((answer, 1 + len(self.inside)))

        def came(answer: "asyncio.Future[list[int]]") -> None:
            if answer.exception() is None:
                setattr(stay, then, NOW())

        answer.add_done_callback(came)

    async def end(self, how: str) -> None:
        """Go in some way; what it hears until then counts."""
        for stay in self.inside.values():
            stay.ending = NOW()
        if how == "reset":
            self.is_cut = True
            self.client.reset()
            await self.client.gone()
        else:
            if how == "leave":
                self.client.leave()
            elif how == "put out":
                self.client.emit("out")
                await self.client.put_out()
            await leave(self.client)
        for stay in self.inside.values():
            stay.over = NOW()

    def judge(self, spoken: "list[Message]") -> int:
        """Compare what it heard with what it must and may have; how much that was."""
        for answer, rooms in self._answers:
            if answer.done() and answer.exception() is None:
                check(answer.result(), [rooms], "rooms")
        heard = [number for _, _, number, _ in self.client.events]
        assert heard == sorted(set(heard)), f"twice, or out of order: {heard}"
        # What was on its way to a connection that is cut is lost, from some message on.
        known = heard[-1] if self.is_cut and heard else -1 if self.is_cut else len(spoken)
        got = {*heard}
        for number, each in enumerate(spoken):
            stays_ = self.stays[each.room]
            if number in got:
                assert any(stay.may(each.begun, each.gone) for stay in stays_), (
                    f"heard {number} of {each.room}, in which it was not"
                )
            elif number <= known:
                assert not any(stay.must(each.begun, each.gone) for stay in stays_), (
                    f"did not hear {number} of {each.room}, in which it was"
                )
        return len(heard)


class Message:
    """Something that was said to a room."""

    __slots__ = ("begun", "gone", "reached", "room")

    def __init__(self, room: str, begun: float) -> None:
        self.room, self.begun, self.gone, self.reached = room, begun, inf, 0


async def races(stress: Stress) -> str:
    """While clients join, leave and go in every way, a message reaches exactly those who are in its room then, once, in order."""
    told, ends = 0, 0
    async with stress.server(limits=PLAIN) as child:
        for number in stress.rounds():
            before = await counted(child)
            lives: list[Racer] = []
            spoken: list[Message] = []
            done = asyncio.Event()
            talking = spawn(_talk(stress, child, spoken, done), name="talk")
            # In every other round whoever goes leaves first: then not one message may be lost. Where a close frame or a reset is under way
            # the server still counts who will hear nothing more.
            ways = ENDS if number % 2 else ENDS[:2]
            await asyncio.gather(
                *(_place(stress, child, lives, each, ways) for each in range(PLACES))
            )
            done.set()
            await talking
            here = [each for each in lives if not each.client.ended.done()]
            await heard_all(*(each.client for each in here))
            heard = sum(each.judge(spoken) for each in lives)
            lost = sum(each.reached for each in spoken) - heard
            assert lost == 0 or (lost > 0 and number % 2), f"{lost} messages reached nobody"
            await leave(*(each.client for each in here))
            await stays(child, 0)
            found = await counted(child) - before
            for name in (
                "handshakes: opened",
                "told: connection",
                "session_closed: transport_close",
            ):
                check(found[name], len(lives), name)
            told, ends = told + heard, ends + len(lives)
    return f"{told} messages heard by {ends} clients"


async def _talk(stress: Stress, child: Child, spoken: list[Message], done: asyncio.Event) -> None:
    while not done.is_set():
        message = Message(stress.chance.choice(ROOMS), NOW())
        number = len(spoken)
        spoken.append(message)
        message.reached = await child.ask("emit", room=message.room, begin=number, end=number + 1)
        message.gone = NOW()


async def _place(
    stress: Stress, child: Child, lives: list[Racer], number: int, ways: tuple[str, ...]
) -> None:
    """One client after another. On polling what waits is lost with the end: who is there does not go."""
    chance = stress.chance
    transport = ("websocket", "upgrade", "polling")[number % 3]
    racer = None
    for _ in range(STEPS):
        if racer is None:
            racer = Racer(await come(child.port, transport))
            lives.append(racer)
        if transport != "polling" and chance.random() < 0.1:
            await racer.end(chance.choice(ways))
            racer = None
        else:
            racer.toggle(chance.choice(ROOMS))
        if chance.random() < 0.5:
            await asyncio.sleep(chance.random() * PAUSE_S)
