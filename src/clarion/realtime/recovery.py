"""Connection state recovery: a client that was away for a while comes back as the socket that it was.

Off by default. This is its part in one namespace; what is kept is in `shelf.py`, and which events a client missed is decided in `history.py`. A
`pid`, which only the client and the server know, names the socket that a client was. It is good once: who comes back by it takes that socket's place,
be it parked or, where the client was faster than the news of its end, still connected.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from clarion.realtime.history import Outcome, Stays, missed
from clarion.realtime.shelf import Client, Expired, Parked, Recoverable, Shelf
from clarion.realtime.transports.base import Prepared
from clarion.telemetry import recovery


class Restored(Struct, frozen=True):
    """A socket whose client is back, and what that missed, in order."""

    parked: Parked
    items: list[Prepared]


class Recovery:
    """Recovery in one namespace, on this node alone; `backplane/sessions.py` has it on all of them.

    Args:
        namespace: Its name.
        shelf: The server's.
        on_expired: Called with each socket that is lost for good.
    """

    is_shared = False
    """Whether clients may come back on another node: what is kept goes to all of them before it goes to a client, and `seek` restores."""

    def __init__(
        self,
        namespace: str,
        shelf: Shelf,
        *,
        on_expired: Callable[[Expired], None],
    ) -> None:
        # Fixed at creation
        self.history = shelf.history(namespace)
        self.skips_middlewares = shelf.skips_middlewares
        self.shelf, self.on_expired = shelf, on_expired

    def keep(self, rooms: tuple[str, ...], excluded: tuple[str, ...], item: Prepared) -> None:
        """Keep an event that is being sent, with `history.offset(is_next=True)` as its last argument."""
        self.shelf.keep(self.history, rooms, excluded, item)

    # ── sockets ──
    async def seek(self, client: Client) -> Restored | None:
        """As `restore` where clients may come back on another node; nothing may be awaited between its answer and letting the client in."""
        return self.restore(client, trusts_pid=False)

    def put_back(self, restored: Restored) -> None:
        """Who was sought has gone again before it was let in: it may come once more."""

    def changed(self, id: str) -> None:
        """A socket has come into a room, or left one."""

    def restore(self, client: Client, *, trusts_pid: bool) -> Restored | None:
        """Look for the socket that a client was, which then is its again.

        Args:
            client: The socket that it has now, which is not connected yet.
            trusts_pid: No middleware has said who the client is: whoever knows the `pid` is who it was.

        Returns:
            The socket that it was and what it missed; None: the client is new here.
        """
        recoverable = client.recoverable
        if recoverable is None or recoverable.asked is None:
            return None
        (pid, offset), recoverable.asked = recoverable.asked, None
        found = self._claim(client, pid, offset, trusts_pid=trusts_pid)
        if isinstance(found, Outcome):
            recovery.labels(found.value).inc()
            return None
        recovery.labels(Outcome.RECOVERED.value).inc()
        return found

    def _claim(
        self, client: Client, pid: Any, offset: Any, *, trusts_pid: bool
    ) -> Restored | Outcome:
        shelf = self.shelf
        found = shelf.who(pid) if type(pid) is str else None
        if found is None or found[0] is not self.history:
            return Outcome.UNKNOWN
        _, user_room, living = found
        if not trusts_pid and user_room != client.user_room:
            return Outcome.OTHER_USER  # it stays for whom it belongs to
        if living is not None:
            living.superseded()
        parked = shelf.find(pid)
        if parked is None:
            return Outcome.UNKNOWN
        shelf.take(parked)
        items = missed(
            self.history,
            parked.stays,
            offset,
            certain_until=parked.left_at - shelf.certain_s,
            most_bytes=shelf.limits.egress_hard_bytes // 2,
        )
        if isinstance(items, Outcome):
            parked.lost(items.value)
            return items
        return Restored(parked, items)

    def began(self, client: Client, restored: Restored | None) -> str:
        """A socket is connected; returns the `pid` by which its client may come back."""
        shelf = self.shelf
        if restored is None:
            made = Recoverable(None, shelf.ids.token(), Stays(self.history.top))
        else:
            made = Recoverable(None, restored.parked.pid, restored.parked.stays, recovered=True)
        client.recoverable = made
        shelf.live[made.pid] = (self.history, client)
        return made.pid

    def ended(self, client: Client, *, may_return: bool) -> None:
        """A socket leaves, and is still in its rooms."""
        recoverable = client.recoverable
        if recoverable is None or recoverable.stays is None:
            return
        stays, recoverable.stays = recoverable.stays, None
        shelf, pid = self.shelf, recoverable.pid
        del shelf.live[pid]
        if may_return:
            now = shelf.wheel.now()
            was = (client.id, client.user, client.user_room, client.principal, client.data)
            shelf.park(Parked(*was, pid, stays, now, self.history, self._when_lost(pid)))

    def _when_lost(self, pid: str) -> Callable[[Expired], None]:
        """What is called when nobody can come back by a `pid` any more."""
        return self.on_expired

    # ── those who are away ──
    def away(self, rooms: tuple[str, ...], excluded: tuple[str, ...]) -> list[Parked]:
        """Whom a selection (see `hub.Selection`) would mean if they were here."""
        return [
            parked
            for parked in self.shelf.parked()
            if parked.history is self.history and parked.stays.selects(rooms, excluded)
        ]

    def put_out(self, parked: Parked) -> None:
        """Somebody who is away may not come back."""
        self.shelf.lose(parked, "disconnect")
