"""The OpenAPI document says what the routes declare; whether the server keeps to it is `test_document`'s matter."""

import json
from typing import Any

import pytest

from clarion import errors
from clarion.api.layer import Api
from clarion.api.limits import PerCaller, Unlimited
from clarion.api.openapi import document, errors_of
from clarion.auth import Principal
from clarion.auth.rights import AllOf, Public, Right, Self
from clarion.patterns import in_words
from tests.api.conftest import Site


@pytest.fixture
async def described(site: Site) -> dict[str, Any]:
    answer = await site.http.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    again = await site.http.get("/openapi.json", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304
    return dict(answer.json())


def _operations(described: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]


def _refs(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for item in value.values() for ref in _refs(item)]
    return [ref for item in value for ref in _refs(item)] if isinstance(value, list) else []


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    """And nothing is referred to outside of the document."""
    for ref in _refs(described):
        at = described
        for step in ref.removeprefix("#/").split("/"):
            at = at[step]


def test_every_operation_is_described(described: dict[str, Any]) -> None:
    """A name of its own, a summary, who may and how often, every error with an example."""
    names = [operation["operationId"] for _, operation in _operations(described)]
    assert len(names) == len(set(names))
    for name, operation in _operations(described):
        assert operation["summary"].endswith("."), name
        assert "Needs " in operation["description"] or "Open to all" in operation["description"], (
            name
        )
        assert "imited" in operation["description"], name
        for status, answer in operation["responses"].items():
            if status >= "400" and name != "GET /readyz":
                # Who follows a link that does not work reads a page; everybody else a problem document.
                pages = {"text/html"} if status == "404" else set()
                assert set(answer["content"]) - pages == {"application/problem+json"}, name
                assert answer["content"]["application/problem+json"]["examples"], (name, status)
        if "requestBody" in operation:
            bodies = operation["requestBody"]["content"].values()
            assert bodies
            assert all("example" in body for body in bodies), name


def test_pages_are_not_operations(described: dict[str, Any]) -> None:
    """What people look at is not in the contract of programs."""
    assert "/docs" not in described["paths"]
    assert "/livez" in described["paths"]


def test_bodies_forbid_what_the_server_refuses(described: dict[str, Any]) -> None:
    """Unknown fields, empty lists, long texts: the document is as strict as the server."""
    schema = described["components"]["schemas"]["CreateNotification"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["recipients"]["minItems"] == 1
    assert schema["properties"]["title"]["maxLength"] == 200


def test_examples_are_as_a_caller_would_write_them(described: dict[str, Any]) -> None:
    """Without fields that are left at their defaults."""
    body = described["paths"]["/v1/notifications"]["post"]["requestBody"]
    assert body["content"]["application/json"]["example"]["recipients"] == [
        "ann",
        {"id": "ben", "name": "Ben"},
    ]


def _patterns(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["pattern"]} if isinstance(value.get("pattern"), str) else set()
        return own.union(*map(_patterns, value.values()))
    return set().union(*map(_patterns, value)) if isinstance(value, list) else set()


def test_what_a_text_has_to_be_is_said_in_words(described: dict[str, Any]) -> None:
    """Nobody is answered by a regular expression: each that a text is checked by has a name."""
    said = [f"Expected `str` matching regex {pattern!r}" for pattern in _patterns(described)]
    assert len(said) > 30
    assert [each for each in said if in_words(each) == each] == []


def test_a_credential_is_asked_for_where_one_is_needed(described: dict[str, Any]) -> None:
    """With the scope; open doors ask for none."""
    paths = described["paths"]
    assert paths["/v1/notifications"]["post"]["security"] == [{"bearer": ["notifications:send"]}]
    assert paths["/v1/inbox"]["get"]["security"] == [{"bearer": []}]
    assert "security" not in paths["/v1/auth/login"]["post"]


def test_every_header_and_parameter_is_named_as_it_is_sent(described: dict[str, Any]) -> None:
    """Query, path and header, with their rules."""
    (key,) = described["paths"]["/v1/notifications"]["post"]["parameters"]
    assert (key["name"], key["in"], key["required"]) == ("Idempotency-Key", "header", False)
    inbox = {p["name"]: p for p in described["paths"]["/v1/inbox"]["get"]["parameters"]}
    assert inbox["filter"]["schema"]["enum"] == ["all", "archived", "pinned", "snoozed", "unread"]
    assert inbox["limit"]["schema"]["maximum"] == 100
    mark = described["paths"]["/v1/inbox/{id}/{action}"]["post"]["parameters"]
    assert [(p["name"], p["in"], p["required"]) for p in mark] == [
        ("id", "path", True),
        ("action", "path", True),
        ("Idempotency-Key", "header", False),
    ]


def _api() -> Api:
    api = Api()

    @api.route("GET", "/open", right=Public("a test"), limit=Unlimited("a test"))
    async def open_to_all() -> None:
        """Anybody."""

    @api.route(
        "GET", "/both", right=AllOf(Self(), Right("a:b")), limit=PerCaller(), errors=(errors.Stale,)
    )
    async def both(caller: Principal) -> None:
        """Two conditions."""

    return api


def test_errors_follow_from_what_a_door_has() -> None:
    """Nothing more than a bug can happen at an open door; a right and a limit bring theirs."""
    open_to_all, both = _api().doors
    assert errors_of(open_to_all) == [errors.Internal]
    assert {error.status for error in errors_of(both)} == {401, 403, 412, 429, 500, 503}


def test_several_conditions_are_all_said() -> None:
    """In words, and as scopes."""
    described = json.loads(document(_api(), version="1", public_url="https://app.example"))
    operation = described["paths"]["/both"]["get"]
    assert operation["security"] == [{"bearer": ["a:b"]}]
    assert (
        "Needs a signed-in user (not an API key) and the scope `a:b`." in operation["description"]
    )
    assert described["servers"] == [{"url": "https://app.example"}]


def test_the_document_is_the_same_for_the_same_doors() -> None:
    """Byte for byte, so that its ETag means something and a diff of it does, too."""
    assert document(_api(), version="1") == document(_api(), version="1")
