"""What a channel is: it says what a step may say on it, whom it can reach, and hands one message at a time to a provider."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from msgspec import Struct

from clarion.errors import UsageError

Cause = Literal["failed", "bounced", "suppressed"]


class Outgoing(Struct, frozen=True):
    """A message to hand over, its content rendered.

    `id` is the same at every attempt: a provider that knows it already may drop the repetition.
    """

    tenant: str
    id: str
    user: str
    address: str
    content: Mapping[str, Any]
    workflow: str
    category: str
    attempt: int
    created_ms: int = 0


class Tried(Struct, frozen=True):
    """One provider was asked: what it answered, when (ms), and how long that took."""

    provider: str
    outcome: Literal["sent", "failed", "refused"]
    """`failed` is the provider's failure, `refused` the message's."""
    answer: str
    at_ms: int
    took_ms: int


class Sent(Struct, frozen=True):
    """A provider took it: its name, what it calls the message ('' if it does not say), and its words for a person.

    `tries` is filled in by `Providers`: everyone who was asked, this one last.
    """

    provider: str
    provider_id: str = ""
    answer: str = ""
    tries: tuple[Tried, ...] = ()


class NotSent(Exception):
    """A provider did not take it.

    Args:
        why: For a person: the provider's words.
        provider: Which one.
        is_final: Trying again cannot help, with no provider: it is the message or the address.
        retry_after_s: When to try again, where the provider says so.
        cause: What a final failure is called in the message's life.
        is_providers: Whether the failure is the provider's own (it is down, refuses our password, is overloaded): then the next
            one is asked, and after several in a row this one is left alone for a while. None: unless it is final.
    """

    def __init__(
        self,
        why: str,
        *,
        provider: str,
        is_final: bool = False,
        retry_after_s: float | None = None,
        cause: Cause = "failed",
        is_providers: bool | None = None,
    ) -> None:
        super().__init__(why)
        self.why, self.provider = why, provider
        self.is_final, self.retry_after_s, self.cause = is_final, retry_after_s, cause
        self.is_providers = not is_final if is_providers is None else is_providers
        self.tries: tuple[Tried, ...] = ()


class NotYet(Exception):
    """Nobody was asked, because nobody may be now: it is put back for so long (s), and that was no attempt."""

    def __init__(self, after_s: float, why: str) -> None:
        super().__init__(why)
        self.after_s, self.why = after_s, why


class Channel(Protocol):
    """A way to reach a subscriber.

    Attributes:
        name: What steps call it.
        content: Struct of what a step says on it. Each text in it is a template; a field named `html` is rendered as HTML.
        said: Struct that it must be once it is rendered: a message that is not is not sent, and its step has failed.
        timeout_s: For one attempt, with all providers that are asked; at most `sending.LEASE_S`.
        max_attempts: After so many it is a dead letter.
        needs_addresses: Whether the recipient's `addresses` are to be loaded for it: `{channel: [{id, address, data}]}`.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def content(self) -> type[Struct]: ...  # noqa: D102
    @property
    def said(self) -> type[Struct]: ...  # noqa: D102
    @property
    def timeout_s(self) -> float: ...  # noqa: D102
    @property
    def max_attempts(self) -> int: ...  # noqa: D102
    @property
    def needs_addresses(self) -> bool: ...  # noqa: D102

    def addresses(self, recipient: Mapping[str, Any]) -> Sequence[str]:
        """Where this recipient can be reached on the channel; nothing: nowhere."""
        ...

    async def send(self, message: Outgoing) -> Sent:
        """Hand a message to a provider.

        Raises:
            NotSent: It did not take it. Any other error counts as one that may be tried again.
            NotYet: It cannot be handed over now; that is no attempt.
        """
        ...


@runtime_checkable
class KeepsAddresses(Protocol):
    """A channel that says what is stored of an address: after a check, or with what is secret in it sealed."""

    def kept(self, address: str) -> str:
        """What is stored.

        Raises:
            Invalid: It is no address of this channel.
        """
        ...


class Channels:
    """The channels there are, by name."""

    def __init__(self) -> None:
        self._channels: dict[str, Channel] = {}

    def add(self, channel: Channel) -> None:
        """Add a channel, before the server starts.

        Raises:
            UsageError: There is one of that name.
        """
        if channel.name in self._channels:
            raise UsageError(f"there is a channel {channel.name!r}")
        self._channels[channel.name] = channel

    def get(self, name: str) -> Channel | None:
        """The channel of that name."""
        return self._channels.get(name)

    def all(self) -> list[Channel]:
        """All of them."""
        return list(self._channels.values())

    def contents(self) -> Mapping[str, type[Struct]]:
        """What can be said on each."""
        return {name: channel.content for name, channel in self._channels.items()}
