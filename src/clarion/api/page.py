"""The bare page that is shown to people who followed a link: no script, one style sheet, nothing from elsewhere."""

from html import escape
from typing import Final

HTML: Final = "text/html"
# The address may be a secret: no other page may learn it, no cache keep what it shows, no page frame it (clicks would be stolen).
PAGE_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def page_of(title: str, body: str, *, up: str) -> str:
    """A page.

    Args:
        title: Its heading, as text.
        body: HTML below it.
        up: The way from the page's own folder to the root, `../` for each step: a proxy may serve us below a path.
    """
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,"><link rel="stylesheet" href="{up}plain.css"></head>'
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>\n"
    )


def headed(name: str) -> str:
    """A name as it stands on these pages: keys such as `social` begin with a capital, what somebody named stays as it is."""
    return name[:1].upper() + name[1:]
