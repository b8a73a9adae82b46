"""Typed routes: what a signature says is what a door takes and gives."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from msgspec import Meta, Struct
from structlog.testing import CapturingLogger

from clarion.api import envelope
from clarion.api.application import surround
from clarion.api.layer import Api, Reply
from clarion.api.limits import PerCaller, Unlimited
from clarion.auth import Principal
from clarion.auth.rights import Public, Right
from clarion.clock import ManualClock
from clarion.errors import Closed, Stale, UndeclaredRight
from clarion.ids import Ids
from clarion.settings import Limits, Settings
from tests.api.conftest import bearer, client, problem

PUBLIC, UNLIMITED = Public("a test"), Unlimited("a test")


class Ann:
    """Everybody is ann."""

    async def authenticate(self, credential: str) -> Principal:
        return Principal(id="ann", scopes=frozenset({credential}))


def call(api: Api, **settings: Any) -> httpx.AsyncClient:
    """A client of an application with these doors alone."""
    app = surround(api, Settings(**settings), Ann(), clock=ManualClock(), ids=Ids())
    return client(app)


class Body(Struct, frozen=True, forbid_unknown_fields=True):
    text: str


class IdPath(Struct, frozen=True):
    id: Annotated[str, Meta(max_length=3)]


class LimitQuery(Struct, frozen=True):
    limit: int = 5


class Answer(Struct, frozen=True):
    caller: str
    id: str
    limit: int
    text: str


def _echo() -> Api:
    api = Api()

    @api.route("POST", "/v1/things/{id}", right=Right("things"), limit=PerCaller(), status=201)
    async def make(caller: Principal, path: IdPath, query: LimitQuery, body: Body) -> Answer:
        return Answer(caller.id, path.id, query.limit, body.text)

    @api.route("GET", "/v1/things/{id}", right=PUBLIC, limit=UNLIMITED)
    async def get(path: IdPath) -> Reply[Body]:
        return Reply(Body(path.id), etag=f'"{path.id}"', headers={"x-more": "1"})

    @api.route("DELETE", "/v1/things/{id}", right=PUBLIC, limit=UNLIMITED, errors=(Stale,))
    async def remove(path: IdPath) -> None:
        if path.id == "old":
            raise Stale()

    return api


async def test_a_signature_is_a_contract() -> None:
    """Caller, path, query and body arrive as structs; the struct that is returned is the answer, with the route's status."""
    answer = await call(_echo()).post(
        "/v1/things/a?limit=7", json={"text": "x"}, headers=bearer("things")
    )
    assert answer.status_code == 201
    assert answer.json() == {"caller": "ann", "id": "a", "limit": 7, "text": "x"}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


async def test_none_is_no_content() -> None:
    """204, without a body and its type."""
    answer = await call(_echo()).delete("/v1/things/a")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers


async def test_what_a_handler_raises_is_a_problem() -> None:
    """The class says status and code."""
    problem(await call(_echo()).delete("/v1/things/old"), 412, "stale")


async def test_who_has_the_state_gets_304() -> None:
    """With its ETag and without its body."""
    http = call(_echo())
    answer = await http.get("/v1/things/a")
    assert answer.headers["etag"] == '"a"'
    assert answer.headers["x-more"] == "1"
    again = await http.get("/v1/things/a", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == '"a"'
    other = await http.get("/v1/things/b", headers={"if-none-match": answer.headers["etag"]})
    assert other.status_code == 200


async def test_head_is_get_without_its_body() -> None:
    """The same head, its length included."""
    http = call(_echo())
    get, head = await http.get("/v1/things/a"), await http.head("/v1/things/a")
    assert head.status_code == 200
    assert head.content == b""
    same = ("content-length", "etag", "content-type")
    assert [head.headers[n] for n in same] == [get.headers[n] for n in same]


async def test_another_method_is_told_which_there_are() -> None:
    """405 and OPTIONS name every method of the path, whichever function serves them."""
    http = call(_echo())
    answer = await http.put("/v1/things/a")
    problem(answer, 405, "method_not_allowed")
    expected = "POST, GET, DELETE, HEAD, OPTIONS"
    assert answer.headers["allow"] == expected
    options = await http.options("/v1/things/a")
    assert (options.status_code, options.headers["allow"]) == (204, expected)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/things",
        "/v1/things/a/",
        "/v1/things/a%0A",
        "/v1/things/%00",
        "/v1/things/long",
    ],
)
async def test_where_nothing_is_there_is_a_problem(path: str) -> None:
    """404 as a problem document; no redirect, no pattern that ignores a last line feed."""
    problem(await call(_echo()).get(path), 404, "not_found")


async def _broken(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"", "application/json", 400, "malformed"),
        (b"{", "application/json", 400, "malformed"),
        (b'{"text": "x"}', "text/plain", 415, "unsupported_media_type"),
        (b"text=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"--x--", "multipart/form-data; boundary=x", 415, "unsupported_media_type"),
        (b'{"text": "x"}', "application/json; charset=utf-16", 415, "unsupported_media_type"),
        (b'{"text": "x"}', "", 415, "unsupported_media_type"),
        (b'{"text": 1}', "application/json", 422, "invalid"),
        (b'{"text": "x", "more": 1}', "application/json", 422, "invalid"),
    ],
)
async def test_a_bad_body_is_a_clear_error(
    content: bytes, content_type: str, status: int, code: str
) -> None:
    """None, broken, of another type, and not what is asked for: each has its own answer."""
    headers = {**bearer("things"), "content-type": content_type}
    problem(
        await call(_echo()).post("/v1/things/a", content=content, headers=headers), status, code
    )


@pytest.mark.parametrize(
    "kind",
    ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"'],
)
async def test_json_is_json_however_it_is_written(kind: str) -> None:
    """Case, spaces and quotes of the media type don't matter."""
    headers = {**bearer("things"), "content-type": kind}
    answer = await call(_echo()).post("/v1/things/a", content=b'{"text":"x"}', headers=headers)
    assert answer.status_code == 201


async def test_a_compressed_body_is_refused() -> None:
    """What unpacks to a thousand times its size is not unpacked."""
    headers = {**bearer("things"), "content-type": "application/json", "content-encoding": "gzip"}
    answer = await call(_echo()).post("/v1/things/a", content=b"x", headers=headers)
    problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_of_the_limit_passes_and_one_byte_more_does_not(declared: bool) -> None:
    """413 names the limit and closes, whether the length was declared or found out while reading."""
    http = call(_echo(), limits=Limits(body_bytes=1024))
    headers = {**bearer("things"), "content-type": "application/json"}
    for size, status in ((1024, 201), (1025, 413)):
        body = b'{"text": "' + b"x" * (size - 12) + b'"}'
        content: Any = body if declared else _broken(body[:500], body[500:])
        answer = await http.post("/v1/things/a", content=content, headers=headers)
        assert answer.status_code == status, answer.text
    document = problem(answer, 413, "too_large")
    assert document["limit"] == 1024
    assert answer.headers["connection"] == "close"


async def test_nothing_is_read_of_a_body_that_is_refused_anyway() -> None:
    """Without the right, or with a declared length beyond the limit, the body stays where it is."""

    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    http = call(_echo())
    kind = {"content-type": "application/json"}
    problem(await http.post("/v1/things/a", content=never(), headers=kind), 401, "unauthenticated")
    answer = await http.post("/v1/things/a", content=never(), headers={**kind, **bearer("other")})
    assert problem(answer, 403, "forbidden")["scope"] == "things"
    big = {**kind, **bearer("things"), "content-length": str(1 << 30)}
    problem(await http.post("/v1/things/a", content=never(), headers=big), 413, "too_large")


async def test_a_caller_who_leaves_in_the_middle_gets_no_answer() -> None:
    """The handler does not run, and nothing is logged as a failure."""
    api, sent = _echo(), []
    app = surround(api, Settings(), Ann(), clock=ManualClock(), ids=Ids())
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/things/a",
        "query_string": b"",
        "headers": [
            (b"authorization", b"Bearer things"),
            (b"content-type", b"application/json"),
            (b"content-length", b"9"),
        ],
        "client": ("192.0.2.7", 1),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    assert sent == []


@pytest.mark.parametrize(
    "missing", [{"right": PUBLIC}, {"limit": UNLIMITED}, {"right": Public(""), "limit": UNLIMITED}]
)
def test_a_door_that_does_not_declare_starts_nothing(missing: dict[str, Any]) -> None:
    """Without a right, without a limit, or open to all without a reason: the door is named and nothing is built."""
    with pytest.raises(UndeclaredRight, match="GET /v1/secret"):

        @Api().route("GET", "/v1/secret", **missing)
        async def secret() -> None: ...


async def test_a_bug_is_a_500_without_its_story(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller learns nothing of what went wrong, the log everything; a part that is used wrongly is a bug, too."""
    api = Api()

    @api.route("GET", "/bug", right=PUBLIC, limit=UNLIMITED)
    async def bug() -> None:
        raise ZeroDivisionError("the password is hunter2")

    @api.route("GET", "/closed", right=PUBLIC, limit=UNLIMITED)
    async def closed() -> None:
        raise Closed("the password is hunter2")

    for path in ("/bug", "/closed"):
        log = CapturingLogger()
        monkeypatch.setattr(envelope, "_log", log)
        answer = await call(api).get(path)
        problem(answer, 500, "internal")
        assert "hunter2" not in answer.text
        (line,) = log.calls
        assert (line.method_name, line.kwargs["route"]) == ("exception", path)


async def test_a_word_beside_a_parameter_takes_only_its_own_methods() -> None:
    """What may also be somebody's name is still theirs by the other methods; what nobody offers is refused with what is offered."""
    api = Api()

    @api.route("POST", "/v1/things/all", right=PUBLIC, limit=UNLIMITED)
    async def find() -> Body:
        return Body("found")

    @api.route("GET", "/v1/things/{id}", right=PUBLIC, limit=UNLIMITED)
    async def get(path: IdPath) -> Body:
        return Body(path.id)

    http = call(api)
    assert (await http.post("/v1/things/all")).json() == {"text": "found"}
    assert (await http.get("/v1/things/a")).json() == {"text": "a"}
    assert (await http.get("/v1/things/all")).json() == {"text": "all"}
    refused = await http.delete("/v1/things/all")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST, OPTIONS")


class _Named(Struct, frozen=True):
    name: str


async def test_a_path_leads_to_the_first_door_that_takes_it() -> None:
    """However many there are: names stand for segments at any place, and a door that does not offer the method is passed."""
    api = Api()

    def door(method: str, template: str) -> None:
        @api.route(method, template, right=PUBLIC, limit=UNLIMITED)
        async def say(path: _Named) -> _Named:
            return _Named(f"{template} {path.name}")

    @api.route("POST", "/v1/things", right=PUBLIC, limit=UNLIMITED)
    async def post() -> _Named:
        return _Named("post")

    door("GET", "/v1/{name}")
    door("GET", "/v1/things/{name}")
    door("GET", "/v1/{name:path}")
    door("GET", "/{name}")
    async with call(api) as http:
        for path, led in {
            "/v1/things": "/v1/{name} things",
            "/v1/others": "/v1/{name} others",
            "/v1/things/7": "/v1/things/{name} 7",
            "/v1/things/7/8": "/v1/{name:path} things/7/8",
            "/v1/others/7": "/v1/{name:path} others/7",
            "/page": "/{name} page",
        }.items():
            assert (await http.get(path)).json() == {"name": led}
        assert (await http.post("/v1/things")).json() == {"name": "post"}
        problem(await http.get("/no/thing"), 404, "not_found")
        problem(await http.post("/page"), 405, "method_not_allowed")
