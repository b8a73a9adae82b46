"""Puts the built page and the official client into every wheel and source distribution: `api/web` and `realtime/client_dist`.

A wheel without the page would install and then show nothing, so it is not made: where the page is missing or older than its
sources it is built with npm, and where that cannot be, the build fails and says why. `CLARION_SKIP_FRONTEND=1` makes a wheel
without a page on purpose. Editable installs take what is there: the Makefile builds for them. A source distribution carries the
built page, so that installing from one needs no Node.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WEB = Path("src/clarion/api/web")
CLIENTS = Path("clients")
CLIENT_FILES = Path("src/clarion/realtime/client_dist")
# As npm has them: 4 scripts with their maps.
CLIENT_SOURCE = Path("node_modules/socket.io-client/dist")
CLIENT_COUNT = 8
# Written by clients/console/tools/finish.ts, with the same hash of the same files as here.
HASH_FILE = ".build-hash"
SOURCES = (
    "client/package.json",
    "client/src",
    "console/index.html",
    "console/package.json",
    "console/public",
    "console/src",
    "console/tools",
    "console/vite.config.ts",
    "package-lock.json",
    "tsconfig.base.json",
)


class FrontEnd(BuildHookInterface[Any]):
    """The hook; Hatchling finds it by its base."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before a wheel or source distribution is put together.

        Raises:
            SystemExit: The page is needed and cannot be built; the message says what to do.
        """
        if version == "editable":
            return
        if os.environ.get("CLARION_SKIP_FRONTEND") == "1":
            self.app.display_warning("CLARION_SKIP_FRONTEND=1: this build may have no page")
            return
        ensure_built(Path(self.root))


def ensure_built(root: Path) -> None:
    """Build the page if it is not that of its sources.

    Args:
        root: Of the project. `clients/` may be missing, as in a tree that was made for building only: then the page must be there.

    Raises:
        SystemExit: It cannot be built.
    """
    clients, web = root / CLIENTS, root / WEB
    if not (clients / "package-lock.json").is_file():
        if (web / "index.html").is_file() and has_client(root):
            return
        sys.exit(f"clarion: no page in {WEB}, and no {CLIENTS}/ to build it from")
    if is_fresh(clients, web) and (has_client(root) or copy_client(root)):
        return
    npm = shutil.which("npm")
    if npm is None:
        sys.exit(
            f"clarion: the page in {WEB} is missing or older than {CLIENTS}/, and there is no npm to build it.\n"
            "Install Node 20.19 or newer, or set CLARION_SKIP_FRONTEND=1 for a server without its page."
        )
    if not (clients / "node_modules").is_dir():
        _run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], clients
        )
    _run([npm, "run", "--silent", "build"], clients)
    if not copy_client(root):
        sys.exit(f"clarion: npm has not installed {CLIENT_SOURCE} in {CLIENTS}/")
    if not is_fresh(clients, web):
        sys.exit(f"clarion: the build of {CLIENTS}/ ended without the page in {WEB}")


def has_client(root: Path) -> bool:
    """Whether the official client's files are in their place."""
    return len(list((root / CLIENT_FILES).glob("socket.io*.js*"))) == CLIENT_COUNT


def copy_client(root: Path) -> bool:
    """Put them there, as npm installed them; False if it has not."""
    target = root / CLIENT_FILES
    target.mkdir(parents=True, exist_ok=True)
    for path in (root / CLIENTS / CLIENT_SOURCE).glob("socket.io*.js*"):
        shutil.copyfile(path, target / path.name)
    return has_client(root)


def is_fresh(clients: Path, web: Path) -> bool:
    """Whether the built page is that of the sources."""
    try:
        built = (web / HASH_FILE).read_text().strip()
    except FileNotFoundError:
        return False
    return (web / "index.html").is_file() and built == hash_sources(clients)


def hash_sources(clients: Path) -> str:
    """SHA-256 over path, NUL, SHA-256 of the content, line feed of each source file, in the order of their paths."""
    # By UTF-16 code units, as JavaScript sorts; for the names of our files that is the order of their characters.
    paths = sorted(
        path.relative_to(clients).as_posix() for name in SOURCES for path in _files(clients / name)
    )
    digest = hashlib.sha256()
    for path in paths:
        content = hashlib.sha256((clients / path).read_bytes()).hexdigest()
        digest.update(f"{path}\0{content}\n".encode())
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for child in path.iterdir():
            if not child.name.startswith("."):
                yield from _files(child)
    elif path.is_file():
        yield path


def _run(command: list[str], folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True)
    except subprocess.CalledProcessError as exc:
        sys.exit(f"clarion: {' '.join(exc.cmd)} failed in {folder} (exit code {exc.returncode})")
