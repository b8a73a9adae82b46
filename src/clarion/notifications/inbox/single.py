"""What a person does with one message: read it, put it away, keep it on top, press a button of it."""

from collections.abc import Callable

from msgspec.structs import asdict, replace

from clarion.auth.principal import Principal
from clarion.errors import Conflict, NotFound
from clarion.notifications.changes import Action, State, act, press
from clarion.notifications.inbox.ledger import Ledger, state_of
from clarion.notifications.messages import Message, buttons_of, shown
from clarion.storage import inbox as sql


class Single(Ledger):
    """Changes of one message."""

    async def mark(self, caller: Principal, id: str, action: Action) -> Message:
        """Change one message of the caller; returns it as it is then. What changes nothing leaves no trace.

        Raises:
            NotFound: There is no such message, or it is not theirs.
        """
        return await self._do(caller, id, lambda state: act(state, action, self._clock.now_ms()))

    async def press(self, caller: Principal, id: str, button: str) -> Message:
        """Press a button of a message of the caller: that is to follow it. The same once more changes nothing.

        Raises:
            NotFound: There is no such message, it is not theirs, or it has no such button.
            Conflict: Another of its buttons was pressed.
        """
        buttons = buttons_of((await self._find(self._store, caller, id)).actions) or []
        if button not in {each.id for each in buttons}:
            raise NotFound("this message has no such action")
        message = await self._do(
            caller, id, lambda state: press(state, button, self._clock.now_ms())
        )
        if message.done and message.done.action != button:
            raise Conflict(f"{message.done.action!r} was done already")
        return message

    async def _do(self, caller: Principal, id: str, change: Callable[[State], State]) -> Message:
        # Most calls that have nothing to do find out here, without a turn at writing.
        row = await self._find(self._store, caller, id)
        if change(state_of(row)) == state_of(row):
            return shown(row)
        async with self._store.transaction() as tx:
            head = (await tx.fetch(sql.LOCK, tenant=caller.tenant, usr=caller.id))[0]
            row = await self._find(tx, caller, id)
            changed = change(state_of(row))
            entry = await self._change(tx, caller, head, row, changed)
        if entry is not None:
            await self.announce(caller.tenant, caller.id, head.epoch, entry)
            await self._marked(caller)
        return shown(replace(row, **asdict(changed)))
