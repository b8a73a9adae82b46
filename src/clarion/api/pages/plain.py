"""Pages for people who are not signed in, with no script: forms, which work in any browser and in a mail reader's."""

from html import escape
from pathlib import Path
from typing import Final

from clarion.api.layer import Api, Reply
from clarion.api.pages.files import File, serve
from clarion.auth.rights import Public
from clarion.errors import ClarionError

HTML: Final = "text/html"
# The address is the secret: no other page may learn it, no cache keep what it shows, no page frame it (clicks would be stolen).
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def plain(title: str, body: str, *, up: str, status: int = 200) -> Reply[str]:
    """A page.

    Args:
        title: Its heading, as text.
        body: HTML below it.
        up: The way from the page's own folder to the root, `../` for each step: a proxy may serve us below a path.
        status: Of the answer.
    """
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,"><link rel="stylesheet" href="{up}plain.css"></head>'
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>\n"
    )
    return Reply(page, status=status, media_type=HTML, headers=_HEADERS)


def headed(name: str) -> str:
    """A name as it stands on these pages: keys such as `social` begin with a capital, what somebody named stays as it is."""
    return name[:1].upper() + name[1:]


def no_link(why: ClarionError, up: str) -> Reply[str]:
    """The page of a link that was cut, has ended, was never given out, or leads to what cannot be done."""
    return plain(
        "This link does not work", f"<p>{escape(why.message)}.</p>", up=up, status=why.status
    )


def add_style(api: Api) -> None:
    """Open the door of their style sheet."""
    style = File(Path(__file__).parent / "plain.css")
    serve(api, "/plain.css", style, Public(reason="a style sheet, the same for everybody"))
