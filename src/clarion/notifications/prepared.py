"""Contents, prepared: what of them is constant, what is plain, and what a worker renders. Pure.

A content is what a step says on a channel: JSON in which every text is a template. A member named `html` is HTML, `mjml` is MJML and
stands as `html` in what comes of it, `subject` and `headers` are of one line.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from clarion.ids import digest
from clarion.templates import reading
from clarion.templates.bench import Kind, Source
from clarion.templates.formats import FILTERS
from clarion.templates.plain import Plain, read_plain

_KINDS: Final[Mapping[str, Kind]] = {
    "html": "html",
    "mjml": "mjml",
    "subject": "line",
    "headers": "line",
}
_FORMATS: Final = frozenset((*FILTERS, "t"))


class Slot(Struct, frozen=True):
    """A text that is not constant. `at`: a pointer to it."""

    at: str
    source: Source
    kind: Kind
    plain: Plain | None
    words: frozenset[str]
    is_formatted: bool
    """Whether it depends on the reader's language and zone."""


class Prepared(Struct, frozen=True):
    """A content whose texts are ready to be filled in.

    Attributes:
        content: As it was written.
        slots: Its texts that are not constant, in the order of `refill`.
        sources: All templates that they need, by id.
        texts: What languages say, the best first.
        locale: The language in which it is written; '': the reader's.
        read: What was chosen, for the record.
        wrong: Why it cannot be rendered for anybody; '': it can.
    """

    content: Mapping[str, Any]
    slots: tuple[Slot, ...]
    sources: dict[str, Source]
    texts: list[dict[str, Any]] = []
    locale: str = ""
    read: Mapping[str, Any] = {}
    wrong: str = ""


Find = Callable[[str], str | None]
"""The text of the template of that name; None: there is none."""


class Tangled(Exception):
    """Templates that name each other cannot be put together; says why."""


def prepare(content: Mapping[str, Any], find: Find, most: int, label: str = "") -> Prepared:
    """Prepare a content.

    Args:
        content: As it is written.
        find: Where templates are that it names.
        most: So many of them at most.
        label: What a person calls it.

    Raises:
        Tangled: They name each other in a circle, or are too many.
    """
    sources: dict[str, Source] = {}
    slots: list[Slot] = []
    for at, text, kind in texts_in(content):
        if is_constant(text, kind):
            continue
        is_html = kind in ("html", "mjml")
        if kind != "mjml" and (plain := read_plain(text)) is not None and "<style" not in text:
            # Facts that are more than plain text are left to a worker after all.
            source = _source(text, {}, is_html, f"{label}{at}")
            sources[source.id] = source
            slots.append(Slot(at, source, kind, plain, reading.words(text), False))
            continue
        source, found = linked(text, f"{label}{at}", is_html, find, most)
        sources |= found
        words = frozenset().union(*(reading.words(each.text) for each in found.values()))
        slots.append(Slot(at, source, kind, None, words, bool(words & _FORMATS)))
    return Prepared(content, tuple(slots), sources)


def linked(
    text: str, label: str, is_html: bool, find: Find, most: int, above: tuple[str, ...] = ()
) -> tuple[Source, dict[str, Source]]:
    """A template with all that it names, by id; `above` are those that it is in itself.

    Raises:
        Tangled: They name each other in a circle, or are too many.
    """
    sources: dict[str, Source] = {}
    done: dict[str, Source] = {}

    def link(text: str, label: str, above: tuple[str, ...]) -> Source:
        links: dict[str, str] = {}
        for each in reading.named(text):
            if each.name in above:
                raise Tangled(f"{' → '.join((*above, each.name))} is a circle")
            if each.name not in done:
                if (other := find(each.name)) is None:
                    continue  # where it is rendered, that says so
                if len(done) >= most:
                    raise Tangled(f"names more than {most} others, theirs included")
                done[each.name] = link(other, each.name, (*above, each.name))
            links[each.name] = done[each.name].id
        source = _source(text, links, is_html, label)
        sources[source.id] = source
        return source

    return link(text, label, above), sources


def nothing(name: str) -> None:
    """Finds none: for contents that name no other templates."""


def is_constant(text: str, kind: Kind) -> bool:
    """Whether a text is for everybody just as it is written."""
    if kind == "mjml" or (kind == "html" and "<style" in text):
        return not text
    return "{" not in text and (kind != "line" or text.isprintable())


def texts_in(value: Any, kind: Kind = "text", at: str = "") -> Iterator[tuple[str, str, Kind]]:
    """The texts of a content, each with a pointer to it and its kind."""
    if isinstance(value, str):
        yield at, value, kind
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from texts_in(each, kind_of(name, kind), f"{at}/{name}")
    elif isinstance(value, Sequence):
        for n, each in enumerate(value):
            yield from texts_in(each, kind, f"{at}/{n}")


def refill(value: Any, texts: Iterator[str], kind: Kind = "text") -> Any:
    """A content with what has become of its slots, in their order."""
    if isinstance(value, str):
        return value if is_constant(value, kind) else next(texts)
    if isinstance(value, Mapping):
        filled = {}
        for name, each in value.items():
            if name == "mjml" and isinstance(each, str):
                if each:
                    filled["html"] = next(texts)
                continue
            filled[name] = refill(each, texts, kind_of(name, kind))
        return filled
    if isinstance(value, list | tuple):
        return [refill(each, texts, kind) for each in value]
    return value


def kind_of(name: str, above: Kind) -> Kind:
    """What a member's texts are."""
    return _KINDS.get(name, "line" if above == "line" else "text")


def _source(text: str, links: dict[str, str], is_html: bool, label: str) -> Source:
    suffix = "html" if is_html else "txt"
    said = msgspec.json.encode([text, links, label]).decode()
    return Source(f"{digest(said)}.{suffix}", text, is_html, links, label)
