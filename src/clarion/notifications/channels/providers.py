"""Providers: those who carry a channel, asked in their order.

A message is handed to the first that may be asked. If that one fails, the next is asked at once; if the failure is the message's
(a wrong address, say), nobody else would take it either. Each provider has slots of its own, a rate, and a breaker: one that
hangs keeps its slots and nobody else's, one that has failed several times in a row is left alone for a while.

A message waits for the rate of a provider rather than go to the next, because a rate is what somebody wanted. It does go to the
next if all slots are taken, because that is what a provider looks like that hangs.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import SettingsError, UsageError
from clarion.ids import Ids
from clarion.notifications.channels.base import NotSent, NotYet, Outgoing, Sent, Tried
from clarion.notifications.channels.line import Allowed, Line, Provider, ProviderStatus
from clarion.notifications.channels.urls import ProviderUrl, read_provider
from clarion.settings import Sending
from clarion.telemetry import limit_exceeded

KEEPING: Final = 64  # messages that are kept at a time
FULL_S: Final = 1.0  # a message that found all slots taken is put back for so long
HANDING_S: Final = (
    100.0  # with all providers of a channel together: less than the lease of a message
)


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


class Room(Struct, frozen=True):
    """How many messages can be handed over now; if none, when to ask again (s, infinite: when one has ended)."""

    free: int
    again_s: float


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
        self.shown: Callable[[Outgoing], Outgoing] = _as_it_is
        """What is to be looked at of a message that is kept instead of sent."""
        self.reached: Callable[[Outgoing], Sequence[Outgoing]] = _alone
        """To whom it goes: the message, and the same for each address that gets a copy."""
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
        if self.diverts is not None and not all(map(self.diverts.is_real, self.reached(message))):
            return await self.diverts.keep(self.channel, self.shown(message))
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


def _as_it_is(message: Outgoing) -> Outgoing:
    return message


def _alone(message: Outgoing) -> Sequence[Outgoing]:
    return (message,)


def _joined(results: Sequence[NotSent], tries: tuple[Tried, ...]) -> NotSent:
    """The last one's no, for all: to be tried again when the first of them may be asked, if each has said when."""
    last = results[-1]
    waits = [each.retry_after_s for each in results]
    said = [wait for wait in waits if wait is not None]
    if not last.is_final:
        last.retry_after_s = min(said) if len(said) == len(waits) else None
    last.tries = tries
    return last
