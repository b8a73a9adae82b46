"""The poll as a back end sees it: `CLARION_KEY=clk_… python examples/poll/back_end.py`, with the scope `topics:*`."""

import os
from collections import Counter

from clarion.client import Client

with Client("http://127.0.0.1:8000", key=os.environ["CLARION_KEY"]) as clarion:
    votes = Counter(item.data for item in clarion.items("poll:lunch"))
    for choice, count in votes.most_common():
        print(choice, count)
    for change in clarion.publications("poll:lunch"):
        print(change.offset, change.key, "voted for", change.data)
