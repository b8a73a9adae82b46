"""Errors as problem documents (RFC 9457)."""

import json

import pytest
from starlette.types import Message

from clarion import errors
from clarion.api.problem import ProblemResponse, problem_of, wire_errors
from clarion.errors import (
    ClarionError,
    Closed,
    Fault,
    Forbidden,
    Invalid,
    OutcomeUnknown,
    RateLimited,
    TokenExpired,
    TooLarge,
    Unavailable,
)


def test_an_error_says_what_where_and_what_next() -> None:
    """All members, the error's facts among them."""
    error = Invalid("two are wrong", faults=[Fault("/a/0", "no"), Fault("?b", "nor this")], limit=3)
    assert json.loads(ProblemResponse(error).body) == {
        "type": "/errors/invalid",
        "title": "The request is not valid",
        "status": 422,
        "detail": "two are wrong",
        "code": "invalid",
        "errors": [{"pointer": "/a/0", "detail": "no"}, {"pointer": "?b", "detail": "nor this"}],
        "limit": 3,
    }


def test_a_fact_cannot_pretend_to_be_a_member() -> None:
    """Whatever an error's facts are called, type, title, status, detail and code are the error's."""
    facts = {"status": 200, "code": "ok", "type": "x", "title": "y", "detail": "z"}
    document = problem_of(TooLarge("big", **facts))  # type: ignore[arg-type]  # facts are anything
    assert document["status"] == 413
    assert document["code"] == "too_large"
    assert document["type"] == "/errors/too_large"
    assert document["detail"] == "big"


def test_retry_after_is_a_member_and_a_header() -> None:
    """To the fraction for programs, in whole seconds, rounded up, for HTTP."""
    response = ProblemResponse(RateLimited("slow down", retry_after_s=0.25))
    assert json.loads(response.body)["retry_after"] == 0.25
    assert response.headers["retry-after"] == "1"


def test_every_503_says_when_to_come_back() -> None:
    """Clause 8: a refusal names a time, even where the part that refused knew none."""
    assert ProblemResponse(Unavailable("down")).headers["retry-after"] == "1"
    assert "retry-after" not in ProblemResponse(Forbidden("no")).headers


def test_an_unknown_outcome_is_said() -> None:
    """Who cannot know whether it was done is told so."""
    assert problem_of(OutcomeUnknown())["outcome"] == "unknown"


@pytest.mark.parametrize("error", [TokenExpired(), errors.Unauthenticated("no")])
def test_a_401_carries_a_challenge(error: ClarionError) -> None:
    """RFC 9110 §11.6.1."""
    assert ProblemResponse(error).headers["www-authenticate"] == "Bearer"


def test_our_own_mistakes_tell_nothing_of_themselves() -> None:
    """A program's wrong use of a part is a 500 without its message."""
    document = problem_of(Closed("the store at /var/secret is closed"))
    assert document["status"] == 500
    assert "secret" not in str(document)


def test_no_error_is_kept_by_a_cache() -> None:
    """A refusal of now says nothing about later."""
    assert ProblemResponse(Forbidden()).headers["cache-control"] == "no-store"


def test_codes_are_unique() -> None:
    """One code, one meaning: each error that a caller can meet has its own page."""
    codes = [error.code for error in wire_errors()]
    assert len(codes) == len(set(codes))
    assert "invalid" in codes
    assert "usage" not in codes


@pytest.mark.parametrize(
    ("path", "mount", "up"),
    [("/v1/keys", "", "../"), ("/app/v1/keys", "/app", "../"), ("/apples/a/b", "/app", "../../")],
)
async def test_a_page_finds_its_style_wherever_the_server_is_mounted(
    path: str, mount: str, up: str
) -> None:
    """Its links are relative to the address that the browser knows, of which the mount is no part."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    scope = {"type": "http", "path": path, "root_path": mount, "headers": [(b"accept", b"text/html")]}  # fmt: skip
    await ProblemResponse(Forbidden("no"))(scope, receive, send)
    assert f'href="{up}plain.css"' in sent[1]["body"].decode()
