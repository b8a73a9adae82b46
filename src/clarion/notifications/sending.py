"""Sending: messages of channels are handed to providers, each attempt under a lease and on record.

At least once: a process that dies between a provider's yes and the commit sends it once more, with the same id. A failure is tried
again with backoff, or as the provider says; after the last attempt the message is a dead letter for a person to see.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec

from clarion.clock import Clock
from clarion.ids import Ids
from clarion.jobs.queue import backoff_s
from clarion.notifications.channels import Channels, NotSent, Outgoing, Sent
from clarion.notifications.going import wait_key_of
from clarion.notifications.runs import nothing
from clarion.storage import outgoing as sql
from clarion.storage import runs as run_sql
from clarion.storage.store import Store
from clarion.telemetry import get_logger, messages, spawn

_log = get_logger(__name__)

CONCURRENCY: Final = 64  # messages in the hands of providers at a time
LEASE_S: Final = 120.0  # longer than any channel's timeout
ANSWER_CHARS: Final = 1_000
# A life cycle never goes back: what comes late and ranks lower changes nothing.
RANKS: Final = {"queued": 0, "sent": 10, "delivered": 20, "bounced": 30, "failed": 30, "suppressed": 30, "cancelled": 100}  # fmt: skip


class Sender:
    """Hands messages over.

    Args:
        store: Where they are.
        channels: How.
        clock: The time.
        ids: Jitter.
        node: Names this process in leases.
    """

    def __init__(
        self, store: Store, channels: Channels, *, clock: Clock, ids: Ids, node: str
    ) -> None:
        self._store, self._channels = store, channels
        self._clock, self._ids, self._node = clock, ids, node
        self._running: dict[asyncio.Task[None], None] = {}
        self.on_ended: Callable[[], None] = nothing
        """Called when a message has left this process' hands: there is room for another."""
        self.on_woken: Callable[[], None] = nothing
        """Called when runs may have been waiting for it."""

    async def look(self) -> float:
        """Take what is due and may be sent; returns how long to wait before the next look (s)."""
        free = CONCURRENCY - len(self._running)
        if free <= 0:
            return float("inf")  # the end of one wakes the loop
        [due] = await self._store.fetch(sql.NEXT_DUE)
        if due.run_ms is None:
            return float("inf")
        now_ms = self._clock.now_ms()
        if due.run_ms > now_ms:
            return (due.run_ms - now_ms) / 1000
        async with self._store.transaction() as tx:
            claimed = await tx.fetch(
                sql.CLAIM,
                now=now_ms,
                until=now_ms + int(LEASE_S * 1000),
                node=self._node,
                limit=free,
            )
        for row in claimed:
            task = spawn(self._hand(row), name=f"send-{row.channel}")
            self._running[task] = None
            task.add_done_callback(self._ended)
        return 0.0 if claimed else self._ids.uniform(0.01, 0.1)

    async def close(self, grace_s: float = 10.0) -> None:
        """Wait for what is in providers' hands; what is not answered by then is tried again when its lease ends."""
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=grace_s)
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(tuple(self._running))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task)
        self.on_ended()

    async def _hand(self, row: sql.ClaimedOutgoing) -> None:
        channel = self._channels.get(row.channel)
        began = self._clock.monotonic()
        result: Sent | NotSent
        if channel is None:
            result = NotSent(f"no channel {row.channel!r} here", provider="", retry_after_s=60.0)
        elif row.attempts > channel.max_attempts:
            result = NotSent("the process died each time it was sent", provider="", is_final=True)
        else:
            result = await self._try(row, channel.timeout_s)
        took_ms = round((self._clock.monotonic() - began) * 1000)
        last = channel is not None and row.attempts >= channel.max_attempts
        await self._settle(row, result, took_ms, is_last=last)

    async def _try(self, row: sql.ClaimedOutgoing, timeout_s: float) -> Sent | NotSent:
        channel = self._channels.get(row.channel)
        assert channel is not None, "looked up before"
        content: dict[str, Any] = msgspec.json.decode(row.content)
        message = Outgoing(
            tenant=row.tenant,
            id=row.id,
            user=row.usr,
            address=row.address,
            content=content,
            workflow=row.workflow,
            category=row.category,
            attempt=row.attempts,
        )
        try:
            async with asyncio.timeout(timeout_s):
                return await channel.send(message)
        except NotSent as exc:
            return exc
        except TimeoutError:
            return NotSent(f"no answer within {timeout_s:g} s", provider=row.channel)
        except Exception as exc:  # noqa: BLE001  a provider's failure is the message's, whatever it is
            _log.warning("channel failed", channel=row.channel, message=row.id, exc_info=exc)
            return NotSent(f"{type(exc).__name__}: {exc}", provider=row.channel)

    async def _settle(
        self, row: sql.ClaimedOutgoing, result: Sent | NotSent, took_ms: int, *, is_last: bool
    ) -> None:
        now_ms = self._clock.now_ms()
        if isinstance(result, Sent):
            status, cause, run_ms, answer = "sent", "", None, result.answer
        else:
            is_dead = result.is_final or is_last
            status = result.cause if is_dead else "queued"
            cause, answer = (result.why if is_dead else ""), result.why
            wait_s = (
                backoff_s(row.attempts, self._ids)
                if result.retry_after_s is None
                else result.retry_after_s
            )
            run_ms = None if is_dead else now_ms + int(wait_s * 1000)
        handed = sql.Handed(
            row.tenant,
            row.id,
            row.token,
            status,
            RANKS[status],
            _clean(cause),
            run_ms,
            result.provider,
            result.provider_id if isinstance(result, Sent) else "",
            "sent" if isinstance(result, Sent) else status if run_ms is None else "retry",
            _clean(answer),
            row.attempts,
            now_ms,
            took_ms,
            now_ms if isinstance(result, Sent) else None,
            now_ms if run_ms is None else None,
        )
        await self._store.apply(sql.HANDED, [handed])
        if isinstance(result, Sent):
            messages.labels(row.channel).inc()
        if run_ms is None:
            await self._wake(row, now_ms)

    async def _wake(self, row: sql.ClaimedOutgoing, now_ms: int) -> None:
        key = wait_key_of(row.id.rpartition(".")[0])
        async with self._store.transaction() as tx:
            count = await tx.execute(run_sql.WAKE, tenant=row.tenant, wait_key=key, now_ms=now_ms)
        if count:
            self.on_woken()


def _clean(text: str) -> str:
    # Somebody else's words: whatever is in them must not keep the message from being settled.
    return text[:ANSWER_CHARS].replace("\0", "�").encode(errors="replace").decode()
