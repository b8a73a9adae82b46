"""Email, put together: the channel, what is told of its messages afterwards, and the addresses that are not written to any more."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal
from urllib.parse import urlsplit

from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import (
    Forbidden,
    NotFound,
    OutboundRefused,
    SettingsError,
    Unauthenticated,
    Unavailable,
)
from clarion.ids import Ids
from clarion.notifications.channels import Providers
from clarion.notifications.channels.base import Outgoing
from clarion.notifications.channels.email import hooks
from clarion.notifications.channels.email.channel import NAME, EmailChannel, Unsubscribe, nowhere
from clarion.notifications.channels.email.headers import Address, Unwritable
from clarion.notifications.channels.email.message import read_message_id
from clarion.notifications.channels.email.tracking import Seen, Tokens, is_machine
from clarion.notifications.checking import NO_ADDRESS
from clarion.notifications.lanes import RANKS
from clarion.notifications.runs import nothing
from clarion.notifications.suppressions import Reason, Suppressions, comparable
from clarion.notifications.waking import wake
from clarion.outbound import Outbound
from clarion.settings import Email as EmailSettings
from clarion.settings import Settings
from clarion.storage import message_events as sql
from clarion.storage.store import Store
from clarion.telemetry import get_logger

_log = get_logger(__name__)

KINDS: Final = ("opens", "clicks")
TOGETHER: Final = (
    100  # events of a call, so that their writes are joined: a provider does not wait long
)
_NO_HTTPS: Final = "public_url is not https: emails have no way out (List-Unsubscribe)"
_SUPPRESSES: Final[Mapping[str, Reason]] = {
    "bounced": "bounce",
    "complained": "complaint",
    "unsubscribed": "unsubscribe",
}


class NoSecret(Unauthenticated):
    """A provider did not say its secret. Those who have it in a URL do so when they are asked, as Amazon SNS does."""

    challenge = 'Basic realm="email.hooks"'


class Heard(Struct, frozen=True):
    """How many events of a call were about messages of ours, and how many were not."""

    told: int
    unknown: int


class Email:
    """Everything about email.

    Args:
        settings: Sections `email` and `sending`; `public_url`, through which links lead.
        store: Where everything is kept.
        suppressions: Addresses that are not written to.
        outbound: The guarded door to the outside.
        secret: Signs links of opens and clicks.
        way_out: Where each message can be ended with one click.
        clock: The time.
        ids: Jitter.

    Attributes:
        channel: The channel.

    Raises:
        SettingsError: Something in the settings is no good.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        suppressions: Suppressions,
        outbound: Outbound,
        *,
        secret: str,
        way_out: Unsubscribe = nowhere,
        clock: Clock,
        ids: Ids,
    ) -> None:
        own, base_url = settings.email, settings.public_url
        check(own, base_url)
        self._store, self._suppressions, self._outbound = store, suppressions, outbound
        self._clock, self._base_url = clock, base_url.rstrip("/")
        self._tokens = Tokens(secret.encode())
        self._hooks = _secrets(own)
        self.on_woken: Callable[[], None] = nothing
        """Called when runs may have been waiting for what was told."""
        self.channel = EmailChannel(
            own,
            Providers(NAME, settings.sending, clock=clock, ids=ids),
            outbound,
            self._tokens,
            base_url=base_url,
            marks=tuple(self._hooks),
            suppressed=lambda message: suppressions.why(message, NAME),
            on_gone=self._gone,
            timeout_s=settings.sending.timeout_s,
            clock=clock,
            ids=ids,
        )
        # RFC 8058 §3.1: with anything else readers show no button.
        if base_url.startswith("https://"):
            self.channel.unsubscribe = way_out
        elif own.providers and settings.delivery != "capture":
            _log.warning(_NO_HTTPS if base_url else NO_ADDRESS)

    async def close(self) -> None:
        """Close connections to mail servers."""
        await self.channel.close()

    # ── what providers tell ──
    async def hear(self, provider: str, authorization: str, body: object) -> Heard:
        """Take a call of a provider.

        Raises:
            NotFound: None is listed by that name in `email.hooks`.
            NoSecret: It did not say the secret.
            Forbidden: Somebody else than Amazon SNS asks for a confirmation.
        """
        secret = self._hooks.get(provider)
        if secret is None:
            raise NotFound(f"email.hooks lists no {provider[:40]!r}")
        if not hooks.is_genuine(provider, secret, authorization, body, self._clock.now_ms()):
            raise NoSecret("the secret of email.hooks is needed, as a bearer token or a password")
        events: list[hooks.Told] = []
        for each in hooks.read(provider, body):
            if isinstance(each, hooks.Confirm):
                await self._confirm(each.url)
            else:
                events.append(each)
        return await self._tell(events)

    async def _confirm(self, url: str) -> None:
        try:
            host = urlsplit(url).hostname or ""
        except ValueError:  # no URL
            host = ""
        if not (host.startswith("sns.") and host.endswith((".amazonaws.com", ".amazonaws.com.cn"))):
            raise Forbidden("only Amazon SNS may ask for a confirmation")
        try:
            await self._outbound.request("GET", url)
        except (OutboundRefused, Unavailable) as exc:
            _log.warning("a subscription could not be confirmed", host=host, why=str(exc))

    async def _tell(self, events: Sequence[hooks.Told]) -> Heard:
        told = 0
        for at in range(0, len(events), TOGETHER):
            some = [self._tell_one(each) for each in events[at : at + TOGETHER]]
            for done in await asyncio.gather(*some, return_exceptions=True):
                if isinstance(done, BaseException):
                    raise done
                told += done
        return Heard(told, len(events) - told)

    async def _tell_one(self, event: hooks.Told) -> bool:
        named = await self._named(event)
        return named is not None and await self._happened(*named, event)

    async def _named(self, event: hooks.Told) -> tuple[str, str] | None:
        if (found := read_message_id(event.message)) is not None:
            return found
        if not event.provider_id:
            return None
        rows = await self._store.fetch(
            sql.BY_PROVIDER_ID, provider_id=event.provider_id, channel=NAME
        )
        return (rows[0].tenant, rows[0].id) if rows else None

    # ── what people do ──
    async def opened(self, token: str, headers: Mapping[str, str]) -> None:
        """The picture in an email was fetched. A token that is none changes nothing."""
        seen = self._tokens.read(token)
        if seen is not None and seen.what == "open":
            await self._did(seen, hooks.Told("opened"), headers)

    async def clicked(self, token: str, headers: Mapping[str, str]) -> str:
        """A link in an email was followed; returns where it leads.

        Raises:
            NotFound: The token is none of ours.
        """
        seen = self._tokens.read(token)
        if seen is None or seen.what != "click":
            raise NotFound("this link is not one of ours")
        await self._did(seen, hooks.Told("clicked", detail=seen.url), headers)
        return seen.url

    async def unsubscribed(self, tenant: str, message: str) -> None:
        """Note that somebody went the way out that came with a message. One that is not there any more is no error."""
        rows = await self._store.fetch(sql.MESSAGE, tenant=tenant, id=message)
        if rows and rows[0].channel == NAME:
            await self._write(tenant, message, hooks.Told("unsubscribed"), is_machine=False)

    async def events(self, tenant: str, message: str) -> list[sql.EventRow]:
        """What was told of a message."""
        return await self._store.fetch(sql.EVENTS, tenant=tenant, message=message)

    async def _did(self, seen: Seen, event: hooks.Told, headers: Mapping[str, str]) -> None:
        rows = await self._store.fetch(sql.MESSAGE, tenant=seen.tenant, id=seen.id)
        if rows:
            machine = is_machine(headers, self._clock.now_ms() - rows[0].sent_ms)
            await self._write(seen.tenant, seen.id, event, is_machine=machine)

    # ── what comes of it ──
    async def _happened(self, tenant: str, id: str, event: hooks.Told) -> bool:
        """Something was told of a message; returns whether there is such a message."""
        rows = await self._store.fetch(sql.MESSAGE, tenant=tenant, id=id)
        if not rows or rows[0].channel != NAME:
            return False
        [message] = rows
        address = event.address or message.address
        reason = _SUPPRESSES.get(event.kind)
        if reason is not None and (event.is_permanent or event.kind != "bounced"):
            await self._suppressions.add(tenant, NAME, address, reason, event.detail, id)
        if event.kind == "bounced" and comparable(address) != comparable(message.address):
            return True  # a copy came back, not the message
        by_machine = event.is_machine
        if event.agent is not None:
            since_ms = self._clock.now_ms() - message.sent_ms
            by_machine = by_machine or is_machine({"user-agent": event.agent}, since_ms)
        await self._write(tenant, id, event, is_machine=by_machine)
        return True

    async def _write(self, tenant: str, id: str, event: hooks.Told, *, is_machine: bool) -> None:
        now_ms = self._clock.now_ms()
        by_person = event.kind in ("opened", "clicked") and not is_machine
        kind = f"{event.kind}_by_machine" if is_machine else event.kind
        status: Literal["", "delivered", "bounced"] = ""
        match event.kind:
            case "delivered" | "opened" | "clicked" | "complained" | "unsubscribed":
                status = "delivered"  # it has arrived, or nobody could
            case "bounced":
                status = "bounced"
        row = sql.NewEvent(
            tenant,
            id,
            kind,
            min(event.at_ms or now_ms, now_ms),
            event.detail,
            status,
            RANKS[status] if status else 0,
            int(by_person),
            int(by_person and event.kind == "clicked"),
        )
        told: list[sql.Told] = await self._store.apply(sql.TELL, [row])
        for each in told:
            if await wake(self._store, tenant, each.made, now_ms):
                self.on_woken()

    async def _gone(self, message: Outgoing, why: str) -> None:
        await self._suppressions.add(message.tenant, NAME, message.address, "bounce", why, message.id)  # fmt: skip


def check(settings: EmailSettings, base_url: str) -> None:
    """Raise SettingsError where section `email` is no good."""
    if unknown := sorted(set(settings.tracking) - set(KINDS)):
        raise SettingsError(f"email.tracking: {unknown[0]!r} is neither opens nor clicks")
    for name, text in (("sender", settings.sender), ("return_path", settings.return_path)):
        try:
            if text or name == "sender":
                Address(text)
        except Unwritable as exc:
            raise SettingsError(f"email.{name}: {exc}") from exc
    if settings.tracking and not base_url:
        raise SettingsError("email.tracking needs public_url: links lead through it")


def _secrets(settings: EmailSettings) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in settings.hooks:
        name, colon, secret = text.partition(":")
        if name not in hooks.SHAPES or not colon:
            raise SettingsError(f"email.hooks: each is `name:secret`, and the name one of {', '.join(hooks.SHAPES)}")  # fmt: skip
        if len(secret) < 16:
            raise SettingsError(f"email.hooks: the secret of {name} must have at least 16 characters")  # fmt: skip
        if name in found:
            raise SettingsError(f"email.hooks: {name} stands twice")
        found[name] = secret
    return found
