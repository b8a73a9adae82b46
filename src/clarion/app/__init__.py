"""The composition root: makes every part, hands each what it needs, starts and stops them in order. There are no globals.

    async with build(settings) as app:      # every part, nothing listens yet
        await app.serve()                   # until SIGINT or SIGTERM

Stopping goes the other way round: nobody new is let in, clients are told, what was begun is finished, the store closes last.
"""

from clarion.app.owning import at_end, has_failed, own, owner_socket, when_disk_fails
from clarion.app.siblings import Siblings
from clarion.app.whole import LOCAL_SOCKET, App, Setup, build

__all__ = [
    "LOCAL_SOCKET",
    "App",
    "Setup",
    "Siblings",
    "at_end",
    "build",
    "has_failed",
    "own",
    "owner_socket",
    "when_disk_fails",
]
