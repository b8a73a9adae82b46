"""Who is there, whom it is for, and a workflow that a function builds: `CLARION_KEY=clk_… python examples/customers.py`."""

import os
from typing import Any

from clarion.client import Client


def reminder(key: str, title: str, *after: str) -> dict[str, Any]:
    """A workflow that says it in the inbox, and again after each span as long as it was not read."""
    steps: list[dict[str, Any]] = [{"id": "first", "inbox": {"title": title}}]
    for span in after:
        steps += [{"wait": span}, {"stop": "first.read"}, {"inbox": {"title": f"Again: {title}"}}]
    return {"workflow": key, "category": "reminders", "steps": steps}


with Client("http://127.0.0.1:8000", key=os.environ["CLARION_KEY"]) as clarion:
    clarion.put_subscriber("ann", name="Ann", locale="de", attributes={"plan": "pro"})
    clarion.keep_subscribers([{"id": "ben", "name": "Ben"}, "cleo"])
    clarion.put_audience("customers", filter='recipient.attributes.plan == "pro"')
    clarion.change_members("customers", add=["ben"])
    print("customers:", ", ".join(clarion.people("customers")))

    clarion.put_workflow(reminder("renew", "Your plan ends on Friday", "1d", "2d"))
    sent = clarion.trigger("renew", audiences=["customers"])
    print("accepted:", sent.workflow, "version", sent.version)
