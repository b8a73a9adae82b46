"""A back end says who may read streams, and lets users react: `CLARION_KEY=clk_… python examples/readers.py`. The key needs `topics:*`."""

import os

from clarion.client import Client

clarion = Client("http://127.0.0.1:8000", key=os.environ["CLARION_KEY"])

clarion.set_readers("photo:18", everyone=True)  # every signed-in user
clarion.set_readers("user:bob", followers=True)  # who follows it: a back end lets them
clarion.set_readers("notes:ann", users=["ann"])
clarion.set_readers("team:red", tags=["team:red"])  # whose token has one of these tags

post = clarion.add_activity("photo:18", "bob", "post", "photo:18", foreign_id="post-18")
clarion.react("photo:18", post.activity.id, "like", "ann")
print(clarion.activity("photo:18", post.activity.id).reactions)

clarion.close()
