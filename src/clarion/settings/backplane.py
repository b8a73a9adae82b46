"""Between the nodes of a server: how acts on sockets of other nodes are carried."""

from typing import Annotated

from msgspec import Struct

from clarion.settings.about import about


class Backplane(Struct, frozen=True, forbid_unknown_fields=True):
    """How nodes that share `redis_url` act on each other's sockets."""

    format: Annotated[
        str,
        about(
            "What is spoken: `pubsub`, as `@socket.io/redis-adapter`; `sharded`, as its sharded adapter (Redis 7; in a Cluster each message goes to one server); `streams`, as `@socket.io/redis-streams-adapter` (nothing is missed while a connection to Redis is broken). All have the same",
            pattern="^(pubsub|sharded|streams)$",
        ),
    ] = "pubsub"
    mode: Annotated[
        str,
        about(
            "Of `sharded`: which rooms have channels of their own: none (`static`), those that are not of one socket (`dynamic`), all (`dynamic-private`); `subscriptionMode` in Node. All have the same",
            pattern="^(static|dynamic|dynamic-private)$",
        ),
    ] = "dynamic"
    prefix: Annotated[
        str,
        about(
            "Before the names of its channels, which servers and emitters of Node must have, too: `key` there, `channelPrefix` of the sharded adapter, with `streamName` of the streams adapter",
            min_length=1,
        ),
    ] = "socket.io"
