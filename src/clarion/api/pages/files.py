"""A file that is served: read once, kept with its compressed forms, answered with an ETag and the right cache rules."""

import hashlib
import mimetypes
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from clarion.api.layer import Api, Reply
from clarion.api.limits import Unlimited
from clarion.auth.rights import Public

# What a page of ours may do. No inline scripts or styles, nothing from elsewhere but pictures, no framing, and no way from text
# to script (reliability: hostile titles and bodies are shown by these pages).
PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' wss:; img-src 'self' https: data:; "
    "font-src 'self'; manifest-src 'self'; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
    "require-trusted-types-for 'script'"
)
PAGE_HEADERS: Final = {
    "content-security-policy": PAGE_POLICY,
    "cross-origin-opener-policy": "same-origin",
}
_ENCODINGS: Final = {"br": ".br", "gzip": ".gz"}  # best first


class AcceptEncoding(Struct, frozen=True, rename="kebab"):
    """What the caller can unpack."""

    accept_encoding: str | UnsetType = UNSET


class File:
    """One file.

    Args:
        path: Read now; `<path>.br` and `<path>.gz` beside it are its compressed forms.
        is_immutable: Whether its name changes with its content, so that it never has to be asked for again.
    """

    def __init__(self, path: Path, *, is_immutable: bool = False) -> None:
        self._content = path.read_bytes()
        self._packed = {
            coding: packed.read_bytes()
            for coding, suffix in _ENCODINGS.items()
            if (packed := path.with_name(path.name + suffix)).is_file()
        }
        self._media_type = _media_type(path)
        self._etag = hashlib.sha256(self._content).hexdigest()[:20]
        cache = "public, max-age=31536000, immutable" if is_immutable else "no-cache"
        self._headers = {"cache-control": cache}
        if self._packed:
            self._headers["vary"] = "accept-encoding"
        if self._media_type.startswith("text/html"):
            self._headers |= PAGE_HEADERS

    def reply(self, headers: AcceptEncoding) -> Reply[bytes]:
        """The file, in the smallest form that the caller takes."""
        accepted = headers.accept_encoding or ""
        for coding, packed in self._packed.items():
            if _accepts(accepted, coding):
                more: Mapping[str, str] = {**self._headers, "content-encoding": coding}
                etag = f'"{self._etag}-{coding}"'
                return Reply(packed, etag=etag, headers=more, media_type=self._media_type)
        etag = f'"{self._etag}"'
        return Reply(self._content, etag=etag, headers=self._headers, media_type=self._media_type)


def serve(api: Api, url: str, file: File, right: Public) -> None:
    """Open the door of a file."""
    limit = Unlimited(reason="served from memory")

    @api.route("GET", url, right=right, limit=limit, is_listed=False)
    async def served(headers: AcceptEncoding) -> Reply[bytes]:
        return file.reply(headers)


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a build that are served: their names below the folder, and where they are."""
    for path in sorted(folder.rglob("*")):
        # Compressed forms go with their files; a source map would only tell what is in the repository anyway.
        if path.is_file() and not path.name.startswith(".") and path.suffix not in _UNSERVED:
            yield path.relative_to(folder).as_posix(), path


_UNSERVED: Final = frozenset({".br", ".gz", ".map"})


def _accepts(header: str, coding: str) -> bool:
    """RFC 9110 §12.5.3, without wildcards: whoever sends only `*` gets the file as it is."""
    for item in header.lower().split(","):
        name, _, weight = item.strip().partition(";")
        if name.strip() == coding:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def _media_type(path: Path) -> str:
    # The machine's own table could know .js as something that nosniff makes browsers refuse.
    known = {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".woff2": "font/woff2",
        ".webmanifest": "application/manifest+json",
    }
    kind = (
        known.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    )
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
