"""The server that a command speaks to over HTTP: where it is, as whom, and how its refusals are told."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from urllib.parse import urlsplit

from cyclopts import Parameter
from msgspec import DecodeError

from clarion.client import ApiError, Client
from clarion.errors import ServerError, UsageError

URL = "http://127.0.0.1:8000"
_URL_CHARS = 2_000

Url = Annotated[str, Parameter(help="The server", env_var="CLARION_URL")]


@contextmanager
def connected(url: str, key: str | None, *, timeout_s: float = 10.0) -> Iterator[Client]:
    """A client of the server; what it refuses is said in one line.

    Args:
        url: Where it is.
        key: An API key; None: that of the environment.
        timeout_s: For one try (s).
    """
    key = key or os.environ.get("CLARION_KEY") or None
    _check(url, key)
    with Client(url, key=key, timeout_s=timeout_s) as client:
        try:
            yield client
        except ApiError as exc:
            raise ServerError(safe(exc.message)) from exc
        except DecodeError as exc:
            raise ServerError(f"what answers on {url} is not Clarion") from exc


def safe(text: str) -> str:
    """Names of files and answers are others' words: nothing in them may steer the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _check(url: str, key: str | None) -> None:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")  # refuses labels that are empty or too long
        is_url = parts.scheme in ("http", "https") and host and parts.port != 0
    except ValueError:
        is_url = False
    if not (is_url and url.isascii() and url.isprintable() and len(url) <= _URL_CHARS):
        raise UsageError(f"--url: {url[:200]!r} is not an http:// or https:// address")
    if key is None:
        raise UsageError("no API key: give --key or $CLARION_KEY (`clarion keys create` makes one)")
    if not (key.isascii() and key.isprintable()):
        raise UsageError("--key: this is no API key")
