"""Search over HTTP, without any I/O: what is asked, and how the answer is read."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from clarion.client.calls import ApiError, Call, place, query, refused


class Collection(msgspec.Struct, frozen=True):
    """A collection; `offset` is of its newest change."""

    name: str
    fields: dict[str, str]
    facets: list[str]
    documents: int
    offset: int
    created_at: str


class Written(msgspec.Struct, frozen=True):
    """What became of a document. `dropped` says why nothing was written: `older` (its version), `same` (it is so already)."""

    id: str
    offset: int
    durability: str
    dropped: str | None = None


class Document(msgspec.Struct, frozen=True):
    """A document. `highlights`: of each text with a hit its pieces, every second of which is a hit."""

    id: str
    data: dict[str, Any]
    version: int
    offset: int
    changed_at: str
    access: list[str] = []
    highlights: dict[str, list[str]] = {}


class FacetCount(msgspec.Struct, frozen=True):
    """A value of a field, and how many matches have it."""

    value: str | float | bool
    count: int


class Results(msgspec.Struct, frozen=True):
    """A page of matches; `next` is the `cursor` of the page behind."""

    items: list[Document]
    total: int
    offset: int
    next: str | None = None
    facets: dict[str, list[FacetCount]] = {}


class Result(msgspec.Struct, frozen=True):
    """What became of one of many documents."""

    written: Written | None = None
    error: dict[str, Any] | None = None


class DocumentResults(msgspec.Struct, frozen=True):
    """Of all of them, in their order."""

    results: list[Result]


def put_collection(name: str, fields: Mapping[str, str], facets: Sequence[str]) -> Call[Collection]:
    """`PUT /v1/search/collections/{collection}`."""
    return Call("PUT", _at(name), Collection, {"fields": dict(fields), "facets": list(facets)})


def collection(name: str) -> Call[Collection]:
    """`GET /v1/search/collections/{collection}`."""
    return Call("GET", _at(name), Collection)


def collections(after: str, limit: int) -> Call[dict[str, Any]]:
    """`GET /v1/search/collections`."""
    return Call("GET", f"/v1/search/collections{query(after=after or None, limit=limit)}", dict)


def delete_collection(name: str) -> Call[dict[str, Any]]:
    """`DELETE /v1/search/collections/{collection}`."""
    return Call("DELETE", _at(name), dict)


def put_document(
    name: str, id: str, data: Mapping[str, Any], access: Sequence[str], version: int
) -> Call[Written]:
    """`PUT /v1/search/collections/{collection}/documents/{id}`."""
    body = {"data": dict(data), "access": list(access), "version": version}
    return Call("PUT", _document(name, id), Written, body)


def document(name: str, id: str) -> Call[Document]:
    """`GET /v1/search/collections/{collection}/documents/{id}`."""
    return Call("GET", _document(name, id), Document)


def delete_document(name: str, id: str) -> Call[Written]:
    """`DELETE /v1/search/collections/{collection}/documents/{id}`."""
    return Call("DELETE", _document(name, id), Written)


def write_documents(name: str, given: Sequence[Mapping[str, Any]]) -> Call[DocumentResults]:
    """`POST /v1/search/collections/{collection}/documents`."""
    return Call("POST", f"{_at(name)}/documents", DocumentResults, {"documents": list(given)})


def save(
    collection: str,
    name: str,
    asked: Mapping[str, Any],
    trigger: Mapping[str, Any],
    access: Sequence[str] | None,
) -> Call[dict[str, Any]]:
    """`PUT /v1/search/collections/{collection}/saved/{name}`."""
    if isinstance(access, str):
        raise TypeError("access is a list, not one text")
    body: dict[str, Any] = {"query": dict(asked), "trigger": dict(trigger)}
    body |= {} if access is None else {"access": list(access)}
    return Call("PUT", _saved(collection, name), dict, body)


def saved(collection: str, name: str) -> Call[dict[str, Any]]:
    """`GET /v1/search/collections/{collection}/saved/{name}`."""
    return Call("GET", _saved(collection, name), dict)


def all_saved(collection: str, after: str, limit: int) -> Call[dict[str, Any]]:
    """`GET /v1/search/collections/{collection}/saved`."""
    return Call("GET", f"{_at(collection)}/saved{query(after=after or None, limit=limit)}", dict)


def delete_saved(collection: str, name: str) -> Call[dict[str, Any]]:
    """`DELETE /v1/search/collections/{collection}/saved/{name}`."""
    return Call("DELETE", _saved(collection, name), dict)


def outcomes(found: DocumentResults) -> list[Written | ApiError]:
    """What became of each: what was written, or why not."""
    return [each.written or refused(each.error or {}) for each in found.results]


def search(name: str, given: Mapping[str, Any]) -> Call[Results]:
    """`POST /v1/search/collections/{collection}/query`."""
    return Call("POST", f"{_at(name)}/query", Results, given)


def asked(
    text: str,
    where: Mapping[str, Any] | None,
    sort: Sequence[str],
    limit: int,
    cursor: str | None,
    facets: Sequence[str],
    highlight: bool,
) -> dict[str, Any]:
    """A query's body."""
    given = {
        "text": text,
        "where": where and dict(where),
        "sort": list(sort),
        "limit": limit,
        "cursor": cursor,
        "facets": list(facets),
        "highlight": highlight,
    }
    return {name: value for name, value in given.items() if value not in (None, "", [], False)}


def _at(name: str) -> str:
    return f"/v1/search/{place('collections', name)}"


def _document(name: str, id: str) -> str:
    return f"{_at(name)}/{place('documents', id)}"


def _saved(collection: str, name: str) -> str:
    return f"{_at(collection)}/{place('saved', name)}"
