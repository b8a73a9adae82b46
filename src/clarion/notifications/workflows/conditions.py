"""Conditions: `payload.total > 100 and not bell.seen`. Pure, and bounded in what they cost.

    condition   either { "or" either }
    either      part { "and" part }
    part        "not" part | operand [ ( == | != | < | <= | > | >= | in | not in ) operand ]
    operand     path | text | number | true | false | none | "[" [ operand { "," operand } ] "]" | "(" condition ")"

A path names a fact (`payload.order.total`, `recipient.online`, `bell.read`). What is not there is `none`. Two values of different
kinds are never equal, and neither is less than the other; `in` looks into a list for a member, into a text for a part of it, into
an object for a name. As a condition `none`, `false`, 0, '' and what is empty are false.

What a condition has read is returned with its answer, so that a decision can be explained.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from clarion.errors import Fault, Invalid

CHARACTERS: Final = 1_000
DEPTH: Final = 16
"""Of parentheses, lists and `not` in each other."""

Facts = Mapping[str, Any]
Read = dict[str, Any]
"""Path → what was found there."""

_Eval = Callable[[Facts, Read], Any]
_WORDS: Final = {"true": True, "false": False, "none": None, "null": None}
_TOKEN = re.compile(
    r"""\s*(?:(?P<path>[A-Za-z_][\w-]*(?:\.[\w-]+)*)|(?P<number>-?\d+(?:\.\d+)?)
    |(?P<text>'[^'\\]*'|"[^"\\]*")|(?P<mark>==|!=|<=|>=|<|>|\(|\)|\[|\]|,))""",
    re.VERBOSE | re.ASCII,
)


class _Token(msgspec.Struct, frozen=True):
    kind: str  # path, number, text, mark, end
    text: str
    at: int  # characters from the left


class Condition:
    """A compiled condition.

    Attributes:
        text: As it was written.
        paths: Every path that it may read.
    """

    __slots__ = ("_eval", "paths", "text")

    def __init__(self, text: str, pointer: str = "/if") -> None:
        """Compile.

        Args:
            text: The condition, at most 1,000 characters.
            pointer: JSON pointer to it, for faults.

        Raises:
            Invalid: It is not one; says where and why.
        """
        parser = _Parser(text, pointer)
        self.text = text
        self._eval = parser.whole()
        self.paths = frozenset(parser.paths)

    def __call__(self, facts: Facts) -> tuple[bool, Read]:
        """Whether it holds, and what it read to find out."""
        read: Read = {}
        return bool(self._eval(facts, read)), read


def value(path: str, facts: Facts) -> Any:
    """What is at a path such as `payload.order.total`; None where there is nothing."""
    found: Any = facts
    for name in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


class _Parser:
    def __init__(self, text: str, pointer: str) -> None:
        self.paths: dict[str, None] = {}
        self._pointer, self._depth = pointer, DEPTH
        if len(text) > CHARACTERS:
            raise self._wrong(f"a condition has at most {CHARACTERS} characters")
        self._tokens = list(self._scan(text))
        self._at = 0

    def whole(self) -> _Eval:
        found = self._any()
        if self._next.kind != "end":
            raise self._unexpected()
        return found

    def _any(self) -> _Eval:
        parts = [self._all()]
        while self._take("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else _joined(parts, stop=True)

    def _all(self) -> _Eval:
        parts = [self._part()]
        while self._take("and"):
            parts.append(self._part())
        return parts[0] if len(parts) == 1 else _joined(parts, stop=False)

    def _part(self) -> _Eval:
        if self._take("not"):
            part = self._deeper(self._part)
            return lambda facts, read: not part(facts, read)
        one = self._operand()
        name = self._next.text
        if name == "not" and self._tokens[self._at + 1].text == "in":
            self._at += 1
            name = "not in"
        compare = _COMPARE.get(name) if self._next.kind in ("mark", "path") else None
        if compare is None:
            return one
        self._at += 1
        other = self._operand()
        return lambda facts, read: compare(one(facts, read), other(facts, read))

    def _operand(self) -> _Eval:
        token = self._next
        self._at += 1
        match token.kind:
            case "path" if token.text in _WORDS:
                return _constant(_WORDS[token.text])
            case "path" if token.text not in ("and", "or", "not", "in"):
                return self._path(token.text)
            case "number":
                return _constant(float(token.text) if "." in token.text else int(token.text))
            case "text":
                return _constant(token.text[1:-1])
            case "mark" if token.text == "(":
                inner = self._deeper(self._any)
                self._expect(")")
                return inner
            case "mark" if token.text == "[":
                return self._list()
        self._at -= 1
        raise self._unexpected()

    def _list(self) -> _Eval:
        parts: list[_Eval] = []
        while not self._take("]"):
            if parts:
                self._expect(",")
            parts.append(self._deeper(self._operand))
        return lambda facts, read: [part(facts, read) for part in parts]

    def _path(self, path: str) -> _Eval:
        self.paths[path] = None

        def read_path(facts: Facts, read: Read) -> Any:
            found = read[path] = value(path, facts)
            return found

        return read_path

    def _deeper(self, rule: Callable[[], _Eval]) -> _Eval:
        self._depth -= 1
        if self._depth < 0:
            raise self._wrong(f"a condition is nested at most {DEPTH} deep")
        found = rule()
        self._depth += 1
        return found

    def _scan(self, text: str) -> Iterator[_Token]:
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None:
                raise self._wrong(
                    f"{text[at:].lstrip()[:20]!r} is not understood (character {at + 1})"
                )
            kind = str(found.lastgroup)
            yield _Token(kind, found[kind], found.start(kind))
            at = found.end()
        yield _Token("end", "", end)

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, text: str) -> bool:
        is_there = self._next.text == text and self._next.kind != "text"
        self._at += is_there
        return is_there

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._unexpected()

    def _unexpected(self) -> Invalid:
        token = self._next
        if token.kind == "end":
            return self._wrong("the condition ends too early")
        return self._wrong(f"{token.text!r} does not belong there (character {token.at + 1})")

    def _wrong(self, detail: str) -> Invalid:
        return Invalid(detail, faults=[Fault(self._pointer, detail)])


def _constant(constant: Any) -> _Eval:
    return lambda _facts, _read: constant


def _joined(parts: list[_Eval], *, stop: bool) -> _Eval:
    """`or` stops at the first true part, `and` at the first false one: what is not looked at, is not read."""

    def joined(facts: Facts, read: Read) -> bool:
        return stop if any(bool(part(facts, read)) is stop for part in parts) else not stop

    return joined


def _equal(one: Any, other: Any) -> bool:
    return _kind(one) == _kind(other) and bool(one == other)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def ordered(one: Any, other: Any) -> bool:
        kind = _kind(one)
        return kind in ("number", "text") and kind == _kind(other) and compare(one, other)

    return ordered


def _within(one: Any, other: Any) -> bool:
    if isinstance(other, str):
        return isinstance(one, str) and one in other
    if isinstance(other, list):
        return any(_equal(one, each) for each in other)
    return isinstance(other, Mapping) and isinstance(one, str) and one in other


def _kind(given: Any) -> str:
    match given:
        case None:
            return "none"
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "text"
        case _:
            return "other"


_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": _equal,
    "!=": lambda one, other: not _equal(one, other),
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
    "in": _within,
    "not in": lambda one, other: not _within(one, other),
}
