"""What can be said of a template by reading it: which others it names, which words it knows. Pure.

This reads tags, not the language: what it says is checked again where the template is compiled, and a name that it does not see is
simply not there when the template is rendered.
"""

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

_OPENS: Final = re.compile(r"\{(?:\{|#|%(?P<raw>[-+]?\s*raw\s*[-+]?%\})?)")
_CLOSES: Final = {"{#": "#}", "{%": "%}", "{{": "}}"}
_END_RAW: Final = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_INSIDE: Final = re.compile(r"[-+]?(.*?)[-+]?", re.DOTALL)
_NAMES: Final = re.compile(r"\s*(?:include|extends|import|from)\b\s*(?P<rest>.*)", re.DOTALL)
_QUOTED: Final = re.compile(r"""(?P<q>["'])(?P<name>[^"'\\]*)(?P=q)""")
_STRINGS: Final = re.compile(r"""(["'])(?:\\.|(?!\1)[^\\])*+\1""", re.DOTALL)
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
    line, seen = 1, 0
    for start, block, is_block in _tags(source):
        if not is_block or (match := _NAMES.match(block)) is None:
            continue
        quoted = _QUOTED.match(match["rest"])
        name = "" if quoted is None else quoted["name"]
        line, seen = line + source.count("\n", seen, start), start
        found.append(Named(name, line, start - source.rfind("\n", 0, start)))
    return found


def words(source: str) -> frozenset[str]:
    """Every word in its tags: no fact is used whose name is not among them."""
    return frozenset(word for _, tag, _ in _tags(source) for word in _WORD.findall(tag))


def filters(source: str) -> list[tuple[str, int]]:
    """The filters it uses, each with where it stands (an offset)."""
    return [
        (match[1], start)
        for start, tag, _ in _tags(source)
        for match in _FILTER.finditer(_STRINGS.sub('""', tag))
    ]


def place(source: str, offset: int) -> tuple[int, int]:
    """Line and column (from 1) of an offset."""
    before = source[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _tags(source: str) -> Iterator[tuple[int, str, bool]]:
    """Where each tag begins, what stands in it, and whether it is a block.

    An end that was looked for in vain is not looked for again: a source of nothing but beginnings takes no longer than another.
    """
    at, missing = 0, set[str]()
    while (opened := _OPENS.search(source, at)) is not None:
        start, mark = opened.start(), opened[0][:2]
        if opened["raw"] and "raw" not in missing:
            if (closed := _END_RAW.search(source, opened.end())) is not None:
                at = closed.end()
                continue
            missing.add("raw")
        end = -1 if mark in missing else source.find(_CLOSES[mark], start + 2)
        if end < 0:
            missing.add(mark)
            at = start + 1
            continue
        at = end + 2
        inside = _INSIDE.fullmatch(source, start + 2, end)
        if mark != "{#" and inside is not None:
            yield start, inside[1], mark == "{%"
