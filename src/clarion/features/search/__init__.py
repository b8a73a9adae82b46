"""Search over documents that are put into collections, and standing queries whose results are kept true as documents change."""

from clarion.features.search.collections import COLLECTION_NAME, Collection, Definition
from clarion.features.search.documents import Content, Written
from clarion.features.search.saved import SavedSearch, SaveSearch
from clarion.features.search.search import Count, Document, Results, Search
from clarion.features.search.viewers import viewer_of

__all__ = [
    "COLLECTION_NAME",
    "Collection",
    "Content",
    "Count",
    "Definition",
    "Document",
    "Results",
    "SaveSearch",
    "SavedSearch",
    "Search",
    "Written",
    "viewer_of",
]
