"""Bodies that are read line by line, and answers that are made piece by piece: neither is ever held whole."""

import asyncio
import gzip
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from clarion.api.layer import Api, Reply
from clarion.api.limits import Unlimited
from clarion.api.lines import CSV, NDJSON, Lines
from clarion.api.streaming import PIECE, Stream, as_csv, ndjson
from clarion.auth.rights import Public
from clarion.errors import NotFound, Unavailable
from clarion.settings import Limits
from tests.api.conftest import problem
from tests.api.test_layer import call

OPEN: dict[str, Any] = {"right": Public("a test"), "limit": Unlimited("a test")}


class Taken(msgspec.Struct, frozen=True):
    lines: list[tuple[int, str]]
    media: str
    digest: str


def _taking() -> Api:
    api = Api()

    @api.route("POST", "/v1/lines", **OPEN, lines=(NDJSON, CSV))
    async def take(lines: Lines) -> Taken:
        found = [(lines.number, text) async for text in lines]
        return Taken(found, lines.media, lines.digest)

    return api


async def _send(body: Any, media: str = NDJSON, **headers: str) -> httpx.Response:
    http = call(_taking(), limits=Limits(line_bytes=256, stream_bytes=4096))
    return await http.post("/v1/lines", content=body, headers={"content-type": media, **headers})


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_lines_are_the_same_however_they_are_cut() -> None:
    """A mark of byte order and carriage returns are no part of a text; one body has one digest."""
    body = "\ufeff{}\r\n\n\u00fc\nlast".encode()
    whole = (await _send(body)).json()
    assert whole["lines"] == [[1, "{}"], [2, ""], [3, "\u00fc"], [4, "last"]]
    cut = await _send(_pieces(*(body[n : n + 1] for n in range(len(body)))), CSV)
    assert cut.json() == {**whole, "media": CSV}
    assert (await _send(body + b" ")).json()["digest"] != whole["digest"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code", "said"),
    [
        (b"ok\n" + b"x" * 257, {}, 413, "too_large", "line 2 exceeds limits.line_bytes"),
        (b"ok\n" + b"x" * 257 + b"\nok", {}, 413, "too_large", "line 2 exceeds limits.line_bytes"),
        (b"ok\n" * 2000, {}, 413, "too_large", "limits.stream_bytes"),
        ("ok\n\u00fc".encode("latin-1"), {}, 400, "malformed", "line 2 is not UTF-8"),
        (gzip.compress(b"ok\n" * 2000, mtime=0), {}, 400, "malformed", "line 1 is not UTF-8"),
        (b"{}\n\0\n", {}, 400, "malformed", "line 2 has U+0000"),
        (b"ok\n", {"content-encoding": "gzip"}, 415, "unsupported_media_type", "compressed"),
        (b"ok\n", {"content-type": "application/json"}, 415, "unsupported_media_type", NDJSON),
        (
            b"ok\n",
            {"content-type": NDJSON + "; charset=latin-1"},
            415,
            "unsupported_media_type",
            "",
        ),
    ],
)
async def test_what_is_no_body_of_lines(
    body: bytes, headers: dict[str, str], status: int, code: str, said: str
) -> None:
    """It is refused where it is found, and the line is named; so it is without a length."""
    for given in (body, _pieces(body[:5], body[5:])):
        answer = await _send(given, **headers)
        assert said in problem(answer, status, code)["detail"]


async def test_what_nobody_reads_ends_the_connection() -> None:
    """Of a body that is refused half-way as well as of one that is not begun; one that was read to its end keeps it."""
    for body, status, ends in (("é" * 200 + "\n{}", 413, True), ("{}", 200, False)):
        answer = await _send(body)
        assert (answer.status_code, "connection" in answer.headers) == (status, ends)
    assert (await _send("{}", "text/plain")).headers["connection"] == "close"


async def test_nothing_is_a_body_of_no_lines() -> None:
    """What that means is the handler's matter."""
    assert (await _send(b"")).json()["lines"] == []


def _giving(made: list[int]) -> Api:
    api = Api()

    async def numbers(until: int) -> AsyncGenerator[dict[str, Any], None]:
        if not until:
            raise NotFound("there is nothing")
        try:
            for n in range(until):
                made.append(n)
                yield {"n": n, "text": 'a "b"\n', "none": None, "list": [n]}
            if until == 7:
                raise Unavailable()
        finally:
            made.append(-1)

    @api.route("GET", "/v1/numbers", **OPEN, media=(NDJSON, CSV))
    async def give(query: Query) -> Reply[Stream]:
        """Some numbers."""
        items = numbers(query.until)
        if query.csv:
            return Reply(as_csv(items, ["n", "text", "none", "list"]), media_type=CSV)
        return Reply(ndjson(items), media_type=NDJSON)

    return api


class Query(msgspec.Struct, frozen=True):
    until: int
    csv: bool = False


async def test_an_answer_is_made_piece_by_piece() -> None:
    """As NDJSON or CSV; a HEAD makes no more than the first piece, and what is wrong from the start is a problem."""
    made: list[int] = []
    http = call(_giving(made))
    answer = await http.get("/v1/numbers?until=2000")
    assert answer.headers["content-type"] == NDJSON
    assert "content-length" not in answer.headers
    lines = answer.text.splitlines()
    assert (len(lines), msgspec.json.decode(lines[7])["n"], made[-1]) == (2000, 7, -1)
    table = await http.get("/v1/numbers?until=2&csv=true")
    assert table.text == 'n,text,none,list\r\n0,"a ""b""\n",,[0]\r\n1,"a ""b""\n",,[1]\r\n'
    made.clear()
    assert (await http.head("/v1/numbers?until=100000")).content == b""
    assert (len(made) < 1 + PIECE // 40, made[-1]) == (True, -1)
    problem(await http.get("/v1/numbers?until=0"), 404, "not_found")
    assert (await http.get("/v1/numbers?until=1")).text.count("\n") == 1


async def test_what_fails_half_way_has_no_end() -> None:
    """An answer that began with success cannot be taken back: its reader sees that it is not whole."""
    app = call(_giving([]))._transport.app  # type: ignore[attr-defined]
    sent: list[dict[str, Any]] = []

    async def ask(until: int, gone_after: int) -> None:
        sent.clear()

        async def receive() -> dict[str, Any]:
            if len(sent) > gone_after:
                return {"type": "http.disconnect"}
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": "GET", "path": "/v1/numbers", "raw_path": b"/v1/numbers",
            "query_string": f"until={until}".encode(), "headers": [], "client": ("192.0.2.7", 1),
        }  # fmt: skip
        await app(scope, receive, send)

    # The first piece of so few is also the last: the error is known before the head goes out.
    await ask(7, 99)
    assert sent[0]["status"] == 503
    made: list[int] = []
    app = call(_giving(made))._transport.app  # type: ignore[attr-defined]
    await ask(100_000, 3)
    assert [message["type"] for message in sent] == ["http.response.start"] + 3 * [
        "http.response.body"
    ]
    assert (len(made) < 5_000, made[-1]) == (True, -1)
