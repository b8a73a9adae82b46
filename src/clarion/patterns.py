"""Patterns of texts, and what people call what they match.

A fault names what was expected in words: nobody reads a regular expression in an answer.
"""

import re
from typing import Final

_WORDS: Final[dict[str, str]] = {}
# msgspec says: Expected `str` matching regex '^…$', as Python writes the text.
_EXPECTED: Final = re.compile(r"(?s)Expected `str` matching regex (.*)")


def worded(pattern: str, words: str) -> str:
    """The pattern, for `Meta(pattern=…)`, once it is known what to say where a text does not match.

    Args:
        pattern: A regular expression.
        words: What is expected, with an example where that helps: `an email address, such as ann@example.org`.
            One pattern has one name, wherever it stands.
    """
    assert _WORDS.setdefault(repr(pattern), words) == words, f"{pattern} has another name"
    return pattern


def in_words(detail: str) -> str:
    """What msgspec says of a text that does not match, in words, as far as there are any."""
    if (found := _EXPECTED.fullmatch(detail)) is None or found[1] not in _WORDS:
        return detail
    return f"Expected {_WORDS[found[1]]}"
