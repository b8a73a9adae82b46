"""Answers that are made while they are sent, in bounded memory: exports.

The first piece is made before the head goes out, so that what is wrong with a question is still answered with a problem document.
Later nothing can be taken back: the connection is cut, and whoever reads sees that the answer has no end (RFC 9112 §7.1).
"""

import csv
import io
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from clarion.errors import ClarionError
from clarion.notifications.tables import quoted

Stream: TypeAlias = AsyncGenerator[bytes, None]
"""What a handler returns in a `Reply` to answer piece by piece. It is closed at the end, and when the caller is gone."""

PIECE: Final = 32 * 1024  # bytes that are gathered before they are sent

_encode: Final = msgspec.json.Encoder().encode


class Streamed(Response):
    """An answer whose body is made piece by piece; as fast as its reader takes them, and no longer than there is one.

    Args:
        first: The piece that is made already.
        pieces: What follows; it is closed at the end.
        status: Of the answer.
        headers: Of the answer.
        media_type: Of the body.
    """

    def __init__(
        self, first: bytes, pieces: Stream, status: int, headers: Mapping[str, str], media_type: str
    ) -> None:
        super().__init__(None, status, headers, media_type)
        del self.headers["content-length"]
        self._first, self._pieces = first, pieces

    @classmethod
    async def begin(
        cls, body: Stream, status: int, headers: Mapping[str, str], media_type: str
    ) -> "Streamed":
        """Make the first piece; raises what its making raises."""
        pieces = _gathered(body)
        return cls(await anext(pieces, b""), pieces, status, headers, media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        request = Request(scope, receive)
        async with aclosing(self._pieces):
            head = {"type": "http.response.start", "status": self.status_code}
            await send({**head, "headers": self.raw_headers})
            piece = b"" if scope["method"] == "HEAD" else self._first
            while piece:
                if await request.is_disconnected():
                    return
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                try:
                    piece = await anext(self._pieces, b"")
                except ClarionError as exc:
                    raise RuntimeError(f"an answer ended half-way: {exc}") from exc
            await send({"type": "http.response.body", "body": b""})


async def ndjson(items: AsyncGenerator[Any, None]) -> Stream:
    """Things as JSON, one on each line."""
    async with aclosing(items) as each:
        async for item in each:
            yield _encode(item) + b"\n"


async def as_csv(items: AsyncGenerator[Any, None], columns: Sequence[str]) -> Stream:
    """Things as CSV (RFC 4180) with a head; what is no text, number or flag is JSON in its cell, null an empty one.

    A text that a spreadsheet would calculate has a `'` before it, which spreadsheets do not show: what people have
    called themselves must not become a formula on the operator's machine.

    Args:
        items: Structs or mappings.
        columns: Members that are told, in this order.
    """
    yield _row(columns)
    async with aclosing(items) as each:
        async for item in each:
            plain: dict[str, Any] = msgspec.to_builtins(item)
            yield _row([_cell(plain.get(name)) for name in columns])


def _row(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return quoted(value) if isinstance(value, str) else _encode(value).decode()


async def _gathered(body: Stream) -> Stream:
    held = bytearray()
    async with aclosing(body) as pieces:
        async for piece in pieces:
            held += piece
            if len(held) >= PIECE:
                yield bytes(held)
                held.clear()
    if held:
        yield bytes(held)
