"""A back end says who did what, and reads it: `CLARION_KEY=clk_… python examples/activity.py`. The key needs `topics:*`."""

import os

from clarion.client import Client

with Client("http://127.0.0.1:8000", key=os.environ["CLARION_KEY"]) as clarion:
    like = clarion.add_activity(
        "photo:17", "ann", "like", "photo:17", foreign_id="like-17-ann", data={"name": "Ann"}
    )
    clarion.add_activity("photo:17", "bob", "comment", "photo:17", foreign_id="comment-4")
    clarion.edit_activity("photo:17", like.activity.id, data={"name": "Ann Lee"})
    for each in clarion.activities("photo:17"):
        print(each.actor, each.verb, each.object, each.data)
