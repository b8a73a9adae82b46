"""A real server of the outside, with and without TLS, and names that resolve to what a test says."""

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from clarion.clock import SystemClock
from clarion.outbound import Outbound

NAMES = ("service.test", "other.test")


class Outside:
    """A server that sends the bytes that are listed for a path, and remembers what it was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[bytes] = []
        self.answers: dict[str, list[bytes | float]] = {}  # a number is a pause in seconds
        self.repeats: set[str] = set()  # paths whose last piece is sent for ever

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            head = await reader.readuntil(b"\r\n\r\n")
            size = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    size = int(line.split(b":")[1])
            self.asked.append(head + await reader.readexactly(size))
            path = head.split()[1].decode()
            for piece in self.answers[path]:
                if isinstance(piece, bytes):
                    writer.write(piece)
                    await writer.drain()
                else:
                    await asyncio.sleep(piece)
            while path in self.repeats:
                writer.write(bytes(65536))
                await writer.drain()
            writer.close()
            await writer.wait_closed()


def response(body: bytes = b"", *headers: str, status: int = 200) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Names:
    """A resolver whose answers a test sets; each is used up but the last."""

    def __init__(self) -> None:
        self.answers: dict[str, list[list[str]]] = {name: [["127.0.0.1"]] for name in NAMES}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host not in self.answers:
            raise OSError(f"{host} is not known")
        answers = self.answers[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate for NAMES, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAMES[0])])
    start = datetime.datetime.fromtimestamp(SystemClock().now_ms() / 1000, datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start - datetime.timedelta(days=1))
        .not_valid_after(start + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in NAMES]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(pem))
    return path


@contextlib.asynccontextmanager
async def _running(tls: ssl.SSLContext | None) -> AsyncIterator[Outside]:
    outside = Outside()
    server = await asyncio.start_server(outside.serve, "127.0.0.1", 0, ssl=tls)
    outside.port = server.sockets[0].getsockname()[1]
    yield outside
    server.close()
    await server.wait_closed()


@pytest.fixture
async def outside(certificate: Path) -> AsyncIterator[Outside]:
    """A server that speaks HTTPS."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    async with _running(tls) as running:
        yield running


@pytest.fixture
async def plain() -> AsyncIterator[Outside]:
    """A server that speaks HTTP."""
    async with _running(None) as running:
        yield running


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
async def door(
    outside: Outside, plain: Outside, names: Names, certificate: Path
) -> AsyncIterator[Callable[..., Outbound]]:
    """Makes doors that may call this machine; they are closed at the end."""
    made: list[Outbound] = []

    def make(**more: object) -> Outbound:
        settings: dict[str, object] = {
            "allow_private": ["127.0.0.1"],
            "ports": (outside.port, plain.port),
            "allow_http": True,
            "tls": ssl.create_default_context(cafile=str(certificate)),
        }
        made.append(Outbound(SystemClock(), names, **{**settings, **more}))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        await each.close()
