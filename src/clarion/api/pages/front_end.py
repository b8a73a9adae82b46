"""The built front end: its page at `/`, and every other file of the build under its own name."""

from pathlib import Path
from typing import Final

from clarion.api.layer import Api, Reply
from clarion.api.limits import Unlimited
from clarion.api.pages import admin_ui
from clarion.api.pages.files import File, files_of, serve
from clarion.auth.rights import Public
from clarion.telemetry import get_logger

_log = get_logger(__name__)

FOLDER: Final = Path(__file__).parent.parent / "web"
# Vite names what it puts here by content: a changed file has another name.
_HASHED: Final = "assets"
_NOT_BUILT: Final = (
    "The page has not been built: run `make build` (needs Node) and start again.\n"
    "The API works without it; its documentation is at /docs.\n"
)
_RIGHT: Final = Public(reason="the page on which people sign in")
_LIMIT: Final = Unlimited(reason="served from memory")


def add(api: Api, folder: Path) -> None:
    """Open a door for each file of the build. They are read now: a new build is seen after a restart.

    Args:
        api: Takes them.
        folder: With `index.html`; missing where nothing was built.
    """
    if not (folder / "index.html").is_file():
        _log.warning("the page has not been built", folder=str(folder))
        _add_not_built(api)
        return
    for name, path in files_of(folder):
        if name.startswith(f"{admin_ui.SUBFOLDER}/"):
            continue
        is_immutable = name.startswith(f"{_HASHED}/")
        url = "/" if name == "index.html" else f"/{name}"
        serve(api, url, File(path, is_immutable=is_immutable), _RIGHT)


def _add_not_built(api: Api) -> None:
    @api.route("GET", "/", right=_RIGHT, limit=_LIMIT, is_listed=False)
    async def not_built() -> Reply[str]:
        return Reply(_NOT_BUILT, status=503, media_type="text/plain")
