"""What became of messages: found, counted, and sent again: `CLARION_KEY=clk_… python examples/operators.py`."""

import os

from clarion.client import Client

CODE = {"workflow": "code", "steps": [{"sms": {"text": "Your code is {{ payload.code }}"}}]}


def look(clarion: Client) -> None:
    """Find what failed, see why, and send it again."""
    for message in clarion.messages(status="failed", channel="sms"):
        story = clarion.message(message["id"])
        print(message["user"], *[f"{moment.status} {moment.cause}" for moment in story.timeline])
    for group in clarion.dead_letters(channel="sms"):
        print(group.letters, group.reason, sep=": ")
    done = clarion.replay_dead_letters(channel="sms", reason="provider")
    print(done.letters, "sent again")


with Client("http://127.0.0.1:8000", key=os.environ["CLARION_KEY"]) as clarion:
    clarion.put_workflow(CODE)
    clarion.trigger("code", [{"id": "ann", "phone": "+4930123456"}], {"code": "1234"})
    while not list(clarion.messages(status="failed", channel="sms")):
        pass  # this server has no provider for texts
    look(clarion)
    [numbers] = clarion.stats(channel="sms").items
    print(numbers.counts["queued"], "queued")
