"""The documentation of the API: its OpenAPI document, a page that shows it without any network, and a page for each error.

`type` of a problem document is `/errors/<code>`, which is answered here. The pages are plain HTML with one style sheet and one
script beside this file; nothing is built and nothing comes from elsewhere.
"""

import hashlib
import inspect
import re
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

from clarion.api.layer import Api, Reply
from clarion.api.limits import Unlimited
from clarion.api.pages.files import PAGE_HEADERS, File, serve
from clarion.api.problem import wire_errors
from clarion.auth.rights import Public
from clarion.errors import ClarionError, NotFound

_FOLDER: Final = Path(__file__).parent
_RIGHT: Final = Public(reason="documentation, the same for everybody")
_LIMIT: Final = Unlimited(reason="served from memory")


class ErrorPath(Struct, frozen=True):
    """Names an error."""

    code: Annotated[str, Meta(max_length=64)]


def add(api: Api, document: Callable[[], bytes]) -> None:
    """Open the doors of the documentation.

    Args:
        api: Takes them.
        document: The OpenAPI document, once all doors are there.
    """

    @api.route("GET", "/openapi.json", right=_RIGHT, limit=_LIMIT, is_listed=False)
    async def openapi() -> Reply[bytes]:
        """The OpenAPI document."""
        content = document()
        etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
        return Reply(content, etag=etag, headers={"cache-control": "no-cache"})

    serve(api, "/docs", File(_FOLDER / "docs.html"), _RIGHT)
    serve(api, "/docs/docs.css", File(_FOLDER / "docs.css"), _RIGHT)
    serve(api, "/docs/docs.js", File(_FOLDER / "docs.js"), _RIGHT)
    pages = {error.code: _error_page(error) for error in wire_errors()}

    @api.route("GET", "/errors/{code}", right=_RIGHT, limit=_LIMIT, is_listed=False)
    async def error_page(path: ErrorPath) -> Reply[str]:
        """What an error means and what to do about it."""
        if path.code not in pages:
            raise NotFound("there is no error of this name")
        headers = {**PAGE_HEADERS, "cache-control": "no-cache"}
        return Reply(pages[path.code], headers=headers, media_type="text/html")


_ADVICE: Final = {
    "never": "Trying again does not help: the call itself must change.",
    "later": "The same call may succeed after <code>retry_after</code> seconds, or after a while.",
    "same": "Repeat the call with the same <code>Idempotency-Key</code>: it has one effect, however often it is made.",
}


_CODE: Final = re.compile(r"`([^`]+)`")


def _error_page(error: type[ClarionError]) -> str:
    meaning = "".join(
        "<p>" + _CODE.sub(r"<code>\1</code>", escape(part)) + "</p>"
        for part in (inspect.getdoc(error) or "").split("\n\n")
    )
    title = f"{error.status} {escape(error.code)}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title} – Clarion</title><link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="../docs/docs.css"></head><body class="page"><main>'
        f"<h1><code>{escape(error.code)}</code></h1>"
        f'<p class="lead">{escape(error.title)}. HTTP status {error.status}.</p>'
        f"{meaning}<h2>What to do</h2><p>{_ADVICE[error.retry]}</p>"
        '<p><a href="../docs">All operations</a></p></main></body></html>'
    )
