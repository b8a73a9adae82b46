"""Plain texts print what the template engine would print, or leave it to a worker."""

import string

import minijinja
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.templates.plain import fill, read_plain

_names = st.sampled_from(["a", "b", "payload", "keys", "x1"])
_paths = st.lists(_names, min_size=1, max_size=3).map(".".join)
_places = st.lists(_paths, min_size=1, max_size=2).map(
    lambda paths: "{{ " + " or ".join(paths) + " }}"
)
_pieces = st.text(string.printable + "ä{}%#", max_size=5)
_sources = st.lists(_places | _pieces, max_size=5).map("".join)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_names, inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=600, deadline=None)
@given(_sources, st.dictionaries(_names, _values, max_size=3), st.booleans())
def test_what_is_printed_is_what_the_engine_prints(
    source: str, facts: dict[str, object], is_html: bool
) -> None:
    """For any text and any facts: the same, or nothing is said."""
    plain = read_plain(source)
    said = None if plain is None else fill(plain, facts, is_html=is_html, most=10_000)
    if said is not None:
        engine = minijinja.Environment(
            auto_escape_callback=lambda _: is_html, keep_trailing_newline=True
        )
        assert said == engine.render_str(source, **facts)


@pytest.mark.parametrize(
    "source",
    [
        "{% if a %}x{% endif %}",
        "{{ a|upper }}",
        "{{ a.items }}",
        "{{- a }}",
        "{# a #}",
        "{{ 1 }}",
        "{{ true }}",
    ],
)
def test_what_is_more_than_plain_is_not_taken_for_it(source: str) -> None:
    """Programs, filters, calls, comments, and what the language itself means."""
    assert read_plain(source) is None


def test_lists_and_fractions_are_left_to_a_worker() -> None:
    """How they are printed, the engine alone knows."""
    plain = read_plain("{{ a }}")
    assert plain is not None
    for value in ([1], {"b": 1}, 1.5):
        assert fill(plain, {"a": value}, is_html=False, most=9) is None


def test_no_more_is_filled_in_than_may_be_said() -> None:
    """However often a text names a large fact: what comes back is just long enough to be refused."""
    plain = read_plain("{{ a }}" * 10_000)
    assert plain is not None
    text = fill(plain, {"a": "x" * 1_000}, is_html=False, most=5_000)
    assert text is not None
    assert len(text) == 6_000
