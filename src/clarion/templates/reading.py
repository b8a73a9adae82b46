"""What can be said of a template by reading it: which others it names, which words it knows. Pure.

This reads tags, not the language: what it says is checked again where the template is compiled, and a name that it does not see is
simply not there when the template is rendered.
"""

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

_TAG: Final = re.compile(
    r"\{#.*?#\}|\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\}|\{%[-+]?(?P<block>.*?)[-+]?%\}|\{\{[-+]?(?P<value>.*?)[-+]?\}\}",
    re.DOTALL,
)
_NAMES: Final = re.compile(r"\s*(?:include|extends|import|from)\b\s*(?P<rest>.*)", re.DOTALL)
_QUOTED: Final = re.compile(r"""(?P<q>["'])(?P<name>[^"'\\]*)(?P=q)""")
_STRINGS: Final = re.compile(r"""(["'])(?:\\.|(?!\1).)*\1""", re.DOTALL)
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILTER: Final = re.compile(r"(?<!\|)\|\s*([A-Za-z_][A-Za-z0-9_]*)")


class Named(Struct, frozen=True):
    """Another template that one names, and where. `name` '': it is not written there but computed, which cannot be checked."""

    name: str
    line: int
    column: int


def named(source: str) -> list[Named]:
    """The templates that this one includes, extends or imports."""
    found: list[Named] = []
    for start, block in _blocks(source):
        if (match := _NAMES.match(block)) is None:
            continue
        quoted = _QUOTED.match(match["rest"])
        name = "" if quoted is None else quoted["name"]
        found.append(Named(name, *place(source, start)))
    return found


def words(source: str) -> frozenset[str]:
    """Every word in its tags: no fact is used whose name is not among them."""
    return frozenset(word for _, tag in _tags(source) for word in _WORD.findall(tag))


def filters(source: str) -> list[tuple[str, int]]:
    """The filters it uses, each with where it stands (an offset)."""
    return [
        (match[1], start)
        for start, tag in _tags(source)
        for match in _FILTER.finditer(_STRINGS.sub('""', tag))
    ]


def place(source: str, offset: int) -> tuple[int, int]:
    """Line and column (from 1) of an offset."""
    before = source[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _blocks(source: str) -> Iterator[tuple[int, str]]:
    for match in _TAG.finditer(source):
        if match["block"] is not None:
            yield match.start(), match["block"]


def _tags(source: str) -> Iterator[tuple[int, str]]:
    for match in _TAG.finditer(source):
        tag = match["block"] if match["block"] is not None else match["value"]
        if tag is not None:
            yield match.start(), tag
