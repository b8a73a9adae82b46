"""Pages for people: the documentation of the API, a page for each error, forms without a script, the built front end, and Socket.IO's admin page."""

from clarion.api.pages.admin_ui import add as add_admin_ui
from clarion.api.pages.docs import add as add_docs
from clarion.api.pages.front_end import add as add_front_end
from clarion.api.pages.plain import add_style

__all__ = ["add_admin_ui", "add_docs", "add_front_end", "add_style"]
