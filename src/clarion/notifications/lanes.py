"""Lanes: the messages of one channel on their way, each attempt under a lease and on record.

At least once: a process that dies between a provider's yes and the commit sends it once more, with the same id. A failure is tried
again with backoff, or as the provider says; after the last attempt the message is a dead letter for a person to see.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import msgspec

from clarion.clock import Clock
from clarion.errors import ClarionError
from clarion.ids import Ids
from clarion.jobs import Loop
from clarion.jobs.queue import backoff_s
from clarion.jobs.turns import Turns, first_ms, take
from clarion.notifications.channels import (
    Channel,
    NotSent,
    NotYet,
    Outgoing,
    Provided,
    Providers,
    Sent,
)
from clarion.notifications.parking import park
from clarion.notifications.waking import wake
from clarion.storage import outgoing as sql
from clarion.storage.jobs import Settlement
from clarion.storage.sends import PARK_MESSAGE
from clarion.storage.store import Store
from clarion.telemetry import dead_letters, get_logger, messages, spawn

_log = get_logger(__name__)

CONCURRENCY: Final = 64  # messages of one channel in the hands of providers at a time
LEASE_S: Final = 120.0  # longer than any channel's timeout
SETTLE_S: Final = 5.0  # between two tries to write what became of a message, at most
AGAIN_S: Final = 1.0  # before a message is taken up again of which it could not be found out whether it is wanted
ANSWER_CHARS: Final = 1_000
# A life cycle never goes back: what comes late and ranks lower changes nothing.
RANKS: Final = {"queued": 0, "sent": 10, "delivered": 20, "bounced": 30, "failed": 30, "suppressed": 30, "cancelled": 100}  # fmt: skip

WhyNot = Callable[[sql.ClaimedOutgoing], Awaitable[str]]


class Lane:
    """Messages of one channel on their way.

    Args:
        store: Where they are.
        channel: How.
        providers: Who is asked, and how many messages they may be handed.
        woken: Called when runs may have been waiting for what became of a message.
        why_not: Says why a message is not wanted any more, '' if it is; raises `NotYet` where it is not to come now.
        clock: The time.
        ids: Jitter.
        node: Names this process in leases.
    """

    def __init__(
        self,
        store: Store,
        channel: Channel,
        providers: Providers,
        woken: Callable[[], None],
        why_not: WhyNot,
        *,
        clock: Clock,
        ids: Ids,
        node: str,
    ) -> None:
        self._store, self._channel, self.providers = store, channel, providers
        self._send = channel.send if isinstance(channel, Provided) else providers.send
        self._woken, self._clock, self._ids, self._node = woken, clock, ids, node
        self._why_not = why_not
        self._running: dict[asyncio.Task[None], None] = {}
        self._turns = Turns()
        self.loop = Loop(f"sending-{channel.name}", self.look, ids)

    async def look(self) -> float:
        """Take what is due and may be sent; returns how long to wait before the next look (s)."""
        room = self.providers.room()
        free = min(room.free, CONCURRENCY - len(self._running))
        if free <= 0:
            return room.again_s  # or the end of one wakes the loop
        waiting = await self._store.fetch(sql.WAITING, lane=self._channel.name)
        due_ms, now_ms = first_ms(waiting), self._clock.now_ms()
        if due_ms is None:
            return float("inf")
        if due_ms > now_ms:
            return (due_ms - now_ms) / 1000
        until_ms = now_ms + int(LEASE_S * 1000)
        claimed = await take(
            self._store,
            self._turns,
            waiting,
            sql.CLAIM,
            now_ms=now_ms,
            lease_s=LEASE_S,
            node=self._node,
            limit=free,
            lane=self._channel.name,
        )
        for row in claimed:
            self.providers.expect(row.id)
            task = spawn(self._hand(row, until_ms), name=f"send-{row.channel}")
            self._running[task] = None
            task.add_done_callback(partial(self._ended, row.id))
        return 0.0 if claimed else self._ids.uniform(0.01, 0.1)

    async def close(self, grace_s: float) -> None:
        """Wait for what is in providers' hands."""
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=grace_s)
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(tuple(self._running))

    @property
    def _timeout_s(self) -> float:
        return min(self._channel.timeout_s, LEASE_S - 10)

    def _ended(self, id: str, task: asyncio.Task[None]) -> None:
        self._running.pop(task)
        self.providers.arrived(id)  # also if it never came to that
        self.loop.wake()

    async def _hand(self, row: sql.ClaimedOutgoing, until_ms: int) -> None:
        write = await self._attempt(row, until_ms)
        failures = 0
        while write is not None:
            try:
                await write()
            except ClarionError as exc:
                # What is not on record is sent once more: it is written as soon as the store can be written.
                failures += 1
                wait_s = min(backoff_s(failures, self._ids), SETTLE_S)
                _log.warning("message could not be settled", message=row.id, code=exc.code)
                if self._clock.now_ms() + wait_s * 1000 > until_ms:
                    return  # the lease ends, and somebody else tries it
                await asyncio.sleep(wait_s)
            else:
                return

    async def _attempt(
        self, row: sql.ClaimedOutgoing, until_ms: int
    ) -> Callable[[], Awaitable[None]] | None:
        """Hand it over; returns how to write what became of it, None: it is not ours any more."""
        began = self._clock.monotonic()
        result: Sent | NotSent
        if row.cause:
            return partial(self._call_off, row)
        if row.hold:
            return partial(
                park, self._store, self._clock, row.tenant, row.trigger_id, PARK_MESSAGE, [row]
            )
        try:
            why_not = await self._why_not(row)
        except NotYet as exc:
            return partial(self._put_back, row, exc)
        except ClarionError as exc:
            return partial(self._put_back, row, NotYet(AGAIN_S, str(exc)))
        if why_not:
            result = NotSent(why_not, provider="", is_final=True, cause="suppressed")
        elif row.attempts > self._channel.max_attempts:
            result = NotSent("the process died each time it was sent", provider="", is_final=True)
        elif not self._outlasts(until_ms):
            _log.warning("lease too old to send", channel=row.channel, message=row.id)
            return None
        else:
            try:
                result = await self._try(row)
            except NotYet as exc:
                return partial(self._put_back, row, exc)
        took_ms = round((self._clock.monotonic() - began) * 1000)
        is_last = row.attempts >= self._channel.max_attempts
        return partial(self._settle, row, result, took_ms, is_last=is_last)

    def _outlasts(self, until_ms: int) -> bool:
        """Whether a lease does, an attempt: if the store was slow, or this process stood still, somebody else would make another."""
        return self._clock.now_ms() + self._timeout_s * 1000 <= until_ms

    async def _try(self, row: sql.ClaimedOutgoing) -> Sent | NotSent:
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
            created_ms=row.created_ms,
        )
        timeout_s = self._timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return await self._send(message)
        except NotSent as exc:
            return exc
        except NotYet:
            raise
        except TimeoutError:
            return NotSent(f"no answer within {timeout_s:g} s", provider=row.channel)
        except Exception as exc:  # noqa: BLE001  a channel's failure is the message's, whatever it is
            _log.warning("channel failed", channel=row.channel, message=row.id, exc_info=exc)
            return NotSent(f"{type(exc).__name__}: {exc}", provider=row.channel)

    async def _put_back(self, row: sql.ClaimedOutgoing, not_yet: NotYet) -> None:
        """Nobody was asked, so this was no attempt."""
        # A little later than that, so that those who were put back together do not return together.
        run_ms = self._clock.now_ms() + int((not_yet.after_s + self._ids.uniform(0.0, 1.0)) * 1000)
        settlement = Settlement(
            row.tenant, row.id, row.token, run_ms, row.attempts - 1, _clean(not_yet.why)
        )
        await self._store.apply(sql.PUT_BACK, [settlement])

    async def _call_off(self, row: sql.ClaimedOutgoing) -> None:
        now_ms = self._clock.now_ms()
        async with self._store.transaction() as tx:
            await tx.execute(
                sql.END_CALLED_OFF, tenant=row.tenant, id=row.id, token=row.token, now_ms=now_ms
            )

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
        earlier = result.tries[:-1]
        if earlier:
            attempts = [
                sql.NewAttempt(
                    row.tenant, row.id, row.tried + row.attempts, part, each.provider, each.outcome, _clean(each.answer), each.at_ms, each.took_ms
                )
                for part, each in enumerate(earlier)
            ]  # fmt: skip
            await self._store.apply(sql.ADD_ATTEMPTS, attempts)
        if result.tries:
            took_ms = result.tries[-1].took_ms
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
            row.tried + row.attempts,
            len(earlier),
            now_ms,
            took_ms,
            now_ms if isinstance(result, Sent) else None,
            now_ms if run_ms is None else None,
        )
        await self._store.apply(sql.HANDED, [handed])
        if isinstance(result, Sent):
            messages.labels(row.channel).inc()
        elif run_ms is None:
            dead_letters.labels(row.channel).inc()
        if run_ms is None:
            await self._wake(row, now_ms)

    async def _wake(self, row: sql.ClaimedOutgoing, now_ms: int) -> None:
        if await wake(self._store, row.tenant, row.id.rpartition(".")[0], now_ms):
            self._woken()


def _clean(text: str) -> str:
    # Somebody else's words: whatever is in them must not keep the message from being settled.
    return text[:ANSWER_CHARS].replace("\0", "�").encode(errors="replace").decode()
