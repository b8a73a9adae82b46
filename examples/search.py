"""A back end fills a collection and searches it: `CLARION_KEY=clk_… python examples/search.py`. The key needs `search:*`."""

import os

from clarion.client import Client

SHOES = {"title": "text", "brand": "keyword", "price": "number"}

with Client("http://127.0.0.1:8000", key=os.environ["CLARION_KEY"]) as clarion:
    clarion.put_collection("shoes", SHOES, ["brand"])
    clarion.put_document("shoes", "s1", {"title": "Red shoe", "brand": "acme", "price": 30})
    clarion.write_documents(
        "shoes",
        [
            {"id": "s2", "data": {"title": "Blue shoes", "brand": "acme", "price": 20}},
            {"id": "s3", "data": {"title": "Rédhot boot", "brand": "best", "price": 45}},
            {"id": "s4", "data": {"title": "Red sample"}, "access": ["team:buyers"]},
        ],
    )
    page = clarion.search("shoes", text="red*", where={"price": {"lt": 50}}, sort=["-price"])
    print([each.data["title"] for each in page.items])  # ["Rédhot boot", "Red shoe"]
    page = clarion.search("shoes", text="shoe*", facets=["brand"], highlight=True)
    print(page.items[0].highlights, page.facets["brand"])  # {"title": ["Red ", "shoe", ""]}, …
