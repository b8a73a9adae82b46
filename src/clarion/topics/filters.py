"""Filters: which publications of a topic a subscriber wants, by their tags. A filter is chosen by the subscriber and grants nothing.

{"team": "red"}                                       the tag has this value
{"team": ["red", "blue"]}                             one of these values
{"level": {"not": "debug"}}                           no such tag, or another value (a list: none of these)
{"name": {"starts": "ab"}}                            begins so
{"team": "red", "level": "error"}                     both
{"any": [{"team": "red"}, {"level": "error"}]}        one of these filters
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from clarion.errors import Fault, Invalid

Matches = Callable[[Mapping[str, str]], bool]
"""Says whether tags are wanted."""

CLAUSES: Final = 64
"""Conditions and values of one filter: what is checked for each publication is bounded."""
DEPTH: Final = 4
TAG_CHARS: Final = 255
VALUE_CHARS: Final = 128
"""Of the name and of the value of a tag: a filter that asks for more asks for what nothing has."""
_ANY: Final = "any"


def compile_filter(given: Any) -> Matches:
    """A filter as a function.

    Raises:
        Invalid: It is not one; the fault points into it, with `/filter` before.
    """
    return _Compiler().filter(given, "/filter", DEPTH)


class _Compiler:
    def __init__(self) -> None:
        self._left = CLAUSES

    def filter(self, given: Any, at: str, depth: int) -> Matches:
        if not isinstance(given, dict) or not given:
            raise _wrong(at, "expected an object with at least one condition")
        if depth == 0:
            raise _wrong(at, f"filters are nested at most {DEPTH} deep")
        if any(len(tag) > TAG_CHARS for tag in given):
            raise _wrong(at, f"a tag's name has at most {TAG_CHARS} characters")
        parts = [
            self._any(wanted, f"{at}/{tag}", depth)
            if tag == _ANY
            else self._condition(tag, wanted, f"{at}/{tag}")
            for tag, wanted in given.items()
        ]
        return parts[0] if len(parts) == 1 else lambda tags: all(part(tags) for part in parts)

    def _any(self, given: Any, at: str, depth: int) -> Matches:
        if not isinstance(given, list) or not given:
            raise _wrong(at, "expected a list of filters")
        parts = [self.filter(each, f"{at}/{i}", depth - 1) for i, each in enumerate(given)]
        return lambda tags: any(part(tags) for part in parts)

    def _condition(self, tag: str, wanted: Any, at: str) -> Matches:
        if isinstance(wanted, dict):
            if len(wanted) != 1:
                raise _wrong(at, "expected one of `not` and `starts`")
            [(how, value)] = wanted.items()
            if how == "not":
                values = self._values(value, f"{at}/not")
                return lambda tags: tags.get(tag) not in values
            if how == "starts" and isinstance(value, str):
                self._values(value, at)
                return lambda tags: tags.get(tag, "").startswith(value) and tag in tags
            raise _wrong(at, "expected `not` with a text or a list, or `starts` with a text")
        values = self._values(wanted, at)
        return lambda tags: tags.get(tag) in values

    def _values(self, given: Any, at: str) -> frozenset[str]:
        found = given if isinstance(given, list) else [given]
        if not found or not all(isinstance(each, str) for each in found):
            raise _wrong(at, "expected a text, or a list of texts")
        self._left -= len(found)
        if self._left < 0:
            raise _wrong(at, f"a filter has at most {CLAUSES} conditions and values")
        if any(len(each) > VALUE_CHARS for each in found):
            raise _wrong(at, f"a tag's value has at most {VALUE_CHARS} characters")
        return frozenset(found)


def _wrong(at: str, detail: str) -> Invalid:
    return Invalid("this is not a filter", faults=[Fault(at, detail)])
