"""Workers of one host, and the owner of their data, in this process."""

from contextlib import AsyncExitStack
from pathlib import Path

from clarion.bus.owner import Owner
from clarion.bus.unix import UnixBus
from clarion.ids import Ids
from clarion.realtime import Server
from clarion.realtime.backplane.local import Local
from tests.realtime.backplane.peers import Heard
from tests.support.memory_transport import MemoryClient, make_server
from tests.support.owner import linked, owning


class Worker:
    """A server, and its way to the other."""

    def __init__(self, io: Server, bus: UnixBus) -> None:
        self.io, self.bus = io, bus

    async def client(self, *rooms: str) -> Heard:
        client = MemoryClient(self.io)
        id = await client.join()
        self.io.of("/").sockets[id].join(*rooms)
        return Heard(client, id)

    async def settle(self) -> None:
        """Return when all that was said before has been done by the other."""
        await self.bus.subscribers("")


async def two_of(stack: AsyncExitStack, folder: Path) -> tuple[Owner, Worker, Worker]:
    path = folder / "owner.sock"
    owner = await stack.enter_async_context(owning(path))
    made = []
    for seed in (1, 2):
        bus = UnixBus(await stack.enter_async_context(linked(path, f"{seed}")))
        io = make_server(seed=seed, backplane=Local(bus, Ids.seeded(seed)))
        stack.push_async_callback(io.close)
        made.append(Worker(io, bus))
    for each in made:
        await each.settle()
    return owner, *made
