"""An owner of data in this process, and links to it: what workers have, without any of their processes."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from clarion.bus.nodes import left
from clarion.bus.owner import Owner, Service
from clarion.bus.owner_link import OwnerLink
from clarion.ids import Ids
from clarion.realtime.transports import listen_local


@asynccontextmanager
async def owning(
    path: Path, services: Sequence[Callable[[], Service]] = ()
) -> AsyncIterator[Owner]:
    """Serve at a path."""
    owner = Owner(services, on_left=lambda node: owner.publish(*left(node)))
    await owner.start(listen_local(path))
    try:
        yield owner
    finally:
        await owner.close()


@asynccontextmanager
async def linked(path: Path, node: str = "one0") -> AsyncIterator[OwnerLink]:
    """A worker's link."""
    link = OwnerLink(path, node, ids=Ids())
    await link.start()
    try:
        yield link
    finally:
        await link.close()
