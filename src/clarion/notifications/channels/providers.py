"""Providers: those who carry a channel, asked in their order.

A message is handed to the first that may be asked. If that one fails, the next is asked at once; if the failure is the message's
(a wrong address, say), nobody else would take it either. Each provider has slots of its own, a rate, and a breaker: one that
hangs keeps its slots and nobody else's, one that has failed several times in a row is left alone for a while.

A message waits for the rate of a provider rather than go to the next, because a rate is what somebody wanted. It does go to the
next if all slots are taken, because that is what a provider looks like that hangs.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Literal, Protocol

from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import SettingsError, UsageError
from clarion.ids import Ids
from clarion.notifications.channels.base import NotSent, NotYet, Outgoing, Sent, Tried
from clarion.notifications.channels.breaker import Breaker, Bucket, State
from clarion.notifications.channels.urls import ProviderUrl, read_provider
from clarion.settings import Sending
from clarion.telemetry import (
    get_logger,
    limit_exceeded,
    provider_messages,
    provider_seconds,
    provider_state,
)

_log = get_logger(__name__)

KEEPING: Final = 64  # messages that are kept at a time
FULL_S: Final = 1.0  # a message that found all slots taken is put back for so long
HANDING_S: Final = (
    100.0  # with all providers of a channel together: less than the lease of a message
)
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


class Diverts(Protocol):
    """Keeps messages that are not to leave."""

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is sent."""
        ...

    def is_real(self, message: Outgoing) -> bool:
        """Whether it is sent."""
        ...

    async def keep(self, channel: str, message: Outgoing) -> Sent:
        """Keep it instead."""
        ...


class Allowed(Struct, frozen=True):
    """What a provider is given, in each process; see `ProviderUrl`. None: as the settings say, or no limit."""

    rate: float | None = None
    burst: float | None = None
    concurrency: int | None = None
    timeout_s: float | None = None


class Room(Struct, frozen=True):
    """How many messages can be handed over now; if none, when to ask again (s, infinite: when one has ended)."""

    free: int
    again_s: float


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


class Providers:
    """The providers of one channel, in the order in which they are asked.

    Args:
        channel: Its name.
        settings: Breakers, and what a provider is given whose URL says nothing of it.
        clock: The time.
        ids: Jitter.
    """

    def __init__(self, channel: str, settings: Sending, *, clock: Clock, ids: Ids) -> None:
        self.channel = channel
        self._settings, self._clock, self._ids = settings, clock, ids
        self._lines: list[Line] = []
        self.diverts: Diverts | None = None
        """Set by who sends: it keeps what is not to leave."""
        # Messages that were claimed to be handed over, and have not been yet: they have no slot, and will need one.
        self._expected: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, provider: Provider, allowed: Allowed | None = None) -> None:
        """Add one, behind the others.

        Raises:
            UsageError: There is one of that name.
        """
        if any(line.name == provider.name for line in self._lines):
            raise UsageError(f"there is a {self.channel} provider {provider.name!r}")
        line = Line(
            self.channel, provider, allowed or Allowed(), self._settings, self._clock, self._ids
        )
        line.show()
        self._lines.append(line)

    def add_urls(
        self,
        urls: Sequence[str],
        makers: Mapping[str, Callable[[ProviderUrl], Provider]],
        setting: str,
    ) -> None:
        """Add those that a setting lists.

        Args:
            urls: See `ProviderUrl`.
            makers: By scheme, what makes a provider of its URL; `url.wrong(…)` is what to raise for one that is no good.
            setting: Its name, for errors.

        Raises:
            SettingsError: One of them is no good.
        """
        for text in urls:
            url = read_provider(text, setting)
            if url.scheme not in makers:
                raise url.wrong(
                    f"there is no such provider; there are {', '.join(f'{name}://' for name in makers)}"
                )
            allowed = Allowed(url.rate, url.burst, url.concurrency, url.timeout_s)
            try:
                self.add(makers[url.scheme](url), allowed)
            except UsageError as exc:
                raise SettingsError(
                    f"{setting}: {exc}; give one of them another (?name=…)"
                ) from exc

    @property
    def handing_s(self) -> float:
        """How long handing one message over may take, whoever of them is asked."""
        return min(HANDING_S, sum(line.timeout_s for line in self._lines))

    def expect(self, id: str) -> None:
        """A message will be handed over: room is kept for it."""
        self._expected[id] = None

    def arrived(self, id: str) -> None:
        """It needs no room any more: it has a slot, or will not come."""
        self._expected.pop(id, None)

    def room(self) -> Room:
        """How many messages can be handed over now, beside those that are expected."""
        room = self._room()
        return Room(max(0, room.free - len(self._expected)), room.again_s)

    def _room(self) -> Room:
        if not self._lines or (self.diverts is not None and self.diverts.keeps_all):
            return Room(KEEPING, float("inf"))  # to be kept, or to be told that nobody takes it
        free, again_s = 0, float("inf")
        for line in self._lines:
            if down_s := line.down_s():
                again_s = min(again_s, down_s)
                continue
            room = line.room()
            free += room
            if room < line.concurrency - line.in_hand and line.is_limited:
                return Room(free, min(again_s, line.limited_s()))
        return Room(free, again_s)

    async def send(self, message: Outgoing, among: Collection[str] | None = None) -> Sent:
        """Hand a message to the first that takes it.

        Args:
            message: What is to be sent.
            among: Names of those who can carry it; None: all.

        Raises:
            NotSent: Nobody did; its `tries` tell who was asked.
            NotYet: Nobody may be asked now.
        """
        self.arrived(message.id)
        if self.diverts is not None and not self.diverts.is_real(message):
            return await self.diverts.keep(self.channel, message)
        lines = [line for line in self._lines if among is None or line.name in among]
        tries: list[Tried] = []
        results: list[NotSent] = []
        again_s, began = float("inf"), self._clock.monotonic()
        for line in lines:
            if self._clock.monotonic() - began > HANDING_S - line.timeout_s and tries:
                break
            if down_s := line.down_s():
                again_s = min(again_s, down_s)
                continue
            if line.is_full:
                again_s = min(again_s, FULL_S)
                continue
            if limited_s := line.limited_s():
                again_s = min(again_s, limited_s)
                break
            result, tried = await line.ask(message)
            tries.append(tried)
            if isinstance(result, Sent):
                return Sent(result.provider, result.provider_id, result.answer, tuple(tries))
            results.append(result)
            if not result.is_providers:
                break
        if not results:
            if not lines:
                # Final, so that it is a dead letter which somebody sees, and not a message that waits for ever.
                raise NotSent(f"there is no {self.channel} provider", provider="", is_final=True)
            limit_exceeded.labels("sending").inc()
            raise NotYet(
                min(again_s, self._settings.breaker_s), f"no {self.channel} provider is free"
            )
        raise _joined(results, tuple(tries))

    def status(self) -> list[ProviderStatus]:
        """How each of them does."""
        return [line.status() for line in self._lines]


class Provided:
    """A channel that hands its messages to providers: the base of those that do.

    Such a class has the rest of a `Channel`, and overrides `send` where there is something to do before.
    """

    def __init__(self, providers: Providers) -> None:
        self.providers = providers

    @property
    def timeout_s(self) -> float:
        """For one attempt, with all providers that are asked."""
        return self.providers.handing_s + 5.0

    async def send(self, message: Outgoing) -> Sent:
        """Hand it over; see `Providers.send`."""
        return await self.providers.send(message)


def _joined(results: Sequence[NotSent], tries: tuple[Tried, ...]) -> NotSent:
    """The last one's no, for all: to be tried again when the first of them may be asked, if each has said when."""
    last = results[-1]
    waits = [each.retry_after_s for each in results]
    said = [wait for wait in waits if wait is not None]
    if not last.is_final:
        last.retry_after_s = min(said) if len(said) == len(waits) else None
    last.tries = tries
    return last
