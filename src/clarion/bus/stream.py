"""A stream of Redis that many read, each from where it began: what is added while a connection is broken is read when it is back.

Every reader has its own place, and sees every entry. What the stream has dropped (it keeps about so many entries) before it was read is a gap.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from clarion.bus.address import parse
from clarion.bus.cluster import slot
from clarion.bus.link import DEADLINE_S, Link, dial
from clarion.bus.pump import Pump
from clarion.bus.redis import RedisClient
from clarion.bus.redis_bus import FIRST_S, LONGEST_S
from clarion.errors import Closed, Unavailable
from clarion.ids import Ids
from clarion.telemetry import Tasks, bus_gaps, get_logger

_log = get_logger(__name__)

KEEP: Final = 10_000  # entries, about
AT_ONCE: Final = 100  # entries that are read together
BLOCK_S: Final = 1.0  # for how long one question waits for entries

Reader = Callable[[bytes, dict[bytes, bytes]], None]
"""Takes the id and the fields of an entry; must not block."""


class Stream:
    """One stream.

    Args:
        url: See `address.parse`.
        name: Its key.
        reader: Called with each entry that is added from `start` on, by whomever; None: nothing is read.
        ids: For the spread of pauses.
        deadline_s: For how long (s) an answer is waited for, and a connection.

    Attributes:
        redis: The client that adds.
        key: Of the stream.
        last: Id of the last entry that was read.

    Raises:
        SettingsError: The URL is none.
    """

    def __init__(
        self,
        url: str,
        name: str,
        reader: Reader | None,
        *,
        ids: Ids,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        # Fixed at creation
        self._address, self._ids, self._deadline_s = parse(url), ids, deadline_s
        self.key, self._reader = name.encode(), reader
        self.redis = RedisClient(url, ids=ids, deadline_s=deadline_s)
        self._pump = Pump(self.redis, "stream: add")
        # Changes while open; the last id that was read.
        self.last = b"0-0"
        self._link: Link | None = None
        self._tasks = Tasks()
        self._is_closed = False

    async def start(self) -> None:
        """Connect, and read from now on.

        Raises:
            Unavailable: Redis does not answer.
        """
        self._link = await self._dial()
        newest = await self.redis.call(
            self.key, "XREVRANGE", self.key, "+", "-", "COUNT", 1, is_write=False
        )
        if newest:
            self.last = newest[0][0]
        self._tasks.spawn_forever(self._read, name="stream: read")
        self._pump.start()

    def add(self, fields: dict[str, str]) -> None:
        """Append an entry, after those of earlier calls. Redis' answer is not waited for.

        Raises:
            Unavailable: There is no connection now; `Overloaded`: too much waits for it.
            Closed: The stream was closed.
        """
        if self._is_closed:
            raise Closed("the stream is closed")
        if self._link is None or self._link.is_lost:
            raise Unavailable("the stream is not connected to Redis")
        flat = [part for pair in fields.items() for part in pair]
        self._pump.push((self.key, (b"XADD", self.key, b"MAXLEN", b"~", KEEP, b"*", *flat)))

    async def close(self) -> None:
        """Read nothing more."""
        self._is_closed = True
        await self._tasks.close()
        if self._link is not None:
            self._link.abort("closed")
            await self._link.ended()
        await self._pump.flush()
        await self._pump.close()
        await self.redis.close()

    # ── reading ──
    async def _read(self) -> None:
        longest = FIRST_S
        while True:
            if self._link is None or self._link.is_lost:
                await asyncio.sleep(self._ids.uniform(0, longest))
                longest = min(LONGEST_S, 2 * longest)
                try:
                    self._link = await self._dial()
                    await self._look_for_gap(self._link)
                except Unavailable as exc:
                    _log.warning("the stream cannot be read", error=exc.message)
                    continue
            if self._reader is None:
                longest = FIRST_S
                await self._link.ended()
                continue
            reply = await self._link.ask(
                "XREAD", "COUNT", AT_ONCE, "BLOCK", int(BLOCK_S * 1000), "STREAMS", self.key, self.last
            )  # fmt: skip
            if isinstance(reply, Exception):
                # The link is broken, or in a Cluster the stream is elsewhere now.
                _log.warning("the stream cannot be read", error=str(reply))
                self._link.abort("refused")
                await self._link.ended()
                continue
            longest = FIRST_S
            for id, fields in (reply or {}).get(self.key, ()):
                self.last = id
                try:
                    self._reader(id, dict(zip(fields[::2], fields[1::2], strict=True)))
                except Exception:  # noqa: BLE001  logged; one bad entry must not cost the others
                    _log.exception("reader of the stream failed")

    async def _look_for_gap(self, link: Link) -> None:
        oldest: Any = await self._ask_or_leave(link, "XRANGE", self.key, "-", "+", "COUNT", 1)
        newest: Any = await self._ask_or_leave(link, "XREVRANGE", self.key, "+", "-", "COUNT", 1)
        if self.last == b"0-0":
            return
        if not oldest or _order(oldest[0][0]) > _order(self.last):
            bus_gaps.inc()
            _log.warning("entries of the stream were dropped before they were read")
        # It has lost its end, and the clock of the server that goes on may be behind: what it adds would count as read.
        top = newest[0][0] if newest else b"0-0"
        if _order(top) < _order(self.last):
            self.last = top

    async def _ask_or_leave(self, link: Link, *parts: bytes | str | int) -> Any:
        answer = await link.ask(*parts)
        if isinstance(answer, Exception):
            link.abort("refused")
            await link.ended()
            raise Unavailable(f"Redis does not say what it has: {answer}")
        return answer

    async def _dial(self) -> Link:
        owners = await self.redis.owners()
        node = owners[slot(self.key) if len(owners) > 1 else 0]
        return await dial(self._address, node, deadline_s=self._deadline_s + BLOCK_S)


def _order(id: bytes) -> tuple[int, int]:
    ms, _, number = id.partition(b"-")
    return int(ms), int(number)
