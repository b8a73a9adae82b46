"""Addresses: where subscribers can be reached on channels that have addresses of their own, such as push and chat.

An address is one person's at a time: a device on which somebody else has signed in is theirs from then on.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from clarion.clock import Clock
from clarion.errors import Fault, Invalid
from clarion.notifications.channels import Channels, KeepsAddresses
from clarion.notifications.content import check_json
from clarion.notifications.going import Going
from clarion.notifications.workflows.definition import Say, Workflow
from clarion.storage import addresses as sql
from clarion.storage import subscribers as people_sql
from clarion.storage.addresses import address_id
from clarion.storage.store import Store

DATA_BYTES: Final = 4_096  # of JSON, as a person's attributes: each run of theirs loads them


class Addresses:
    """The addresses of subscribers.

    Args:
        store: Where they are.
        channels: Which of them have such addresses.
        clock: Time of changes.
    """

    def __init__(self, store: Store, channels: Channels, *, clock: Clock) -> None:
        self._store, self._channels, self._clock = store, channels, clock

    async def put(
        self,
        tenant: str,
        user: str,
        channel: str,
        address: str,
        data: Mapping[str, Any] | None = None,
        *,
        label: str = "",
    ) -> str:
        """Reach a user there from now on, and nobody else; returns the address's id.

        A channel with a `kept` says what is stored of an address, and refuses one that is none.

        Args:
            tenant: Whose user.
            user: Their id.
            channel: Its name.
            address: Unique on the channel.
            data: What the channel needs beside it.
            label: What a person calls it.

        Raises:
            Invalid: The channel says that this is no address, or `data` is larger than 4 KiB of JSON.
        """
        check_json(None if data is None else dict(data), DATA_BYTES, "/data")
        id = address_id(channel, address)
        found: object = self._channels.get(channel)
        if isinstance(found, KeepsAddresses):
            address = found.kept(address)
        row = sql.NewAddress(
            tenant,
            id,
            user,
            channel,
            address,
            "" if data is None else msgspec.json.encode(data).decode(),
            label,
            self._clock.now_ms(),
        )
        await self._store.apply(sql.PUT, [row])
        return row.id

    def check_channel(self, channel: str) -> None:
        """Refuse channels on which nobody has addresses of their own.

        Raises:
            Invalid: There is no such channel, or it finds people by what is known of them.
        """
        found = self._channels.get(channel)
        if found is None or not found.needs_addresses:
            own = ", ".join(each.name for each in self._channels.all() if each.needs_addresses)
            detail = f"{channel!r} is no channel with addresses of its own: these are {own}"
            raise Invalid(detail, faults=[Fault("/channel", detail)])

    async def of_user(self, tenant: str, user: str) -> list[sql.AddressRow]:
        """All addresses of a user, by channel."""
        return await self._store.fetch(sql.OF_USER, tenant=tenant, usr=user)

    async def remove(self, tenant: str, id: str, user: str = "") -> None:
        """Forget an address, if it is this user's ('': whoever's it is); who is not known changes nothing."""
        await self._store.apply(sql.REMOVE, [sql.Removed(tenant, id, user)])

    async def load(self, goings: Sequence[Going]) -> None:
        """Let the recipients of runs know their `addresses` `{channel: [{id, address, data}]}`, where their workflow has a step that asks."""
        asks: dict[str, bool] = {}
        asking: list[Going] = []
        for going in goings:
            name = f"{going.tenant}|{going.workflow.key}|{going.version}"
            if name not in asks:
                asks[name] = self._asks(going.workflow)
            if asks[name] and going.recipient is not None:
                asking.append(going)
        if not asking:
            return
        rows = [people_sql.Named(going.tenant, going.usr) for going in asking]
        found: list[sql.UserAddress] = await self._store.apply(sql.OF_USERS, rows)
        by_going: list[dict[str, list[dict[str, Any]]]] = [{} for _ in asking]
        for row in found:
            data = msgspec.json.decode(row.data) if row.data else {}
            known = {"id": row.id, "address": row.address, "data": data}
            by_going[row.n - 1].setdefault(row.channel, []).append(known)
        for going, addresses in zip(asking, by_going, strict=True):
            assert going.recipient is not None, "asked for"
            going.recipient = {**going.recipient, "addresses": addresses}

    def _asks(self, workflow: Workflow) -> bool:
        names = {step.act.channel for step in workflow.steps if isinstance(step.act, Say)}
        found = [channel for name in names if (channel := self._channels.get(name)) is not None]
        return any(channel.needs_addresses for channel in found)
