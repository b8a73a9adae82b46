"""Errors over HTTP: RFC 9457 problem documents, made in this one place.

    {"type": "/errors/invalid", "title": …, "status": 422, "detail": …, "code": "invalid", "errors": [{"pointer", "detail"}]}

`type` is an address that this server answers with a page about the error. Further members are the error's facts (`limit`,
`scope`, `outcome` …) and `retry_after` (s), which is also a header.
"""

import inspect
import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.responses import Response

from clarion import errors
from clarion.errors import ClarionError, Fault, Internal, Unauthenticated, UsageError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = (
    1.0  # of a 503 that knows nothing better: clause 8 promises a time with every refusal
)

_encode = msgspec.json.Encoder().encode


class Problem(Struct, frozen=True):
    """What an error answer says (RFC 9457). `code` is for programs, `detail` for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[Fault] | UnsetType = UNSET
    """What is wrong and where: a JSON pointer into the body, `?name` of the query, or a header's name."""
    retry_after: float | UnsetType = UNSET
    """Seconds after which trying again makes sense."""
    outcome: str | UnsetType = UNSET
    """`unknown`: it may or may not have been done; repeat it with the same Idempotency-Key."""


def problem_of(error: ClarionError) -> dict[str, Any]:
    """The document. A mistake of our own program (`UsageError`) says nothing about itself."""
    if isinstance(error, UsageError):
        error = Internal()
    document: dict[str, Any] = {
        **error.facts,
        "type": f"/errors/{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.message,
        "code": error.code,
    }
    if error.faults:
        document["errors"] = error.faults
    if (wait_s := retry_after_s(error)) is not None:
        document["retry_after"] = wait_s
    return document


def problem_response(error: ClarionError, headers: Mapping[str, str] | None = None) -> Response:
    """The answer. `headers` are added to what the error itself asks for."""
    document = problem_of(error)
    out = {"cache-control": "no-store", **(headers or {})}
    if (wait_s := document.get("retry_after")) is not None:
        out["retry-after"] = str(math.ceil(wait_s))  # RFC 9110 §10.2.3: whole seconds
    if isinstance(error, Unauthenticated):
        # RFC 9110 §11.6.1 wants a challenge with every 401.
        out.setdefault("www-authenticate", error.challenge)
    return Response(_encode(document), document["status"], out, MEDIA_TYPE)


def retry_after_s(error: ClarionError) -> float | None:
    """When to come back (s); None where that would not help or is not known."""
    if error.retry_after_s is None and error.status == 503:
        return RETRY_AFTER_S
    return error.retry_after_s


def wire_errors() -> Iterator[type[ClarionError]]:
    """Every error that a caller can meet."""
    hidden = (ClarionError, errors.ServerError)  # bases that nobody raises as they are
    for error in vars(errors).values():
        if inspect.isclass(error) and issubclass(error, ClarionError) and error not in hidden:
            if not issubclass(error, UsageError):
                yield error
