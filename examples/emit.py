"""A back end emits to browsers, and moves them: `CLARION_KEY=clk_… python examples/emit.py`."""

import os

from clarion.client import Client

with Client("http://127.0.0.1:8000", key=os.environ["CLARION_KEY"]) as clarion:
    clarion.emit_to_user("ann", "build:finished", {"id": 17}, namespace="/")
    clarion.emit_to_room("builds", "progress", 0.5, namespace="/", volatile=True)
    clarion.broadcast("news", "Maintenance at 8", except_=["user:ben"], namespace="/")

    clarion.join_room("doc/17", users=["ann"], namespace="/")  # also `sockets=`, their ids
    print(clarion.rooms("/"))  # [Room(name="doc/17", sockets=1), …]
    print(clarion.sockets_of_user("ann"))  # ids, rooms, transport
    clarion.leave_room("doc/17", users=["ann"], namespace="/")
    clarion.disconnect_user("ann", close=True)
