"""Publications as a test compares them."""

from typing import Any

from msgspec import Struct


class Publication(Struct, frozen=True):
    """What a client was sent."""

    topic: str
    offset: int
    mark: int
    event: str = ""
    data: Any = None
    key: str | None = None
    after: int | None = None
    patch: Any = None
