"""What a setting is for, and what its values may be: the words that stand beside it, in the reference and in error messages."""

from typing import Any

from msgspec import Meta


def about(text: str, **rules: Any) -> Meta:
    """Help text of a setting, with the rules of `msgspec.Meta` (`ge`, `pattern` …) for its values."""
    return Meta(description=text, **rules)
