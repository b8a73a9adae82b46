"""What both clients say of search."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clarion.client import search_calls
from clarion.client.calling import AsyncCalls, Calls
from clarion.client.calls import ApiError, batches
from clarion.client.search_calls import Collection, Document, Results, Written


class SearchCalls(Calls):
    """The part of `Client` that speaks of search."""

    def put_collection(
        self, name: str, fields: Mapping[str, str], facets: Sequence[str] = ()
    ) -> Collection:
        """Make a collection, or change one.

        Args:
            name: Letters, digits, `.`, `_`, `-`.
            fields: Field → `text`, `keyword`, `number`, `time` or `bool`; those of a collection with documents cannot change.
            facets: Fields whose values can be counted.

        Raises:
            ApiError: `conflict`: there are documents with other fields.
        """
        return self.call(search_calls.put_collection(name, fields, facets))

    def collection(self, name: str) -> Collection:
        """A collection."""
        return self.call(search_calls.collection(name))

    def collections(self, *, after: str = "", limit: int = 100) -> dict[str, Any]:
        """A page of collections, in the order of their names: `{items, more}`."""
        return self.call(search_calls.collections(after, limit))

    def delete_collection(self, name: str) -> None:
        """Remove a collection with all its documents."""
        self.call(search_calls.delete_collection(name))

    def put_document(
        self,
        collection: str,
        id: str,
        data: Mapping[str, Any],
        *,
        access: Sequence[str] = (),
        version: int = 0,
    ) -> Written:
        """Put a document in place of what is there.

        Args:
            collection: Where.
            id: Its name there.
            data: JSON; members that are fields of the collection are searched.
            access: Tags of which a reader needs one.
            version: Written only if the stored one's is lower; 0: anyway.
        """
        return self.call(search_calls.put_document(collection, id, data, access, version))

    def document(self, collection: str, id: str) -> Document:
        """A document."""
        return self.call(search_calls.document(collection, id))

    def delete_document(self, collection: str, id: str) -> Written:
        """Remove a document."""
        return self.call(search_calls.delete_document(collection, id))

    def write_documents(
        self, collection: str, documents: Iterable[Mapping[str, Any]]
    ) -> list[Written | ApiError]:
        """Put and remove many, in calls of 1,000: dicts of `id` and `data` (`access`, `version`), or of `id` and `remove: True`.

        Returns:
            For each, in their order, what was written, or the error: what is wrong with one does not keep the others.
        """
        given, found = list(documents), list[Written | ApiError]()
        for some in batches(given):
            call = search_calls.write_documents(collection, some)
            found += search_calls.outcomes(self.call(call))
        return found

    def search(
        self,
        collection: str,
        *,
        text: str = "",
        where: Mapping[str, Any] | None = None,
        sort: Sequence[str] = (),
        limit: int = 20,
        cursor: str | None = None,
        facets: Sequence[str] = (),
        highlight: bool = False,
    ) -> Results:
        """A page of the documents that a query finds (docs/explanation/search.md); `next` of it is `cursor` of the one behind."""
        given = search_calls.asked(text, where, sort, limit, cursor, facets, highlight)
        return self.call(search_calls.search(collection, given))

    def save_search(
        self,
        collection: str,
        name: str,
        query: Mapping[str, Any],
        trigger: Mapping[str, Any],
        *,
        access: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """From now on each document that begins to match sends a notification, or runs a workflow.

        Args:
            collection: Where.
            name: Of the saved search; one that is there is replaced.
            query: `text`, `where`, as of `search`.
            trigger: `{"recipients": …, "title": …}` as of `notify`, or `{"workflow": …, …}` as of `trigger`.
            access: It sees no more than a reader with these tags; None: all.
        """
        return self.call(search_calls.save(collection, name, query, trigger, access))

    def saved_search(self, collection: str, name: str) -> dict[str, Any]:
        """A saved search."""
        return self.call(search_calls.saved(collection, name))

    def saved_searches(
        self, collection: str, *, after: str = "", limit: int = 100
    ) -> dict[str, Any]:
        """A page of a collection's saved searches, in the order of their names: `{items, more}`."""
        return self.call(search_calls.all_saved(collection, after, limit))

    def delete_saved_search(self, collection: str, name: str) -> None:
        """Tell nobody any more."""
        self.call(search_calls.delete_saved(collection, name))


class AsyncSearchCalls(AsyncCalls):
    """The same as coroutines."""

    async def put_collection(
        self, name: str, fields: Mapping[str, str], facets: Sequence[str] = ()
    ) -> Collection:
        """As `SearchCalls.put_collection`."""
        return await self.call(search_calls.put_collection(name, fields, facets))

    async def collection(self, name: str) -> Collection:
        """As `SearchCalls.collection`."""
        return await self.call(search_calls.collection(name))

    async def collections(self, *, after: str = "", limit: int = 100) -> dict[str, Any]:
        """As `SearchCalls.collections`."""
        return await self.call(search_calls.collections(after, limit))

    async def delete_collection(self, name: str) -> None:
        """As `SearchCalls.delete_collection`."""
        await self.call(search_calls.delete_collection(name))

    async def put_document(
        self,
        collection: str,
        id: str,
        data: Mapping[str, Any],
        *,
        access: Sequence[str] = (),
        version: int = 0,
    ) -> Written:
        """As `SearchCalls.put_document`."""
        return await self.call(search_calls.put_document(collection, id, data, access, version))

    async def document(self, collection: str, id: str) -> Document:
        """As `SearchCalls.document`."""
        return await self.call(search_calls.document(collection, id))

    async def delete_document(self, collection: str, id: str) -> Written:
        """As `SearchCalls.delete_document`."""
        return await self.call(search_calls.delete_document(collection, id))

    async def write_documents(
        self, collection: str, documents: Iterable[Mapping[str, Any]]
    ) -> list[Written | ApiError]:
        """As `SearchCalls.write_documents`."""
        given, found = list(documents), list[Written | ApiError]()
        for some in batches(given):
            call = search_calls.write_documents(collection, some)
            found += search_calls.outcomes(await self.call(call))
        return found

    async def search(
        self,
        collection: str,
        *,
        text: str = "",
        where: Mapping[str, Any] | None = None,
        sort: Sequence[str] = (),
        limit: int = 20,
        cursor: str | None = None,
        facets: Sequence[str] = (),
        highlight: bool = False,
    ) -> Results:
        """As `SearchCalls.search`."""
        given = search_calls.asked(text, where, sort, limit, cursor, facets, highlight)
        return await self.call(search_calls.search(collection, given))

    async def save_search(
        self,
        collection: str,
        name: str,
        query: Mapping[str, Any],
        trigger: Mapping[str, Any],
        *,
        access: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """As `SearchCalls.save_search`."""
        return await self.call(search_calls.save(collection, name, query, trigger, access))

    async def saved_search(self, collection: str, name: str) -> dict[str, Any]:
        """As `SearchCalls.saved_search`."""
        return await self.call(search_calls.saved(collection, name))

    async def saved_searches(
        self, collection: str, *, after: str = "", limit: int = 100
    ) -> dict[str, Any]:
        """As `SearchCalls.saved_searches`."""
        return await self.call(search_calls.all_saved(collection, after, limit))

    async def delete_saved_search(self, collection: str, name: str) -> None:
        """As `SearchCalls.delete_saved_search`."""
        await self.call(search_calls.delete_saved(collection, name))
