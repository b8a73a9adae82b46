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
from clarion.features.upstream.wire import (
    Answer,
    Request,
    decode,
    encode,
    join,
    sign,
    split,
)
from clarion.ids import Ids
from clarion.outbound import Outbound
from clarion.settings import Upstream, secret_of
from clarion.telemetry import Tasks, get_logger, limit_exceeded, upstream_requests

_log = get_logger(__name__)

_JSON: Final = {"content-type": "application/json", "accept": "application/json"}


class _Asked:
    __slots__ = ("answer", "body", "turn")

    def __init__(self, request: Request) -> None:
        self.body = encode(request)
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
        self._bytes = 0
        self._workers = Tasks()

    async def ask(self, request: Request) -> Answer:
        """Ask, behind everything that the same socket has asked before.

        Raises:
            Invalid: It has no JSON.
            UpstreamUnavailable: No answer within `timeout_s`, or the endpoint is known to be down, or too many wait. It may have been asked.
        """
        now = self._clock.monotonic()
        if self._breaker.is_open(now):
            raise self._refused(now)
        asked = _Asked(request)
        size = len(asked.body)
        if self._waiting >= self._settings.waiting:
            raise _too_many("upstream_waiting")
        if self._waiting and self._bytes + size > self._settings.waiting_bytes:
            raise _too_many("upstream_waiting_bytes")
        self._waiting += 1
        self._bytes += size
        self._enqueue(asked)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await asked.answer
        except TimeoutError:
            upstream_requests.labels("late").inc()
            raise UpstreamUnavailable("the application has not answered in time") from None
        finally:
            self._waiting -= 1
            self._bytes -= size
            asked.answer.cancel()
            asked.body = b""  # its turn may still be to come

    async def close(self) -> None:
        """End all calls."""
        await self._workers.close()

    def _enqueue(self, asked: _Asked) -> None:
        behind = self._behind.get(asked.turn)
        if behind is not None:
            behind.append(asked)
            return
        self._behind[asked.turn] = deque()
        self._ready.append(asked)
        if len(self._workers) < self._settings.connections:
            self._workers.spawn(self._work(), name="upstream")

    async def _work(self) -> None:
        while batch := self._take():
            try:
                answers = await self._call(batch)
            except Exception as exc:  # noqa: BLE001  whatever it is, whoever waits is told, and whoever waits behind has a turn
                if not isinstance(exc, ClarionError):
                    _log.exception("upstream failed")
                answers = [exc] * len(batch)
            for asked, answer in zip(batch, answers, strict=True):
                if asked.answer.done():
                    pass
                elif isinstance(answer, Answer):
                    asked.answer.set_result(answer)
                else:
                    asked.answer.set_exception(answer)
                self._next_of(asked.turn)

    def _take(self) -> list[_Asked]:
        batch: list[_Asked] = []
        size = 0
        while self._ready and len(batch) < self._settings.batch:
            asked = self._ready[0]
            size += len(asked.body)
            if batch and size > self._settings.batch_bytes:
                break
            self._ready.popleft()
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

    async def _call(self, batch: list[_Asked]) -> list[Answer | Exception]:
        now = self._clock.monotonic()
        if not self._breaker.allows(now):
            raise self._refused(now)
        body = join(asked.body for asked in batch)
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
        except ClarionError as exc:
            self._breaker.failed(self._clock.monotonic())
            raise _failed(exc, len(batch)) from exc
        # Any other status, and a body that is none, are answers of an application that is there: a client that knows how to provoke
        # them must not take it away from the others.
        if answer.status >= 500 or answer.status == 429:
            self._breaker.failed(self._clock.monotonic())
        else:
            self._breaker.succeeded()
        try:
            if answer.status != 200:
                raise ValueError(f"the application answered with status {answer.status}")
            return [_read(each) for each in split(answer.body, len(batch))]
        except ValueError as exc:
            raise _failed(exc, len(batch)) from exc


def _read(answer: msgspec.Raw) -> Answer | Exception:
    """One answer; of one that is wrong, an error that is nobody else's."""
    try:
        read = decode(answer)
    except ValueError as exc:
        return _failed(exc, 1)
    upstream_requests.labels("answered").inc()
    return read


def _failed(exc: Exception, requests: int) -> UpstreamUnavailable:
    upstream_requests.labels("failed").inc(requests)
    # What the client is told says nothing of addresses; the log has it.
    _log.warning("upstream failed", error=str(exc), requests=requests)
    return UpstreamUnavailable()


def _too_many(limit: str) -> UpstreamUnavailable:
    limit_exceeded.labels(limit).inc()
    return UpstreamUnavailable("too many events wait for the application", retry_after_s=1)
