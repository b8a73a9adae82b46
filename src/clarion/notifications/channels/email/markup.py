"""HTML read as a row of tags and texts, in one pass: for who rewrites links and who wants the plain text. Pure.

It takes whatever it is given and its time grows with the size alone: no input makes it read a part twice.
"""

import html
import re
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

_NAME: Final = re.compile(r"</?([A-Za-z][A-Za-z0-9-]*)")
_ATTRIBUTE: Final = re.compile(
    r"""([^\s"'<>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""", re.DOTALL
)
_TAG: Final = re.compile(r"""<(?:[^"'>]|"[^"]*"|'[^']*')*>""")
"""A `>` in quotes is no end of it."""
_LENIENT: Final = 100
"""Times that a tag with a quote that never ends may end at the next `>`: each costs a look to the end."""
_RAW: Final = {
    name: re.compile(f"</{name}", re.IGNORECASE)
    for name in ("style", "script", "title", "textarea")
}
"""What stands in these is no markup, up to their end."""


class Text(Struct, frozen=True):
    """Characters between tags, as they were written: entities are in it."""

    raw: str


class Tag(Struct, frozen=True):
    """A tag, from `start` to `end` in the source."""

    name: str
    is_end: bool
    raw: str
    start: int

    def attributes(self) -> Mapping[str, str]:
        """Names in lower case, values without entities; of a repeated one the first counts."""
        found: dict[str, str] = {}
        for each in _ATTRIBUTE.finditer(self.raw, len(self.name) + 1):
            value = each[2] or each[3] or each[4] or ""
            found.setdefault(each[1].lower(), html.unescape(value))
        return found

    def replace(self, name: str, value: str) -> str:
        """The tag with another value of an attribute that it has."""
        for each in _ATTRIBUTE.finditer(self.raw, len(self.name) + 1):
            if each[1].lower() == name:
                written = f'{each[1]}="{html.escape(value)}"'
                return self.raw[: each.start()] + written + self.raw[each.end() :]
        return self.raw


def tokens(source: str) -> Iterator[Text | Tag]:
    """Texts and tags in their order. Comments and declarations are left out; what was never closed is text."""
    at, size = 0, len(source)
    unclosed: set[str] = set()  # what is looked for in vain is not looked for again
    lenient = _LENIENT
    while at < size:
        start = source.find("<", at)
        if start < 0:
            yield Text(source[at:])
            return
        if start > at:
            yield Text(source[at:start])
        at = start
        if source.startswith("<!--", at):
            closing, end = "-->", source.find("-->", at + 4) + 3 if "-->" not in unclosed else 2
            end = -1 if end == 2 else end
        else:
            closing, end = ">", -1
            if ">" not in unclosed:
                found = _TAG.match(source, at)
                if found is not None:
                    end = found.end()
                elif lenient:
                    lenient -= 1
                    end = source.find(">", at) + 1 or -1
        if end < 0:
            unclosed.add(closing)
            yield Text(source[at])
            at += 1
            continue
        raw, at = source[at:end], end
        if closing == "-->" or raw[1] in "!?":
            continue
        name = _NAME.match(raw)
        if name is None:
            yield Text(raw)
            continue
        tag = Tag(name[1].lower(), raw[1] == "/", raw, start)
        yield tag
        if tag.name in _RAW and not tag.is_end and tag.name not in unclosed:
            closed = _RAW[tag.name].search(source, at)
            if closed is None:
                unclosed.add(tag.name)
            else:
                at = closed.start()
