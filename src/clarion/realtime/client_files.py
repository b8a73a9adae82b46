"""The official client, served beside the endpoint: `<script src="/socket.io/socket.io.js">`.

The build copies the files of npm's `socket.io-client` into `client_dist/` (see Makefile and hatch_build.py). Each is read and
compressed once, when it is first asked for.
"""

import asyncio
import hashlib
from pathlib import Path
from typing import Final

from msgspec import Struct

from clarion.realtime.transports.encoding import choose, pack
from clarion.realtime.transports.head import Headers
from clarion.realtime.transports.polling import Send
from clarion.realtime.transports.request import Request
from clarion.telemetry import get_logger

log = get_logger(__name__)

FOLDER: Final = Path(__file__).parent / "client_dist"

_SCRIPTS: Final = (
    "socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js",
)  # fmt: skip
NAMES: Final = frozenset([*_SCRIPTS, *(f"{name}.map" for name in _SCRIPTS)])

# Ask each time whether it is still the same: what a server says must fit to its client.
_CACHE: Final = (b"cache-control", b"public, max-age=0")
LEVEL: Final = 9  # once for all


class _File(Struct, frozen=True):
    content: bytes
    packed: dict[bytes, bytes]
    """The content in each coding."""
    version: str


class ClientFiles:
    """The files of one folder.

    Args:
        folder: Holds those of `NAMES` that can be served.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._read: dict[str, _File] = {}

    @property
    def are_there(self) -> bool:
        """Whether the build has put them there."""
        return all((self._folder / name).is_file() for name in NAMES)

    @staticmethod
    def is_asked(request: Request) -> bool:
        """Whether a request is for one of the files."""
        return request.method in {"GET", "HEAD"} and request.path.rpartition("/")[2] in NAMES

    async def serve(self, request: Request, cors: Headers, send: Send) -> None:
        """Answer such a request: 200, 304 where the client has it already, 404 where the build left it out."""
        name = request.path.rpartition("/")[2]
        try:
            file = self._read.get(name)
            if file is None:
                file = await asyncio.to_thread(self._load, name)
        except FileNotFoundError:
            log.warning("the client is not in this build: run `make build`", missing=name)
            await _answer(send, 404, [*cors])
            return
        coding = choose(request.header(b"accept-encoding"))
        etag = f'"{file.version}-{coding.decode()}"' if coding else f'"{file.version}"'
        headers = [
            _CACHE,
            (b"etag", etag.encode()),
            (b"vary", b"Accept-Encoding, Origin"),
            *cors,
        ]
        if _has_it(request.header(b"if-none-match").decode("latin-1"), etag):
            await _answer(send, 304, headers)
            return
        is_map = name.endswith(".map")
        kind = b"application/json" if is_map else b"application/javascript"
        headers.append((b"content-type", kind + b"; charset=utf-8"))
        if coding:
            headers.append((b"content-encoding", coding))
        await _answer(send, 200, headers, file.packed[coding] if coding else file.content)

    def _load(self, name: str) -> _File:
        content = (self._folder / name).read_bytes()
        packed = {coding: pack(content, coding, LEVEL) for coding in (b"gzip", b"deflate")}
        version = hashlib.sha256(content).hexdigest()[:16]
        self._read[name] = _File(content, packed, version)
        return self._read[name]


def _has_it(asked: str, etag: str) -> bool:
    """Whether If-None-Match names it (RFC 9110 §13.1.2: weak comparison)."""
    return any(each.strip().removeprefix("W/") in (etag, "*") for each in asked.split(",")[:20])


async def _answer(
    send: Send,
    status: int,
    headers: list[tuple[bytes, bytes]],
    body: bytes = b"",
) -> None:
    if status != 304:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
