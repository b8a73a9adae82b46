"""Connections to one mail server, kept for the next message: dialling, TLS and logging in cost more than sending."""

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Literal

import aiosmtplib
from msgspec import Struct

from clarion.clock import Clock

Tls = Literal["starttls", "tls", "none"]
QUIT_S: Final = 1.0


class Server(Struct, frozen=True):
    """Which server, and how to speak to it.

    `tls`: `starttls` asks for it and goes on with nothing less, `tls` begins with it, `none` is in the clear. `ca`: file of the
    certificates to trust, '' the system's. `messages`: after so many a connection is closed.
    """

    host: str
    port: int
    tls: Tls
    user: str
    password: str
    ca: str
    hello: str
    messages: int
    idle_s: float


class Connection:
    """One connection."""

    def __init__(self, smtp: aiosmtplib.SMTP) -> None:
        self.smtp = smtp
        self.messages = 0
        self.idle_since = 0.0
        self.is_good = False
        """Whether it can take another message: set by who has used it to the end."""


class Pool:
    """Connections that are not in use, the one used last first.

    Args:
        server: Where they lead.
        clock: For their age.
    """

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server, self._clock = server, clock
        self._context = _context(server)
        self._idle: list[Connection] = []
        self.dialled = 0

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection that stands, for one message. It is kept if `is_good` says so at the end, and closed otherwise.

        Raises:
            aiosmtplib.SMTPException: It can't be had.
            OSError: It can't be had.
        """
        connection = await self._kept() or await self._dial()
        connection.is_good = False
        try:
            yield connection
        finally:
            connection.messages += 1
            if connection.is_good and connection.messages < self._server.messages:
                connection.idle_since = self._clock.monotonic()
                self._idle.append(connection)
            else:
                connection.smtp.close()

    async def close(self) -> None:
        """Take leave of the servers."""
        idle, self._idle = self._idle, []
        for connection in idle:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await connection.smtp.quit(timeout=QUIT_S)
            connection.smtp.close()

    async def _kept(self) -> Connection | None:
        # The server may have closed it meanwhile, or may have had enough of it: RSET finds out, and clears what was left.
        while self._idle:
            connection = self._idle.pop()
            if self._clock.monotonic() - connection.idle_since < self._server.idle_s:
                try:
                    await connection.smtp.rset()
                    return connection
                except (aiosmtplib.SMTPException, OSError):
                    pass
                except BaseException:
                    connection.smtp.close()
                    raise
            connection.smtp.close()
        return None

    async def _dial(self) -> Connection:
        server = self._server
        smtp = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            local_hostname=server.hello,
            use_tls=server.tls == "tls",
            start_tls=server.tls == "starttls",
            tls_context=self._context,
            timeout=None,  # whoever asks has a deadline for everything
        )
        self.dialled += 1
        try:
            await smtp.connect()
            await smtp.ehlo()
            if server.user:
                await smtp.login(server.user, server.password)
        except BaseException:
            smtp.close()
            raise
        return Connection(smtp)


def _context(server: Server) -> ssl.SSLContext | None:
    if server.ca:
        return ssl.create_default_context(cadata=Path(server.ca).read_text())
    return None if server.tls == "none" else ssl.create_default_context()


def own_name() -> str:
    """What we say at the beginning (RFC 5321 §4.1.1.1), without asking anybody: looking a name up can take seconds."""
    name = socket.gethostname()
    return name if name.isascii() and name.replace("-", "").replace(".", "").isalnum() else "localhost"  # fmt: skip
