"""Which server is the primary, as Sentinels say."""

import asyncio
from collections import Counter

import hiredis

from clarion.bus.address import Address, Node
from clarion.bus.link import dial
from clarion.errors import Unavailable
from clarion.telemetry import spawn


async def places(address: Address, *, deadline_s: float) -> list[Node]:
    """Where to look for data: what most Sentinels call the primary first, since one that was cut off may still name the former.

    What more than half of them name is enough: the Sentinel on a host that has died with the primary answers nothing.

    Raises:
        Unavailable: No Sentinel answers, or none knows the name.
    """
    if not address.primary:
        return address.nodes
    asked = [
        spawn(_ask(address, sentinel, deadline_s), name="sentinel: who is the primary")
        for sentinel in address.nodes
    ]
    named, failed = Counter[Node](), Unavailable("no Sentinel answers")
    try:
        for each in asyncio.as_completed(asked):
            answer = await each
            if isinstance(answer, Unavailable):
                failed = answer
                continue
            named[answer] += 1
            if 2 * named[answer] > len(asked):
                break
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    if not named:
        raise failed
    return [node for node, _ in named.most_common()]


async def _ask(address: Address, sentinel: Node, deadline_s: float) -> Node | Unavailable:
    try:
        link = await dial(address, sentinel, deadline_s=deadline_s, is_sentinel=True)
    except Unavailable as exc:
        return exc
    try:
        told = await link.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.primary)
    finally:
        link.abort("asked")
    await link.ended()
    if isinstance(told, Exception) and not isinstance(told, hiredis.ReplyError):
        return Unavailable("no answer from a Sentinel")
    if isinstance(told, Exception) or told is None:
        return Unavailable(f"Sentinels know no primary of the name {address.primary!r}")
    return told[0].decode(), int(told[1])
