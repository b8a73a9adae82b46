"""Pages for people: the documentation of the API, a page for each error, and the built front end."""

from clarion.api.pages.docs import add as add_docs
from clarion.api.pages.front_end import add as add_front_end

__all__ = ["add_docs", "add_front_end"]
