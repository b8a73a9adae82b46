"""A dashboard: a source of the server's own (`server.py`), what a back end gives (`back_end.py`), and a viewer (`watch.mjs`)."""
