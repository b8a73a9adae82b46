"""Somebody is mentioned, and reached as little as it takes: `CLARION_KEY=clk_… python examples/mention.py`."""

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
        # Whoever has it on the screen within five minutes is told no more.
        {"wait": {"message": "bell", "is": "seen", "timeout": "5m"}},
        {"stop": "bell.seen"},
        {"push": {"title": "{{ payload.actor }} mentioned you", "body": "{{ payload.text }}"}},
        {"wait": {"message": "bell", "is": "read", "timeout": "1h"}},
        {"stop": "bell.read"},
        # One email for all that waits: who has had it within the hour gets no second one.
        {"throttle": {"limit": 1, "per": "1h"}},
        {
            "email": {
                "subject": "{{ inbox.unread }} unread, the newest from {{ payload.actor }}",
                "text": "{% for each in inbox.newest %}- {{ each.title }}: {{ each.body }}\n{% endfor %}",
            }
        },
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
