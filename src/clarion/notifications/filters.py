"""Filters: conditions over subscribers, `recipient.attributes.plan == "pro"`, and what of them SQL can decide. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from clarion.errors import Fault, Invalid
from clarion.notifications.workflows.conditions import (
    Compared,
    Condition,
    Constant,
    Joined,
    List,
    Not,
    Path,
    Tree,
)
from clarion.storage.store import Param
from clarion.storage.targets import Narrowed

COLUMNS: Final = ("id", "name", "email", "phone", "locale", "time_zone")
_ATTRIBUTES: Final = "recipient.attributes."


def read_filter(text: str, pointer: str = "/filter") -> Condition:
    """Compile a filter.

    Raises:
        Invalid: It is no condition, or asks for something else than the subscriber; says where.
    """
    condition = Condition(text, pointer)
    for path in sorted(condition.paths):
        if _column(path) is None and not path.startswith(_ATTRIBUTES):
            known = ", ".join(f"recipient.{name}" for name in COLUMNS)
            detail = f"{path!r} is nothing that is known of a subscriber: {known}, recipient.attributes.…"
            raise Invalid(detail, faults=[Fault(pointer, detail)])
    return condition


def narrow(condition: Condition, prefix: str) -> Narrowed:
    """What SQL can say of a filter: never less than it lets through.

    Args:
        condition: Over `recipient.…`.
        prefix: Of the names of its parameters.
    """
    params: dict[str, Param] = {}
    found = _Narrower(prefix, params).of(condition.tree)
    return Narrowed(found.where, params, found.is_exact)


_NOTHING: Final = Narrowed()


class _Narrower:
    def __init__(self, prefix: str, params: dict[str, Param]) -> None:
        self._prefix, self._params = prefix, params

    def of(self, tree: Tree) -> Narrowed:
        match tree:
            case Joined(parts, stop):
                return _joined([self.of(part) for part in parts], is_or=stop)
            case Not(part):
                inner = self.of(part)
                return Narrowed(f"NOT ({inner.where})", {}, True) if inner.is_exact else _NOTHING
            case Compared(Path(name), compare, other):
                return self._compared(name, compare, other)
            case Compared(Constant() as one, "==" | "!=" as compare, Path(name)):
                return self._compared(name, compare, one)
            case Path(name):
                return self._there(name)
        return _NOTHING

    def _compared(self, path: str, compare: str, other: Tree) -> Narrowed:
        texts = _texts(other)
        column = _column(path)
        if compare in ("==", "!=") and isinstance(other, Constant) and other.given is None:
            return Narrowed(f"{column} {_EQUAL[compare]} ''", {}, True) if column else _NOTHING
        if compare in ("==", "!=") and isinstance(other, List):
            return _NOTHING
        if not texts or compare not in _IN:
            is_true = isinstance(other, Constant) and bool(other.given)
            return self._there(path, is_exact=False) if compare == "==" and is_true else _NOTHING
        if isinstance(other, Constant) and compare in ("in", "not in"):
            return _NOTHING  # a part of a text
        names = ", ".join(map(self._param, texts))
        if column is not None:
            return Narrowed(f"{column} {_IN[compare]} ({names})", {}, True)
        if compare in ("==", "in"):
            # What looks like a text may be a number there: the filter itself decides.
            return Narrowed(f"{_text_at(path)} IN ({names})", {}, False)
        return _NOTHING

    def _there(self, path: str, *, is_exact: bool = True) -> Narrowed:
        column = _column(path)
        if column is not None:
            return Narrowed(f"{column} <> ''", {}, is_exact)
        return Narrowed(f"{_text_at(path)} IS NOT NULL", {}, False)

    def _param(self, text: str) -> str:
        name = f"{self._prefix}{len(self._params)}"
        self._params[name] = text
        return f":{name}"


_EQUAL: Final[Mapping[str, str]] = {"==": "=", "!=": "<>"}
_IN: Final[Mapping[str, str]] = {"==": "IN", "in": "IN", "!=": "NOT IN", "not in": "NOT IN"}


def _texts(tree: Tree) -> list[str]:
    """The texts that a path is compared with; nothing where there is something else among them ('' too: that is what is not known)."""
    parts: Sequence[Any] = tree.parts if isinstance(tree, List) else [tree]
    given = [part.given if isinstance(part, Constant) else None for part in parts]
    texts = [each for each in given if isinstance(each, str) and each]
    return texts if len(texts) == len(given) else []


def _column(path: str) -> str | None:
    name = path.removeprefix("recipient.")
    return f"s.{name}" if path != name and name in COLUMNS else None


def _text_at(path: str) -> str:
    return f"{{text_at s.attributes {path.removeprefix(_ATTRIBUTES)}}}"


def _joined(parts: Sequence[Narrowed], *, is_or: bool) -> Narrowed:
    said = [part.where for part in parts if part.where]
    if is_or and len(said) < len(parts):
        return _NOTHING
    text = (" OR " if is_or else " AND ").join(f"({where})" for where in said)
    return Narrowed(text, {}, all(part.is_exact for part in parts))
