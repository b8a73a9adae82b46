"""Suppressions: addresses that are not written to, because mail to them comes back or somebody wants none."""

import contextlib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from clarion.clock import Clock, as_datetime
from clarion.errors import Fault, Invalid, NotFound
from clarion.notifications.channels import Channels
from clarion.notifications.channels.base import Outgoing
from clarion.notifications.channels.email.headers import Unwritable, ascii_domain
from clarion.notifications.channels.inbox import NAME as INBOX
from clarion.notifications.going import Going
from clarion.notifications.workflows.definition import Say
from clarion.patterns import worded
from clarion.storage import suppressions as sql
from clarion.storage.store import Store

Reason = Literal["bounce", "complaint", "unsubscribe", "manual"]
ChannelName = Annotated[
    str,
    Meta(
        pattern=worded(
            r"^[a-z][a-z0-9_-]{0,31}$(?!\n)",
            "a name: a-z, 0-9, `_` and `-`, at most 32, the first a letter",
        ),
        description="A channel",
    ),
]
AddressText = Annotated[str, Meta(min_length=1, max_length=2_048, description="As the channel knows it")]  # fmt: skip
DETAIL_CHARS: Final = 500


class NewSuppression(Struct, frozen=True, forbid_unknown_fields=True):
    """An address that must not be written to."""

    address: AddressText
    channel: ChannelName = "email"
    reason: Reason = "manual"
    detail: Annotated[str, Meta(max_length=DETAIL_CHARS)] = ""


class Suppression(Struct, frozen=True):
    """One that is not. `message`: what was sent when that was found out, null if nothing was."""

    channel: str
    address: str
    reason: Reason
    detail: str
    message: str | None
    created_at: datetime


def comparable(address: str) -> str:
    """An address as it is compared: `Ann@Example.org` is `ann@example.org`, and a domain's two spellings are one."""
    found = address.strip()
    local, at, domain = found.rpartition("@")
    if at and local:
        with contextlib.suppress(Unwritable):  # it is no email address, and compared as it is
            found = f"{local}@{ascii_domain(domain)}"
    return found.lower()


class Suppressions:
    """The addresses that are not written to.

    Args:
        store: Where they are.
        channels: Who has addresses.
        clock: The time.
    """

    def __init__(self, store: Store, channels: Channels, *, clock: Clock) -> None:
        self._store, self._channels, self._clock = store, channels, clock

    async def add(
        self,
        tenant: str,
        channel: str,
        address: str,
        reason: Reason,
        detail: str = "",
        message: str = "",
    ) -> None:
        """Write to an address no more. One that is suppressed already keeps its reason."""
        row = sql.NewSuppression(
            tenant,
            channel,
            comparable(address),
            reason,
            _clean(detail),
            message,
            self._clock.now_ms(),
        )
        await self._store.apply(sql.ADD, [row])

    async def put(self, tenant: str, given: NewSuppression) -> Suppression:
        """Write to an address no more; returns what stands there, which may have been there before.

        Raises:
            Invalid: There is no such channel, or no address: nothing would come of it.
        """
        if not comparable(given.address):
            raise Invalid(faults=[Fault("/address", "no address")])
        names = [each.name for each in self._channels.all() if each.name != INBOX]
        if given.channel not in names:
            why = f"there is no channel {given.channel!r} with addresses; there are {', '.join(names)}"
            raise Invalid(faults=[Fault("/channel", why)])
        await self.add(tenant, given.channel, given.address, given.reason, given.detail)
        return await self.find(tenant, given.channel, given.address)

    async def find(self, tenant: str, channel: str, address: str) -> Suppression:
        """One of them.

        Raises:
            NotFound: It may be written to.
        """
        found = await self._store.fetch(
            sql.FIND, tenant=tenant, channel=channel, address=comparable(address)
        )
        if not found:
            raise NotFound(f"{channel} to that address is not suppressed")
        return _suppression(found[0])

    async def page(
        self, tenant: str, channel: str, after: str, limit: int
    ) -> tuple[list[Suppression], bool]:
        """Those of a channel behind an address, and whether there are more."""
        found = await self._store.fetch(
            sql.PAGE, tenant=tenant, channel=channel, after=after, n=limit + 1
        )
        return [_suppression(row) for row in found[:limit]], len(found) > limit

    async def remove(self, tenant: str, channel: str, address: str) -> None:
        """Write to an address again; nothing happens where it is not suppressed."""
        async with self._store.transaction() as tx:
            await tx.execute(
                sql.REMOVE, tenant=tenant, channel=channel, address=comparable(address)
            )

    async def why(self, message: Outgoing, channel: str) -> str:
        """Why a message must not go out, '' if it may: what was decided when it was made may not be so any more."""
        row = sql.Written(message.tenant, channel, comparable(message.address))
        found: list[sql.Found] = await self._store.apply(sql.LOOK, [row])
        # Whoever has ended some messages still gets the critical ones, which are decided where workflows are known.
        return next((_told(each) for each in found if each.reason != "unsubscribe"), "")

    async def load(self, goings: Sequence[Going]) -> None:
        """Let runs know which addresses of their recipients must not be written to on the channels of their workflows."""
        asked: list[sql.Written] = []
        whose: list[tuple[Going, tuple[str, str]]] = []
        for going in goings:
            if going.recipient is None:
                continue
            names = {step.act.channel for step in going.workflow.steps if isinstance(step.act, Say)}
            for name in sorted(names - {INBOX}):
                channel = self._channels.get(name)
                for address in channel.addresses(going.recipient) if channel else ():
                    asked.append(sql.Written(going.tenant, name, comparable(address)))
                    whose.append((going, (name, address)))
        if not asked:
            return
        found: list[sql.Found] = await self._store.apply(sql.LOOK, asked)
        for row in found:
            going, key = whose[row.n - 1]
            if row.reason != "unsubscribe" or not going.workflow.is_critical:
                going.suppressed = {**going.suppressed, key: _told(row)}


def _told(found: sql.Found) -> str:
    return f"{found.reason}: {found.detail}" if found.detail else found.reason


def _suppression(row: sql.SuppressionRow) -> Suppression:
    return Suppression(
        row.channel,
        row.address,
        row.reason,
        row.detail,
        row.message or None,
        as_datetime(row.created_ms),
    )


def _clean(text: str) -> str:
    return text[:DETAIL_CHARS].replace("\0", "�").encode(errors="replace").decode()
