"""Socket.IO's own admin page, where `admin_ui.password` is set: the files of its build, and what its content security policy must allow.

The page comes as it is published (`clients/console/tools/admin-ui`). It styles itself by script, so styles may stand in the page; nothing
else is laxer than for our own page, and nothing is loaded from elsewhere.
"""

import posixpath
from html import escape
from pathlib import Path
from typing import Final

from clarion.api.layer import Api, Reply
from clarion.api.limits import Unlimited
from clarion.api.pages.files import PAGE_HEADERS, File, files_of, serve
from clarion.auth.rights import Public
from clarion.settings import AdminUi
from clarion.telemetry import get_logger

_log = get_logger(__name__)

SUBFOLDER: Final = "admin-ui"
"""Of the built front end."""
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self' wss:; img-src 'self' data:; "
    "font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
_HEADERS: Final = {**PAGE_HEADERS, "content-security-policy": _POLICY, "cache-control": "no-cache"}
# Named by content: a changed file has another name.
_HASHED: Final = ("css/app.", "css/chunk-", "img/", "js/")
_RIGHT: Final = Public(reason="the page on which operators sign in")
_LIMIT: Final = Unlimited(reason="served from memory")


def add(api: Api, web: Path, settings: AdminUi, socket_path: str) -> None:
    """Open a door for each file of the page.

    Args:
        api: Takes them.
        web: The built front end; missing where nothing was built.
        settings: Where the page is, and the namespace that it talks to.
        socket_path: Of the Socket.IO endpoint.
    """
    folder = web / SUBFOLDER
    if not (folder / "index.html").is_file():
        _log.warning("the admin page has not been built", folder=str(folder))
        return
    page = _page(folder, settings, socket_path)

    @api.route("GET", settings.path, right=_RIGHT, limit=_LIMIT, is_listed=False)
    async def admin_page() -> Reply[str]:
        return Reply(page, headers=_HEADERS, media_type="text/html; charset=utf-8")

    @api.route("GET", settings.path.rstrip("/"), right=_RIGHT, limit=_LIMIT, is_listed=False)
    async def to_admin_page() -> Reply[None]:
        last = settings.path.rstrip("/").rpartition("/")[2]
        return Reply(None, status=308, headers={"location": f"{last}/"})

    for name, path in files_of(folder):
        if name != "index.html":
            file = File(path, is_immutable=name.startswith(_HASHED))
            serve(api, settings.path + name, file, _RIGHT)


def _page(folder: Path, settings: AdminUi, socket_path: str) -> str:
    """The page, told where its server is: seen from itself, since all of this may be mounted somewhere."""
    html = (folder / "index.html").read_text()
    path = posixpath.relpath(socket_path, settings.path)
    html = html.replace('data-path=""', f'data-path="{escape(path)}/"')
    return html.replace('data-namespace=""', f'data-namespace="{escape(settings.namespace)}"')
