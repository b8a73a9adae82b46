"""Between the nodes of a server: how acts on sockets of other nodes are carried."""

from typing import Annotated

from msgspec import Struct

from clarion.settings.about import about


class Backplane(Struct, frozen=True, forbid_unknown_fields=True):
    """How nodes that share `redis_url` act on each other's sockets."""

    prefix: Annotated[
        str,
        about(
            "Before the names of its channels, which servers and emitters of Node must have, too: `key` there",
            min_length=1,
        ),
    ] = "socket.io"
