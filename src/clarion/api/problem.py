"""Errors over HTTP: RFC 9457 problem documents, made in this one place.

    {"type": "/errors/invalid", "title": …, "status": 422, "detail": …, "code": "invalid", "errors": [{"pointer", "detail"}]}

`type` is an address that this server answers with a page about the error. Further members are the error's facts (`limit`,
`scope`, `outcome` …) and `retry_after` (s), which is also a header.
"""

import inspect
import math
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from clarion import errors
from clarion.api.dispatch import own_path
from clarion.api.page import HTML, PAGE_HEADERS, headed, page_of
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


class ProblemResponse(Response):
    """The answer: the document, or a page that says the same to a person whose browser was led here by a link.

    Args:
        error: What it says.
        headers: Are added to what the error itself asks for.
    """

    def __init__(self, error: ClarionError, headers: Mapping[str, str] | None = None) -> None:
        document = problem_of(error)
        out = {"cache-control": "no-store", **(headers or {})}
        if (wait_s := document.get("retry_after")) is not None:
            out["retry-after"] = str(math.ceil(wait_s))  # RFC 9110 §10.2.3: whole seconds
        if isinstance(error, Unauthenticated):
            # RFC 9110 §11.6.1 wants a challenge with every 401.
            out.setdefault("www-authenticate", error.challenge)
        super().__init__(_encode(document), document["status"], out, MEDIA_TYPE)
        self._document, self._told = document, out

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        if not _is_navigation(scope):
            await super().__call__(scope, receive, send)
            return
        page = Response(
            _page(self._document, scope), self.status_code, {**self._told, **PAGE_HEADERS}, HTML
        )
        await page(scope, receive, send)


def _is_navigation(scope: Scope) -> bool:
    """Whether a link was followed or a form sent: browsers ask for HTML first then, and programs, scripts of pages included, do not."""
    return any(n == b"accept" and v.startswith(b"text/html") for n, v in scope["headers"])


def _page(document: Mapping[str, Any], scope: Scope) -> str:
    up = "../" * (own_path(scope).count("/") - 1)
    return page_of(
        document["title"],
        f"<p>{escape(headed(document['detail']))}.</p>"
        f'<p class="soft">{document["status"]} <a href="{up}errors/{document["code"]}">{document["code"]}</a></p>',
        up=up,
    )


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
