"""Pages for people: the documentation of the API, a page for each error, the built front end, and Socket.IO's admin page."""

from clarion.api.pages.admin_ui import add as add_admin_ui
from clarion.api.pages.docs import add as add_docs
from clarion.api.pages.front_end import add as add_front_end

__all__ = ["add_admin_ui", "add_docs", "add_front_end"]
