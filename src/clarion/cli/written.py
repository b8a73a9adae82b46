"""Files of YAML as data, with the line of each member: what a fault found anywhere is told by.

Read are YAML 1.2's plain values: `true` and `false`, null, numbers, and text; `10:30`, `on` and `2026-05-01` are text. Not read are
anchors, tags, names given twice, numbers of more than 64 bits, and whatever is larger than a definition may be.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from msgspec import Struct

from clarion.errors import UsageError, pointer_step

FILE_BYTES: Final = 256 * 1024
DEPTH: Final = 40
FILES: Final = 1_000
KINDS: Final = ("workflow", "template", "schedule", "preferences")
_INT = re.compile(r"[-+]?[0-9]+")
_INT_CHARS: Final = 20  # of any in 64 bits, as ids of chats are
_INTS: Final = range(-(2**63), 2**64)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Final = {"null": None, "true": True, "false": False}
_PLAIN: Final = {"": None, "~": None} | {
    written: value
    for word, value in _WORDS.items()
    for written in (word, word.capitalize(), word.upper())
}


class Flaw(Exception):
    """Something in a file is wrong.

    Args:
        path: The file.
        line: Counted from 1.
        detail: What is wrong there.
    """

    def __init__(self, path: Path, line: int, detail: str) -> None:
        self.path, self.line, self.detail = path, line, detail
        super().__init__(f"{path}:{line}: {detail}")


class Written(Struct, frozen=True):
    """What a file says; `kind`: what of, which is also the member with its name; `lines`: JSON pointer of each member → where it stands."""

    path: Path
    kind: str
    data: dict[str, Any]
    lines: dict[str, int]

    def flaw(self, pointer: str, detail: str) -> Flaw:
        """A fault of a member; one that is not there is told at what should hold it."""
        at = pointer
        while at and at not in self.lines:
            at = at.rpartition("/")[0]
        said = f"{detail} ({pointer})" if pointer else detail
        return Flaw(self.path, self.lines.get(at, 1), said)


def files(named: list[Path]) -> list[Path]:
    """Files that are named, and those ending in .yaml or .yml in folders that are, each once.

    Raises:
        UsageError: One is not there, or there are none, or too many.
    """
    found: dict[Path, Path] = {}  # where it really is → as it was named
    for path in named:
        try:
            found = {each.resolve(): each for each in _inside(path)} | found
        except OSError as exc:
            raise UsageError(f"{str(path)[:200]} cannot be read: {exc.strerror}") from exc
    if not found:
        raise UsageError(f"no .yaml or .yml file is in {', '.join(map(str, named))}")
    if len(found) > FILES:
        raise UsageError(f"{len(found)} files, {FILES} are allowed")
    return sorted(found.values())


def _inside(path: Path) -> list[Path]:
    if path.is_dir():
        found = (each for each in path.rglob("*") if each.suffix in (".yaml", ".yml"))
        return [each for each in found if each.is_file()]
    if path.is_file():
        return [path]
    raise UsageError(f"there is no file or folder {path}")


def read(path: Path) -> Written:
    """What a file says.

    Raises:
        Flaw: It is not YAML, or has what is not read.
    """
    text = _text(path)
    try:
        _check(path, yaml.SafeLoader(text))
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        detail = " ".join(str(exc.problem or exc.context).split())
        raise Flaw(path, mark.line + 1 if mark else 1, f"not YAML: {detail}") from exc
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        raise Flaw(path, line, "not YAML: a character that may not be in it") from exc
    lines: dict[str, int] = {}
    data = None if node is None else _value(path, node, "", lines)
    said = data if isinstance(data, dict) else {}
    if (kind := next((each for each in KINDS if each in said), None)) is None:
        known = ", ".join(f"`{each}:`" for each in KINDS)
        raise Flaw(path, 1, f"a definition is expected, with its name behind one of {known}")
    return Written(path, kind, said, lines)


def yaml_of(definition: Mapping[str, Any], *, is_sorted: bool = False) -> str:
    """A definition as a file that reads as the same; sorted: so that two may be compared by line."""
    return yaml.dump(  # type: ignore[no-any-return]  # no stream: a text
        dict(definition), Dumper=_Dumper, allow_unicode=True, width=math.inf, sort_keys=is_sorted
    )


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML has no types
    """Text of several lines as it looks; what would be read as something else than text in quotes."""

    def text(self, text: str) -> yaml.Node:
        style = "|" if "\n" in text else None
        if text in _PLAIN or _INT.fullmatch(text) or _FLOAT.fullmatch(text):
            style = "'"
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(str, _Dumper.text)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES + 1)
    except OSError as exc:
        raise Flaw(path, 1, f"cannot be read: {exc.strerror}") from exc
    if len(content) > FILE_BYTES:
        raise Flaw(path, 1, f"more than {FILE_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise Flaw(path, line, "not UTF-8") from exc


def _check(path: Path, loader: yaml.SafeLoader) -> None:
    """Refuses what would grow, or nest without end, before anything is made of it."""
    depth = documents = 0
    for event in _events(path, loader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise Flaw(path, line, "anchors and aliases (& and *) are not read: write it out")
        if getattr(event, "tag", None):
            raise Flaw(path, line, "tags (!) are not read")
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise Flaw(path, line, "a second document: one definition a file")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise Flaw(path, line, f"nested deeper than {DEPTH}")


def _events(path: Path, loader: yaml.SafeLoader) -> Iterator[Any]:
    try:
        while loader.check_event():
            yield loader.get_event()
    except (ValueError, OverflowError) as exc:  # PyYAML's own, of `\UFFFFFFFF` or `%YAML 1.99…`
        raise Flaw(path, loader.line + 1, "not YAML: an escape or a version too large") from exc


def _value(path: Path, node: Any, at: str, lines: dict[str, int]) -> Any:
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return dict(_members(path, node, at, lines))
    if isinstance(node, yaml.SequenceNode):
        return [_value(path, each, f"{at}/{n}", lines) for n, each in enumerate(node.value)]
    return _scalar(path, node)


def _members(path: Path, node: Any, at: str, lines: dict[str, int]) -> Iterator[tuple[str, Any]]:
    for name, value in node.value:
        line = name.start_mark.line + 1
        if not isinstance(name, yaml.ScalarNode):
            raise Flaw(path, line, "the name of a member is not text (quote what begins with `{{`)")
        _check_text(path, name)
        where = f"{at}/{pointer_step(name.value)}"
        if where in lines:
            raise Flaw(
                path, line, f"`{name.value[:64]}` stands here twice, first on line {lines[where]}"
            )
        lines[where] = line
        yield name.value, _value(path, value, where, lines)


def _scalar(path: Path, node: Any) -> Any:
    _check_text(path, node)
    text: str = node.value
    if node.style is not None:
        return text
    if text in _PLAIN:
        return _PLAIN[text]
    if _INT.fullmatch(text):
        if len(text) > _INT_CHARS or int(text) not in _INTS:
            raise Flaw(path, node.start_mark.line + 1, "a number too large: quote it to be text")
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise Flaw(path, node.start_mark.line + 1, "a number too large: quote it to be text")
        return number
    return text


def _check_text(path: Path, node: Any) -> None:
    if any("\ud800" <= char <= "\udfff" for char in node.value):
        raise Flaw(path, node.start_mark.line + 1, "half a surrogate pair is no text")
