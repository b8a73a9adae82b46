"""Templates, read: what they name, their words and filters; in a time that grows with their size alone."""

import pytest

from clarion.templates import reading
from clarion.templates.reading import Named


def test_what_stands_in_tags_and_where() -> None:
    """Blocks and values, with marks for spaces and without; not comments, not what is raw, and not what is never closed."""
    source = (
        'Hi {{ a|upper }}\n{%- include "one" -%} {# {% include "no" %} #}{% raw %}{% include "no" %}{% endraw %}'
        '\n\n {% extends two %}{{- "|x" ~ b | trim -}} {% include "three'
    )
    assert reading.named(source) == [Named("one", 2, 1), Named("", 4, 2)]
    words = {"a", "upper", "include", "one", "extends", "two", "x", "b", "trim"}
    assert reading.words(source) == words
    assert [name for name, _ in reading.filters(source)] == ["upper", "trim"]
    assert reading.words("{% raw %} {{ a }}") == {"raw", "a"}  # never closed: a block like others


@pytest.mark.parametrize(
    "piece",
    ["{{", "{%", "{#", "{%-", "{% raw %}", "{%include%}", '{% include "x" %}\n', "{{ a", "{%  ", "}}", '{{"\\'],
)  # fmt: skip
def test_time_grows_with_size_alone(piece: str) -> None:
    """A source made to be read again and again is read as fast as any: in the server itself, this would take minutes otherwise."""
    source = piece * (250_000 // len(piece))
    reading.named(source)
    reading.words(source)
    reading.filters(source)


def test_a_text_that_is_not_closed_is_read_once() -> None:
    """Backslashes stand before what follows, and for nothing else: taken both ways, a hundred would take for ever."""
    assert reading.filters('{{ "' + "\\" * 100 + "|a }}") == [("a", 0)]
