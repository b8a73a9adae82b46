"""The world of workflows: nodes with the whole engine over one store elsewhere, their clocks, and what a seed does to them."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar

from clarion.auth.principal import Principal
from clarion.bus import LocalBus
from clarion.clock import LoopClock
from clarion.jobs import Queue, Worker
from clarion.notifications import Inbox, inbox_kind
from clarion.notifications.engine import Engine
from clarion.notifications.preferences.book import Book
from clarion.settings import Limits, Templates
from clarion.topics.engine import TopicEngine
from clarion.topics.kinds import Kinds
from tests.simulation.distant_store import Line
from tests.simulation.node import prepare
from tests.simulation.post import Letters, Library, Post
from tests.support.memory_store import Disk, MemoryStore
from tests.support.renders import Inside
from tests.support.simulation import HOST, SimLoop
from tests.support.simulation_network import Network

T = TypeVar("T")

LEASE_S = 6.0  # of runs, digests and jobs, in place of 30 s: a stall may outlast it, and virtual time is not free
SENDING_LEASE_S = 20.0  # of letters, in place of 120 s
LAST_S = 10.0  # of that: whoever can write then has written
BETWEEN_S = 3.0  # two troubles, at most
BAD_S = 8.0  # a line, at most
LONG_S = 18.0, 30.0  # longer than any lease
DOWN_S = 4.0  # a node, at most
CUT_S = 8.0  # the provider, at most
JUMP_S = 3600  # a clock, at most
STEPS = 60  # requests to the store until there is trouble at one, at most
COMMITS = 8  # likewise commits
APP = Principal(id="app", kind="key")

# What no row may ever do, whoever writes it; `audit` keeps what was seen, `story` the order of claims and cancellations.
_AUDIT = """
CREATE TABLE audit (what TEXT);
CREATE TABLE story (n INTEGER PRIMARY KEY, kind TEXT, id TEXT);
CREATE TRIGGER life_cycle BEFORE UPDATE ON outgoing WHEN NEW.rank < OLD.rank BEGIN
  INSERT INTO audit VALUES (format('message %s went from %s to %s', OLD.id, OLD.status, NEW.status)); END;
CREATE TRIGGER life_end BEFORE UPDATE OF status ON run WHEN OLD.status NOT IN ('running', 'collected')
  AND NEW.status <> OLD.status BEGIN
  INSERT INTO audit VALUES (format('run %s went from %s to %s', OLD.id, OLD.status, NEW.status)); END;
CREATE TRIGGER called_off AFTER INSERT ON run_record
  WHEN (SELECT status FROM run WHERE id = NEW.run) = 'cancelled' BEGIN
  INSERT INTO audit VALUES (format('run %s was called off, and did %s', NEW.run, NEW.step)); END;
CREATE TRIGGER called_off_message AFTER INSERT ON message
  WHEN (SELECT status FROM run WHERE NEW.id LIKE id || '.%') = 'cancelled' BEGIN
  INSERT INTO audit VALUES (format('%s was called off, and delivered', NEW.id)); END;
CREATE TRIGGER claimed AFTER UPDATE OF lease_by ON outgoing WHEN NEW.attempts > OLD.attempts BEGIN
  INSERT INTO story (kind, id) VALUES ('claimed', NEW.id); END;
CREATE TRIGGER cancelled AFTER UPDATE OF state ON trigger_call
  WHEN NEW.state = 'cancelled' AND OLD.state <> NEW.state BEGIN
  INSERT INTO story (kind, id) VALUES ('cancelled', NEW.id); END;
"""
for _table in ("run", "outgoing", "batch", "job", "schedule"):
    _AUDIT += f"""
CREATE TRIGGER token_{_table} BEFORE UPDATE ON {_table} WHEN NEW.token < OLD.token BEGIN
  INSERT INTO audit VALUES (format('{_table} %s: token %d after %d', OLD.id, NEW.token, OLD.token)); END;
CREATE TRIGGER taken_over_{_table} BEFORE UPDATE OF lease_by ON {_table}
  WHEN OLD.lease_by IS NOT NULL AND NEW.attempts > OLD.attempts BEGIN
  INSERT INTO story (kind, id) VALUES ('taken over', '{_table} ' || NEW.id); END;
"""
_LEFT = (
    "SELECT 'run', * FROM run WHERE status IN ('running', 'collected')",
    "SELECT 'letter', * FROM outgoing WHERE status = 'queued'",
    "SELECT 'batch', * FROM batch WHERE run_ms IS NOT NULL",
    "SELECT 'job', * FROM job",
    "SELECT 'schedule', * FROM schedule WHERE state = 'active'",
)


class WallClock(LoopClock):
    """A machine's clock, which somebody may set; it outlives the processes on it."""

    def __init__(self) -> None:
        super().__init__()
        self.set_by_s = 0

    def now_ms(self) -> int:
        """As it is set."""
        return super().now_ms() + self.set_by_s * 1000


class Life:
    """What dies with a node's process. Make it, and run `main`, on its host."""

    def __init__(self, office: "Office", name: str, context: Context) -> None:
        loop, clock = office.loop, office.clocks[name]
        self.context, self.host = context, HOST.get()
        self.name = name
        self.line = Line(office.store, loop, office.context, lambda: office.meet(self))
        kinds = Kinds()
        kinds.add(inbox_kind(self.line))
        limits = Limits(recipients=50)
        topics = TopicEngine(prepare, kinds, LocalBus(), limits, clock=clock, ids=loop.ids())
        self.inbox = Inbox(self.line, topics, clock=clock, ids=loop.ids())
        self.queue = Queue(self.line, clock, loop.ids(), node=name)
        self.engine = Engine(
            self.line,
            self.inbox,
            self.queue,
            limits,
            Library(loop),  # type: ignore[arg-type]
            Book(self.line, self.inbox, limits, clock=clock),
            clock=clock,
            ids=loop.ids(),
            node=name,
            renders=Inside(Templates()),
        )
        self.engine.channels.add(Letters(office.post))
        self._worker = Worker(self.queue, clock, loop.ids(), lease_s=LEASE_S)
        self.engine.install(self._worker)
        self._is_alone = office.is_alone
        self.is_up = False

    async def main(self) -> None:
        """Serve until the crash."""
        if self._is_alone:
            await self.engine.release()
        await self._worker.start()
        self.engine.start()
        self.is_up = True
        await asyncio.get_running_loop().create_future()


class Office:
    """The nodes, the store, the provider, and trouble.

    Args:
        loop: Of this run.
        is_calm: Nothing goes wrong, and nobody is slow for long.
        is_alone: One node, which knows that it is alone; else two.
        is_jumpy: Whether clocks are set.
    """

    def __init__(self, loop: SimLoop, *, is_calm: bool, is_alone: bool, is_jumpy: bool) -> None:
        # Fixed at creation
        self.loop, self.rng, self.network = loop, loop.rng, Network(loop)
        self.is_calm, self.is_alone, self.is_jumpy = is_calm, is_alone, is_jumpy
        self.context = copy_context()  # of no host: what the store works in
        self.disk = Disk()
        self.store = MemoryStore(self.disk, LoopClock(), loop.ids())
        self.db = self.disk.connect()
        self.db.execute(_AUDIT)
        self.post = Post(loop, self.db, self.blame, is_calm=is_calm)
        self.post.is_fenced = not is_jumpy
        self.names = ["one"] if is_alone else ["one", "two"]
        self.clocks = {name: WallClock() for name in self.names}
        # Changes while the world turns
        self.lives: dict[str, Life] = {}
        self.deaths: dict[str, float] = {}
        """When each life ended that was ended."""
        self.troubled: list[tuple[str, float, float]] = []
        """Whose line or process was not well, from when, until when."""
        self.blamed: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._latest_s = 0

    def __enter__(self) -> "Office":
        return self

    def __exit__(self, *exc: object) -> None:
        self.db.close()
        self.store.crash()
        self.disk.close()

    def blame(self, text: str) -> None:
        """Note that a promise was broken."""
        self.blamed.append(f"{self.loop.time():.3f} s: {text}")

    def latest_ms(self) -> int:
        """What the clock shows that is ahead of all."""
        return max(clock.now_ms() for clock in self.clocks.values())

    # ── nodes ──
    def start(self, name: str) -> None:
        """Boot a node."""

        async def main() -> None:
            self.lives[name] = life = Life(self, name, copy_context())
            await life.main()

        self._tasks.append(self.network.start(name, main))

    def stop(self, name: str) -> None:
        """Crash it."""
        life = self.lives.pop(name, None)
        if life is None:
            return
        self.network.crash(name)
        life.line.drop()
        self.deaths[life.host] = self.loop.time()
        self._tasks.append(self.loop.create_task(self._back(name), context=self.context.copy()))

    async def _back(self, name: str) -> None:
        await asyncio.sleep(self.rng.uniform(0.1, DOWN_S))
        self.start(name)

    async def call(self, work: Callable[[Life], Coroutine[Any, Any, T]]) -> T:
        """Have a node do something, whichever; raises `ConnectionResetError` if it dies before it has answered."""
        up = [name for name in self.names if name in self.lives and self.lives[name].is_up]
        if not up:
            await asyncio.sleep(0.2)
            raise ConnectionRefusedError
        life = self.lives[name := self.rng.choice(up)]
        task = self.loop.create_task(work(life), context=life.context.copy())
        while True:
            done, _ = await asyncio.wait([task], timeout=0.5)
            if done:
                answer: T = task.result()
                return answer
            if self.lives.get(name) is not life:
                raise ConnectionResetError

    async def settled(self, patience_s: float) -> None:
        """Return when everything has come to an end."""
        give_up = self.loop.time() + patience_s
        while left := self._left():
            assert self.loop.time() < give_up, f"{len(left)} never come to an end: {left[0]}"
            await asyncio.sleep(5)

    def _left(self) -> list[tuple[Any, ...]]:
        return [row for sql in _LEFT for row in self.db.execute(sql)]

    def excuses(self, host: str, at_s: float, again_s: float) -> bool:
        """Whether something went wrong that may cost a node's word of what it sent then, so that it is sent again."""
        if self.deaths.get(host, float("inf")) <= again_s or self.is_jumpy:
            return True
        # What became of it is written as long as the lease lasts; only who cannot write at its end is forgiven.
        late_s = at_s + SENDING_LEASE_S
        return any(
            who == host and since <= late_s and late_s - LAST_S <= until
            for who, since, until in self.troubled
        )

    # ── trouble ──
    async def trouble(self, count: int) -> None:
        """Disturb them so many times; then all is well again."""
        self.post.kills = self._taken
        for _ in range(count):
            await asyncio.sleep(self.rng.uniform(0, BETWEEN_S))
            self._disturb(self.rng.choice(self.names))
        await asyncio.sleep(BETWEEN_S)
        self._heal()

    def _disturb(self, name: str) -> None:
        rng, now = self.rng, self.loop.time()
        life = self.lives.get(name)
        match rng.randrange(8):
            case 0:
                self.stop(name)
            case 1 | 2 if life is not None:
                life.line.is_aimed = rng.random() < 0.5
                life.line.steps_to_trouble = rng.randint(
                    1, COMMITS if life.line.is_aimed else STEPS
                )
                self.loop.note(name, "has trouble in", life.line.steps_to_trouble)
            case 3 if life is not None:
                self._stall(life)
            case 4 if life is not None:
                self._refuse(life, 0.3, rng.uniform(0, BAD_S))
            case 5 if life is not None:
                seconds = self._long()
                self.loop.note(name, "is stopped for", round(seconds, 3))
                self.loop.freeze(life.host, seconds)
                self.troubled.append((life.host, now, now + seconds))
            case 6:
                seconds = rng.uniform(0, CUT_S)
                self.loop.note("provider is cut for", round(seconds, 3))
                self.post.cut_until = now + seconds
            case _ if self.is_jumpy:
                by = rng.choice([-JUMP_S, -30, -5, 5, 30, JUMP_S])
                self.clocks[name].set_by_s += by
                self._latest_s = max(self._latest_s, self.clocks[name].set_by_s)
                self.loop.note("clock of", name, "jumps by", by)
            case _:
                pass

    def meet(self, life: Life) -> bool:
        """Something happens to a node at a request of its own; returns whether it dies of it."""
        if self.rng.random() < 0.6:
            self.stop(life.name)
            return True
        self._stall(life)
        return False

    def _taken(self, host: str) -> bool:
        """The provider has a letter, and the node does not know it yet; returns whether it dies of that."""
        life = self.lives[host.partition("#")[0]]
        match self.rng.random():
            case chance if chance < 0.05:
                self.stop(life.name)
                return True
            case chance if chance < 0.12:
                self._refuse(life, 1.0, self.rng.uniform(0.2, 2.0))
            case chance if chance < 0.16:
                self._stall(life)
        return False

    def _long(self) -> float:
        """Seconds that a lease outlasts, or not."""
        return self.rng.choice([self.rng.uniform(0, BAD_S), self.rng.uniform(*LONG_S)])

    def _stall(self, life: Life) -> None:
        now, seconds = self.loop.time(), self._long()
        self.loop.note("line of", life.name, "stalls for", round(seconds, 3))
        life.line.stalled_until = now + seconds
        self.troubled.append((life.host, now, now + seconds))

    def _refuse(self, life: Life, share: float, seconds: float) -> None:
        now = self.loop.time()
        self.loop.note("line of", life.name, "loses", share, "for", round(seconds, 3))
        life.line.loss, life.line.bad_until = share, now + seconds
        self.troubled.append((life.host, now, now + seconds))

    def _heal(self) -> None:
        self.loop.note("all is well again")
        self.post.kills = lambda host: False
        self.post.is_healed = True
        self.post.cut_until = 0.0
        for life in self.lives.values():
            life.line.steps_to_trouble = None
        # Whatever was put off to a time that a wrong clock showed is due then.
        for clock in self.clocks.values():
            clock.set_by_s = self._latest_s
