"""Dynamic namespaces: a parent stands for all namespaces whose name matches, and each is made when a client asks for it.

Whatever is done to the parent (middlewares, handlers, listeners) is done to each child: to those that are there now, and to those
that are made later. In Node a child gets what the parent had when it was made, and nothing later.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from clarion.errors import UsageError
from clarion.ids import Ids
from clarion.realtime.handlers import Runner
from clarion.realtime.heartbeat import Wheel
from clarion.realtime.hub import Hub
from clarion.realtime.namespace import Namespace
from clarion.realtime.operators import Operator, Recipient
from clarion.realtime.peers import Selection
from clarion.realtime.remote import RemoteSocket
from clarion.realtime.rooms import Rooms, chosen, flat
from clarion.realtime.socket import Socket
from clarion.realtime.transports.base import Prepared
from clarion.settings import Limits
from clarion.telemetry import get_logger

log = get_logger(__name__)

Match = re.Pattern[str] | Callable[[str, Mapping[str, Any]], bool | Awaitable[bool]]
"""Which namespaces a parent stands for: a pattern that is found in the name, or a function of the name and the client's `auth`."""

C = TypeVar("C", bound=Recipient)


class ParentNamespace(Namespace):
    """Stands for its children; nobody is in it. Get it by `server.of(pattern or function)`.

    Args:
        match: Which names.
        name: Its own, such as `/_0`; no client can ask for it.
        limits: The server's.
        wheel: The server's timer.
        runner: Calls the server's handlers.
        ids: Makes the ids of sockets.
    """

    def __init__(
        self, match: Match, name: str, limits: Limits, wheel: Wheel, runner: Runner, ids: Ids
    ) -> None:
        super().__init__(name, limits, wheel, runner, ids)
        self.match = match
        self.children: dict[str, Namespace] = {}
        """Those that are there now, by name."""
        self._changes: list[Callable[[Any], object]] = []

    @property
    def _everybody(self) -> Operator[Socket]:
        return FamilyOperator(
            hub=self._hub, children=lambda: [child._hub for child in self.children.values()]
        )

    def accepts(self, name: str, auth: Mapping[str, Any]) -> bool | Awaitable[bool]:
        """Whether it stands for a name. A function that fails says no, and is logged."""
        if isinstance(self.match, re.Pattern):
            return self.match.search(name) is not None
        try:
            answer = self.match(name, auth)
        except Exception as exc:  # noqa: BLE001  the application's function may raise anything
            self._failed(exc)
            return False
        return self._later(answer) if inspect.isawaitable(answer) else bool(answer)

    async def _later(self, answer: Awaitable[bool]) -> bool:
        try:
            return bool(await answer)
        except Exception as exc:  # noqa: BLE001  as above
            self._failed(exc)
            return False

    def _failed(self, exc: Exception) -> None:
        log.error("dynamic namespace: its function failed", namespace=self.name, exc_info=exc)

    def adopt(self, child: Namespace) -> None:
        """Make a namespace one of its own: do to it whatever was done to the parent."""
        self.children[child.name] = child
        for change in self._changes:
            change(child)

    def _set_up(self, change: Callable[[Any], object]) -> None:
        change(self)
        self._changes.append(change)
        for child in self.children.values():
            change(child)

    def prepare(self, event: str, *args: Any) -> Prepared:
        """Not here: each child's events are encoded with its name.

        Raises:
            UsageError: Always.
        """
        raise UsageError("prepare() is not supported on parent namespaces")


class FamilyOperator(Operator[C], Generic[C], frozen=True, kw_only=True):
    """An operator over all children of a parent."""

    children: Callable[[], Iterable[Hub[C]]]

    def emit(self, event: str, *args: Any) -> int:
        """Send an event to those chosen in each child; returns to how many of this process."""
        return sum(each.emit(event, *args) for each in self._each())

    async def emit_with_ack(self, event: str, *args: Any, all_args: bool = False) -> list[Any]:
        """Not over several namespaces: each numbers its own questions.

        Raises:
            UsageError: Always.
        """
        raise UsageError("emit_with_ack() is not supported on parent namespaces")

    async def fetch_sockets(self) -> list[C | RemoteSocket]:
        """As in Node, not over several namespaces.

        Raises:
            UsageError: Always.
        """
        raise UsageError("fetch_sockets() is not supported on parent namespaces")

    async def sockets_join(self, *rooms: Rooms) -> None:
        """Put those chosen into rooms of their namespaces."""
        named = list(flat(rooms))
        for each in self._each():
            await each.sockets_join(named)

    async def sockets_leave(self, *rooms: Rooms) -> None:
        """Take those chosen out of rooms."""
        named = list(chosen(rooms))
        for each in self._each():
            await each.sockets_leave(named)

    async def disconnect_sockets(self, *, close: bool = False) -> None:
        """Put those chosen out."""
        for each in self._each():
            await each.disconnect_sockets(close=close)

    def _each(self) -> list[Operator[C]]:
        said: tuple[Selection, bool, float | None, bool, bool]
        said = self.selection, self.is_volatile, self.timeout_s, self.is_compressed, self.is_local
        return [Operator(hub, *said) for hub in self.children()]
