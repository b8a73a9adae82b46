"""Plain texts: words and names of facts, filled in without a template engine. Pure.

    Hello {{ recipient.name or recipient.id }}, {{ payload.count }} are new

Nearly every line of an inbox and every subject is one. Each costs a few look-ups, and no more than it prints; there is nothing in
it that could run. Everything else is a program, and belongs into a worker (`pool`).

What is printed is what minijinja would print. Where that is more than a text, a whole number, a truth or nothing, or where it would
complain, the text is left to a worker.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from minijinja import escape

_PATH: Final = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_PLACE: Final = re.compile(rf"\{{\{{[ \t]*({_PATH}(?:[ \t]+or[ \t]+{_PATH})*)[ \t]*\}}\}}")
_OPENS: Final = ("{{", "{%", "{#")
# Words of the language, and names that a mapping answers with a method of its own.
_WORDS: Final = frozenset(
    [
        "true",
        "false",
        "none",
        "True",
        "False",
        "None",
        "and",
        "or",
        "not",
        "in",
        "is",
        "if",
        "else",
        "loop",
        "self",
        "super",
        "caller",
    ]
)
_METHODS: Final = frozenset(dir(dict))

Path = tuple[str, ...]
Plain = tuple[str | tuple[Path, ...], ...]
"""Words, and between them the paths of which the first that says something is printed."""


def read_plain(source: str) -> Plain | None:
    """A text taken apart; None: it is more than plain."""
    parts: list[str | tuple[Path, ...]] = []
    found = _PLACE.split(source)
    for n, part in enumerate(found):
        if n % 2:
            paths = tuple(tuple(path.split(".")) for path in re.split(r"[ \t]+or[ \t]+", part))
            if any(
                path[0] in _WORDS or path[-1] in _WORDS or not _METHODS.isdisjoint(path)
                for path in paths
            ):
                return None
            parts.append(paths)
        elif any(opens in part for opens in _OPENS) or (part.endswith("{") and n < len(found) - 1):
            return None
        elif part:
            parts.append(part)
    return tuple(parts)


def fill(plain: Plain, facts: Mapping[str, Any], *, is_html: bool, most: int) -> str | None:
    """A plain text with its facts; None: these are more than it can print.

    Args:
        plain: The text, taken apart.
        facts: What there is to know.
        is_html: Whether what facts say is escaped.
        most: Characters after which no more is filled in: what comes back is longer, and of no use.
    """
    said: list[str] = []
    length = 0
    for part in plain:
        text = part if isinstance(part, str) else _print(part, facts)
        if text is None:
            return None
        if is_html and not isinstance(part, str):
            text = str(escape(text))
        said.append(text)
        length += len(text)
        if length > most:
            break
    return "".join(said)


def _print(paths: tuple[Path, ...], facts: Mapping[str, Any]) -> str | None:
    found: Any = _MISSING
    for path in paths:
        found = _look(path, facts)
        if found is _BEYOND:
            return None
        if found is not _MISSING and found:
            break
    match found:
        case str():
            return found
        case bool():
            return "True" if found else "False"
        case int():
            return str(found)
        case None:
            return "None"
        case _:
            return "" if found is _MISSING else None


def _look(path: Path, facts: Mapping[str, Any]) -> Any:
    found: Any = facts
    for n, name in enumerate(path):
        if not isinstance(found, Mapping):
            return _BEYOND
        found = found.get(name, _MISSING)
        if found is _MISSING:
            return _MISSING if n == len(path) - 1 else _BEYOND
    return found


_MISSING: Final = object()
_BEYOND: Final = object()
