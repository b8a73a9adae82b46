"""The load of a soak: clients of every kind that talk, come and go, in good order and in bad.

A twentieth of the sockets is replaced each minute. Everything that can be known exactly is checked while it runs: an echo is what was
sent, and in a room the messages of one voice follow each other without a gap for everybody who heard one of them, also over an
upgrade and over a recovery. What is wrong is in `wrong`.
"""

import asyncio
import random  # noqa: TID251  seeded
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any

from clarion.telemetry import spawn
from tests.support.measured import Child
from tests.support.quick_client import Client
from tests.support.quick_packets import Event

REPLACED_PER_MIN = 0.05
HOME = 25  # sockets that share a room
OTHER_ROOMS = 200
TICK_S = 0.02
POURED = (12, 32, 32_768)  # by a slow reader: times, events, bytes

ACTIONS = {"say": 30, "echo": 20, "bytes": 10, "ask": 10, "rush": 10, "wander": 20}
ENDS = {"leave": 25, "close": 15, "reset": 20, "return": 25, "mute": 5, "huge": 3, "garbage": 7}
# Of twenty places; each keeps its own, so that what a place costs stays the same.
TRANSPORTS = ["websocket"] * 14 + ["polling"] * 3 + ["upgrade"] * 3
GARBAGE = ("7", "4", "40", "45-", '42["no', "4/x,", "2", "\x00", '4522-["a",1]', b"nothing asked")


class Member:
    """A place in the load: a client, another one after it."""

    def __init__(self, churn: "Churn", number: int) -> None:
        self.churn, self.home = churn, f"home-{number // HOME}"
        self.transport = TRANSPORTS[number % len(TRANSPORTS)]
        self.client = Client(churn.child.port)
        self.is_here = False
        self.rooms: list[str] = []
        self.voice = self.said = 0
        self.last: dict[int, int] = {}

    async def come(self, *, back: bool = False) -> None:
        """Come in, or come back as who it was."""
        churn, wanted = self.churn, self.transport
        if not back:
            self.client = Client(churn.child.port, on_event=self.hears)
        await self.client.connect("polling" if wanted == "upgrade" else wanted)
        if back:
            churn.seen["recovered" if self.client.recovered else "not recovered"] += 1
        if not (back and self.client.recovered):
            self.last = {}
            # About as many as it will have on the average.
            self.rooms = [churn.room() for _ in range(churn.chance.choice((2, 3)))]
            await self.client.ask("join", self.home, *self.rooms)
        if wanted == "upgrade":
            await asyncio.sleep(churn.chance.random())
            await self.client.upgrade()
        # A message that was under way when its speaker was cut is lost: another voice, so that it is no gap.
        self.voice, self.said = next(churn.voices), 0
        self.is_here = True

    def hears(self, _: Client, event: Event) -> None:
        """An event came."""
        if event[0] == "said":
            voice, number = event[1], event[2]
            last = self.last.get(voice)
            if last is not None and number != last + 1:
                self.churn.wrong.append(f"in {self.home}: {number} after {last} of voice {voice}")
            self.last[voice] = number
            self.churn.seen["heard"] += 1

    # ── what it does ──
    def act(self, what: str) -> None:
        """Do one thing."""
        client, chance = self.client, self.churn.chance
        if what == "say":
            self.said += 1
            client.emit("say", self.home, self.voice, self.said, "." * chance.randrange(200))
        elif what == "rush":
            client.emit("rush", self.home, chance.random())
        elif what == "wander":
            self.wander()
        elif what == "ask":
            self.expect("ask", chance.random())
        elif what == "echo":
            self.expect("echo", chance.random(), "é" * chance.randrange(100))
        else:
            self.expect("echo", chance.randbytes(chance.randrange(1, 20_000)))

    def wander(self) -> None:
        """Go into a room, or leave one."""
        chance = self.churn.chance
        if len(self.rooms) > chance.randrange(5):
            self.client.emit("leave", self.rooms.pop(0))
        else:
            self.rooms.append(self.churn.room())
            self.client.emit("join", self.rooms[-1])

    def expect(self, event: str, *args: Any) -> None:
        """Send what comes back."""

        def came(answer: "asyncio.Future[Event]") -> None:
            if answer.cancelled() or answer.exception() is not None:
                return  # it was cut meanwhile
            self.churn.seen["answers"] += 1
            if answer.result() != [*args]:
                self.churn.wrong.append(f"{event} gave {answer.result()!r:.100} for {args!r:.100}")

        self.client.ask(event, *args).add_done_callback(came)

    # ── how it goes ──
    async def go(self, how: str) -> None:
        """End this client, and have another one in its place."""
        churn, client = self.churn, self.client
        churn.seen[f"end: {how}"] += 1
        if how == "leave":
            client.leave()
            client.close()
        elif how == "close":
            client.close()
        elif how in {"reset", "return"}:
            client.reset()
        elif how == "mute":
            client.answers_pings, client.on_event = False, _hears_nothing
        elif how == "huge":
            client.say("4" + "x" * (churn.max_payload + 1))
        else:
            client.say(churn.chance.choice(GARBAGE))
        if how not in {"mute", "huge"}:
            # A request that was refused does not end a session; and not all garbage does.
            client.close()
            await client.gone()
        elif how == "huge":
            await asyncio.sleep(1)
            client.reset()
        await self.come(back=how == "return")


def _hears_nothing(_: Client, event: Event) -> None:
    """What still comes to a client whose place another one has taken."""


class Churn:
    """All of it.

    Args:
        child: The server.
        sockets: How many clients there are at a time.
        per_s: Actions a second, of all.
        seed: Of all chance.
        max_payload: The server's limit, bytes.
        slow_s: Between two slow readers.
        replaced_per_min: Share of the sockets.
        ends: How they go, with weights.
    """

    def __init__(
        self,
        child: Child,
        sockets: int,
        per_s: float,
        seed: int,
        *,
        max_payload: int,
        slow_s: float = 30.0,
        replaced_per_min: float = REPLACED_PER_MIN,
        ends: dict[str, int] = ENDS,
    ) -> None:
        self.child, self.per_s, self.chance = child, per_s, random.Random(seed)
        self.max_payload, self.slow_s, self.ends = max_payload, slow_s, ends
        self.replaced_per_s = sockets * replaced_per_min / 60
        self.voices: Iterator[int] = count()
        self.members = [Member(self, number) for number in range(sockets)]
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._going: set[asyncio.Task[None]] = set()

    def pick(self, weights: dict[str, int]) -> str:
        """One by weight."""
        return self.chance.choices([*weights], [*weights.values()])[0]

    def room(self) -> str:
        """Any room that is nobody's home."""
        return f"room-{self.chance.randrange(OTHER_ROOMS)}"

    async def begin(self) -> None:
        """Have all come in."""
        for start in range(0, len(self.members), 50):
            await asyncio.gather(*(each.come() for each in self.members[start : start + 50]))

    async def run(self, seconds: float) -> None:
        """Talk, come and go."""
        loop = asyncio.get_running_loop()
        began = last = loop.time()
        owed = {"act": 0.0, "go": 0.0, "slow": 0.0}
        per_s = {"act": self.per_s, "go": self.replaced_per_s, "slow": 1 / self.slow_s}
        while (now := loop.time()) < began + seconds:
            # After a pause of the machine not all of it at once: that would be another load.
            passed, last = min(now - last, 1.0), now
            for what in owed:
                owed[what] += per_s[what] * passed
                while owed[what] >= 1:
                    owed[what] -= 1
                    self._step(what)
            await asyncio.sleep(TICK_S)

    def _step(self, what: str) -> None:
        if what == "slow":
            self._start(self._slow_reader())
            return
        member = self.chance.choice(self.members)
        if not member.is_here:
            return
        if member.client.ended.done():
            self.wrong.append(
                f"a {member.transport} ended by itself: {member.client.ended.result()}"
            )
            self._replace(member, "reset")
            return
        if what == "act":
            member.act(self.pick(ACTIONS))
            self.seen["actions"] += 1
        else:
            self._replace(member, self.pick(self.ends))

    def _replace(self, member: Member, how: str) -> None:
        member.is_here = False  # now: another step of this turn may pick it, too
        self._start(member.go(how))

    def _start(self, work: Any) -> None:
        task = spawn(self._watched(work), name="churn")
        self._going.add(task)
        task.add_done_callback(self._going.discard)

    async def _watched(self, work: Any) -> None:
        try:
            await work
        except Exception as exc:  # noqa: BLE001  whatever it is, it should not have been
            self.wrong.append(f"{type(exc).__name__}: {exc}")

    async def _slow_reader(self) -> None:
        """Asks for much and reads none of it: closed with 3008, or cut off where that does not arrive."""
        client = await Client(self.child.port).connect()
        client.line.pause()
        times, events, size = POURED
        for _ in range(times):
            client.emit("pour", events, size)
            await asyncio.sleep(0.05)
        client.line.resume()
        self.seen[f"slow reader: {await client.gone()}"] += 1

    async def end(self) -> None:
        """Have all leave."""
        while self._going:
            await asyncio.wait(self._going)
        for each in self.members:
            each.client.close()
            each.is_here = False
        for each in self.members:
            await each.client.gone()
