"""Sayings: which content a step says to whom, inline or of a stored template, in which language, put together for rendering."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from clarion.notifications.going import Going
from clarion.notifications.library import Book, Library
from clarion.notifications.prepared import Prepared, Tangled, prepare
from clarion.notifications.template import Template, choose, language, texts_for
from clarion.notifications.workflows.contents import merge
from clarion.notifications.workflows.definition import Say, Step
from clarion.settings import Templates
from clarion.templates.bench import texts_of

KEPT: Final = 2_000  # contents, prepared

Books = Mapping[str, Book]
"""The stored templates of tenants, as they are now."""


class Sayings:
    """Finds what steps say.

    Args:
        library: Stored templates.
        settings: `locale`, `parts`.
    """

    def __init__(self, library: Library, settings: Templates) -> None:
        self._library, self._settings = library, settings
        self._kept: dict[tuple[Any, ...], tuple[object, Prepared]] = {}

    async def books(self, goings: Sequence[Going]) -> Books:
        """The templates that the workflows of these runs use, in their current versions."""
        wanted: dict[str, set[str]] = {}
        for going in goings:
            if going.workflow.templates:
                wanted.setdefault(going.tenant, set()).update(going.workflow.templates)
        return {
            tenant: await self._library.book(tenant, sorted(names))
            for tenant, names in wanted.items()
        }

    def prepared(self, going: Going, step: Step, books: Books) -> Prepared:
        """What a step says to a recipient, prepared."""
        say = step.act
        assert isinstance(say, Say)
        book, locale = books.get(going.tenant), str((going.recipient or {}).get("locale", ""))
        key: tuple[Any, ...] = (id(say),)
        if book is not None and say.templates:
            key = (id(say), book.revision, locale)
        if (kept := self._kept.get(key)) is not None:
            return kept[1]
        found = self.prepare_step(say, book, locale)
        while len(self._kept) >= KEPT:
            self._kept.pop(next(iter(self._kept)))
        # Who is kept alive by its entry leaves its id to nobody else.
        self._kept[key] = (say, found)
        return found

    def prepare_step(self, say: Say, book: Book | None, locale: str) -> Prepared:
        """What a step would say to somebody of that language."""
        if not say.template:
            return self._prepare(say.content, book, locale, "", [], {})
        stored = None if book is None else book.find(say.template)
        if book is None or stored is None:
            return _wrong(f"there is no template {say.template!r}")
        return self.prepare_template(
            stored.template, stored.version, say.channel, book, locale, say.content
        )

    def prepare_template(
        self,
        template: Template,
        version: int,
        channel: str,
        book: Book,
        locale: str,
        own: Mapping[str, Any],
    ) -> Prepared:
        """What a template says on a channel to somebody of that language; `own` members of the step go before its own."""
        said = template.channels.get(channel)
        default = self._settings.locale
        chosen = said and choose(said, locale, default, template.locale or default)
        if not said or not chosen:
            return _wrong(f"the template {template.template!r} says nothing on {channel}")
        # Whoever is spoken to in another language is also told dates and numbers in it.
        is_theirs = bool(locale) and (
            language(locale) == language(chosen)
            or any(language(each) == language(locale) for each in template.texts)
        )
        spoken = locale if is_theirs else chosen
        names = book.closure(template.channels.get(channel, {}).get(chosen, {}))
        texts = texts_for(template.texts, spoken, default, template.locale or default)
        for name in names:
            if (part := book.find(name)) is not None:
                texts += texts_for(part.template.texts, spoken, default)
        read = {"template": template.template, "version": version, "locale": chosen}
        return self._prepare(
            merge(said[chosen], own), book, spoken, template.template, texts_of(texts), read
        )

    def _prepare(
        self,
        content: Mapping[str, Any],
        book: Book | None,
        locale: str,
        label: str,
        texts: list[dict[str, Any]],
        read: Mapping[str, Any],
    ) -> Prepared:
        used: dict[str, int] = {}
        find = self.finder(book, locale, used)
        try:
            found = prepare(content, find, self._settings.parts, label)
        except Tangled as exc:
            return _wrong(str(exc), read)
        read = {**read, "parts": used} if used else read
        return Prepared(
            found.content, found.slots, found.sources, texts, locale if label else "", read
        )

    def finder(
        self, book: Book | None, locale: str, used: dict[str, int] | None = None
    ) -> Callable[[str], str | None]:
        """Finds parts in a language, and notes in `used` in which version."""

        def find(name: str) -> str | None:
            if book is None or (stored := book.find(name)) is None:
                return None
            default = self._settings.locale
            own = stored.template.locale or default
            chosen = choose(stored.template.part, locale, default, own)
            if chosen is None:
                return None
            if used is not None:
                used[name] = stored.version
            return stored.template.part[chosen]

        return find


def _wrong(why: str, read: Mapping[str, Any] | None = None) -> Prepared:
    return Prepared({}, (), {}, read=read or {}, wrong=why)
