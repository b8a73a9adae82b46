"""The text part of an email that was written in HTML: for readers without HTML, and for filters that distrust mail without text. Pure."""

import html
import re
from typing import Final

from clarion.notifications.channels.email.markup import Tag, Text, tokens

_SPACE: Final = re.compile(r"[ \t\r\n\f]+")
_BLANK: Final = re.compile(r"\n{3,}")
_HIDDEN: Final = frozenset({"style", "script", "title", "template", "head"})
_LINES: Final[dict[str, int]] = {
    **dict.fromkeys(("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote", "pre", "hr"), 2),
    **dict.fromkeys(("div", "br", "li", "tr", "section", "article", "header", "footer", "dt", "dd"), 1),
}  # fmt: skip
"""How many ends of line stand around each."""


def to_text(source: str) -> str:
    """What an HTML email says, as text: links with where they lead, lists with dashes, images by their `alt`."""
    writer = _Writer()
    for token in tokens(source):
        writer.add(token)
    return writer.whole()


class _Writer:
    def __init__(self) -> None:
        self._parts: list[str] = []
        self._lines = 2  # ends of line behind what is written: none is needed at the beginning
        self._space = False  # whether a space belongs before what comes
        self._hidden = self._pre = 0
        self._links: list[tuple[str, int]] = []

    def add(self, token: Text | Tag) -> None:
        if isinstance(token, Text):
            self._text(token.raw)
        else:
            self._tag(token, token.name, token.is_end)

    def whole(self) -> str:
        lines = (line.rstrip() for line in "".join(self._parts).split("\n"))
        text = _BLANK.sub("\n\n", "\n".join(lines)).strip("\n")
        return f"{text}\n" if text else ""

    def _text(self, raw: str) -> None:
        if self._hidden:
            return
        text = html.unescape(raw)
        if self._pre:
            self._write(text)
            return
        text = _SPACE.sub(" ", text)
        if text == " ":
            self._space = True
            return
        if text.startswith(" "):
            self._space = True
        self._write(text.strip(" "))
        self._space = text.endswith(" ")

    def _write(self, text: str) -> None:
        if not text:
            return
        if self._space and not self._lines:
            self._parts.append(" ")
        self._parts.append(text)
        self._lines, self._space = 0, False

    def _break(self, lines: int) -> None:
        if lines > self._lines:
            self._parts.append("\n" * (lines - self._lines))
            self._lines = lines
        self._space = False

    def _tag(self, tag: Tag, name: str, is_end: bool) -> None:
        if name in _HIDDEN:
            self._hidden = max(0, self._hidden + (-1 if is_end else 1))
            return
        if self._hidden:
            return
        if name in _LINES:
            if name == "br":
                self._parts.append("\n")
                self._lines, self._space = self._lines + 1, False
            else:
                self._break(_LINES[name])
        match name:
            case "pre":
                self._pre = max(0, self._pre + (-1 if is_end else 1))
            case "li" if not is_end:
                self._write("- ")
                self._lines = 2  # no space and no line between the dash and its text
            case "hr" if not is_end:
                self._write("---")
                self._break(2)
            case "img" if not is_end:
                self._write(" ".join(tag.attributes().get("alt", "").split()))
            case "td" | "th" if is_end:
                self._space = True
            case "a":
                self._link(tag, is_end)

    def _link(self, tag: Tag, is_end: bool) -> None:
        if not is_end:
            self._links.append((tag.attributes().get("href", "").strip(), len(self._parts)))
            return
        if not self._links:
            return
        where, began = self._links.pop()
        said = "".join(self._parts[began:]).strip()
        leads = where.startswith(("http://", "https://", "mailto:"))
        if leads and where.removeprefix("mailto:") not in (said, ""):
            self._space = bool(said)
            self._write(f"({where})" if said else where)
