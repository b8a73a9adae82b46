"""A back end asks who is here: `CLARION_KEY=clk_… python examples/presence.py`. The key needs `presence:*` and `topics:read`."""

import os

from clarion.client import Client

with Client("http://127.0.0.1:8000", key=os.environ["CLARION_KEY"]) as clarion:
    clarion.change_contacts("ann", add=["bob", "cleo"])
    clarion.set_visibility("cleo", "nobody")
    for each in clarion.status(["ann", "bob", "cleo"]):
        print(each.user, each.status, [device.device for device in each.devices])
    for member in clarion.members("lobby"):
        print(member.user, "is in the lobby:", member.presence["status"])
