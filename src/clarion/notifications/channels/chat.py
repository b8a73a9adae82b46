"""Chats and other services as a channel, by Apprise: Slack, Telegram, Discord, Teams and a hundred more.

    - chat: {title: "Build failed", body: "{{ payload.log }}"}

Subscribers' addresses on it are Apprise's URLs (`slack://TokenA/TokenB/TokenC/#channel`). They hold secrets, so they are stored
sealed. Apprise dials by itself, where our guard of the outside cannot look: only services whose host is fixed are allowed, and
of the options of a URL only harmless ones. It runs in threads of its own, a few at a time.
"""

import asyncio
import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Final, Literal, Protocol
from urllib.parse import unquote

from msgspec import Meta, Struct
from msgspec.structs import replace

from clarion.errors import Fault, Invalid
from clarion.notifications.channels.base import NotSent, Outgoing, Sent
from clarion.notifications.channels.line import Allowed
from clarion.notifications.channels.providers import Provided, Providers
from clarion.notifications.sealing import Sealer, Unopenable
from clarion.settings import Chat as ChatSettings

NAME: Final = "chat"
MISSING: Final = "chat needs Apprise: pip install 'clarion[chat]'"
_PURPOSE: Final = "chat address"
_URL_CHARS: Final = 2_048
# Their host is a constant of Apprise's, read in its source: no part of a URL changes it.
FIXED: Final = frozenset(
    [
        "discord",
        "dingtalk",
        "feishu",
        "flock",
        "gchat",
        "ifttt",
        "join",
        "lark",
        "line",
        "pagertree",
        "pbul",
        "pover",
        "pushy",
        "slack",
        "spugpush",
        "tgram",
        "twist",
        "wecombot",
        "wxteams",
    ]
)
# Of the options behind the `?`: those that say where in the service a message goes, or how it looks. Others read files of this
# machine (`template`), load pictures from elsewhere, follow redirects, or do not check certificates.
_OPTIONS: Final = frozenset(
    ("channel", "event", "format", "priority", "silent", "sound", "thread", "to", "topic")
)


class ChatContent(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is said; each text is a template."""

    body: Annotated[str, Meta(min_length=1, max_length=8_192)]
    title: Annotated[str, Meta(max_length=1_000)] = ""
    format: Literal["text", "markdown"] = "text"


class ChatSaid(Struct, frozen=True):
    """The same, rendered."""

    body: Annotated[str, Meta(min_length=1, max_length=8_192)]
    title: Annotated[str, Meta(max_length=1_000)] = ""
    format: Literal["text", "markdown"] = "text"


class Says(Protocol):
    """What can be made of an Apprise URL; one call blocks."""

    def notify(self, *, body: str, title: str, body_format: str) -> bool:
        """Say something; false: it was not taken."""
        ...

    def url(self, *, privacy: bool) -> str:
        """Its URL; with `privacy` what is secret in it is masked."""
        ...


class Services:
    """The services that may be used.

    Args:
        names: Only these schemas, as an operator says who knows where they lead; empty: those of `FIXED`.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names) or FIXED

    def open(self, url: str) -> Says:
        """What speaks to a URL's service.

        Raises:
            Invalid: Apprise does not know it, or it is not allowed.
        """
        if importlib.util.find_spec("apprise") is None:
            raise _invalid(MISSING)
        if len(url) > _URL_CHARS:
            raise _invalid(f"the URL has more than {_URL_CHARS} characters")
        schema, colon, _ = url.partition("://")
        schema = schema.lower()
        if not colon:
            raise _invalid("a chat is a URL of Apprise's: slack://…")  # what it is may be a secret
        if schema not in self._names:
            raise _invalid(f"{schema[:40]}:// is not one of the services that are allowed here")
        apprise: Any = importlib.import_module("apprise")
        # Read by who obeys them: Apprise ends an option at `;` too, which no other reader of URLs does.
        read: Any = apprise.URLBase.parse_url(url, verify_host=False) or {}
        if unknown := sorted({name.lower() for name in read.get("qsd", ())} - _OPTIONS):
            raise _invalid(f"the option {unknown[0][:40]!r} is not allowed here")
        found: Any = apprise.Apprise.instantiate(url, suppress_exceptions=True)
        if found is None:
            raise _invalid(f"Apprise knows no such {schema}:// URL")
        says: Says = found
        return says


class ChatChannel(Provided):
    """Subscribers' chats: their addresses on the channel `chat`."""

    name = NAME
    content = ChatContent
    said = ChatSaid
    max_attempts = 6
    needs_addresses = True

    def __init__(
        self, providers: Providers, services: Services, sealer: Sealer, settings: ChatSettings
    ) -> None:
        super().__init__(providers)
        self._services, self._sealer = services, sealer
        self.apprise = Apprise(services, sealer, settings.concurrency)
        allowed = Allowed(concurrency=settings.concurrency, timeout_s=settings.timeout_s)
        providers.add(self.apprise, allowed)
        providers.shown = self.apprise.shown

    def addresses(self, recipient: Mapping[str, Any]) -> Sequence[str]:
        """Their chats, sealed."""
        known = recipient.get("addresses", {}).get(NAME, ())
        return [str(each["address"]) for each in known]

    def kept(self, address: str) -> str:
        """A chat's URL as it is stored: sealed, with its service in front so that a person knows it again.

        Raises:
            Invalid: It is none that may be used.
        """
        self._services.open(address)
        schema = address.partition("://")[0].lower()
        return f"{schema}:{self._sealer.seal(address, _PURPOSE)}"


class Apprise:
    """Says things by Apprise, in threads: the channel's one provider."""

    name = "apprise"

    def __init__(self, services: Services, sealer: Sealer, concurrency: int) -> None:
        self._services, self._sealer = services, sealer
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="chat")

    def close(self) -> None:
        """End its threads, without waiting for services that hang."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def shown(self, message: Outgoing) -> Outgoing:
        """The message with an address that a person knows again, and that opens nothing: Apprise masks what is secret in it."""
        schema, _, sealed = message.address.partition(":")
        try:
            url = self._sealer.open(sealed, _PURPOSE)
            address = unquote(self._services.open(url).url(privacy=True).partition("?")[0])
        except (Unopenable, Invalid):
            address = f"{schema}://…"
        return replace(message, address=address)

    async def send(self, message: Outgoing) -> Sent:
        """Say it; what hangs keeps its thread, and nobody else's time."""
        schema, _, sealed = message.address.partition(":")
        try:
            says = self._services.open(self._sealer.open(sealed, _PURPOSE))
        except (Unopenable, Invalid) as exc:
            raise NotSent(str(exc), provider=self.name, is_final=True) from exc
        content = message.content
        is_taken = await asyncio.get_running_loop().run_in_executor(
            self._threads,
            lambda: says.notify(
                body=content["body"],
                title=content.get("title", ""),
                body_format=content.get("format", "text"),
            ),
        )
        if not is_taken:
            # One person's token, as likely as not: nothing against the others' services.
            raise NotSent(f"{schema} did not take it", provider=self.name, is_providers=False)
        return Sent(self.name, answer=schema)


def _invalid(why: str) -> Invalid:
    return Invalid(why, faults=[Fault("/address", why)])
