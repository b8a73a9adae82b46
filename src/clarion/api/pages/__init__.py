"""Pages for people: the documentation of the API, a page for each error, the built front end, Socket.IO's admin page, and forms without a script."""

from clarion.api.pages.admin_ui import add as add_admin_ui
from clarion.api.pages.docs import add as add_docs
from clarion.api.pages.front_end import add as add_front_end
from clarion.api.pages.plain import add_style
from clarion.api.pages.preferences import add as add_preferences

__all__ = ["add_admin_ui", "add_docs", "add_front_end", "add_preferences", "add_style"]
