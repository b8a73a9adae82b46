"""The library: stored templates as they are now, read once a revision.

Every change of a template raises its tenant's revision, so that one row says whether what this process knows is still so.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from clarion.errors import NotFound
from clarion.notifications.prepared import texts_in
from clarion.notifications.template import Template
from clarion.storage import templates as sql
from clarion.storage.store import Store
from clarion.templates import reading

CACHED: Final = 1_000  # versions of templates
BOOKS: Final = 200  # tenants whose heads are kept


class Stored(Struct, frozen=True):
    """A template in a version."""

    template: Template
    version: int


class Book:
    """A tenant's templates at one revision. Those that were asked for are loaded, with what they name.

    Attributes:
        tenant: Whose.
        revision: How often they have changed.
        heads: Which version of each is the current one.
    """

    def __init__(self, tenant: str, revision: int, heads: Mapping[str, int]) -> None:
        self.tenant, self.revision, self.heads = tenant, revision, heads
        self.loaded: dict[str, Stored] = {}

    def find(self, name: str) -> Stored | None:
        """The current version of a template that is loaded."""
        return self.loaded.get(name)

    def closure(self, content: Any) -> list[str]:
        """The templates that a content is made of, as far as they are loaded, each once."""
        found: dict[str, None] = {}
        waiting = names_in(content)
        while waiting:
            name = waiting.pop(0)
            if name in found or (stored := self.loaded.get(name)) is None:
                continue
            found[name] = None
            waiting += names_in(stored.template.part)
        return list(found)

    def with_draft(self, template: Template, version: int) -> "Book":
        """The same with one template as it might be."""
        book = Book(self.tenant, self.revision, {**self.heads, template.template: version})
        book.loaded = {**self.loaded, template.template: Stored(template, version)}
        return book


class Library:
    """Reads stored templates.

    Args:
        store: Where they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._versions: dict[tuple[str, str, int], Template] = {}
        self._books: dict[str, Book] = {}

    async def book(self, tenant: str, names: Iterable[str]) -> Book:
        """A tenant's templates as they are now, these and what they name loaded."""
        found = await self._store.fetch(sql.REVISION, tenant=tenant)
        revision = found[0].revision if found else 0
        book = self._books.get(tenant)
        if book is None or book.revision != revision:
            heads = await self._store.fetch(sql.HEADS, tenant=tenant)
            book = Book(tenant, revision, {head.template: head.version for head in heads})
            while len(self._books) >= BOOKS:
                self._books.pop(next(iter(self._books)))
            self._books[tenant] = book
        await self.load(book, names)
        return book

    async def load_named(self, book: Book, template: Template) -> None:
        """Load what a draft names, too."""
        await self.load(book, names_in(template))

    async def version(self, tenant: str, template: str, version: int) -> Template:
        """One version.

        Raises:
            NotFound: There is none.
        """
        key = (tenant, template, version)
        if (kept := self._versions.get(key)) is not None:
            return kept
        rows = await self._store.fetch(
            sql.FIND_VERSION, tenant=tenant, template=template, version=version
        )
        if not rows:
            raise NotFound(f"there is no template {template!r} in version {version}")
        found = msgspec.json.decode(rows[0].definition, type=Template)
        while len(self._versions) >= CACHED:
            self._versions.pop(next(iter(self._versions)))
        self._versions[key] = found
        return found

    async def load(self, book: Book, names: Iterable[str]) -> None:
        """Load these, too, and what they name."""
        waiting = [name for name in names if name not in book.loaded]
        while waiting:
            name = waiting.pop()
            if name in book.loaded or (version := book.heads.get(name)) is None:
                continue
            template = await self.version(book.tenant, name, version)
            book.loaded[name] = Stored(template, version)
            waiting += names_in(template)


def names_in(content: Any) -> list[str]:
    """The templates that the texts of a content name."""
    if isinstance(content, Template):
        content = {"channels": content.channels, "part": content.part}
    texts = (text for _, text, _ in texts_in(content) if "{%" in text)
    return [each.name for text in texts for each in reading.named(text) if each.name]
