"""The server that a command speaks to over HTTP: where it is, as whom, and how its refusals are told."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from cyclopts import Parameter

from clarion.client import ApiError, Client
from clarion.errors import ServerError, UsageError

URL = "http://127.0.0.1:8000"

Url = Annotated[str, Parameter(help="The server", env_var="CLARION_URL")]


@contextmanager
def connected(url: str, key: str | None, *, timeout_s: float = 10.0) -> Iterator[Client]:
    """A client of the server; what it refuses is said in one line.

    Args:
        url: Where it is.
        key: An API key; None: that of the environment.
        timeout_s: For one try (s).
    """
    key = key or os.environ.get("CLARION_KEY")
    if not key:
        raise UsageError("no API key: give --key or $CLARION_KEY (`clarion keys create` makes one)")
    try:
        client = Client(url, key=key, timeout_s=timeout_s)
    except UsageError as exc:
        raise UsageError(f"--{exc.message}") from exc  # it names its parameter, which is our flag
    with client:
        try:
            yield client
        except ApiError as exc:
            raise ServerError(safe(exc.explained)) from exc


def safe(text: str) -> str:
    """Names of files and answers are others' words: nothing in them may steer the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
