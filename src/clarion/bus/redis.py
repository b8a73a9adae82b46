"""Commands and scripts for Redis or Valkey, one server or a Cluster: one link to each server, one deadline, no retries.

The caller learns which of two things went wrong: `Unavailable` (nothing was written) or `OutcomeUnknown` (the answer of a write was lost).
What a Cluster answers in place of doing it (MOVED, ASK, TRYAGAIN) is followed, since then nothing was done.
"""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import hiredis

from clarion.bus.address import Address, Node, parse
from clarion.bus.cluster import owners, redirection, slot
from clarion.bus.link import DEADLINE_S, Link, Lost, dial
from clarion.bus.scripts import Part, Script
from clarion.bus.sentinel import places
from clarion.errors import ClarionError, Closed, Internal, OutcomeUnknown, StorageFull, Unavailable
from clarion.ids import Ids
from clarion.telemetry import get_logger, spawn

_log = get_logger(__name__)

TRIES: Final = (
    8  # until the Cluster takes a command: a slot that moves answers TRYAGAIN for a moment
)
PAUSE_S: Final = 0.05  # before a command is tried again
AT_ONCE: Final = 1_000  # commands of one call that are under way together

# What a server says where another one is to be asked, or the same again. It has done nothing then.
_NOT_HERE: Final = frozenset({"MOVED", "ASK", "TRYAGAIN", "READONLY"})
# What it says while it cannot serve; likewise.
_NOT_NOW: Final = _NOT_HERE | frozenset(
    {"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOAUTH", "NOPERM", "NOREPLICAS"}
)

Command = tuple[bytes, tuple[Part, ...]]
"""A key that says which server of a Cluster has it (b'': any has), and the command."""
Call = tuple[Sequence[bytes], Sequence[Part]]
"""A script's keys, all in one slot, and its arguments."""
T = TypeVar("T")


class RedisClient:
    """Commands and scripts for one Redis, or one Cluster of them. Connects when it is first used.

    Args:
        url: See `address.parse`.
        ids: For the spread of pauses.
        deadline_s: For how long (s) an answer is waited for; before that, where there is no connection, for one: twice as long at most.

    Raises:
        SettingsError: The URL is none.
    """

    def __init__(self, url: str, *, ids: Ids, deadline_s: float = DEADLINE_S) -> None:
        # Fixed at creation
        self._address: Address = parse(url)
        self._ids = ids
        self._deadline_s = deadline_s
        # Changes while open
        self._links: dict[Node, Link] = {}
        self._dialling: dict[Node, asyncio.Task[Link | Unavailable]] = {}
        # Which server has which slot; one alone has them all. None: to be asked.
        self._owners: list[Node] | None = None
        self._servers: list[
            Node
        ] = []  # those of the last answer: the URL's may be gone when they are not
        self._learning: asyncio.Task[list[Node] | Unavailable] | None = None
        self._is_closed = False

    async def call(self, key: bytes, *parts: Part, is_write: bool = True) -> Any:
        """Run one command, on the server that has the key; b'': on any.

        Raises:
            Unavailable: Redis cannot be asked now, or says so; nothing was written. `Overloaded`: too much waits for it.
            OutcomeUnknown: The answer of a write was lost.
            StorageFull: It has no memory left for it.
            Internal: The command is wrong.
        """
        return _checked(await self._ask(key, parts), is_write)

    async def run(
        self, script: Script, keys: Sequence[bytes], args: Sequence[Part], *, is_write: bool = True
    ) -> Any:
        """Run a script on keys that all are in one slot.

        Raises:
            Unavailable, OutcomeUnknown, StorageFull, Internal: As `call`.
        """
        reply = await self._ask(keys[0], script.by_digest(keys, args))
        if _kind(reply) == "NOSCRIPT":
            reply = await self._ask(keys[0], script.in_full(keys, args))
        return _checked(reply, is_write)

    async def call_many(self, commands: Sequence[Command], *, is_write: bool = True) -> list[Any]:
        """Run commands, on the way together; their answers in the same order. Not at one moment: others may come between.

        Raises:
            Unavailable, OutcomeUnknown, StorageFull, Internal: As `call`, for the first that failed. The others may have been done.
        """
        return [_checked(reply, is_write) for reply in await self._ask_many(commands)]

    async def try_many(self, commands: Sequence[Command]) -> list[Any]:
        """As `call_many`; for each its answer, or the error that `call` would raise. A server that is away costs only what is for it."""
        return [_error(reply, True) or reply for reply in await self._ask_many(commands)]

    async def run_many(
        self, script: Script, calls: Sequence[Call], *, is_write: bool = True
    ) -> list[Any]:
        """Run a script for many groups of keys, on the way together; each run by itself is at one moment.

        Returns:
            For each call its answer, or the error that `run` would raise.
        """
        commands = [(keys[0], script.by_digest(keys, args)) for keys, args in calls]
        replies = await self._ask_many(commands)
        for at, reply in enumerate(replies):
            if _kind(reply) == "NOSCRIPT":
                keys, args = calls[at]
                [replies[at]] = await self._ask_many([(keys[0], script.in_full(keys, args))])
        return [_error(reply, is_write) or reply for reply in replies]

    async def owners(self) -> list[Node]:
        """Which server has which slot, asked anew; one alone has them all.

        Raises:
            Unavailable: No server says so.
        """
        return list(await self._learn())

    async def call_all(self, *parts: Part) -> list[Any]:
        """Ask each primary the same; their answers.

        Raises:
            Unavailable, Internal: As `call`.
        """
        links = [await self._connected(node) for node in dict.fromkeys(await self._learn())]
        asked = [link.ask(*parts) for link in links]
        return [_checked(await reply, is_write=False) for reply in asked]

    async def evicts(self) -> bool:
        """Whether it throws keys away when its memory is full: then a part of what must be whole may be gone.

        Raises:
            Unavailable, Internal: As `call`; or it may not be asked.
        """
        told = await self.call(b"", "INFO", "memory", is_write=False)
        text = told if isinstance(told, str) else told.decode()
        return "maxmemory:0\r" not in text and "maxmemory_policy:noeviction" not in text

    async def close(self) -> None:
        """Close every link. What waits for an answer learns that it is lost."""
        self._is_closed = True
        tasks = [*self._dialling.values(), *([self._learning] if self._learning else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for link in self._links.values():
            link.abort("closed")
        await asyncio.gather(*(link.ended() for link in self._links.values()))

    # ── asking ──
    async def _ask(self, key: bytes, parts: tuple[Part, ...]) -> Any:
        link = await self._link(key)
        reply = await link.ask(*parts)
        return await self._follow(key, parts, link, reply) if _kind(reply) in _NOT_HERE else reply

    async def _ask_many(self, commands: Sequence[Command]) -> list[Any]:
        replies: list[Any] = []
        for at in range(0, len(commands), AT_ONCE):
            some = commands[at : at + AT_ONCE]
            links = await self._links_of([key for key, _ in some])
            asked = [
                None if isinstance(link, Unavailable) else link.ask(*parts)
                for link, (_, parts) in zip(links, some, strict=True)
            ]
            for link, (key, parts), future in zip(links, some, asked, strict=True):
                if isinstance(link, Unavailable) or future is None:
                    replies.append(link)
                    continue
                reply = await future
                if _kind(reply) in _NOT_HERE:
                    try:
                        reply = await self._follow(key, parts, link, reply)
                    except Unavailable as exc:
                        reply = exc
                replies.append(reply)
        return replies

    async def _links_of(self, keys: Sequence[bytes]) -> list[Link | Unavailable]:
        """The links to who has these keys. It is waited for one that is missing, and if in vain for no other."""
        found: list[Link | Unavailable] = []
        known, failed = self._owners, None
        for key in keys:
            link = self._living(known, key)
            if link is None and failed is None:
                try:
                    link = await self._link(key)
                    known = self._owners or known
                except Unavailable as exc:
                    failed = exc
            if link is not None:
                found.append(link)
            elif failed is not None:
                found.append(failed)
        return found

    async def _follow(self, key: bytes, parts: tuple[Part, ...], link: Link, reply: Any) -> Any:
        """Ask where the answer says, until it is one or the time is over. A slot that moves may answer TRYAGAIN for a while."""
        asked: asyncio.Future[Any] | None = None
        try:
            async with asyncio.timeout(self._deadline_s):
                for attempt in itertools.count():
                    if attempt or _kind(reply) == "TRYAGAIN":
                        await asyncio.sleep(self._ids.uniform(PAUSE_S / 2, PAUSE_S))
                    link = await self._redirected(key, link, reply)
                    asked = link.ask(*parts)
                    reply, asked = await asked, None
                    if _kind(reply) not in _NOT_HERE:
                        break
        except TimeoutError:
            # Only what is still out may have been done.
            return reply if asked is None else Lost()
        return reply

    async def _redirected(self, key: bytes, link: Link, reply: Any) -> Link:
        match _kind(reply):
            case "MOVED":
                at, node = redirection(reply, link.node)
                if self._owners is not None and len(self._owners) > 1:
                    self._owners[at] = node
                return await self._connected(node)
            case "ASK":
                link = await self._connected(redirection(reply, link.node)[1])
                _ = link.ask("ASKING")  # leaves with what is asked in the same turn
                return link
            case "READONLY":  # a primary that is one no longer; its name may lead to another now
                link.abort("readonly")
                await link.ended()
        return await self._link(key)

    # ── links ──
    async def _link(self, key: bytes) -> Link:
        """The link to who has the key."""
        if self._is_closed:
            raise Closed("the client of Redis is closed")
        found = self._owners
        if (link := self._living(found, key)) is not None:
            return link
        try:
            # One attempt has its own deadline; here are those that go to several servers.
            async with asyncio.timeout(2 * self._deadline_s):
                found = found or await self._learn()
                return await self._connected(found[slot(key) if key and len(found) > 1 else 0])
        except TimeoutError:
            raise Unavailable("Redis does not answer") from None

    def _living(self, owners: list[Node] | None, key: bytes) -> Link | None:
        """The link to who has the key, if there is one already."""
        if owners is None:
            return None
        link = self._links.get(owners[slot(key) if key and len(owners) > 1 else 0])
        return None if link is None or link.is_lost else link

    async def _connected(self, node: Node) -> Link:
        made = await self._dial(node)
        if isinstance(made, Unavailable):
            # Another server may have its slots by now.
            self._owners = None
            raise Unavailable(made.message)
        return made

    async def _dial(self, node: Node) -> Link | Unavailable:
        """The link to a server; one attempt for all who want it, which goes on when one of them gives up."""
        link = self._links.get(node)
        if link is not None and not link.is_lost:
            return link
        task = self._dialling.get(node)
        if task is None:
            task = self._dialling[node] = spawn(self._try(node), name="redis: connect")
            task.add_done_callback(lambda _: self._dialling.pop(node, None))
        return await _shared(task)

    async def _try(self, node: Node) -> Link | Unavailable:
        try:
            link = await dial(self._address, node, deadline_s=self._deadline_s)
        except Unavailable as exc:
            return exc
        self._links[node] = link
        link.lost.add_done_callback(self._on_lost)
        return link

    def _on_lost(self, lost: "asyncio.Future[str]") -> None:
        self._owners = None
        if not self._is_closed:
            _log.warning("connection to Redis lost", why=lost.result())

    async def _learn(self) -> list[Node]:
        """Find a server that answers, and who has which slot; once for all who want to know."""
        if self._learning is None:
            self._learning = spawn(self._read_owners(), name="redis: who has which slot")
            self._learning.add_done_callback(lambda _: setattr(self, "_learning", None))
        found = await _shared(self._learning)
        if isinstance(found, Unavailable):
            raise Unavailable(found.message)
        return found

    async def _read_owners(self) -> list[Node] | Unavailable:
        known = [node for node, link in self._links.items() if not link.is_lost]
        failed = Unavailable("no server of Redis answers")
        try:
            begin = await places(self._address, deadline_s=self._deadline_s)
        except Unavailable as exc:
            return exc
        if not self._address.primary:  # behind Sentinels a server that answers may be it no longer
            begin = [*known, *begin, *self._servers]
        for node in dict.fromkeys(begin):
            link = await self._dial(node)
            if isinstance(link, Unavailable):
                failed = link
                continue
            found = [node]
            if link.mode == "cluster":
                found = owners(await link.ask("CLUSTER", "SLOTS"), node) or []
            if found:
                self._owners, self._servers = found, list(dict.fromkeys(found))
                return found
            failed = Unavailable("the Cluster does not say who has which slot")
        return failed


async def _shared(task: "asyncio.Task[T | Unavailable]") -> "T | Unavailable":
    """What a task gives that others wait for, too: who stops waiting does not stop it."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if task.cancelled():
            return Unavailable("the client of Redis is closed")
        raise


def _kind(reply: Any) -> str:
    """The first word of an error, '' for what is none."""
    return str(reply).partition(" ")[0] if isinstance(reply, hiredis.ReplyError) else ""


def _error(reply: Any, is_write: bool) -> ClarionError | None:
    if not isinstance(reply, Exception):
        return None
    if isinstance(reply, ClarionError):
        return reply
    if isinstance(reply, Lost):
        if is_write:
            return OutcomeUnknown("the connection to Redis broke before it answered")
        return Unavailable("Redis did not answer")
    kind = _kind(reply)
    if kind == "OOM":
        return StorageFull("Redis has no memory left (maxmemory)")
    if kind in _NOT_NOW:
        return Unavailable(f"Redis does not serve now: {kind}")
    return Internal(f"Redis refuses a command: {reply}")


def _checked(reply: Any, is_write: bool) -> Any:
    if (error := _error(reply, is_write)) is not None:
        raise error
    return reply
