"""Calls that are repeated with their key: one effect, one answer."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from clarion.api.application import build_api, surround
from clarion.api.layer import Api, Reply
from clarion.api.limits import Unlimited
from clarion.api.repeats import ANSWER_BYTES, Repeats
from clarion.auth.rights import Public, Right
from clarion.errors import Conflict, OutcomeUnknown
from clarion.settings import Settings
from tests.api.conftest import Site, bearer, client, problem
from tests.api.test_layer import Ann

OPEN: dict[str, Any] = {"right": Right("things"), "limit": Unlimited("a test")}


class Thing(msgspec.Struct, frozen=True):
    name: str
    tags: dict[str, int] = {}


class Made(msgspec.Struct, frozen=True):
    nth: int
    text: str = ""


class Doors:
    """Doors that count what they do."""

    def __init__(self, site: Site) -> None:
        self.site, self.count = site, 0
        self.fails: list[Exception] = []
        self.entered, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()
        api = Api()

        @api.route("POST", "/v1/things/{id}", **OPEN, status=201)
        async def make(path: Path, body: Thing) -> Made:
            self.entered.set()
            await self.gate.wait()
            if self.fails:
                raise self.fails.pop()
            self.count += 1
            return Made(self.count, "x" * ANSWER_BYTES if body.name == "long" else "")

        @api.route("POST", "/v1/nothing", **OPEN)
        async def nothing() -> None:
            self.count += 1

        @api.route("POST", "/v1/secrets", **OPEN, takes_key=False)
        async def secret() -> Made:
            self.count += 1
            return Made(self.count)

        @api.route("POST", "/v1/open", right=Public("a test"), limit=Unlimited("a test"))
        async def of_nobody() -> Reply[Made]:
            self.count += 1
            return Reply(Made(self.count))

        repeats = Repeats(site.store, site.clock)
        app = surround(api, Settings(), Ann(), clock=site.clock, ids=site.ids, repeats=repeats)
        self.http = client(app)
        self.http.headers.update(bearer("things"))

    async def make(self, id: str = "a", key: str = "k", **body: Any) -> httpx.Response:
        return await self.http.post(
            f"/v1/things/{id}", json={"name": "n", **body}, headers={"idempotency-key": key}
        )


class Path(msgspec.Struct, frozen=True):
    id: str


@pytest.fixture
def doors(site: Site) -> Doors:
    return Doors(site)


async def test_the_same_call_has_one_effect_and_one_answer(doors: Doors) -> None:
    """In whatever order members stand; another body or another path with the key is a conflict, without a key nothing is remembered."""
    first = await doors.make(tags={"a": 1, "b": 2})
    again = await doors.make(tags={"b": 2, "a": 1})
    assert (first.status_code, first.json()) == (201, {"nth": 1, "text": ""})
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "idempotency-replayed" not in first.headers
    problem(await doors.make(tags={"a": 2}), 409, "idempotency_conflict")
    problem(await doors.make("b", tags={"a": 1, "b": 2}), 409, "idempotency_conflict")
    assert (await doors.make(key="other")).json()["nth"] == 2
    problem(await doors.make(key="two words"), 422, "invalid")
    for _ in range(2):
        empty = await doors.http.post("/v1/nothing", headers={"idempotency-key": "k"})
        assert (empty.status_code, empty.content) == (204, b"")
    assert doors.count == 3


async def test_what_was_refused_leaves_no_key(doors: Doors) -> None:
    """The call can be made again when what stood in its way is gone; where the end was not seen it waits for a minute."""
    doors.fails = [Conflict("not now")]
    problem(await doors.make(), 409, "conflict")
    assert (await doors.make()).json()["nth"] == 1
    doors.fails = [OutcomeUnknown()]
    problem(await doors.make(key="unseen"), 503, "outcome_unknown")
    problem(await doors.make(key="unseen"), 409, "in_progress")
    doors.site.clock.advance(61)
    assert (await doors.make(key="unseen")).json()["nth"] == 2
    assert (await doors.make(key="unseen")).json()["nth"] == 2


async def test_a_call_that_still_runs_is_not_made_twice(doors: Doors) -> None:
    """The second of two at once is told to wait."""
    doors.gate.clear()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(doors.make())
        await doors.entered.wait()
        problem(await doors.make(), 409, "in_progress")
        doors.gate.set()
    assert first.result().json()["nth"] == 1
    assert (await doors.make()).json()["nth"] == 1


async def test_where_no_key_is_taken(doors: Doors, site: Site) -> None:
    """Secrets are not kept, strangers have no keys, and what is too long is made anew."""
    for path in ("secrets", "open"):
        for _ in range(2):
            await doors.http.post(f"/v1/{path}", headers={"idempotency-key": "k"})
    assert doors.count == 4
    assert [(await doors.make(name="long")).json()["nth"] for _ in range(2)] == [5, 6]
    told = {door.name for door in build_api(site).doors if door.is_repeatable}
    assert "POST /v1/subscribers" in told
    assert not told & {"POST /v1/keys", "POST /v1/webhook-secrets", "POST /v1/auth/login"}
    assert not told & {"POST /v1/triggers", "POST /v1/imports", "POST /v1/broadcast"}
