"""Which server is the primary, as Sentinels say."""

import asyncio
from collections import Counter

import hiredis

from clarion.bus.address import Address, Node
from clarion.bus.link import dial
from clarion.errors import Unavailable


async def places(address: Address, *, deadline_s: float) -> list[Node]:
    """Where to look for data: what most Sentinels call the primary first, since one that was cut off may still name the former.

    Raises:
        Unavailable: No Sentinel answers, or none knows the name.
    """
    if not address.primary:
        return address.nodes
    asked = (_ask(address, sentinel, deadline_s) for sentinel in address.nodes)
    answers = await asyncio.gather(*asked)
    named = Counter(answer for answer in answers if not isinstance(answer, Unavailable))
    if not named:
        raise next(each for each in answers if isinstance(each, Unavailable))
    return [node for node, _ in named.most_common()]


async def _ask(address: Address, sentinel: Node, deadline_s: float) -> Node | Unavailable:
    try:
        link = await dial(address, sentinel, deadline_s=deadline_s, is_sentinel=True)
    except Unavailable as exc:
        return exc
    told = await link.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.primary)
    link.abort("asked")
    await link.lost
    if isinstance(told, Exception) and not isinstance(told, hiredis.ReplyError):
        return Unavailable("no answer from a Sentinel")
    if isinstance(told, Exception) or told is None:
        return Unavailable(f"Sentinels know no primary of the name {address.primary!r}")
    return told[0].decode(), int(told[1])
