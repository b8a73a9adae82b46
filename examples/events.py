"""What people do is told, counted, and waited for: `CLARION_KEY=clk_… python examples/events.py`."""

import os

from clarion.client import Client

CART = {
    "workflow": "cart",
    "name": "You have left something",
    "facts": {"bought": {"event": "order.paid", "within": "30d"}},
    "steps": [
        {
            "id": "paid",
            "wait": {
                "event": "order.paid",
                "where": "event.order == payload.order",
                "timeout": "2d",
            },
        },
        {"stop": "not paid.timed_out"},
        {
            "inbox": {"title": "Your basket is still here", "body": "Order {{ payload.order }}"},
            "if": "facts.bought.count < 3",
        },
    ],
}

with Client("http://127.0.0.1:8000", key=os.environ["CLARION_KEY"]) as clarion:
    clarion.put_workflow(CART)
    clarion.trigger("cart", [{"id": "ann"}], {"order": 17})
    # Told twice, by whoever is not sure, it is counted once.
    for _ in range(2):
        clarion.track("order.paid", "ann", {"order": 17, "total": 120}, id="order-17-paid")
    clarion.track("page.viewed", consent=False)
    paid = clarion.event_numbers("order.paid", "1h")

print(paid.count, "paid by", paid.people)
