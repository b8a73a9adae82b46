"""The API against its own OpenAPI document: schemathesis calls every operation with what the document allows and forbids."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import schemathesis
from schemathesis import engine
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events
from schemathesis.python.asgi import shutdown_lifespans

from clarion.auth import TokenIssuer
from clarion.clock import ManualClock
from clarion.settings import Limits
from tests.api.conftest import AUDIENCE, SECRET, Site, opened

# What schemathesis finds although it is right: (operation, check, what the answer or the finding says) → why.
ACCEPTED = {
    **{
        ("*", "positive_data_acceptance", said): reason
        for said, reason in {
            "an integer beyond 2^53 - 1": "a schema can't say it of every number in an object of any shape",
            "Expected `int`, got `float`": "1.0 is an integer to a schema, and a mistake to us",
            '"code":"stale"': "which version there is, only the database knows",
        }.items()
    },
    (
        "POST /v1/notifications",
        "positive_data_acceptance",
        "some recipients are not known",
    ): "who is known, only the database knows",
    **{
        (f"{door} /v1/{path}", "positive_data_acceptance", said): reason
        for door, path, said, reason in (
            (
                "PUT",
                "workflows/{workflow}",
                "the path says",
                "a schema can't compare it with the path",
            ),
            (
                "PUT",
                "workflows/{workflow}",
                "this is no workflow",
                "steps are checked by what they do",
            ),
            (
                "POST",
                "triggers",
                "there is no workflow",
                "which there are, only the database knows",
            ),
            ("POST", "triggers", "some recipients are not known", "likewise"),
            ("POST", "inbox/{id}/snooze", "until: ", "a schema does not know what time it is"),
            ("POST", "inbox/seen", "not together with", "a schema can't compare body and query"),
        )
    },
    (
        "PUT /v1/templates/{template}",
        "positive_data_acceptance",
        "the path says",
    ): "a schema can't compare it with the path",
    (
        "PUT /v1/templates/{template}",
        "positive_data_acceptance",
        "this is no template",
    ): "what it says is in a language of its own",
    (
        "*",
        "positive_data_acceptance",
        "this time is over",
    ): "a schema does not know what time it is",
    (
        "*",
        "positive_data_acceptance",
        "is no time zone",
    ): "which zones there are, their data says",
    (
        "POST /v1/template-previews",
        "positive_data_acceptance",
        "give `template` or `draft`",
    ): "both are optional, and one must be there",
    (
        "POST /v1/users/{id}/contacts",
        "positive_data_acceptance",
        "there is nobody to add or to remove",
    ): "both are optional, and one must be there",
    (
        "POST /v1/notifications",
        "positive_data_acceptance",
        "actions: two have one id",
    ): "a schema can't compare them",
    (
        "POST /v1/notifications",
        "positive_data_acceptance",
        '"/expires"',
    ): "a span or a time, which must not have passed: the clock says",
    (
        "POST /v1/activity/{stream}/activities",
        "positive_data_acceptance",
        '"/actor","detail":"is missing"',
    ): "users are the actor themselves, back ends name one",
    (
        "POST /v1/events",
        "positive_data_acceptance",
        "/at",
    ): "what is too early, or older than events are kept, the clock says",
    **{
        (
            operation,
            "positive_data_acceptance",
            f"{at}filter",
        ): "a condition is a language of its own"
        for operation, at in (
            ("GET /v1/subscribers", "?"),
            ("PUT /v1/audiences/{audience}", "/"),
            ("GET /v1/exports/subscribers", "?"),
        )
    },
    **{
        (operation, "positive_data_acceptance", said): reason
        for operation in (
            "GET /v1/exports/subscribers",
            "POST /v1/imports",
            "POST /v1/workflows/{workflow}/triggers",
        )
        for said, reason in {
            "a filter or an audience, not both": "both are optional, and only one may be there",
            "there is no audience": "which there are, only the database knows",
            "there is no workflow": "as above",
            "line": "what is on a line is no matter of a schema of texts",
            "the head": "likewise",
            "there is no head": "likewise",
            "there are no lines": "likewise",
        }.items()
    },
    **{
        (operation, "positive_data_acceptance", f'"pointer":"/{pointer}'): reason
        for operation, pointer, reason in (
            ("POST /v1/triggers", "at", "which days there are to come, the calendar knows"),
            ("POST /v1/triggers", "zone", "which zones there are, their data says"),
            ("POST /v1/webhook-secrets", "url", "what may be called is more than a form"),
            ("POST /v1/webhook-secrets/rotate", "url", "likewise"),
            ("POST /v1/suppressions", "channel", "an application may have channels of its own"),
            (
                "POST /v1/suppressions",
                "address",
                "what is left of one without spaces, a schema can't say",
            ),
            ("POST /v1/template-previews", "channel", "what a template says is not of the schema"),
            ("POST /v1/schedule-previews", "when", "when something comes is a language of its own"),
            ("PUT /v1/schedules/{schedule}", "when", "likewise"),
            ("PUT /v1/schedules/{schedule}", "grace", "a span of time is a language of its own"),
            (
                "PUT /v1/schedules/{schedule}",
                "trigger",
                "what can be triggered, the database knows",
            ),
        )
    },
    (
        "PUT /v1/audiences/{audience}",
        "positive_data_acceptance",
        "is no span of time",
    ): "a span of time is a language of its own",
    (
        "PUT /v1/audiences/{audience}",
        "positive_data_acceptance",
        "there is no audience",
    ): "which there are, only the database knows",
    (
        "GET /v1/stats",
        "positive_data_acceptance",
        "before `to`",
    ): "a schema can't compare one time with the other",
    **{
        (operation, "positive_data_acceptance", said): reason
        for operation in (
            "PUT /v1/preferences",
            "PATCH /v1/preferences",
            "PUT /v1/preferences/defaults",
            "PUT /v1/subscribers/{id}/preferences",
            "PATCH /v1/subscribers/{id}/preferences",
        )
        for said, reason in {
            "It has changed since it was read": "the revision that is there is data, not schema",
            "these preferences are not right": "conditions, zones and spans are languages of their own",
        }.items()
    },
    **{
        (f"GET /v1/{whose}/explain", "positive_data_acceptance", said): reason
        for whose in ("preferences", "subscribers/{id}/preferences")
        for said, reason in {
            "there is no channel": "which there are, the server's settings say",
            "?payload": "JSON inside of a text",
        }.items()
    },
    (
        "POST /v1/subscribers/{id}/addresses",
        "positive_data_acceptance",
        '"/address"',
    ): "what is an address, the channel says",
    (
        "POST /v1/subscribers/{id}/addresses",
        "positive_data_acceptance",
        '"/channel"',
    ): "which channels have addresses, the server's settings say",
    (
        "GET /v1/topics/{topic}/publications",
        "positive_data_acceptance",
        "is not a kind",
    ): "a schema does not know the kinds",
    **{
        (f"POST /v1/{path}", "positive_data_acceptance", said): reason
        for path in ("push/devices", "users/{id}/push/devices", "push/renewals", "push/reports")
        for said, reason in {
            "a device has one of": "one of three members, whichever",
            "this is no device": "a key is a point of a curve, an endpoint one of a push service",
            "this is no token of a device": "a token is known only to who gave it",
            "this token was not given out here": "as above",
        }.items()
    },
    **{
        ("PUT /v1/dashboards/{id}", "positive_data_acceptance", said): reason
        for said, reason in {
            "It has changed since it was read": "the version that is there is data, not schema",
            "a widget's source cannot be asked": "where a server may call, its settings say",
            "this is no dashboard": "what one member allows depends on another",
        }.items()
    },
    (
        "PUT /v1/search/collections/{collection}/saved/{name}",
        "positive_data_acceptance",
        "The request is not valid",
    ): "a trigger and a query are checked as their own doors do",
    **{
        (
            f"{door}/v1/search/collections/{{collection}}{what}",
            "positive_data_acceptance",
            said,
        ): reason
        for door, what in (
            ("POST ", "/query"),
            ("PUT ", ""),
            ("POST ", "/documents"),
            ("PUT ", "/documents/{id}"),
        )
        for said, reason in {
            "expected `next` of a page of the same query": "a cursor is known only to who gave it",
            "not one of the collection's facets": "a collection's fields are data, not schema",
            "expected a field of type keyword or bool": "as above",
            "is not a query for this collection": "as above",
        }.items()
    },
}


@schemathesis.serializer("application/x-ndjson")
def _as_it_is(_: Any, value: Any) -> bytes:
    return str(value).encode()


CONFIG = {
    "seed": 1,
    "continue-on-failure": True,
    # No U+0000, which every text refuses; no headers that nobody asked for, which a request may always carry.
    "generation": {
        "max-examples": 5,
        "deterministic": True,
        "allow-x00": False,
        "allow-extra-parameters": False,
    },
}


# All operations take a minute of processor time: too long for one test on a busy machine.
PARTS = 4


class Door:
    """Opens the site in the loop in which schemathesis calls it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._closing = contextlib.AsyncExitStack()
        self.site: Site | None = None
        issuer = TokenIssuer(SECRET, audience=AUDIENCE, life_s=900)
        self.token = issuer.issue(
            "ann",
            token_id="t",
            family="f",
            now_ms=ManualClock().now_ms(),
            tenant="default",
            scopes=["*"],
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            assert self.site is not None
            await self.site.app(scope, receive, send)
            return
        await receive()
        limits = Limits(api_requests=1_000_000, login_tries=1_000_000)
        self.site = await self._closing.enter_async_context(opened(self._folder, limits=limits))
        await self.site.notify("ann", "ben")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._closing.aclose()
        await send({"type": "lifespan.shutdown.complete"})


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    yield Door(tmp_path)
    shutdown_lifespans()


@pytest.mark.parametrize("part", range(PARTS))
def test_every_operation_keeps_to_the_document(door: Door, part: int) -> None:
    """Statuses, types, headers and schemas of answers; what the document allows is taken, what it forbids is refused."""
    config = SchemathesisConfig.from_dict(
        {**CONFIG, "auth": {"openapi": {"bearer": {"bearer": door.token}}}}
    )
    schema = schemathesis.openapi.from_asgi("/openapi.json", door, config=config)
    schema = schema.include(lambda of: crc32(of.operation.path.encode()) % PARTS == part)
    unexpected: list[str] = []
    called = 0
    for event in engine.from_schema(schema).execute():
        if isinstance(event, events.NonFatalError):
            unexpected.append(f"{event.label}: {event.value}")
        if not isinstance(event, events.ScenarioFinished):
            continue
        called += len(event.recorder.interactions)
        for operation, check, said in _findings(event.recorder):
            if not any(
                a[0] in (operation, "*") and a[1] == check and a[2] in said for a in ACCEPTED
            ):
                unexpected.append(f"{operation}, {check}: {said}")
    assert called > 500
    assert unexpected == [], "\n\n".join(unexpected[:5])


def _findings(recorder: Any) -> Iterator[tuple[str, str, str]]:
    """Operation, check, and everything that is said about each failed check."""
    for case_id, checks in recorder.checks.items():
        answer = recorder.interactions[case_id].response
        for check in checks:
            if (info := check.failure_info) is not None:
                failure, text = (
                    info.failure,
                    answer.content.decode(errors="replace") if answer else "no answer",
                )
                said = f"{failure.title}: {failure.message}\n{info.code_sample}\n{text}"
                yield failure.operation, check.name, said
