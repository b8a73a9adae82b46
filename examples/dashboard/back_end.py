"""A back end makes a dashboard and gives it numbers: `CLARION_KEY=clk_… python examples/dashboard/back_end.py`.

The key needs `dashboards:*` and `topics:*`.
"""

import os

from clarion.client import Client

WIDGETS = [
    {"type": "stat", "id": "visitors", "title": "Visitors"},
    {
        "type": "series",
        "id": "orders",
        "title": "Orders a minute",
        "lines": [{"name": "web"}, {"name": "shop"}],
        "window_s": 900,
    },
    {
        "type": "gauge",
        "id": "watching",
        "title": "Watching now",
        "source": {
            "function": "sockets_open",
            "params": {"namespace": "/clarion"},
            "every_s": 0.5,
        },
    },
]

with Client("http://127.0.0.1:8000", key=os.environ["CLARION_KEY"]) as clarion:
    clarion.put_dashboard("sales", WIDGETS, title="Sales")
    clarion.publish("dashboard:sales", "increment", key="visitors")
    clarion.publish("dashboard:sales", "append", {"v": [[3], [1]]}, key="orders")
    for item in clarion.items("dashboard:sales"):
        if item.key != "definition":
            print(item.key, item.data.get("value", item.data.get("v")))
