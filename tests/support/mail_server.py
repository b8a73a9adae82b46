"""A real mail server (aiosmtpd) on the test's own loop, which does what mail servers do: accept, refuse, defer, stall, hang up."""

import asyncio
import datetime
import email
import email.policy
import ipaddress
import ssl
import warnings
from pathlib import Path
from typing import Any

from aiosmtpd import smtp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HANG_UP, STALL = "hang up", "stall"
"""Answers that are none."""


class MailServer:
    """Takes mail, unless it is told otherwise.

    Args:
        tls: With it STARTTLS is offered, or spoken from the start where `is_tls`.
        user: Who may log in, as name and password; nobody has to without.
        size: Bytes that it takes, and says so.

    Attributes:
        mails: What was taken.
        sessions: Connections that were opened.
        replies: By command (`MAIL`, `RCPT`, `DATA`, or `RCPT someone@…`) the answers to the next ones instead of a yes.
        asked: Set whenever a command comes whose answer was told.
    """

    def __init__(
        self, tls: ssl.SSLContext | None = None, *, is_tls: bool = False, user: tuple[str, str] | None = None, utf8: bool = False, size: int = smtp.DATA_SIZE_DEFAULT
    ) -> None:  # fmt: skip
        self._tls, self._is_tls, self._user, self._utf8, self._size = tls, is_tls, user, utf8, size
        self.mails: list[smtp.Envelope] = []
        self.sessions = 0
        self.replies: dict[str, list[str]] = {}
        self.asked, self.going_on = asyncio.Event(), asyncio.Event()
        self.port = 0
        self.hellos: list[str] = []
        self._open: list[Any] = []

    async def start(self) -> "MailServer":
        loop = asyncio.get_running_loop()
        wrapped = self._tls if self._is_tls else None
        self._server = await loop.create_server(self._protocol, "127.0.0.1", 0, ssl=wrapped)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        self.going_on.set()
        self._server.close()
        for each in self._open:
            if each.transport is not None:
                each.transport.abort()
        await self._server.wait_closed()
        tasks = [each._handler_coroutine for each in self._open if each._handler_coroutine]
        await asyncio.gather(*tasks, return_exceptions=True)

    def hang_up(self) -> None:
        """Close what is open, as after a while without a word."""
        for each in self._open:
            if each.transport is not None:
                each.transport.close()

    def _protocol(self) -> smtp.SMTP:
        self.sessions += 1
        with warnings.catch_warnings():  # it does not see that there is TLS already
            warnings.simplefilter("ignore")
            made = smtp.SMTP(
                self,
                hostname="mail.test",
                loop=asyncio.get_running_loop(),
                tls_context=None if self._is_tls else self._tls,
                require_starttls=self._tls is not None and not self._is_tls,
                auth_required=self._user is not None,
                auth_require_tls=self._tls is not None and not self._is_tls,
                authenticator=self._authenticate if self._user else None,
                data_size_limit=self._size,
                enable_SMTPUTF8=self._utf8,
                decode_data=False,
            )
        self._open.append(made)
        return made

    def _authenticate(
        self, server: smtp.SMTP, session: Any, envelope: Any, mechanism: str, data: Any
    ) -> smtp.AuthResult:
        said = (data.login.decode(), data.password.decode())
        return smtp.AuthResult(success=said == self._user, handled=False)

    async def _say(self, server: smtp.SMTP, command: str, yes: str, address: str = "") -> str:
        told = self.replies.get(f"{command} {address}") or self.replies.get(command)
        if not told:
            return yes
        reply = told.pop(0)
        self.asked.set()
        if reply == HANG_UP:
            server.transport.abort()
            raise asyncio.CancelledError
        if reply == STALL:
            await self.going_on.wait()
            return yes
        return reply

    async def handle_MAIL(self, server: Any, session: Any, envelope: smtp.Envelope, address: str, options: list[str]) -> str:  # fmt: skip
        reply = await self._say(server, "MAIL", "250 OK", address)
        if reply.startswith("2"):
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return reply

    async def handle_RCPT(self, server: Any, session: Any, envelope: smtp.Envelope, address: str, options: list[str]) -> str:  # fmt: skip
        reply = await self._say(server, "RCPT", "250 OK", address)
        if reply.startswith("2"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: Any, session: Any, envelope: smtp.Envelope) -> str:
        self.mails.append(envelope)  # it has it, whatever it says
        return await self._say(server, "DATA", f"250 2.0.0 Ok: queued as Q{len(self.mails)}")

    def said(self, n: int = -1) -> Any:
        """A mail that was taken, as the standard library reads it."""
        content = self.mails[n].content
        assert isinstance(content, bytes)
        return email.message_from_bytes(content, policy=email.policy.default)


def certificate(folder: Path) -> Path:
    """Key and certificate of this machine, signed by itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem, path = serialization.Encoding.PEM, folder / "mail.pem"
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(pem))
    return path


def context(path: Path) -> ssl.SSLContext:
    """What a server with that certificate speaks."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(path)
    return found
