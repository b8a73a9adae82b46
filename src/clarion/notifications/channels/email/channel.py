"""Email as a channel: whom it reaches, and how what a step says becomes a letter."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from clarion.clock import Clock
from clarion.ids import Ids
from clarion.notifications.channels.base import NotSent, Outgoing, Sent
from clarion.notifications.channels.email.content import EmailContent, EmailSaid
from clarion.notifications.channels.email.domains import Domains
from clarion.notifications.channels.email.files import Files
from clarion.notifications.channels.email.headers import Address, Unwritable
from clarion.notifications.channels.email.hooks import marks as marks_of
from clarion.notifications.channels.email.message import Letter, message_id, thread_id
from clarion.notifications.channels.email.plain import to_text
from clarion.notifications.channels.email.smtp import Envelope, make_smtp
from clarion.notifications.channels.email.tracking import Tokens, tracked
from clarion.notifications.channels.providers import Provided, Providers
from clarion.outbound import Outbound
from clarion.settings import Email

NAME: Final = "email"
Unsubscribe = Callable[[Outgoing], Awaitable[str]]
"""Where one click (a POST, RFC 8058) ends messages like this one; '' for those that have no such place."""


async def nowhere(message: Outgoing) -> str:
    """There is no such place."""
    return ""


class EmailChannel(Provided):
    """Reaches who has an email address.

    Args:
        settings: Section `email`.
        providers: Those who carry it; the mail servers of the settings are added.
        outbound: Fetches attachments.
        tokens: Of opens and clicks.
        base_url: Where people reach this server, '' if nobody knows: then nothing is tracked.
        marks: Providers that name messages anew, see `hooks.marks`.
        suppressed: Why an address must not be written to, '' if it may; asked once more before each attempt.
        on_gone: Told of an address that does not exist.
        clock: The time.
        ids: Jitter.

    Raises:
        SettingsError: A provider is none, or the sender is no address.
    """

    name = NAME
    content = EmailContent
    said = EmailSaid
    needs_addresses = False

    def __init__(
        self,
        settings: Email,
        providers: Providers,
        outbound: Outbound,
        tokens: Tokens,
        *,
        base_url: str,
        marks: Sequence[str],
        suppressed: Callable[[Outgoing], Awaitable[str]],
        on_gone: Callable[[Outgoing, str], Awaitable[None]],
        timeout_s: float,
        clock: Clock,
        ids: Ids,
    ) -> None:
        super().__init__(providers)
        self.max_attempts = settings.max_attempts
        self._settings, self._tokens, self._base_url = settings, tokens, base_url.rstrip("/")
        self._suppressed, self._marks = suppressed, marks
        self._files = Files(outbound, most=settings.attachments, most_bytes=settings.attachment_bytes)  # fmt: skip
        self._domains = Domains(clock, ids, rate=settings.domain_rate, concurrency=settings.domain_concurrency)  # fmt: skip
        providers.shown, providers.reached = _with_text, _with_copies
        self.unsubscribe: Unsubscribe = nowhere
        """Where each message can be ended with one click."""

        def smtp(url: Any) -> Any:
            made = make_smtp(url, self.compose, clock, on_gone, timeout_s)
            self._closing.append(made.close)
            return made

        self._closing: list[Callable[[], Awaitable[None]]] = []
        providers.add_urls(settings.providers, {"smtp": smtp, "smtps": smtp}, "email.providers")

    def addresses(self, recipient: Mapping[str, Any]) -> Sequence[str]:
        """The recipient's email address."""
        email = recipient.get("email")
        return [email] if email else []

    async def send(self, message: Outgoing) -> Sent:
        """Hand it to a mail server.

        Raises:
            NotSent: It was not taken, or the address must not be written to.
            NotYet: The recipient's domain has had enough for now.
        """
        try:
            to = Address(message.address)
        except Unwritable as exc:
            raise NotSent(str(exc), provider="", is_final=True, cause="bounced") from exc
        if why := await self._suppressed(message):
            raise NotSent(f"suppressed: {why}", provider="", is_final=True, cause="suppressed")
        with self._domains.turn(to.domain, message.id):
            return await super().send(message)

    async def close(self) -> None:
        """Close connections that are kept."""
        for close in self._closing:
            await close()

    async def compose(self, message: Outgoing) -> Envelope:
        """The letter of a message, with its files fetched. The same each time, but for what is fetched.

        Raises:
            NotSent: A file can't be had.
        """
        said = msgspec.convert(message.content, EmailSaid)
        sender, to = Address(said.from_ or self._settings.sender), Address(message.address)
        # Whoever complained is not written to by a copy either.
        copies = tuple(
            [
                copy
                for copy in map(Address, said.cc)
                if not await self._suppressed(_to(message, copy))
            ]
        )
        reply_to = [Address(said.reply_to)] if said.reply_to else []
        back = Address(self._settings.return_path) if self._settings.return_path else sender
        tenant, domain = message.tenant, sender.domain
        id = message_id(tenant, message.id, domain)
        letter = Letter(
            id=id,
            date=datetime.fromtimestamp(message.created_ms / 1000, UTC),
            sender=sender,
            to=[to],
            subject=said.subject,
            text=said.text,
            html=self._tracked(said, message),
            cc=copies,
            reply_to=reply_to,
            thread=thread_id(tenant, said.thread, domain) if said.thread else "",
            unsubscribe=await self.unsubscribe(message),
            files=await self._files.get(said.attachments),
            headers=[mark for shape in self._marks for mark in marks_of(shape, id)],
        )
        return Envelope(letter, back, to, copies)

    def _tracked(self, said: EmailSaid, message: Outgoing) -> str:
        kinds = self._settings.tracking
        if not said.html or not said.track or not kinds or not self._base_url:
            return said.html
        return tracked(
            said.html,
            self._tokens,
            self._base_url,
            message.tenant,
            message.id,
            opens="opens" in kinds,
            clicks="clicks" in kinds,
        )


def _to(message: Outgoing, copy: Address) -> Outgoing:
    """The message as somebody gets it who is no subscriber."""
    return replace(message, address=copy.spec, user="")


def _with_copies(message: Outgoing) -> Sequence[Outgoing]:
    copies = message.content.get("cc", ())
    return [message, *(_to(message, Address(each)) for each in copies)]


def _with_text(message: Outgoing) -> Outgoing:
    """The message with the text part that it goes out with."""
    content = message.content
    if content.get("text") or not content.get("html"):
        return message
    return replace(message, content={**content, "text": to_text(content["html"])})
