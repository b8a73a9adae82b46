"""A back end tells ann something: `CLARION_KEY=clk_… python examples/notify.py`."""

import os

from clarion.client import Client

with Client("http://127.0.0.1:8000", key=os.environ["CLARION_KEY"]) as clarion:
    accepted = clarion.notify(["ann"], title="Build 17 is green", action_url="/builds/17")

print(accepted.id, accepted.durability)
