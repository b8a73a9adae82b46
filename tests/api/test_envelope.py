"""What surrounds every answer, whatever went wrong inside."""

from typing import Any

import pytest
from prometheus_client import generate_latest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from clarion.api import layer
from clarion.api.application import surround
from clarion.api.envelope import Doors, Envelope
from clarion.api.layer import Api
from clarion.api.limits import Unlimited
from clarion.auth.rights import Public
from clarion.clock import ManualClock
from clarion.ids import Ids
from clarion.settings import Settings
from clarion.telemetry import REGISTRY
from tests.api.conftest import Site, client, problem
from tests.api.test_layer import Ann

PAGE = "https://app.example"


def _api() -> Api:
    api = Api()

    @api.route("GET", "/things/{id}", right=Public("a test"), limit=Unlimited("a test"))
    async def thing() -> None: ...

    @api.route("GET", "/bug", right=Public("a test"), limit=Unlimited("a test"))
    async def bug() -> None:
        raise ZeroDivisionError

    return api


def _app(**settings: Any) -> ASGIApp:
    return surround(_api(), Settings(**settings), Ann(), clock=ManualClock(), ids=Ids())


@pytest.mark.parametrize("path", ["/things/1", "/nothing", "/bug"])
async def test_every_answer_has_an_id_and_security_headers(path: str) -> None:
    """Successes, refusals and bugs alike."""
    answer = await client(_app()).get(path)
    assert answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_a_page_keeps_its_own_policy(site: Site) -> None:
    """Two policies would both hold, and the page's own would be void."""
    page = await site.http.get("/docs")
    assert len(page.headers.get_list("content-security-policy")) == 1


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        ("a-1.B_2", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("a b", False),
        ("a\tb", False),
        ("é", False),
    ],
)
async def test_a_request_id_is_echoed_if_it_is_one(given: str, is_kept: bool) -> None:
    """What could not stand in a log or a header as it is, is replaced."""
    answer = await client(_app()).get(
        "/things/1", headers={"x-request-id": given.encode("latin-1")}
    )
    assert (answer.headers["x-request-id"] == given) is is_kept


async def test_ids_of_requests_differ() -> None:
    """Each request without one gets its own."""
    http = client(_app())
    ids = {(await http.get("/things/1")).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize("path", ["/things/1", "/nothing", "/bug"])
async def test_an_allowed_page_may_read_every_answer(path: str) -> None:
    """Errors and bugs carry CORS headers, so that a page can show what went wrong."""
    http = client(_app(allowed_origins=[PAGE]))
    answer = await http.get(path, headers={"origin": PAGE})
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "x-request-id" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil.example",
        "null",
    ],
)
async def test_an_origin_is_compared_whole(origin: str) -> None:
    """Another host, scheme or port is another origin."""
    http = client(_app(allowed_origins=[PAGE]))
    assert (
        "access-control-allow-origin"
        not in (await http.get("/things/1", headers={"origin": origin})).headers
    )
    asking = {"origin": origin, "access-control-request-method": "GET"}
    refused = await http.options("/things/1", headers=asking)
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers


async def test_a_preflight_is_answered_before_any_door() -> None:
    """Methods and headers of the API, for the origin of the public URL as well, whatever its path and last slash."""
    http = client(_app(public_url=PAGE + "/clarion/"))
    asking = {
        "origin": PAGE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,idempotency-key",
    }
    answer = await http.options("/things/1", headers=asking)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE


async def test_without_origins_nothing_is_said_about_them() -> None:
    """The default: only our own pages."""
    answer = await client(_app()).get("/things/1", headers={"origin": PAGE})
    assert "access-control-allow-origin" not in answer.headers


async def test_answers_are_counted_by_template() -> None:
    """Never by the raw path, which anybody can make up; methods are a short list, too."""
    http = client(_app())
    await http.get("/things/e4f1-secret")
    await http.get("/nothing-e4f1")
    await http.request("BREW", "/things/e4f1")
    text = generate_latest(REGISTRY).decode()
    assert 'clarion_http_requests_total{method="GET",route="/things/{id}",status="204"}' in text
    assert 'clarion_http_requests_total{method="GET",route="unmatched",status="404"}' in text
    assert 'clarion_http_requests_total{method="other",route="/things/{id}",status="405"}' in text
    assert 'clarion_http_request_seconds_count{route="/things/{id}"}' in text
    assert "e4f1" not in text


async def _unchecked(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("everybody's secrets")(scope, receive, send)


async def test_an_answer_for_which_nobody_checked_a_right_is_withheld() -> None:
    """A handler that got past the guard by a mistake of ours is a 500, and its answer stays here."""
    answer = await client(Envelope(Doors(_unchecked), clock=ManualClock(), ids=Ids())).get("/")
    problem(answer, 500, "internal")
    assert "secrets" not in answer.text


async def test_a_guard_that_forgets_to_check_lets_nothing_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same with the real layer around a broken guard."""

    async def careless(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr(layer.Guard, "admit", careless)
    problem(await client(_app()).get("/things/1"), 500, "internal")


async def test_half_an_answer_is_not_completed() -> None:
    """A bug behind the head of an answer ends the connection: a reader must see that it is not whole."""

    async def half(scope: Scope, receive: Receive, send: Send) -> None:
        scope["clarion.authorised"] = True
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await client(Doors(half)).get("/")


async def test_only_requests_are_served() -> None:
    """WebSockets go another way, and nobody sends lifespan events: either here is a mistake in the wiring."""
    with pytest.raises(RuntimeError, match="websocket"):
        await _app()({"type": "websocket"}, None, None)  # type: ignore[arg-type]  # never used
