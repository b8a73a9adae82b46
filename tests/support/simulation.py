"""Deterministic simulation: several asyncio programs in one thread, in virtual time.

Time stands still while something is ready and jumps to the next timer when nothing is. Which of two ready tasks goes first, how
long a message takes, and when what breaks all come from one seed: a seed that fails replays exactly. `digest` is a hash over
every step, so that "exactly" can be checked, also in another process and under another PYTHONHASHSEED.

    outcome = simulate(scenario, seed=17)       # scenario: an async function that is given the loop

Programs run on named hosts (`Network.start`). A host that crashes runs nothing any more, not even `finally`: that is what
kill -9 does; one that is frozen does nothing until it goes on, as SIGSTOP has it. Programs take time from `clarion.clock.LoopClock` and chance from `loop.ids()`.

Not covered: threads, kernel sockets, C code that reads a clock, subprocesses, TLS, real disks.
"""

import asyncio
import contextlib
import gc
import hashlib
import heapq
import itertools
import random
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVarTuple, Unpack

import msgspec
from structlog.testing import capture_logs

from clarion import telemetry
from clarion.ids import Ids

Args = TypeVarTuple("Args")

WORLD = "world"
# Who runs: the name of a host and which of its lives, `node#2`. Tasks and timers inherit it with their context.
HOST: ContextVar[str] = ContextVar("host", default=WORLD)

MAX_STEPS = 500_000
# asyncio promises first-in-first-out to callbacks, which transports rely on, but nothing to tasks.
SHUFFLED = 0.2  # of the steps of tasks are put off …
PUT_OFF_S = 0.001  # … by at most this


class Stuck(Exception):
    """Nothing can ever happen again (deadlock), or too much happened (livelock)."""


# `asyncio.wait` and TaskGroup walk through sets of tasks and futures. Their hash is an address, and would differ between runs.
class _Task(asyncio.Task[Any]):
    serial: int
    context: Context

    @property
    def host(self) -> str:
        return self.context.get(HOST, WORLD)

    def __hash__(self) -> int:
        return self.serial


class _Future(asyncio.Future[Any]):
    serial: int

    def __hash__(self) -> int:
        return self.serial


class _Step(asyncio.TimerHandle):
    """A callback, when it is due, and whose it is."""

    __slots__ = ("host", "name")
    host: str
    name: str


class SimLoop(asyncio.BaseEventLoop):
    """An event loop without a selector: one agenda, ordered by virtual time, then by the order of asking.

    Args:
        seed: Where all chance of a run comes from.
        max_steps: More are a livelock.
        tell: Is given each fault, as text.
    """

    def __init__(
        self, seed: int, *, max_steps: int = MAX_STEPS, tell: Callable[[str], None] | None = None
    ) -> None:
        super().__init__()
        # Fixed at creation
        self.rng = random.Random(seed)
        self._max_steps = max_steps
        self._tell = tell
        self._serials = itertools.count(1)
        # Changes while open
        self.steps = 0
        self.dead: dict[str, None] = {}
        self.frozen: dict[str, float] = {}
        """Hosts that are stopped, and until when: what they would do they do then, all at once."""
        self.failures: list[str] = []
        self._now = 0.0
        self._agenda: list[tuple[float, int, _Step]] = []
        self._hash = hashlib.blake2b(digest_size=8)
        # What the dead would have done. Kept, because a coroutine that is freed runs its `finally`.
        self._graveyard: list[object] = []
        self.set_exception_handler(lambda _, context: self.failures.append(_failure(context)))

    @property
    def digest(self) -> str:
        """Hash over every step so far."""
        return self._hash.hexdigest()

    def ids(self) -> Ids:
        """Chance for one program, drawn from the seed."""
        return Ids.seeded(self.rng.getrandbits(64))

    def note(self, *facts: object) -> None:
        """Put facts into the digest, and show them where faults are traced."""
        text = " ".join(map(str, facts))
        self._hash.update(text.encode())
        if self._tell is not None:
            self._tell(f"{self._now:9.3f} s  {text}")

    def kill(self, host: str) -> None:
        """Let nothing of a host (`node#2`) run any more."""
        self.dead[host] = None
        self._graveyard += [task for task in _tasks(self) if task.host == host]

    def freeze(self, host: str, seconds: float) -> None:
        """Let nothing of a host run for a while."""
        self.frozen[host] = self._now + seconds

    # ── what asyncio needs of a loop ──
    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._now

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Put a callback on the agenda."""
        context = copy_context() if context is None else context
        step = _Step(when, callback, args, self, context)
        step.host, step.name = context.get(HOST, WORLD), _name(callback)
        heapq.heappush(self._agenda, (when, next(self._serials), step))
        return step

    def call_soon(
        self,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Put a callback on the agenda for now; the step of a task perhaps for a little later."""
        when = self._now
        owner = getattr(callback, "__self__", None)
        if isinstance(owner, _Task) and self.rng.random() < SHUFFLED:
            when += self.rng.random() * PUT_OFF_S
        return self.call_at(when, callback, *args, context=context)

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """There are no threads."""
        return self.call_soon(callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """A future that can be in a set."""
        future = _Future(loop=self)
        future.serial = next(self._serials)
        return future

    def create_task(
        self,
        coro: Any,
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        """A task that can be in a set, named by its place in the run."""
        task = _Task.__new__(_Task)
        task.serial = next(self._serials)
        task.context = copy_context() if context is None else context
        label = f"{name or coro.__qualname__}-{task.serial}"
        _Task.__init__(task, coro, loop=self, name=label, context=task.context)
        return task

    def _run_once(self) -> None:
        if not self._agenda:
            raise Stuck(f"deadlock at {self._now:.3f} s")
        when, _, step = heapq.heappop(self._agenda)
        if step.cancelled():
            return
        self._now = max(self._now, when)
        if step.host in self.dead:
            self._graveyard.append(step)
            return
        if step.host in self.frozen:
            if (until := self.frozen[step.host]) > self._now:
                heapq.heappush(self._agenda, (until, next(self._serials), step))
                return
            del self.frozen[step.host]
        self.steps += 1
        if self.steps > self._max_steps:
            raise Stuck(f"livelock: {self.steps} steps by {self._now:.3f} s")
        self._hash.update(f"{self._now:.9f} {step.host} {step.name}".encode())
        step._run()

    # ── the end ──
    def bury(self) -> None:
        """Close the loop, then what was still running; what that raises concerns nobody any more."""
        leftover = _tasks(self)
        # First the loop: a generator that is freed later would otherwise ask it for another task.
        self.close()
        for task in leftover:
            with contextlib.suppress(BaseException):
                task.context.run(task.get_coro().close)
        telemetry._running.difference_update(leftover)
        self._agenda.clear()
        self._graveyard.clear()


class Outcome(msgspec.Struct, frozen=True):
    """How a run ended."""

    error: Exception | None
    digest: str
    steps: int
    virtual_s: float


def simulate(
    scenario: Callable[[SimLoop], Coroutine[Any, Any, None]],
    seed: int,
    *,
    tell: Callable[[str], None] | None = None,
    max_steps: int = MAX_STEPS,
) -> Outcome:
    """Run a scenario on a loop of its own. Whatever it raises, or a program of it logs as an error, is the outcome's `error`."""
    loop = SimLoop(seed, tell=tell, max_steps=max_steps)
    error: Exception | None = None
    # A collection would run finalizers at a moment that no seed decides.
    gc.disable()
    try:
        with capture_logs() as logs:
            loop.run_until_complete(scenario(loop))
        errors = [entry for entry in logs if entry["log_level"] in {"error", "critical"}]
        assert not errors, f"logged as an error: {errors[0]}"
        assert not loop.failures, loop.failures[0]
    except Exception as exc:  # noqa: BLE001  it is what the caller wants to know
        error = exc
    finally:
        outcome = Outcome(error, loop.digest, loop.steps, loop.time())
        # What dies now has nothing to say.
        loop.set_exception_handler(lambda _, context: None)
        with capture_logs():
            loop.bury()
        gc.enable()
    return outcome


def _tasks(loop: SimLoop) -> list[_Task]:
    """Tasks that have not ended, in the order of their making."""
    ours = [task for task in asyncio.all_tasks(loop) if isinstance(task, _Task)]
    return sorted(ours, key=hash)


def _name(callback: Callable[..., object]) -> str:
    owner = getattr(callback, "__self__", None)
    return owner.get_name() if isinstance(owner, _Task) else getattr(callback, "__qualname__", "?")


def _failure(context: dict[str, Any]) -> str:
    return f"{context['message']}: {context.get('exception')!r}"
