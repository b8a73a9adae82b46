"""The pool: a few worker processes, each with one job at a time, killed and replaced when a text takes too long or too much.

Callers take turns, of so many texts or so long, whichever ends first: one caller's ten thousand letters do not keep another's
single line waiting. When a worker dies, what it has answered counts; the rest goes to a new one, which answers one by one, so that
it is known which text it was: that one fails, and nobody else.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from clarion.errors import Unavailable
from clarion.settings import Templates
from clarion.telemetry import Tasks, get_logger, limit_exceeded, template_renders, template_workers
from clarion.templates.bench import Answer, Item, Job, Source, Wrong
from clarion.templates.child import HEAD

_log = get_logger(__name__)

CHUNK: Final = 50  # texts of one turn
TURN_S: Final = 0.25
KNOWN: Final = 500  # sources that a worker keeps
DEATHS: Final = (
    3  # that one source may cause in one call: what else it has to say there fails with it
)
START_S: Final = 20.0
# On a busy machine a text that may use so much CPU takes longer by the clock; a worker that is stopped takes for ever.
PATIENCE: Final = 20
_DIED: Final = "took too long, or too much memory"


class Ask(msgspec.Struct, frozen=True):
    """What is to be rendered, or checked: a job without what only a worker needs to be told.

    `sources` names everything that the items need, by id.
    """

    sources: dict[str, Source]
    shared: list[dict[str, object]]
    texts: list[list[dict[str, object]]]
    items: list[Item]
    checks: list[str]
    now_ms: int


class Renders(Protocol):
    """Renders texts, and checks them."""

    async def render(self, ask: Ask) -> list[Answer]:
        """An answer for each item, then for each check, in their order."""
        ...

    async def close(self) -> None:
        """End what runs."""
        ...


class Pool:
    """Renders in worker processes, which start when they are needed first.

    Args:
        settings: What each text may take.
        workers: How many processes.
        turn_s: How long one caller keeps a worker while others wait.
    """

    def __init__(self, settings: Templates, workers: int, *, turn_s: float = TURN_S) -> None:
        self._settings, self._workers, self._turn_s = settings, workers, turn_s
        # Not a queue of workers: whoever puts one back and takes the next at once would pass by those who wait.
        self._turns = asyncio.Semaphore(workers)
        self._idle: list[_Worker] = []
        self._ending = Tasks()

    async def render(self, ask: Ask) -> list[Answer]:
        """As `Renders.render`.

        Raises:
            Unavailable: No worker can be started.
        """
        todo: list[Item | str] = [*ask.items, *ask.checks]
        answers: list[Answer] = []
        deaths: dict[str, int] = {}
        is_careful = False
        while len(answers) < len(todo):
            chunk = todo[len(answers) : len(answers) + CHUNK]
            if deaths.get(_source(chunk[0]), 0) >= DEATHS:
                answers.append(Answer(wrong=Wrong(f"{_DIED}, as it did {DEATHS} times before")))
                continue
            is_careful = is_careful or len(chunk) == 1
            got, has_died = await self._turn(ask, chunk, is_careful)
            answers += got
            if not has_died:
                is_careful = is_careful and len(got) < len(chunk)
            elif not is_careful:
                is_careful = True
            elif len(got) < len(chunk):  # it died of the one that it has not answered
                answers.append(Answer(wrong=Wrong(_DIED)))
                source = _source(chunk[len(got)])
                deaths[source] = deaths.get(source, 0) + 1
        template_renders.labels("worker").inc(len(answers))
        for answer in answers:
            if answer.wrong is not None and answer.wrong.limit:
                limit_exceeded.labels(f"templates.{answer.wrong.limit}").inc()
        return answers

    async def close(self) -> None:
        """End the workers."""
        for _ in range(self._workers):
            await self._turns.acquire()
        for worker in self._idle:
            self._end(worker)
        await self._ending.finish()

    async def _turn(
        self, ask: Ask, chunk: Sequence[Item | str], is_careful: bool
    ) -> tuple[list[Answer], bool]:
        """What a worker answers before it has done all, or its time is over, or it dies; and whether it died."""
        got: list[Answer] = []
        async with self._turns:
            worker = await self._worker()
            try:
                await self._talk(worker, worker.job(ask, chunk, is_careful), got)
            except (OSError, EOFError, TimeoutError, msgspec.DecodeError) as exc:
                template_workers.labels("killed").inc()
                _log.warning("template worker died", cause=type(exc).__name__, answered=len(got))
                self._end(worker)
                return got, True
            except BaseException:
                # Our caller was cancelled: the answer that is on its way must not reach the next one.
                self._end(worker)
                raise
            self._idle.append(worker)
            return got, False

    async def _talk(self, worker: "_Worker", data: bytes, got: list[Answer]) -> None:
        wait_s = self._settings.cpu_ms / 1000 * PATIENCE
        worker.writer.write(HEAD.pack(len(data)) + data)
        async with asyncio.timeout(wait_s) as timeout:
            while size := HEAD.unpack(await worker.reader.readexactly(HEAD.size))[0]:
                got.append(_decode(await worker.reader.readexactly(size)))
                timeout.reschedule(asyncio.get_running_loop().time() + wait_s)

    async def _worker(self) -> "_Worker":
        if self._idle:
            return self._idle.pop()
        try:
            return await self._start()
        except (OSError, EOFError, TimeoutError) as exc:
            raise Unavailable("no worker for templates could be started") from exc

    async def _start(self) -> "_Worker":
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                reader, writer = await asyncio.open_connection(sock=ours, limit=1 << 22)
            except BaseException:
                ours.close()
                raise
            try:
                process = self._spawn(theirs.fileno())
            except OSError:
                writer.close()
                raise
        worker = _Worker(process, reader, writer)
        try:
            async with asyncio.timeout(START_S):
                await reader.readexactly(HEAD.size)
        except BaseException:
            self._end(worker)
            raise
        template_workers.labels("started").inc()
        return worker

    def _spawn(self, fd: int) -> "subprocess.Popen[bytes]":
        settings = self._settings
        limits = f"{settings.fuel}, {settings.output}, {settings.memory_mb << 20}, {settings.cpu_ms / 1000}, {self._turn_s}"
        code = f"import sys; sys.path[:] = {sys.path!r}; from clarion.templates.child import main; main({fd}, {limits})"
        # A fresh interpreter, not a fork: nothing of this process is in it, and no tenant's text is among its arguments.
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-c", code],
            pass_fds=[fd],
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _end(self, worker: "_Worker") -> None:
        self._ending.spawn(worker.end(), name="template-worker-end")


class _Worker:
    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.process, self.reader, self.writer = process, reader, writer
        self._known: set[str] = set()

    def job(self, ask: Ask, chunk: Sequence[Item | str], is_careful: bool) -> bytes:
        """A chunk, with what the worker does not know yet."""
        shared: dict[int, int] = {}
        items = [
            msgspec.structs.replace(
                each, shared=shared.setdefault(each.shared, len(shared)) if each.shared >= 0 else -1
            )
            for each in chunk
            if not isinstance(each, str)
        ]
        checks = [each for each in chunk if isinstance(each, str)]
        is_full = len(self._known) + len(ask.sources) > KNOWN
        if is_full:
            self._known.clear()
        learn = [source for id, source in ask.sources.items() if id not in self._known]
        self._known.update(ask.sources)
        job = Job(
            is_full,
            learn,
            [ask.shared[n] for n in shared],
            ask.texts,
            items,
            checks,
            ask.now_ms,
            is_careful,
        )
        return _encode(job)

    async def end(self) -> None:
        """Kill it, and wait until it has gone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()
        # A process that had much memory takes a while to leave.
        code = await asyncio.get_running_loop().run_in_executor(None, self.process.wait)
        if code == -signal.SIGPROF:
            limit_exceeded.labels("templates.cpu_ms").inc()
        elif code == -signal.SIGABRT:  # as Rust ends where there is no memory
            limit_exceeded.labels("templates.memory_mb").inc()


def _source(each: Item | str) -> str:
    return each if isinstance(each, str) else each.source


# JSON and not MessagePack: what was fetched elsewhere may have integers of any size.
_encode = msgspec.json.Encoder().encode
_decode = msgspec.msgpack.Decoder(Answer).decode
