"""The bench: renders texts one after the other, and checks them. It is what a worker process runs.

A source is known by an id that says all of it (its text, its kind, what the templates that it names resolve to), so that it never
changes, and whoever has learnt it once can keep it.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

import minijinja
import msgspec
from msgspec import Struct

from clarion.templates import reading
from clarion.templates.formats import FILTERS, Formats, Texts

Kind = Literal["text", "line", "html", "mjml"]
"""`line`: a text of one line, as a subject is. `html`, `mjml`: what facts say is escaped; MJML is made HTML, and styles are inlined."""

# namespace: state that survives loops, and grows without bound. debug: prints all that the template is given.
_REMOVED: Final = ("namespace", "debug")

_KINDS: Final = {"OutOfFuel": "computes too much"}


class Source(Struct, frozen=True, array_like=True):
    """A template. `links`: what it calls others → their ids; `label`: what a person calls it."""

    id: str
    text: str
    is_html: bool
    links: dict[str, str]
    label: str


class Item(Struct, frozen=True, array_like=True):
    """One text to be rendered. `shared` and `texts` are indexes into what its job brings, -1: none."""

    source: str
    kind: Kind
    shared: int
    own: dict[str, Any]
    locale: str
    zone: str
    texts: int


class Job(Struct, frozen=True, array_like=True):
    """What a worker is asked at a time.

    Attributes:
        forget: Whether everything learnt before is forgotten first.
        learn: Sources that it may not know yet.
        shared: Facts that several items have in common.
        texts: What languages say, the best first.
        items: What is to be rendered.
        checks: Ids of sources that are to be checked instead.
        now_ms: The time.
        is_careful: Whether each answer is sent at once: the former worker died of one of them.
    """

    forget: bool
    learn: list[Source]
    shared: list[dict[str, Any]]
    texts: list[list[dict[str, Any]]]
    items: list[Item]
    checks: list[str]
    now_ms: int
    is_careful: bool = False


def _refuse(*_: object, **__: object) -> None:
    raise TypeError("what a text is given cannot be changed")


class _Fixed(dict[str, Any]):
    pop = popitem = clear = update = setdefault = _refuse  # type: ignore[assignment]


class _FixedList(list[Any]):
    pop = append = extend = insert = remove = clear = sort = reverse = _refuse


def _fixed(value: Any) -> Any:
    if isinstance(value, dict):
        return _Fixed({name: _fixed(each) for name, each in value.items()})
    return _FixedList(map(_fixed, value)) if isinstance(value, list) else value


_decode = msgspec.json.Decoder(Job).decode


def read_job(data: bytes) -> Job:
    """A job as it travels. Templates can call what Python's dicts and lists can do: what several items share must not change between them."""
    job = _decode(data)
    return msgspec.structs.replace(job, shared=_fixed(job.shared))


class Wrong(Struct, frozen=True, array_like=True):
    """Why there is no text: in which template, on which line and column (from 1; 0: it cannot be said)."""

    why: str
    template: str = ""
    line: int = 0
    column: int = 0
    limit: str = ""
    """Which limit of the settings it is, if it is one."""

    def said(self) -> str:
        """In words."""
        if not self.line:
            return self.why
        where = f"line {self.line}, column {self.column}"
        return (
            f"{self.why} ({where} of {self.template})" if self.template else f"{self.why} ({where})"
        )


class Checked(Struct, frozen=True, array_like=True):
    """What is wrong with a template, and the names of facts that it reads (`payload.actor.name`)."""

    wrong: list[Wrong]
    names: list[str]


class Answer(Struct, frozen=True, array_like=True):
    """What came of an item (a text, or why there is none) or of a check."""

    text: str = ""
    wrong: Wrong | None = None
    checked: Checked | None = None


class Bench:
    """Renders and checks.

    Args:
        fuel: Instructions of one text.
        output: Characters of one text.
    """

    def __init__(self, fuel: int, output: int) -> None:
        self._fuel, self._output = fuel, output
        self._formats = Formats()
        self.forget()

    def forget(self) -> None:
        """Forget every source."""
        self._sources: dict[str, Source] = {}
        self._environment = self._new()

    def learn(self, sources: Sequence[Source]) -> None:
        """Learn sources."""
        for source in sources:
            self._sources[source.id] = source

    def render(self, job: Job, item: Item) -> Answer:
        """One item of a job."""
        formats = self._formats
        formats.locale, formats.zone, formats.now_ms = item.locale, item.zone, job.now_ms
        formats.texts = job.texts[item.texts] if item.texts >= 0 else ()
        shared = job.shared[item.shared] if item.shared >= 0 else {}
        try:
            text = self._environment.render_template(item.source, **{**shared, **item.own})
            text = _finish(text, item.kind)
        except minijinja.TemplateError as exc:
            return Answer(wrong=self._wrong(exc))
        except (ValueError, TypeError, ArithmeticError, LookupError, RecursionError) as exc:
            return Answer(wrong=Wrong(_words_of(exc)))
        except MemoryError:
            return Answer(wrong=Wrong("takes too much memory", limit="memory_mb"))
        if len(text) > self._output:
            why = f"{len(text)} characters, {self._output} are allowed"
            return Answer(wrong=Wrong(why, limit="output"))
        return Answer(text)

    def check(self, id: str) -> Answer:
        """What is wrong with a source, without rendering it."""
        source = self._sources[id]
        wrong: list[Wrong] = []
        try:
            names = self._environment.undeclared_variables_in_str(source.text, nested=True)
        except minijinja.TemplateError as exc:
            return Answer(checked=Checked([self._wrong(exc, source)], []))
        for name, offset in reading.filters(source.text):
            if not self._has_filter(name):
                line, column = reading.place(source.text, offset)
                wrong.append(Wrong(f"there is no filter {name[:40]!r}", "", line, column))
        return Answer(checked=Checked(wrong, sorted(names)))

    def _has_filter(self, name: str) -> bool:
        try:
            self._environment.eval_expr(f"1|{name}")
        except minijinja.TemplateError as exc:
            return str(exc.kind) != "UnknownFilter"
        except (ValueError, TypeError, ArithmeticError, LookupError):
            return True  # it is there, and wants something else
        return True

    def _new(self) -> minijinja.Environment:
        environment = minijinja.Environment(
            loader=self._load,
            fuel=self._fuel,
            auto_escape_callback=lambda name: name.endswith(".html"),
            keep_trailing_newline=True,
            path_join_callback=self._link,
        )
        for name in _REMOVED:
            environment.remove_global(name)
        for name in FILTERS:
            environment.add_filter(name, getattr(self._formats, name))
        environment.add_global("t", self._formats.t)
        return environment

    def _load(self, name: str) -> str | None:
        source = self._sources.get(name)
        return None if source is None else source.text

    def _link(self, name: str, parent: str) -> str:
        source = self._sources.get(parent)
        return name if source is None else source.links.get(name, name)

    def _wrong(self, exc: minijinja.TemplateError, source: Source | None = None) -> Wrong:
        source = source or self._sources.get(str(exc.name or ""))
        why = str(exc.detail or _KINDS.get(str(exc.kind), exc.kind) or exc).splitlines()[0][:500]
        if exc.__cause__ is not None:
            why = _words_of(exc.__cause__)
        limit = "fuel" if str(exc.kind) == "OutOfFuel" else ""
        if source is None:
            return Wrong(why, limit=limit)
        line, column = int(exc.line or 0), 0
        if exc.range is not None:
            before = source.text.encode()[: exc.range[0]].decode(errors="replace")
            line, column = reading.place(before + " ", len(before))
        return Wrong(why, source.label, line, column, limit)


def _words_of(exc: BaseException) -> str:
    return (str(exc) or type(exc).__name__).splitlines()[0][:500]


def _finish(text: str, kind: Kind) -> str:
    if kind == "line":
        return one_line(text)
    if kind == "mjml":
        # Imported where they are used: most workers never see a mail.
        import mjml

        text = mjml.mjml2html(text)
    if kind in ("html", "mjml") and "<style" in text:
        import css_inline

        inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)
        text = inliner.inline(text)
    return text


def one_line(text: str) -> str:
    """A text without anything that would end a line, or steer what shows it: each run of it is one space."""
    if text.isprintable():
        return text
    return " ".join("".join(ch if ch.isprintable() else " " for ch in text).split())


def texts_of(texts: Sequence[Texts]) -> list[dict[str, Any]]:
    """What languages say, as a job brings it."""
    return [dict(each) for each in texts]
