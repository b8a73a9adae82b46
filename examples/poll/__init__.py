"""A poll with live results: a kind of topic of one's own (`server.py`), and a page that follows it (`page.html`)."""
