"""Mail servers that tests talk to."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.http_target import target
from tests.support.mail_server import MailServer, certificate, context

__all__ = ["target"]

Servers = Callable[..., Awaitable[MailServer]]


@pytest.fixture(scope="session")
def mail_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of this machine."""
    return certificate(tmp_path_factory.mktemp("mail"))


@pytest.fixture
async def servers(mail_certificate: Path) -> AsyncIterator[Servers]:
    """Makes mail servers; `tls=True`: with STARTTLS, `is_tls=True`: with TLS from the start."""
    made: list[MailServer] = []

    async def make(*, tls: bool = False, is_tls: bool = False, **more: object) -> MailServer:
        found = context(mail_certificate) if tls or is_tls else None
        server = MailServer(found, is_tls=is_tls, **more)  # type: ignore[arg-type]
        made.append(await server.start())
        return server

    yield make
    for server in made:
        await server.close()
