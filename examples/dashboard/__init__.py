"""A dashboard: a source of the server's own (`server.py`), what a back end gives (`back_end.py`), a viewer (`watch.mjs`), and a page (`page.html`)."""
