"""Calls the application's endpoint: in batches, a few at a time, within a deadline, and not at all while it is down.

What waits while all connections are busy leaves together with the next that is free: one by one where there is little to do, a hundred at a
time where there is much. Of one socket at most one request is under way, so that its events are handled in their order.
"""

import asyncio
from collections import deque
from typing import Final

import msgspec

from clarion.clock import Clock
from clarion.errors import ClarionError, UpstreamUnavailable
from clarion.features.upstream.breaker import Breaker
from clarion.features.upstream.wire import Answer, Request, decode, encode, secret_of, sign
from clarion.ids import Ids
from clarion.outbound import Outbound
from clarion.settings import Upstream
from clarion.telemetry import get_logger, limit_exceeded, spawn, upstream_requests

_log = get_logger(__name__)

_JSON: Final = {"content-type": "application/json", "accept": "application/json"}


class _Asked:
    __slots__ = ("answer", "request", "turn")

    def __init__(self, request: Request) -> None:
        self.request = request
        # Whom it must not overtake: a socket. Questions about rights are about nobody's.
        self.turn: object = request.socket.id or self
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()


class Caller:
    """Asks one endpoint.

    Args:
        settings: Where it is, and what bounds the calls.
        outbound: Makes them.
        clock: For signatures and pauses.
        ids: Of the calls.
    """

    def __init__(self, settings: Upstream, outbound: Outbound, *, clock: Clock, ids: Ids) -> None:
        self._settings = settings
        self._outbound = outbound
        self._clock = clock
        self._ids = ids
        self._secret = secret_of(settings.secret)
        self._breaker = Breaker()
        self._ready: deque[_Asked] = deque()
        # Sockets with a request ready or under way, and what they ask next.
        self._behind: dict[object, deque[_Asked]] = {}
        self._waiting = 0
        self._workers: dict[asyncio.Task[None], None] = {}

    async def ask(self, request: Request) -> Answer:
        """Ask, behind everything that the same socket has asked before.

        Raises:
            UpstreamUnavailable: No answer within `timeout_s`, or the endpoint is known to be down, or too many wait. It may have been asked.
        """
        now = self._clock.monotonic()
        if self._breaker.is_open(now):
            raise self._refused(now)
        if self._waiting >= self._settings.waiting:
            limit_exceeded.labels("upstream_waiting").inc()
            raise UpstreamUnavailable("too many events wait for the application", retry_after_s=1)
        asked = _Asked(request)
        self._waiting += 1
        self._enqueue(asked)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await asked.answer
        except TimeoutError:
            upstream_requests.labels("late").inc()
            raise UpstreamUnavailable("the application has not answered in time") from None
        finally:
            self._waiting -= 1
            asked.answer.cancel()

    async def close(self) -> None:
        """End all calls."""
        for task in list(self._workers):
            task.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def _enqueue(self, asked: _Asked) -> None:
        behind = self._behind.get(asked.turn)
        if behind is not None:
            behind.append(asked)
            return
        self._behind[asked.turn] = deque()
        self._ready.append(asked)
        if len(self._workers) < self._settings.connections:
            task = spawn(self._work(), name="upstream")
            self._workers[task] = None
            task.add_done_callback(lambda done: self._workers.pop(done, None))

    async def _work(self) -> None:
        while batch := self._take():
            try:
                answers: list[Answer] | ClarionError = await self._call(batch)
            except ClarionError as exc:
                answers = exc
            for place, asked in enumerate(batch):
                if asked.answer.done():
                    continue
                if isinstance(answers, ClarionError):
                    asked.answer.set_exception(answers)
                else:
                    asked.answer.set_result(answers[place])
            for asked in batch:
                self._next_of(asked.turn)

    def _take(self) -> list[_Asked]:
        batch: list[_Asked] = []
        while self._ready and len(batch) < self._settings.batch:
            asked = self._ready.popleft()
            if asked.answer.done():  # nobody waits for it any more
                self._next_of(asked.turn)
            else:
                batch.append(asked)
        return batch

    def _next_of(self, turn: object) -> None:
        behind = self._behind[turn]
        if behind:
            self._ready.append(behind.popleft())
        else:
            del self._behind[turn]

    def _refused(self, now: float) -> UpstreamUnavailable:
        upstream_requests.labels("refused").inc()
        return UpstreamUnavailable(retry_after_s=round(self._breaker.retry_after_s(now), 1))

    async def _call(self, batch: list[_Asked]) -> list[Answer]:
        now = self._clock.monotonic()
        if not self._breaker.allows(now):
            raise self._refused(now)
        body = encode([asked.request for asked in batch])
        signed = sign(self._secret, self._ids.token(), self._clock.now_ms() // 1000, body)
        try:
            answer = await self._outbound.request(
                "POST",
                self._settings.url,
                {**_JSON, **signed},
                body,
                max_bytes=self._settings.answer_bytes,
                deadline_s=self._settings.timeout_s,
            )
            if answer.status != 200:
                raise UpstreamUnavailable(f"the application answered with status {answer.status}")
            answers = decode(answer.body, len(batch))
        except (ClarionError, ValueError, msgspec.MsgspecError) as exc:
            self._breaker.failed(self._clock.monotonic())
            upstream_requests.labels("failed").inc(len(batch))
            # What the client is told says nothing of addresses; the log has it.
            _log.warning("upstream failed", error=str(exc), requests=len(batch))
            raise UpstreamUnavailable() from exc
        self._breaker.succeeded()
        upstream_requests.labels("answered").inc(len(batch))
        return answers
