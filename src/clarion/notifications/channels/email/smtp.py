"""SMTP: a provider that hands an email to a mail server.

What is known after each word of the server is acted on: a refusal for now is tried again, one for good is final, and where the
line breaks after the last line of the message nobody knows whether it was taken. Then it is sent again with the same Message-ID.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import aiosmtplib
from msgspec import Struct

from clarion.clock import Clock
from clarion.notifications.channels.base import NotSent, Outgoing, Sent
from clarion.notifications.channels.email.headers import Address, Unwritable
from clarion.notifications.channels.email.message import Letter, write
from clarion.notifications.channels.email.pool import Connection, Pool, Server, Tls, own_name
from clarion.notifications.channels.email.replies import Stage, given_id, meaning
from clarion.notifications.channels.urls import ProviderUrl

MESSAGES: Final = 100
"""Of one connection: some servers refuse more, and a balancer gets its chance to spread them."""
IDLE_S: Final = 30.0

Compose = Callable[[Outgoing], Awaitable["Envelope"]]


class Envelope(Struct, frozen=True):
    """A letter, and who it is from and for as servers see it. `return_path`: where bounces go."""

    letter: Letter
    return_path: Address
    to: Address
    copies: tuple[Address, ...] = ()


class Smtp:
    """One mail server.

    Args:
        name: In records and metrics.
        server: Where it is.
        compose: Writes the letter of a message.
        clock: For the age of connections.
        on_gone: Told of an address that does not exist, with the server's words.
        timeout_s: After which it would be stopped: it stops a little earlier by itself, to tell how far it was.
    """

    def __init__(
        self,
        name: str,
        server: Server,
        compose: Compose,
        clock: Clock,
        on_gone: Callable[[Outgoing, str], Awaitable[None]],
        timeout_s: float = 30.0,
    ) -> None:
        self._name, self._compose, self._on_gone = name, compose, on_gone
        self._within_s = timeout_s * 0.95
        self.pool = Pool(server, clock)

    @property
    def name(self) -> str:
        """What it is called in records, metrics and answers."""
        return self._name

    async def send(self, message: Outgoing) -> Sent:
        """Hand an email over.

        Raises:
            NotSent: It was not taken, or nobody knows.
        """
        envelope = await self._compose(message)
        try:
            data = write(envelope.letter)
        except Unwritable as exc:
            raise NotSent(str(exc), provider=self._name, is_final=True) from exc
        stage: Stage = "connect"
        until = asyncio.get_running_loop().time() + self._within_s
        try:
            async with self.pool.connection() as connection:
                stage = "data"
                return await self._hand(connection, envelope, data, until)
        except aiosmtplib.SMTPAuthenticationError as exc:
            raise self._refused(exc, "auth") from exc
        except aiosmtplib.SMTPSenderRefused as exc:
            raise self._refused(exc, "sender") from exc
        except aiosmtplib.SMTPRecipientRefused as exc:
            refusal = self._refused(exc, "recipient")
            if meaning(exc.code, exc.message, "recipient").is_gone:
                await self._on_gone(message, refusal.why)
            raise refusal from exc
        except aiosmtplib.SMTPResponseException as exc:
            raise self._refused(exc, stage) from exc
        except (aiosmtplib.SMTPException, OSError) as exc:
            why = str(exc).partition("\n")[0] or type(exc).__name__
            raise NotSent(why, provider=self._name) from exc

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self.pool.close()

    async def _hand(
        self, connection: Connection, envelope: Envelope, data: bytes, until: float
    ) -> Sent:
        smtp = connection.smtp
        options, encoding = self._options(smtp, envelope, data)
        try:
            await smtp.mail(envelope.return_path.spec, options=options, encoding=encoding)
            await smtp.rcpt(envelope.to.spec, encoding=encoding)
            for each in envelope.copies:
                await self._copy(smtp, each, encoding)
            code, said = await self._data(smtp, data, until)
        except aiosmtplib.SMTPResponseException as exc:
            connection.is_good = exc.code != 421
            raise
        connection.is_good = True
        return Sent(self._name, given_id(said), f"{code} {said}")

    def _options(
        self, smtp: aiosmtplib.SMTP, envelope: Envelope, data: bytes
    ) -> tuple[list[str], str]:
        options: list[str] = []
        if (most := _size(smtp)) and len(data) > most:
            raise NotSent(
                f"the email has {len(data):,} bytes, the server takes {most:,}",
                provider=self._name,
                is_final=True,
            )
        if smtp.supports_extension("size"):
            options.append(f"SIZE={len(data)}")
        is_utf8 = envelope.letter.is_utf8 or envelope.return_path.is_utf8
        if not is_utf8:
            return options, "ascii"
        if not smtp.supports_extension("smtputf8"):
            raise NotSent(
                "an address has letters beyond ASCII before its @, and the server does not offer SMTPUTF8",
                provider=self._name,
                is_final=True,
            )
        return [*options, "SMTPUTF8", "BODY=8BITMIME"], "utf-8"

    @staticmethod
    async def _copy(smtp: aiosmtplib.SMTP, address: Address, encoding: str) -> None:
        try:
            await smtp.rcpt(address.spec, encoding=encoding)
        except aiosmtplib.SMTPRecipientRefused as exc:
            if exc.code == 421:
                raise
            # Whom it is for gets it; a copy that cannot be delivered holds nothing up.

    async def _data(self, smtp: aiosmtplib.SMTP, data: bytes, until: float) -> tuple[int, str]:
        try:
            async with asyncio.timeout_at(until):
                code, said = await smtp.data(data)
                return code, " ".join(said.split())
        except (aiosmtplib.SMTPServerDisconnected, TimeoutError, OSError) as exc:
            # Not for the next provider, which would send it once more: the same one may know the Message-ID.
            raise NotSent(
                "no answer after the message was sent: whether it was taken is unknown",
                provider=self._name,
                is_providers=False,
            ) from exc

    def _refused(self, exc: aiosmtplib.SMTPResponseException, stage: Stage) -> NotSent:
        text = " ".join(str(exc.message).split())
        means = meaning(exc.code, text, stage)
        return NotSent(
            f"{exc.code} {text}",
            provider=self._name,
            is_final=means.is_final,
            retry_after_s=means.after_s,
            cause="bounced" if means.is_mailbox else "failed",
            is_providers=means.is_servers,
        )


def _size(smtp: aiosmtplib.SMTP) -> int:
    """What it takes at most (RFC 1870), 0 if it does not say."""
    said = smtp.esmtp_extensions.get("size", "")
    return int(said) if said.isdigit() else 0


def read_server(url: ProviderUrl) -> Server:
    """The server that a URL names: `smtp://` insists on STARTTLS, `smtps://` begins with TLS.

    Raises:
        SettingsError: Something is wrong with it.
    """
    url.only("tls", "ca", "hello", "messages", "idle")
    tls: Tls = "tls" if url.scheme == "smtps" else "starttls"
    match url.options.get("tls", "required"):
        case "required":
            pass
        case "none" if url.scheme == "smtp":
            tls = "none"
        case _:
            raise url.wrong("tls must be required, or with smtp:// none")
    if not url.host or url.path not in ("", "/"):
        raise url.wrong("a mail server is smtp://user:password@host:port")
    if url.user and tls == "none" and url.host not in ("localhost", "127.0.0.1", "::1"):
        raise url.wrong("a password must not be sent without TLS")
    try:
        server = Server(
            host=url.host,
            port=url.port or (465 if tls == "tls" else 587),
            tls=tls,
            user=url.user,
            password=url.password,
            ca=url.options.get("ca", ""),
            hello=url.options.get("hello") or own_name(),
            messages=max(1, int(url.options.get("messages", MESSAGES))),
            idle_s=float(url.options.get("idle", IDLE_S)),
        )
    except ValueError as exc:
        raise url.wrong("messages and idle are numbers") from exc
    return server


def make_smtp(
    url: ProviderUrl,
    compose: Compose,
    clock: Clock,
    on_gone: Callable[[Outgoing, str], Awaitable[None]],
    timeout_s: float,
) -> Smtp:
    """A provider of its URL.

    Raises:
        SettingsError: Something is wrong with it.
    """
    try:
        within_s = url.timeout_s or timeout_s
        return Smtp(url.name, read_server(url), compose, clock, on_gone, within_s)
    except (OSError, ValueError) as exc:  # the file of certificates
        raise url.wrong("ca is no file of certificates") from exc
