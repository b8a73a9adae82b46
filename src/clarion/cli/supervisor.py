"""`clarion serve --workers N`: a process that starts the others and starts them anew, and has nothing that could be lost.

It holds the sockets, one for each worker: the kernel spreads connections over them, and those that come for a worker that is just
being started wait for it. On SQLite one more process owns the file. All are forks of this one, so that they share what was loaded; it runs no
loop and no threads. SIGTERM or SIGINT: the workers get the same and drain, then the owner closes the file, all in bounded time.
"""

import contextlib
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Final, NoReturn, cast

from clarion.clock import SystemClock
from clarion.errors import ClarionError, UsageError
from clarion.settings import Settings
from clarion.telemetry import get_logger

_log = get_logger(__name__)

SETTLED_S: Final = 10.0  # a process that lived for so long was well: its successor comes at once
FIRST_S, LONGEST_S = (
    0.1,
    5.0,
)  # pauses before the successors of one that was not, each twice the former
LAST_S: Final = 20.0  # for a worker's jobs and requests, beyond what draining may take
OWNER_S: Final = 15.0  # for the owner to close the file
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

Work = Callable[[int, bool], None]
"""Runs a worker to its end: takes its number from 0, and whether it is the first of that number."""


class _Place:
    """Of a process: what is run there, and how well that went."""

    def __init__(self, name: str, run: Callable[[bool], None]) -> None:
        self.name, self.run = name, run
        self.pid = 0
        self.began = 0.0
        self.failures = 0
        self.due: float | None = 0.0  # when to start it; None: it runs, or is not to run any more
        self.is_first = True


class Supervisor:
    """Starts and watches the processes of one server.

    Args:
        settings: How long draining may take.
        workers: The sockets of each worker.
        work: Runs a worker.
        own: Runs the owner of the data; None: there is none, each worker has its own way to a shared database.
    """

    def __init__(
        self,
        settings: Settings,
        workers: Sequence[Sequence[socket.socket]],
        work: Work,
        own: Callable[[], None] | None,
    ) -> None:
        limits = settings.limits
        self._drain_s = limits.notice_s + limits.drain_s + limits.close_s + LAST_S
        self._now = SystemClock().monotonic
        self._sockets = workers
        self._work = work
        self._owner = None if own is None else _Place("owner", self._owning(own))
        self._workers = [
            _Place(f"worker {number}", self._worker(number)) for number in range(len(workers))
        ]
        self._code = 0
        self._is_stopping = False
        self._told = signal.SIGINT  # to stop; SIGINT: nobody has, and balancers get no notice
        # Closed by whoever is forked: its end tells them that this process is gone.
        self._alive: int | None = None
        self._wake: tuple[int, int] = (-1, -1)
        self.stop_with = -1
        """The descriptor whose end tells a forked process to stop."""

    def run(self) -> int:
        """Run until told to stop; returns the exit code."""
        self.stop_with, self._alive = os.pipe()
        with self._signals():
            while not self._is_stopping:
                self._start_due()
                self._wait(self._next_due())
                self._reap()
            self._stop()
        return self._code

    # ── starting ──
    @property
    def _places(self) -> list[_Place]:
        return [*([self._owner] if self._owner else []), *self._workers]

    def _start_due(self) -> None:
        for place in self._places:
            if place.due is not None and place.due <= self._now():
                self._start(place)

    def _next_due(self) -> float | None:
        due = [place.due for place in self._places if place.due is not None]
        return max(0.0, min(due) - self._now()) if due else None

    def _start(self, place: _Place) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        place.due, place.began = None, self._now()
        # A fork that is told to stop in its first moment would take it for its parent, and go on: it is told once it can end.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                self._become(place)
            place.pid, place.is_first = pid, False
        except OSError as exc:  # no memory, or too many processes: those that run go on
            _log.error("a process cannot be started", process=place.name, why=str(exc))
            self._start_later(place)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _become(self, place: _Place) -> NoReturn:
        """In the fork: run what belongs there, and never return into what the parent does."""
        code = 70
        try:
            # Ctrl-C is for the parent, which tells us in its order.
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            for each in _SIGNALS:
                signal.signal(each, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            for fd in (*self._wake, self._alive):
                if fd is not None:
                    os.close(fd)
            place.run(place.is_first)
            code = 0
        except UsageError as exc:
            print(f"clarion: {exc.message}", file=sys.stderr)
            code = 2
        except ClarionError as exc:
            print(f"clarion: {exc.message}", file=sys.stderr)
            code = 1
        except SystemExit as exc:
            code = cast(int, exc.code)
        except BaseException:  # noqa: BLE001  the last frame of this process
            _log.exception("a process failed", process=place.name)
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _worker(self, number: int) -> Callable[[bool], None]:
        def run(is_first: bool) -> None:
            self._close_sockets(but_of=number)
            self._work(number, is_first)

        return run

    def _owning(self, own: Callable[[], None]) -> Callable[[bool], None]:
        def run(_: bool) -> None:
            self._close_sockets()
            own()

        return run

    def _close_sockets(self, but_of: int = -1) -> None:
        """As long as one process has them open, the kernel lets clients connect."""
        for number, sockets in enumerate(self._sockets):
            if number != but_of:
                for each in sockets:
                    each.close()

    # ── watching ──
    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        self._wake = os.pipe()
        for fd in self._wake:
            os.set_blocking(fd, False)
        former = {each: signal.signal(each, self._caught) for each in _SIGNALS}
        signal.set_wakeup_fd(self._wake[1])
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            for each, handler in former.items():
                signal.signal(each, handler)
            for fd in self._wake:
                os.close(fd)

    def _caught(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGCHLD:
            return
        if self._is_stopping:
            # Each does with it what one alone does.
            self._send(self._workers, signal.Signals(number))
        else:
            self._is_stopping, self._told = True, signal.Signals(number)

    def _wait(self, seconds: float | None) -> None:
        """Until a signal comes, or that long."""
        select.select([self._wake[0]], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake[0], 4096)

    def _reap(self) -> None:
        """See who has ended, and when each is to be started anew."""
        for place in self._places:
            if place.pid == 0:
                continue
            pid, status = os.waitpid(place.pid, os.WNOHANG)
            if pid:
                self._ended(place, os.waitstatus_to_exitcode(status))

    def _ended(self, place: _Place, code: int) -> None:
        place.pid = 0
        if self._is_stopping:
            return
        if code == 2 and place.failures == 0 and self._now() - place.began < SETTLED_S:
            self._code, self._is_stopping = code, True
            return
        pause = self._start_later(place)
        _log.error(
            "a process ended and is started anew", process=place.name, code=code, after_s=pause
        )

    def _start_later(self, place: _Place) -> float:
        """Start it anew, the later the more often it has failed; returns in how many seconds."""
        lived = self._now() - place.began
        place.failures = 1 if lived >= SETTLED_S else place.failures + 1
        pause = 0.0
        if place.failures > 1:
            pause = min(LONGEST_S, FIRST_S * 2 ** (place.failures - 2))
        place.due = self._now() + pause
        return pause

    # ── stopping ──
    def _stop(self) -> None:
        """End the workers, then the owner that they need; whoever takes too long is killed."""
        self._close_sockets()
        self._end(self._workers, self._drain_s, self._told)
        if self._owner is not None:
            self._end([self._owner], OWNER_S, signal.SIGTERM)

    def _end(self, places: Sequence[_Place], within_s: float, told: signal.Signals) -> None:
        self._send(places, told)
        until = self._now() + within_s
        while any(place.pid for place in places) and self._now() < until:
            self._wait(max(0.0, until - self._now()))
            self._reap()
        if any(place.pid for place in places):
            _log.error(
                "did not stop in time", processes=[place.name for place in places if place.pid]
            )
            self._send(places, signal.SIGKILL)
            for place in places:
                if place.pid:
                    os.waitpid(place.pid, 0)
                    place.pid = 0

    def _send(self, places: Sequence[_Place], number: signal.Signals) -> None:
        for place in places:
            if place.pid:
                os.kill(place.pid, number)
