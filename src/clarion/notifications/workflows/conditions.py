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


class Constant(msgspec.Struct, frozen=True):
    """A text, a number, true, false or none."""

    given: Any

    def __call__(self, _facts: Facts, _read: Read) -> Any:  # noqa: D102
        return self.given


class Path(msgspec.Struct, frozen=True):
    """A fact's name."""

    name: str

    def __call__(self, facts: Facts, read: Read) -> Any:  # noqa: D102
        found = read[self.name] = value(self.name, facts)
        return found


class List(msgspec.Struct, frozen=True):
    """Several operands."""

    parts: "tuple[Tree, ...]"

    def __call__(self, facts: Facts, read: Read) -> Any:  # noqa: D102
        return [part(facts, read) for part in self.parts]


class Not(msgspec.Struct, frozen=True):
    """The opposite."""

    part: "Tree"

    def __call__(self, facts: Facts, read: Read) -> Any:  # noqa: D102
        return not self.part(facts, read)


class Compared(msgspec.Struct, frozen=True):
    """Two operands and what is between them."""

    one: "Tree"
    name: str
    other: "Tree"

    def __call__(self, facts: Facts, read: Read) -> Any:  # noqa: D102
        return _COMPARE[self.name](self.one(facts, read), self.other(facts, read))


class Joined(msgspec.Struct, frozen=True):
    """`or` (`stop` is true) ends at the first true part, `and` at the first false one: what is not looked at, is not read."""

    parts: "tuple[Tree, ...]"
    stop: bool

    def __call__(self, facts: Facts, read: Read) -> Any:  # noqa: D102
        found = any(bool(part(facts, read)) is self.stop for part in self.parts)
        return self.stop if found else not self.stop


Tree = Constant | Path | List | Not | Compared | Joined
"""A condition, taken apart."""
_WORDS: Final = {"true": True, "false": False, "none": None, "null": None}
_MEANT: Final = {"=": "==", "&": "and", "|": "or", "!": "not"}
"""What whoever comes from another language has in mind."""
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
        tree: Its parts.
    """

    __slots__ = ("paths", "text", "tree")

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
        self.tree = parser.whole()
        self.paths = frozenset(parser.paths)

    def __call__(self, facts: Facts) -> tuple[bool, Read]:
        """Whether it holds, and what it read to find out."""
        read: Read = {}
        return bool(self.tree(facts, read)), read


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

    def whole(self) -> Tree:
        found = self._any()
        if self._next.kind != "end":
            raise self._unexpected()
        return found

    def _any(self) -> Tree:
        parts = [self._all()]
        while self._take("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Joined(tuple(parts), stop=True)

    def _all(self) -> Tree:
        parts = [self._part()]
        while self._take("and"):
            parts.append(self._part())
        return parts[0] if len(parts) == 1 else Joined(tuple(parts), stop=False)

    def _part(self) -> Tree:
        if self._take("not"):
            return Not(self._deeper(self._part))
        one = self._operand()
        name = self._next.text
        if name == "not" and self._tokens[self._at + 1].text == "in":
            self._at += 1
            name = "not in"
        if self._next.kind not in ("mark", "path") or name not in _COMPARE:
            return one
        self._at += 1
        return Compared(one, name, self._operand())

    def _operand(self) -> Tree:
        token = self._next
        self._at += 1
        match token.kind:
            case "path" if token.text in _WORDS:
                return Constant(_WORDS[token.text])
            case "path" if token.text not in ("and", "or", "not", "in"):
                return self._path(token.text)
            case "number":
                return Constant(float(token.text) if "." in token.text else int(token.text))
            case "text":
                return Constant(token.text[1:-1])
            case "mark" if token.text == "(":
                inner = self._deeper(self._any)
                self._expect(")")
                return inner
            case "mark" if token.text == "[":
                return self._list()
        self._at -= 1
        raise self._unexpected()

    def _list(self) -> Tree:
        parts: list[Tree] = []
        while not self._take("]"):
            if parts:
                self._expect(",")
            parts.append(self._deeper(self._operand))
        return List(tuple(parts))

    def _path(self, path: str) -> Tree:
        self.paths[path] = None
        return Path(path)

    def _deeper(self, rule: Callable[[], Tree]) -> Tree:
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
                rest = text[at:].lstrip()
                meant = _MEANT.get(rest[:1])
                raise self._wrong(
                    f"{rest[:20]!r} is not understood (character {at + 1})"
                    + (f": write `{meant}`" if meant else "")
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
