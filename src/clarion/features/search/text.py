"""Text as words: the one way of cutting it, for what is stored, what is asked, and what is compared with standing queries.

A word is a run of letters, digits and marks of any script, without case and accents (Unicode's NFKD without combining marks, case folded). Han,
kana and Thai, which have no spaces, are cut into single characters, so that a phrase finds them. Databases get the words, never the text:
SQLite and PostgreSQL then find the same documents. So a word has of ASCII nothing but a-z and 0-9: there is nothing left to be cut, folded or quoted.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

from clarion.errors import Fault, Invalid

WORD_LENGTH: Final = 64
"""Characters of a word; what is longer is cut there."""
TERMS: Final = 32
"""Words, prefixes and phrases of one query's text."""
TERM_WORDS: Final = 64
"""Words of all of these together."""

_WORD: Final = re.compile(r"[^\W_]+")
_OTHER: Final = re.compile(r"[^a-z0-9\x80-\U0010ffff]+")
_ASCII: Final = re.compile(r"[\x00-\x7f]+")
# Scripts without spaces between words.
_SINGLE: Final = re.compile(
    "[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
# A phrase in quotes (the last may be open), or what stands between spaces.
_PIECE: Final = re.compile(r'"([^"]*)(?:"|$)|(\S+)')


class Term(Struct, frozen=True, order=True):
    """What a text must contain.

    word: the word in `words` · prefix: a word that begins so · phrase: these words in a row.
    """

    kind: Literal["word", "prefix", "phrase"]
    words: tuple[str, ...]


def words(text: str) -> list[str]:
    """The words of a text, in order."""
    return [word for word, _, _ in placed(text)]


def placed(text: str) -> Iterator[tuple[str, int, int]]:
    """The words of a text with where they stand in it: begin and end, for highlighting."""
    for found in _WORD.finditer(text):
        begin = found.start()
        run = found.group()
        if _SINGLE.search(run) is None:
            yield _folded(run), begin, found.end()
            continue
        for part in re.finditer(f"{_SINGLE.pattern}|[^{_SINGLE.pattern[1:]}+", run):
            yield _folded(part.group()), begin + part.start(), begin + part.end()


def parse_text(text: str) -> tuple[Term, ...]:
    """What a query's text asks for: words, `prefix*`, `"a phrase"`; all of them must be there. Sorted, each once.

    Raises:
        Invalid: There is no word in it, or too many terms.
    """
    terms: dict[Term, None] = {}
    for found in _PIECE.finditer(text):
        phrase, piece = found.groups()
        if phrase is not None:
            _add(terms, words(phrase))
        elif piece.endswith("*"):
            *before, last = words(piece[:-1]) or [""]
            _add(terms, before)
            if last:
                terms[Term("prefix", (last,))] = None
        else:
            _add(terms, words(piece))
    if not terms or len(terms) > TERMS:
        detail = f"expected 1 to {TERMS} words, prefixes and phrases"
        raise Invalid(faults=[Fault("/text", detail)])
    if sum(len(term.words) for term in terms) > TERM_WORDS:
        raise Invalid(faults=[Fault("/text", f"expected at most {TERM_WORDS} words in all")])
    return tuple(sorted(terms))


def _add(terms: dict[Term, None], found: list[str]) -> None:
    """Words that were written together (`wi-fi`, a phrase) must stand together."""
    if found:
        terms[Term("word" if len(found) == 1 else "phrase", tuple(found))] = None


def _folded(word: str) -> str:
    if word.isascii():
        return word.lower()[:WORD_LENGTH]
    # Once more after folding: U+2115 is an N without case, U+FDFA a whole sentence.
    bare = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", word).casefold())
    kept = "".join(char for char in bare if not unicodedata.combining(char))
    return (_OTHER.sub("", kept) or _ASCII.sub("", word))[:WORD_LENGTH]
