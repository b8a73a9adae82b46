"""What of a text made a query find it: the text in pieces, every second of which is a hit."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from clarion.features.search.query import FieldType, Query
from clarion.features.search.text import Term, placed

LENGTH: Final = 240
"""Characters of a text that are shown, about: those around its first hit."""
BEFORE: Final = 60


def highlights(
    data: Mapping[str, Any], fields: Mapping[str, FieldType], query: Query
) -> dict[str, list[str]]:
    """Of each text with a hit its pieces: what is no hit, a hit, what is no hit, and so on. `…` where something was left out."""
    found = {}
    if query.terms:
        for field, kind in fields.items():
            text = data.get(field)
            if kind == "text" and isinstance(text, str) and (spans := _spans(text, query.terms)):
                found[field] = _pieces(text, spans)
    return found


def _spans(text: str, terms: Sequence[Term]) -> list[tuple[int, int]]:
    words = list(placed(text))
    marked: dict[int, None] = {}
    for term in terms:
        first, size = term.words[0], len(term.words)
        for at, (word, _, _) in enumerate(words):
            if term.kind == "prefix":
                is_hit = word.startswith(first)
            else:
                is_hit = word == first and term.words == tuple(
                    each for each, _, _ in words[at : at + size]
                )
            if is_hit:
                marked.update(dict.fromkeys(range(at, at + size)))
    return [words[at][1:] for at in sorted(marked)]


def _pieces(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    begin = max(0, spans[0][0] - BEFORE)
    end = min(len(text), max(begin + LENGTH, spans[0][1]))
    pieces, at = [], begin
    for low, high in spans:
        if high > end:
            break
        pieces += [text[at:low], text[low:high]]
        at = high
    pieces.append(text[at:end])
    if begin:
        pieces[0] = "…" + pieces[0]
    if end < len(text):
        pieces[-1] += "…"
    return pieces
