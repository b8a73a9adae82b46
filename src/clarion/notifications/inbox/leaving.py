"""How messages leave an inbox for good: removed, or in favour of a later one of their key."""

from functools import partial

from clarion.auth.principal import Principal
from clarion.notifications.changes import removed_facts, taken_over
from clarion.notifications.inbox.ledger import Ledger, Tell, state_of
from clarion.notifications.messages import message_of
from clarion.storage import inbox as sql
from clarion.storage.inbox_retention import FORGET, Old
from clarion.storage.store import Tx


class Leaving(Ledger):
    """Removals, within the transaction of whoever has a reason for them."""

    async def replace(
        self, tx: Tx, tenant: str, user: str, id: str, key: str, *, quiet: bool = False
    ) -> list[Tell]:
        """Let a message that was just added take the place of the earlier one of its key; what is returned tells of that, after the commit.

        Args:
            tx: In which it was added.
            tenant: Of the user,
            user: whose inbox it is.
            id: Of the message.
            key: That it shares with the earlier one.
            quiet: It asks for nobody's attention anew: it is read, seen, pinned, archived or snoozed if the earlier one was.
        """
        owner = {"tenant": tenant, "usr": user}
        told: list[Tell] = []
        for earlier in await tx.fetch(sql.EARLIER, **owner, id=id, key=key):
            if quiet:
                told += await self._take_over(tx, Principal(id=user, tenant=tenant), id, earlier.id)
            told += await self.remove(tx, tenant, user, earlier.id)
        await tx.execute(sql.KEEP_KEY, **owner, id=id, key=key)
        return told

    async def _take_over(self, tx: Tx, caller: Principal, id: str, earlier: str) -> list[Tell]:
        [head] = await tx.fetch(sql.LOCK, tenant=caller.tenant, usr=caller.id)
        row, former = await self._find(tx, caller, id), await self._find(tx, caller, earlier)
        state = taken_over(state_of(row), state_of(former))
        entry = await self._change(tx, caller, head, row, state)
        if entry is None:
            return []
        return [partial(self.announce, caller.tenant, caller.id, head.epoch, entry)]

    async def remove(self, tx: Tx, tenant: str, user: str, id: str) -> list[Tell]:
        """Take a message out of an inbox for good; what is returned tells of that, after the commit. Nothing, if it is gone already."""
        owner = Principal(id=user, tenant=tenant)
        heads = await tx.fetch(sql.LOCK, tenant=tenant, usr=user)
        rows = await tx.fetch(sql.FIND, tenant=tenant, usr=user, id=id)
        for row in rows:
            await tx.apply(FORGET, [Old(tenant, user, id, row.notification)])
        if not heads or not rows:
            return []
        [head], [row] = heads, rows
        state = state_of(row)
        entered = None if state.is_hidden else await self._entered(tx, owner, row.seq)
        entry = await self._append(
            tx,
            owner,
            head,
            "removed",
            removed_facts([id], None if entered is None else state_of(entered)),
            unread=head.unread - state.counts,
            unseen=head.unseen - state.is_unseen,
            carried=None if entered is None else message_of(entered),
        )
        return [partial(self.announce, tenant, user, head.epoch, entry)]
