"""Somebody is mentioned, told, and told again if they do not read it: `CLARION_KEY=clk_… python examples/mention.py`."""

import os

from clarion.client import Client

MENTION = {
    "workflow": "mention",
    "name": "Somebody mentioned you",
    "category": "social",
    "payload": {"type": "object", "required": ["actor", "text"]},
    "steps": [
        {
            "id": "bell",
            "inbox": {
                "title": "{{ payload.actor }} mentioned you",
                "body": "{{ payload.text }}",
            },
        },
        {"wait": "5m"},
        {"stop": "bell.read"},
        {"inbox": {"title": "{{ payload.actor }} is still waiting for you"}},
    ],
}

with Client("http://127.0.0.1:8000", key=os.environ["CLARION_KEY"]) as clarion:
    clarion.put_workflow(MENTION)
    sent = clarion.trigger(
        "mention",
        ["ann", {"id": "ben", "email": "ben@example.com"}],
        {"actor": "Cleo", "text": "look at this"},
        actor="cleo",
    )

print(sent.workflow, sent.version, sent.durability)
