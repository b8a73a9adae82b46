"""One provider as this process knows it: its slots, its rate, its breaker, and how its last messages went.

A provider that hangs keeps its slots and nobody else's; one that has failed several times in a row is left alone for a while.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Literal, Protocol

from msgspec import Struct

from clarion.clock import Clock
from clarion.ids import Ids
from clarion.notifications.channels.base import NotSent, NotYet, Outgoing, Sent, Tried
from clarion.notifications.channels.breaker import Breaker, Bucket, State
from clarion.settings import Sending
from clarion.telemetry import get_logger, provider_messages, provider_seconds, provider_state

_log = get_logger(__name__)

ANSWER_CHARS: Final = 1_000
_STATES: Final[Mapping[State, int]] = {"closed": 0, "half-open": 1, "open": 2}


class Provider(Protocol):
    """Somebody who carries messages of one channel."""

    @property
    def name(self) -> str:
        """What it is called in records, metrics and answers."""
        ...

    async def send(self, message: Outgoing) -> Sent:
        """Hand a message over. It is stopped after its time-out.

        Raises:
            NotSent: It was not taken. Any other error counts as a failure of the provider.
            NotYet: Nobody was asked.
        """
        ...


class Allowed(Struct, frozen=True):
    """What a provider is given, in each process; see `ProviderUrl`. None: as the settings say, or no limit."""

    rate: float | None = None
    burst: float | None = None
    concurrency: int | None = None
    timeout_s: float | None = None


class ProviderStatus(Struct, frozen=True):
    """How a provider does, as this process sees it."""

    channel: str
    provider: str
    state: Literal["closed", "open", "half-open"]
    """Of its breaker: closed, it is asked; open, it is left alone; half-open, the next message finds out."""
    again_s: float | None
    """When it is asked again, where it is left alone."""
    failures: int
    """In a row."""
    in_hand: int
    concurrency: int
    rate: float | None
    """Messages a second; null: no limit."""
    sent: int
    failed: int
    refused: int
    last_error: str
    last_ms: int | None
    """How long its last answer took."""


class Line:
    """One provider and what is known of it."""

    def __init__(
        self,
        channel: str,
        provider: Provider,
        allowed: Allowed,
        settings: Sending,
        clock: Clock,
        ids: Ids,
    ) -> None:
        # Fixed at creation
        self.channel, self.provider, self.name = channel, provider, provider.name
        self._clock, self._ids = clock, ids
        self.timeout_s = allowed.timeout_s or settings.timeout_s
        self.concurrency = allowed.concurrency or settings.concurrency
        self.rate = allowed.rate
        burst = (allowed.rate or 0) / 10 if allowed.burst is None else allowed.burst
        # Changes with every message
        self.breaker = Breaker(
            settings.breaker_failures, settings.breaker_s, settings.breaker_max_s
        )
        self.bucket = Bucket(allowed.rate, burst)
        self.in_hand = 0
        self._counts: dict[str, int] = {"sent": 0, "failed": 0, "refused": 0}
        self._last_error, self._last_ms = "", None

    _last_ms: int | None

    def down_s(self) -> float:
        """How long it is left alone; 0: it may be asked."""
        return self.breaker.wait_s(self._clock.monotonic())

    def limited_s(self) -> float:
        """How long until its rate lets one go."""
        return self.bucket.wait_s(self._clock.monotonic())

    @property
    def is_full(self) -> bool:
        """Whether all its slots are taken."""
        return self.in_hand >= self.concurrency

    @property
    def is_limited(self) -> bool:
        """Whether it has a rate."""
        return self.rate is not None

    def room(self) -> int:
        """How many it can take now, if it is not down."""
        now = self._clock.monotonic()
        if self.breaker.state(now) == "half-open":
            return 1
        free = self.concurrency - self.in_hand
        return int(min(free, self.bucket.available(now) + 1e-9))

    async def ask(self, message: Outgoing) -> tuple[Sent | NotSent, Tried]:
        """Hand a message to it, within its time."""
        at_ms, began = self._clock.now_ms(), self._clock.monotonic()
        with self._slot():
            result = await self._answer(message)
        now = self._clock.monotonic()
        outcome: Literal["sent", "failed", "refused"] = "sent"
        if isinstance(result, NotSent):
            outcome = "failed" if result.is_providers else "refused"
        if isinstance(result, NotSent) and result.is_providers:
            self.breaker.failed(now, result.retry_after_s, self._ids.uniform(0.0, 1.0))
            self._last_error = result.why[:ANSWER_CHARS]
        else:
            self.breaker.worked()
        took_s = now - began
        self._last_ms = round(took_s * 1000)
        self._counts[outcome] += 1
        provider_messages.labels(self.channel, self.name, outcome).inc()
        provider_seconds.labels(self.channel, self.name).observe(took_s)
        self.show()
        why = result.answer if isinstance(result, Sent) else result.why
        return result, Tried(self.name, outcome, why, at_ms, self._last_ms)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        self.in_hand += 1
        self.bucket.take()
        self.breaker.begin()
        try:
            yield
        except BaseException:
            self.breaker.gave_up()
            raise
        finally:
            self.in_hand -= 1

    async def _answer(self, message: Outgoing) -> Sent | NotSent:
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self.provider.send(message)
        except NotSent as exc:
            return exc
        except NotYet:
            raise
        except TimeoutError:
            return NotSent(f"no answer within {self.timeout_s:g} s", provider=self.name)
        except Exception as exc:  # noqa: BLE001  a provider's failure is its own, whatever it is
            _log.warning("provider failed", channel=self.channel, provider=self.name, exc_info=exc)
            return NotSent(f"{type(exc).__name__}: {exc}", provider=self.name)

    def show(self) -> State:
        """Tell the metrics how it does."""
        state = self.breaker.state(self._clock.monotonic())
        provider_state.labels(self.channel, self.name).set(_STATES[state])
        return state

    def status(self) -> ProviderStatus:
        """How it does."""
        down_s = self.down_s()
        return ProviderStatus(
            channel=self.channel,
            provider=self.name,
            state=self.show(),
            again_s=round(down_s, 3) if 0 < down_s < float("inf") else None,
            failures=self.breaker.failures,
            in_hand=self.in_hand,
            concurrency=self.concurrency,
            rate=self.rate,
            sent=self._counts["sent"],
            failed=self._counts["failed"],
            refused=self._counts["refused"],
            last_error=self._last_error,
            last_ms=self._last_ms,
        )
