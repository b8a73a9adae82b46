"""No caller waits for longer than is promised, whatever a door waits for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from clarion.api import patience
from clarion.api.application import surround
from clarion.api.layer import READS, WRITES, Api, Reply
from clarion.api.limits import Unlimited
from clarion.api.lines import Lines
from clarion.api.repeats import Repeats
from clarion.api.streaming import Stream
from clarion.auth import Principal
from clarion.auth.rights import Right
from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.settings import Settings
from clarion.storage import Store
from tests.api.conftest import Site, bearer, problem
from tests.api.test_layer import Ann, Body
from tests.support.serving import serving

OPEN: dict[str, Any] = {"right": Right("things"), "limit": Unlimited("a test")}
SHORT_S = 0.15


class Stuck:
    """Doors behind which something hangs, until `goes_on`."""

    def __init__(self) -> None:
        self.goes_on, self.done = asyncio.Event(), asyncio.Event()
        self.made = 0
        self.api = api = Api()

        @api.route("GET", "/v1/things", **OPEN, errors=READS)
        async def get() -> Body:
            await self.goes_on.wait()
            return Body("there")

        @api.route("POST", "/v1/things", **OPEN, errors=WRITES)
        async def make(body: Body) -> Body:
            await self.goes_on.wait()
            self.made += 1
            return Body(f"{self.made}")

        @api.route("DELETE", "/v1/things", **OPEN, errors=WRITES)
        async def remove() -> None:
            self.done.set()

        @api.route("POST", "/v1/lines", **OPEN, errors=WRITES)
        async def take(lines: Lines) -> Body:
            return Body(",".join([text async for text in lines]))

        @api.route("GET", "/v1/export", **OPEN, errors=READS, media=("text/plain",))
        async def export() -> Reply[Stream]:
            return Reply(self._pieces(), media_type="text/plain")

    async def _pieces(self) -> Stream:
        await twice_as_long()
        yield b"first and last"


async def twice_as_long() -> None:
    """Take longer than anybody has patience, as a caller who sends slowly."""
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(2 * SHORT_S, passed.set)
    await passed.wait()


@contextlib.asynccontextmanager
async def reached(
    stuck: Stuck, who: Any = None, store: Store | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server with these doors."""
    clock = SystemClock()
    app = surround(
        stuck.api,
        Settings(),
        who or Ann(),
        clock=clock,
        ids=Ids(),
        repeats=Repeats(store, clock) if store else None,
    )
    async with serving(app) as server:
        url, headers = f"http://127.0.0.1:{server.port}", bearer("things")
        async with httpx.AsyncClient(base_url=url, headers=headers) as http:
            try:
                yield http
            finally:
                stuck.goes_on.set()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long."""
    monkeypatch.setattr(patience, "ANSWER_S", SHORT_S)


async def test_a_read_that_hangs_is_not_available() -> None:
    """503 with a time to come back after; the connection serves on."""
    stuck = Stuck()
    async with reached(stuck) as http:
        answer = await http.get("/v1/things")
        problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "1"
        stuck.goes_on.set()
        assert (await http.get("/v1/things")).json() == {"text": "there"}


async def test_a_write_that_hangs_has_an_unknown_outcome_and_one_effect(site: Site) -> None:
    """It goes on by itself, and who repeats it under its key gets what came of it."""
    stuck = Stuck()
    async with reached(stuck, store=site.store) as http:
        key = {"idempotency-key": "k"}
        answer = await http.post("/v1/things", json={"text": "x"}, headers=key)
        assert problem(answer, 503, "outcome_unknown")["outcome"] == "unknown"
        problem(await http.post("/v1/things", json={"text": "x"}, headers=key), 409, "in_progress")
        stuck.goes_on.set()
        while answer.status_code != 200:
            answer = await http.post("/v1/things", json={"text": "x"}, headers=key)
        assert answer.json() == {"text": "1"}
        assert stuck.made == 1


async def test_what_hangs_before_the_door_has_no_effect() -> None:
    """Where it is not even known who asks, nothing is done, not even later."""
    stuck, asked = Stuck(), asyncio.Event()
    stuck.goes_on.set()
    known = asyncio.Event()

    class Slow:
        async def authenticate(self, credential: str) -> Principal:
            await known.wait()
            asked.set()
            return await Ann().authenticate(credential)

    async with reached(stuck, Slow()) as http:
        problem(await http.delete("/v1/things"), 503, "unavailable")
        known.set()
        await asked.wait()
        problem(await http.get("/v1/nothing"), 404, "not_found")
        assert not stuck.done.is_set()


async def _slowly(*parts: bytes) -> AsyncIterator[bytes]:
    yield parts[0]
    await twice_as_long()
    yield parts[1]


async def test_time_of_the_caller_and_of_streams_does_not_count() -> None:
    """A body that comes slowly, lines of any number, an export: they take as long as they are."""
    stuck = Stuck()
    stuck.goes_on.set()
    async with reached(stuck) as http:
        answer = await http.post(
            "/v1/things",
            content=_slowly(b'{"text":', b'"x"}'),
            headers={"content-type": "application/json"},
        )
        assert answer.json() == {"text": "1"}
        answer = await http.post(
            "/v1/lines",
            content=_slowly(b"a\n", b"b\n"),
            headers={"content-type": "application/x-ndjson"},
        )
        assert answer.json() == {"text": "a,b"}
        assert (await http.get("/v1/export")).text == "first and last"
