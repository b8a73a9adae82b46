"""What Ann wants to be told, what the house says for all, and why a message would not come: `CLARION_KEY=clk_… python examples/preferences.py`."""

import os

from clarion.client import ApiError, Client

MENTION = {
    "workflow": "mention",
    "name": "Somebody mentions you",
    "category": "social",
    "steps": [
        {"inbox": {"title": "{{ payload.by }} mentions you"}},
        {"email": {"subject": "{{ payload.by }} mentions you", "text": "{{ payload.text }}"}},
    ],
}

with Client("http://127.0.0.1:8000", key=os.environ["CLARION_KEY"]) as clarion:
    clarion.put_workflow(MENTION)
    clarion.trigger("mention", [{"id": "ann", "email": "ann@example.com"}], {"by": "Ben"})

    # For everybody: at most five pushes an hour, and nobody turns security off.
    clarion.put_preference_defaults(
        {
            "required": ["security"],
            "caps": [{"channel": "push", "limit": 5, "per": "1h", "over": "digest"}],
        }
    )

    # Ann: social emails only if it is urgent, and nothing more of one thread.
    clarion.put_preferences("ann", {"categories": {"social": {"email": "payload.urgent"}}})
    kept = clarion.mute("ann", "payload.thread", "t-17")
    kept = clarion.change_preferences("ann", {"time_zone": "Europe/Berlin"}, revision=kept.revision)
    try:
        clarion.change_preferences("ann", {"muted": None}, revision=1)
    except ApiError as exc:
        print(exc.code)

    for payload in ({"urgent": False}, {"urgent": True}, {"urgent": True, "thread": "t-17"}):
        found = clarion.explain_preferences("ann", "email", workflow="mention", payload=payload)
        print(found["verdict"], found["why"], sep=": ")
    page = clarion.preference_link("ann")

print(page.url.split("/")[-2])
