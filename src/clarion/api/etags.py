"""Entity tags: an answer that has not changed is not sent again, a change that would overwrite another is refused.

Tags are compared as RFC 9110 §13.1 says: weakly for If-None-Match, strongly for If-Match.
"""

import re
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.errors import Stale

_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class IfMatch(Struct, frozen=True, rename="kebab"):
    """What must be there for the call to be made."""

    if_match: (
        Annotated[
            str,
            Meta(
                max_length=1_000,
                description="The `etag` of what was read: 412 where it has changed since; `*`: it must be there",
            ),
        ]
        | UnsetType
    ) = UNSET


class Preconditions(IfMatch, frozen=True, rename="kebab"):
    """What must be there for the call to be made, or that nothing may be."""

    if_none_match: (
        Annotated[Literal["*"], Meta(description="412 where it is there already")] | UnsetType
    ) = UNSET

    def check(self, etag: str | None) -> None:
        """Refuse a change of what is not as the caller has read it.

        Args:
            etag: The tag of what is there now, quotes included; None: nothing is.

        Raises:
            Stale: It has changed since.
        """
        if self.if_none_match is not UNSET and etag is not None:
            raise Stale("it is there already")
        if self.if_match is UNSET:
            return
        if etag is None:
            raise Stale("it is not there")
        require_match(self.if_match, etag)


def is_unchanged(if_none_match: str | None, etag: str | None) -> bool:
    """Whether the caller already has what has this tag.

    Args:
        if_none_match: The header: a list of tags, or `*`.
        etag: The tag of what would be sent, quotes included, with `W/` if it is weak.
    """
    if if_none_match is None or etag is None:
        return False
    opaque = etag.removeprefix("W/")
    return if_none_match.strip() == "*" or any(
        found[2] == opaque for found in _TAG.finditer(if_none_match)
    )


def require_match(if_match: str | None, etag: str) -> None:
    """Refuse a change of what is not as the caller has read it.

    Args:
        if_match: The header; None: the caller does not mind.
        etag: The tag of what is there now, quotes included.

    Raises:
        Stale: It has changed since.
    """
    if if_match is None or if_match.strip() == "*":
        return
    # A weak tag says "much the same", which is not enough to overwrite.
    if not any(found[1] is None and found[2] == etag for found in _TAG.finditer(if_match)):
        raise Stale()
