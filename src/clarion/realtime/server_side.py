"""Events from node to node: `io.server_side_emit("hello")` is heard by `io.on_server_side("hello")` of all *other* nodes.

As in Node, whoever emits does not hear itself. A process that is alone has no other nodes: nothing is delivered, and nobody answers.
"""

from typing import Any, Final

from clarion.errors import UsageError
from clarion.protocol import jsontext
from clarion.realtime.handlers import Handler, Reply, Runner, nobody_asked
from clarion.realtime.listeners import Listeners
from clarion.realtime.peers import Peers

RESERVED: Final = frozenset({"connect", "connection", "new_namespace"})


class ServerSide:
    """What a namespace says to the same namespace of other nodes, and hears from there.

    Args:
        runner: Calls the listeners.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.peers: Peers | None = None
        self.listeners: Final = Listeners()

    def on(self, event: str, handler: Handler) -> None:
        """Call a handler with what another node emits; what it returns is the answer, as of a client's event."""
        _check(event)
        self.listeners.add(event, handler)

    def emit(self, event: str, args: tuple[Any, ...]) -> None:
        """Tell the other nodes."""
        _check(event)
        jsontext.write(list(args), [])
        if self.peers is not None:
            self.peers.tell_servers(event, args)

    async def ask(self, event: str, args: tuple[Any, ...]) -> list[Any]:
        """Tell the other nodes and wait for their answers."""
        _check(event)
        jsontext.write(list(args), [])
        return [] if self.peers is None else await self.peers.ask_servers(event, args)

    def heard(self, event: str, args: list[Any], reply: Reply = nobody_asked) -> None:
        """Another node has told: the way in for a backplane."""
        for listener in self.listeners.by_event.get(event, ()):
            self._runner.call(listener, None, args, reply, event)


def _check(event: str) -> None:
    if event in RESERVED:
        raise UsageError(f'"{event}" is a reserved event name')
