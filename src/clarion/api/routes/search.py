"""`/v1/search/collections`: what there is to be searched, its documents, and asking for them.

A back end needs a scope. A user may ask if their token grants the topic (`topics: {"search:shoes": ["subscribe"]}`), and sees the documents without access
tags and those that share one with the token's `access`. The tenant is the credential's.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.api.layer import READS, WRITES, Api
from clarion.api.limits import PerCaller
from clarion.auth.principal import Principal
from clarion.auth.rights import AllOf, ByItem, Right
from clarion.errors import ClarionError, Conflict, Fault, Invalid, NotFound, TooCostly, TooMany
from clarion.features.search import (
    COLLECTION_NAME,
    Collection,
    Content,
    Definition,
    Document,
    Results,
    SavedSearch,
    SaveSearch,
    Search,
    Written,
    viewer_of,
)
from clarion.patterns import worded
from clarion.settings import Limits
from clarion.telemetry import limit_exceeded

_SAVE = AllOf(Right("search:write"), Right("notifications:send"))
_READ, _WRITE, _ASK = Right("search:read"), Right("search:write"), ByItem("search:read")

CollectionName = Annotated[
    str, Meta(pattern=COLLECTION_NAME, description="Letters, digits, `.`, `_`, `-`; at most 100")
]
DocumentId = Annotated[
    str,
    Meta(
        pattern=worded(r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)", "printable text, and some of it"),
        max_length=255,
        description="The document's name in its collection; percent-encoded in a path",
    ),
]


class CollectionPath(Struct, frozen=True):
    """Names a collection."""

    collection: CollectionName


class DocumentPath(Struct, frozen=True):
    """Names a document."""

    collection: CollectionName
    id: DocumentId


class SavedPath(Struct, frozen=True):
    """Names a saved search."""

    collection: CollectionName
    name: Annotated[
        str,
        Meta(
            pattern=worded(r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)", "printable text, and some of it"),
            max_length=128,
            description="The saved search's name in its collection",
        ),
    ]


class SavedQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which saved searches."""

    after: Annotated[str, Meta(max_length=128, description="Behind this name")] | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=100, description="Saved searches of a page")] = 100


class SavedPage(Struct, frozen=True):
    """Saved searches in the order of their names."""

    items: list[SavedSearch]
    more: Annotated[bool, Meta(description="There are further ones, behind the last one's name")]


class CollectionsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which collections."""

    after: Annotated[str, Meta(max_length=100, description="Behind this name")] | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=100, description="Collections of a page")] = 100


class CollectionPage(Struct, frozen=True):
    """Collections in the order of their names."""

    items: list[Collection]
    more: Annotated[bool, Meta(description="There are further ones, behind the last one's name")]


class NamedContent(Content, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A document to be put, or with `remove` to be removed."""

    id: DocumentId
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    remove: bool = False


class DocumentBatch(Struct, frozen=True, forbid_unknown_fields=True):
    """Documents to be put and removed, in this order."""

    documents: Annotated[
        list[NamedContent], Meta(min_length=1, description="At most `limits.batch` (1,000)")
    ]


class DocumentResult(Struct, frozen=True):
    """What became of one document: one of both."""

    written: Written | UnsetType = UNSET
    error: (
        Annotated[dict[str, Any], Meta(description="`{code, message, …}`, as an ack on a socket")]
        | UnsetType
    ) = UNSET


class DocumentResults(Struct, frozen=True):
    """One for each document, in their order."""

    results: list[DocumentResult]


class Ask(Struct, frozen=True, forbid_unknown_fields=True):
    """A query, and what of its results is wanted."""

    text: Annotated[
        str,
        Meta(
            max_length=1000,
            description='Words that must all be there, `prefix*`, `"a phrase"`; case and accents do not matter',
        ),
    ] = ""
    where: Annotated[
        dict[str, Any],
        Meta(
            description="By field: a value, a list of values, or `{gt, gte, lt, lte, not, exists}`; `any: [conditions, …]`, `not: conditions`"
        ),
    ] = {}
    sort: Annotated[
        list[Annotated[str, Meta(min_length=1)]],
        Meta(
            max_length=3,
            description="Fields, `-` before those that fall; then the ids. Without a value: last",
        ),
    ] = []
    limit: Annotated[int, Meta(ge=1, le=100, description="Documents of a page")] = 20
    cursor: (
        Annotated[
            str, Meta(max_length=8192, description="`next` of the page before, of the same query")
        ]
        | UnsetType
    ) = UNSET
    facets: Annotated[
        list[str],
        Meta(max_length=16, description="Facets of the collection whose values are to be counted"),
    ] = []
    highlight: Annotated[
        bool, Meta(description="Whether each text with a hit comes in pieces, every second a hit")
    ] = False


def add(api: Api, search: Search, limits: Limits) -> None:
    """Open the doors of search."""

    @api.route("GET", "/v1/search/collections", right=_READ, limit=PerCaller(), errors=READS)
    async def list_collections(caller: Principal, query: CollectionsQuery) -> CollectionPage:
        """Page through the tenant's collections."""
        after = "" if query.after is UNSET else query.after
        items, more = await search.collections.list(caller.tenant, after, query.limit)
        return CollectionPage(list(items), more)

    @api.route(
        "PUT",
        "/v1/search/collections/{collection}",
        right=_WRITE,
        limit=PerCaller(),
        errors=(*WRITES, Conflict, TooMany),
        example=Definition({"title": "text", "brand": "keyword", "price": "number"}, ["brand"]),
    )
    async def put_collection(
        caller: Principal, path: CollectionPath, body: Definition
    ) -> Collection:
        """Make a collection, or change one.

        `fields` says by which members documents are found: `text` by its words, `keyword` as a whole (or a list of some), `number`, `time` (RFC 3339), `bool`.
        The fields of a collection with documents cannot be changed (409): make another one, and fill it. The facets can.
        """
        return await search.collections.put(caller.tenant, path.collection, body)

    @api.route(
        "GET",
        "/v1/search/collections/{collection}",
        right=_READ,
        limit=PerCaller(),
        errors=(*READS, NotFound),
    )
    async def get_collection(caller: Principal, path: CollectionPath) -> Collection:
        """Read a collection's definition, and how many documents it has."""
        return (await search.collections.find(caller.tenant, path.collection)).collection

    @api.route(
        "DELETE",
        "/v1/search/collections/{collection}",
        right=_WRITE,
        limit=PerCaller(),
        status=204,
        errors=(*WRITES, NotFound),
    )
    async def delete_collection(caller: Principal, path: CollectionPath) -> None:
        """Remove a collection with all its documents.

        It is out of sight at once, and its name is free; the documents' rows are removed in the background.
        """
        await search.collections.remove(caller.tenant, path.collection)

    @api.route(
        "PUT",
        "/v1/search/collections/{collection}/documents/{id:path}",
        right=_WRITE,
        limit=PerCaller(),
        errors=(*WRITES, NotFound, TooMany),
        example=Content({"title": "Red shoe", "brand": "acme", "price": 30}, ["team:red"]),
    )
    async def put_document(caller: Principal, path: DocumentPath, body: Content) -> Written:
        """Put a document in place of what is there.

        Repeating it is safe: what is so already is answered with `dropped: "same"`. With a `version` a late write is dropped: `older`.
        """
        return await search.put(caller.tenant, path.collection, path.id, body)

    @api.route(
        "GET",
        "/v1/search/collections/{collection}/documents/{id:path}",
        right=_READ,
        limit=PerCaller(),
        errors=(*READS, NotFound),
    )
    async def get_document(caller: Principal, path: DocumentPath) -> Document:
        """Read a document, with its access tags."""
        return await search.get(caller.tenant, path.collection, path.id)

    @api.route(
        "DELETE",
        "/v1/search/collections/{collection}/documents/{id:path}",
        right=_WRITE,
        limit=PerCaller(),
        errors=(*WRITES, NotFound),
    )
    async def delete_document(caller: Principal, path: DocumentPath) -> Written:
        """Remove a document.

        One that is not there is answered with `dropped: "same"`. Its version is forgotten with it.
        """
        return await search.remove(caller.tenant, path.collection, path.id)

    @api.route(
        "POST",
        "/v1/search/collections/{collection}/documents",
        right=_WRITE,
        limit=PerCaller(),
        errors=(*WRITES, NotFound),
        example=DocumentBatch(
            [
                NamedContent(id="s1", data={"title": "Red shoe", "price": 30}),
                NamedContent(id="s2", remove=True),
            ]
        ),
    )
    async def write_documents(
        caller: Principal, path: CollectionPath, body: DocumentBatch
    ) -> DocumentResults:
        """Put and remove many documents in one call.

        They are written at one moment and in their order; what is wrong with one does not keep the others. The answer is 200 and has a
        result for each: `written`, or `error`. A body that is no batch is refused as a whole.
        """
        if len(body.documents) > limits.batch:
            limit_exceeded.labels("batch").inc()
            raise Invalid(
                f"{len(body.documents)} documents exceed limits.batch = {limits.batch}",
                faults=[Fault("/documents", f"at most {limits.batch} items")],
                limit=limits.batch,
            )
        given = [
            (each.id, None if each.remove else Content(each.data, each.access, each.version))
            for each in body.documents
        ]
        outcomes = await search.write(caller.tenant, path.collection, given)
        return DocumentResults([_result(outcome) for outcome in outcomes])

    @api.route(
        "POST",
        "/v1/search/collections/{collection}/query",
        right=_ASK,
        takes_key=False,
        limit=PerCaller(),
        errors=(*READS, NotFound, TooCostly),
        example=Ask(
            text="red sho*", where={"price": {"lt": 50}}, sort=["-price"], facets=["brand"]
        ),
    )
    async def query_collection(caller: Principal, path: CollectionPath, body: Ask) -> Results:
        """Ask for documents.

        All of `text` and all of `where` must hold. A query that takes longer than `limits.search_s` is given up: 422 `too_costly`.
        """
        viewer = viewer_of(caller, path.collection)
        given: dict[str, Any] = {
            "text": body.text,
            "where": body.where,
            "sort": body.sort,
            "limit": body.limit,
            "facets": body.facets,
            "highlight": body.highlight,
        }
        if body.cursor is not UNSET:
            given["cursor"] = body.cursor
        return await search.query(caller.tenant, path.collection, given, viewer, whose=caller.key)


def add_saved(api: Api, search: Search) -> None:
    """Open the doors of saved searches."""

    @api.route(
        "GET",
        "/v1/search/collections/{collection}/saved",
        right=_READ,
        limit=PerCaller(),
        errors=(*READS, NotFound),
    )
    async def list_saved_searches(
        caller: Principal, path: CollectionPath, query: SavedQuery
    ) -> SavedPage:
        """Page through a collection's saved searches."""
        after = "" if query.after is UNSET else query.after
        items, more = await search.saved.list(caller.tenant, path.collection, after, query.limit)
        return SavedPage(list(items), more)

    @api.route(
        "PUT",
        "/v1/search/collections/{collection}/saved/{name:path}",
        right=_SAVE,
        limit=PerCaller(),
        errors=(*WRITES, NotFound, TooMany),
        example=SaveSearch(
            {"text": "red shoe", "where": {"price": {"lt": 50}}},
            {"recipients": ["ann"], "title": "A red shoe below 50"},
        ),
    )
    async def put_saved_search(caller: Principal, path: SavedPath, body: SaveSearch) -> SavedSearch:
        """Save a search: from now on each document that begins to match sends the notification, or runs the workflow.

        `trigger` is what `POST /v1/notifications` takes, or with `workflow` what `POST /v1/triggers` takes; its `data`, or `payload`, gets `search: {collection, name, id}`. With `access` it sees no more than a reader with these tags.
        """
        return await search.saved.put(caller.tenant, path.collection, path.name, body)

    @api.route(
        "GET",
        "/v1/search/collections/{collection}/saved/{name:path}",
        right=_READ,
        limit=PerCaller(),
        errors=(*READS, NotFound),
    )
    async def get_saved_search(caller: Principal, path: SavedPath) -> SavedSearch:
        """Read a saved search."""
        return await search.saved.get(caller.tenant, path.collection, path.name)

    @api.route(
        "DELETE",
        "/v1/search/collections/{collection}/saved/{name:path}",
        right=_WRITE,
        limit=PerCaller(),
        status=204,
        errors=(*WRITES, NotFound),
    )
    async def delete_saved_search(caller: Principal, path: SavedPath) -> None:
        """Remove a saved search."""
        await search.saved.remove(caller.tenant, path.collection, path.name)


def _result(outcome: Written | ClarionError) -> DocumentResult:
    if isinstance(outcome, ClarionError):
        return DocumentResult(error=outcome.as_answer())
    return DocumentResult(written=outcome)
