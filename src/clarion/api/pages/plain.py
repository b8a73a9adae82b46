"""Pages for people who are not signed in, with no script: forms, which work in any browser and in a mail reader's."""

from pathlib import Path

from clarion.api.layer import Api, Reply
from clarion.api.page import HTML, PAGE_HEADERS, page_of
from clarion.api.pages.files import File, serve
from clarion.auth.rights import Public


def plain(title: str, body: str, *, up: str, status: int = 200) -> Reply[str]:
    """A page.

    Args:
        title: Its heading, as text.
        body: HTML below it.
        up: The way to the root.
        status: Of the answer.
    """
    return Reply(page_of(title, body, up=up), status=status, media_type=HTML, headers=PAGE_HEADERS)


def add_style(api: Api) -> None:
    """Open the door of their style sheet."""
    style = File(Path(__file__).parent / "plain.css")
    serve(api, "/plain.css", style, Public(reason="a style sheet, the same for everybody"))
