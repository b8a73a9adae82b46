"""Delivery mode: whether messages of channels really leave, or are kept to be looked at.

`live` sends. `capture` keeps every message of every channel but the inbox, as it would have been handed to a provider, so that
a trial needs no provider and a test system reaches nobody. `allowlist` sends to those who are listed and keeps the rest.
"""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Struct

from clarion.clock import Clock, as_datetime
from clarion.errors import Forbidden, NotFound
from clarion.ids import Ids
from clarion.notifications.channels.base import Outgoing, Sent
from clarion.storage import captures as sql
from clarion.storage.secrets import secret_of
from clarion.storage.store import Store

Mode = Literal["live", "allowlist", "capture"]
PROVIDER: Final = "capture"
"""What attempts call it."""
TRIM_EVERY: Final = 100  # messages: what is kept may be so many more than allowed
LINK_S: Final = 600
_LAST: Final = "~"  # behind every id


class Capture(Struct, frozen=True):
    """A message that was kept instead of sent.

    Attributes:
        id: Sorts by time.
        message: The id that it would have had at the provider; its run's and step's.
        content: What it says, rendered, as the channel declares it.
        html_url: Where its HTML can be looked at for ten minutes, without a credential; null: it has none.
    """

    id: str
    channel: str
    user: str
    address: str
    workflow: str
    category: str
    message: str
    content: dict[str, Any]
    html_url: str | None
    at: datetime


class CapturePage(Struct, frozen=True):
    """Captures, newest first; `next` is the cursor of the page that follows, null on the last one."""

    mode: Mode
    items: list[Capture]
    next: str | None


class Delivery:
    """Decides whether a message leaves, and keeps those that do not.

    Args:
        store: Where they are kept.
        mode: See above.
        allow: For `allowlist`: addresses, `@example.com` for a domain, hosts of URLs, `user:<id>`.
        keep: So many, the newest of each tenant.
        clock: The time.
        ids: Of what is kept.
    """

    def __init__(
        self,
        store: Store,
        mode: Mode,
        allow: Sequence[str] = (),
        *,
        keep: int = 1_000,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self.mode: Mode = mode
        self._allow = frozenset(entry.lower() for entry in allow)
        self._store, self._keep, self._clock, self._ids = store, keep, clock, ids
        self._since_trim: dict[str, int] = {}
        self._key = b""

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is sent."""
        return self.mode == "capture"

    def is_real(self, message: Outgoing) -> bool:
        """Whether it is sent."""
        if self.mode != "allowlist":
            return self.mode == "live"
        address = message.address.lower()
        ways = {address, f"user:{message.user.lower()}"}
        if "://" in address:
            ways.add(_host(address))
        elif address.count("@") == 1:
            ways.add("@" + address.rpartition("@")[2])
        return not ways.isdisjoint(self._allow)

    async def keep(self, channel: str, message: Outgoing) -> Sent:
        """Keep it instead."""
        now_ms = self._clock.now_ms()
        id = self._ids.ordered(now_ms)
        row = sql.CaptureRow(
            message.tenant,
            id,
            channel,
            message.user,
            message.address,
            message.workflow,
            message.category,
            message.id,
            msgspec.json.encode(message.content).decode(),
            now_ms,
        )
        await self._store.apply(sql.ADD, [row])
        count = self._since_trim[message.tenant] = self._since_trim.get(message.tenant, 0) + 1
        if count >= TRIM_EVERY:
            self._since_trim.pop(message.tenant)
            await self._trim(message.tenant)
        return Sent(PROVIDER, id, f"kept, not sent: delivery is {self.mode}")

    async def page(
        self, tenant: str, *, channel: str = "", user: str = "", before: str = "", limit: int = 50
    ) -> CapturePage:
        """What was kept, newest first."""
        found = await self._store.fetch(
            sql.PAGE,
            tenant=tenant,
            channel=channel,
            usr=user,
            before=before or _LAST,
            n=limit + 1,
        )
        items = [await self._shown(row) for row in found[:limit]]
        return CapturePage(self.mode, items, items[-1].id if len(found) > limit else None)

    async def find(self, tenant: str, id: str) -> Capture:
        """One of them.

        Raises:
            NotFound: It is not there, or not any more.
        """
        for row in await self._store.fetch(sql.FIND, tenant=tenant, id=id):
            return await self._shown(row)
        raise NotFound(f"there is no capture {id}")

    async def html(self, tenant: str, id: str, until: int, signature: str) -> str:
        """The HTML of one, for whoever has its link.

        Raises:
            Forbidden: The link is not ours, or its time is over.
            NotFound: The message is not there any more.
        """
        expected = await self._sign(tenant, id, until)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise Forbidden("this link is not signed by this server")
        if until * 1000 < self._clock.now_ms():
            raise Forbidden("the time of this link is over: look the capture up again")
        for row in await self._store.fetch(sql.FIND, tenant=tenant, id=id):
            if (html := _html_of(msgspec.json.decode(row.content))) is not None:
                return html
        raise NotFound(f"there is no capture {id} with HTML")

    async def clear(self, tenant: str) -> int:
        """Forget all of a tenant; returns how many there were."""
        async with self._store.transaction() as tx:
            return await tx.execute(sql.CLEAR, tenant=tenant)

    async def purge(self) -> AsyncIterator[int]:
        """Forget what is beyond the limit, see `jobs.purging.Slices`."""
        for row in await self._store.fetch(sql.TENANTS):
            yield await self._trim(row.tenant)

    async def _trim(self, tenant: str) -> int:
        async with self._store.transaction() as tx:
            return await tx.execute(sql.TRIM, tenant=tenant, keep=self._keep)

    async def _shown(self, row: sql.FoundCapture) -> Capture:
        content = msgspec.json.decode(row.content)
        url = None
        if _html_of(content) is not None:
            until = self._clock.now_ms() // 1000 + LINK_S
            signature = await self._sign(row.tenant, row.id, until)
            asked = urlencode({"tenant": row.tenant, "until": until, "signature": signature})
            url = f"/v1/captures/{row.id}/html?{asked}"
        return Capture(
            row.id,
            row.channel,
            row.usr,
            row.address,
            row.workflow,
            row.category,
            row.message,
            content,
            url,
            as_datetime(row.at_ms),
        )

    async def _sign(self, tenant: str, id: str, until: int) -> str:
        if not self._key:
            self._key = (
                await secret_of(self._store, "capture_links", self._ids.token(32))
            ).encode()
        text = f"{tenant}\n{id}\n{until}".encode()
        raw = hmac.digest(self._key, text, hashlib.sha256)
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _html_of(content: dict[str, Any]) -> str | None:
    html = content.get("html")
    return html if isinstance(html, str) and html else None


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
