"""Rendering: what a step says, for one recipient."""

from collections.abc import Mapping
from typing import Any, Final

import minijinja
import msgspec

FUEL: Final = 50_000
"""Instructions of one template: what loops without end stops there."""
OUTPUT: Final = 256 * 1024  # characters


class Unrenderable(Exception):
    """A template failed on this recipient's facts; says why."""


class Renderer:
    """Renders contents: every text in them is a template."""

    def __init__(self) -> None:
        self._plain = minijinja.Environment(fuel=FUEL, auto_escape_callback=lambda _: False)
        self._html = minijinja.Environment(fuel=FUEL, auto_escape_callback=lambda _: True)

    def render(self, content: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
        """A content with its templates filled in.

        Raises:
            Unrenderable: One of them failed.
        """
        return {name: self._value(value, facts, name == "html") for name, value in content.items()}

    def _value(self, value: Any, facts: Mapping[str, Any], is_html: bool) -> Any:
        if isinstance(value, str):
            return self._text(value, facts, is_html)
        if isinstance(value, dict):
            return {name: self._value(each, facts, name == "html") for name, each in value.items()}
        if isinstance(value, list):
            return [self._value(each, facts, is_html) for each in value]
        return value

    def _text(self, source: str, facts: Mapping[str, Any], is_html: bool) -> str:
        if "{" not in source:
            return source
        environment = self._html if is_html else self._plain
        try:
            text = environment.render_str(source, **facts)
        except minijinja.TemplateError as exc:
            raise Unrenderable(str(exc).splitlines()[0]) from exc
        if len(text) > OUTPUT:
            raise Unrenderable(f"{len(text)} characters, {OUTPUT} are allowed")
        if "\0" in text:  # which a payload may bring, and no database keeps
            raise Unrenderable("the character U+0000")
        return text


def fingerprint(content: Mapping[str, Any]) -> bytes:
    """Equal for equal contents."""
    return msgspec.json.encode(content, order="sorted")
