"""Users who are blocked, on each database: at once, for a time or for ever, and after a restart."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from clarion.accounts import (
    Block,
    Blocks,
    Credentials,
    NewAccount,
    NewBlock,
    RefreshToken,
    SignedIn,
)
from clarion.auth import Principal, Revoked, system
from clarion.errors import Blocked, ClarionError, NotFound
from clarion.storage import blocks as rows
from clarion.storage.slices import total
from tests.accounts.conftest import Floor

BOSS = system("boss")
ANN = NewAccount("ann", "correct horse battery")


def blocks(floor: Floor) -> Blocks:
    return Blocks(floor.store, floor.revocations, floor.clock)


async def refusal(call: Callable[[], Coroutine[Any, Any, object]]) -> str:
    with pytest.raises(ClarionError) as caught:
        await call()
    return caught.value.code


async def tried(floor: Floor, signed_in: SignedIn) -> list[str]:
    """What becomes of a token, a login, and a refresh of a user who is blocked."""
    body = Credentials(ANN.username, ANN.password)
    return [
        await refusal(lambda: floor.authenticator.authenticate(signed_in.access_token)),
        await refusal(lambda: floor.accounts.login(body)),
        await refusal(lambda: floor.accounts.refresh(RefreshToken(signed_in.refresh_token))),
    ]


async def test_a_blocked_user_is_let_in_by_nothing_and_then_by_all_again(floor: Floor) -> None:
    """Token, password and refresh token say `blocked`; what they opened is ended; after that all of them are as good as before."""
    signed_in = await floor.accounts.register(ANN)
    principal = await floor.authenticator.authenticate(signed_in.access_token)
    block = await blocks(floor).put(BOSS, "ann", NewBlock(reason="spam"))
    assert (block.user, block.until, block.reason) == ("ann", None, "spam")
    assert await tried(floor, signed_in) == ["blocked"] * 3
    assert not floor.authenticator.is_good(principal)
    assert floor.revoked == [Revoked(tenant="default", kind="user", id="ann", is_blocked=True)]
    wrong = Credentials("ann", "another password")
    assert await refusal(lambda: floor.accounts.login(wrong)) == "unauthenticated"

    await blocks(floor).remove(BOSS, "ann")
    assert await floor.authenticator.authenticate(signed_in.access_token) == principal
    assert (await floor.accounts.refresh(RefreshToken(signed_in.refresh_token))).user.id == "ann"


async def test_a_block_outlives_a_restart(floor: Floor) -> None:
    """The next process knows it from its first moment; more of them than fit into one page."""
    signed_in = await floor.accounts.register(ANN)
    await blocks(floor).put(BOSS, "ann", NewBlock())
    async with floor.store.transaction() as tx:
        for n in range(1_001):
            await tx.fetch(
                rows.PUT, tenant="other", id=f"u{n:04}", until_ms=None, reason="", now_ms=1
            )
    after = floor.restarted()
    await blocks(after).load()
    assert await tried(after, signed_in) == ["blocked"] * 3
    for user in ("u0000", "u1000"):
        with pytest.raises(Blocked):
            after.revocations.check(Principal(id=user, tenant="other"))


async def test_a_block_for_a_time_ends_by_itself(floor: Floor) -> None:
    """To the second; the error says until when; what is over is forgotten, in memory and in the database."""
    signed_in, held = await floor.accounts.register(ANN), blocks(floor)
    block = await held.put(BOSS, "ann", NewBlock(for_s=60))
    assert block.until is not None
    floor.clock.advance(59.9)
    with pytest.raises(Blocked) as caught:
        await floor.authenticator.authenticate(signed_in.access_token)
    assert caught.value.facts == {"until": block.until.isoformat()}
    assert await held.find(BOSS, "ann") == block
    floor.clock.advance(0.2)
    assert (await floor.authenticator.authenticate(signed_in.access_token)).id == "ann"
    with pytest.raises(NotFound):
        await held.find(BOSS, "ann")
    await total(held.purge())
    floor.revocations.forget_past()
    after = floor.restarted()
    await blocks(after).load()
    assert (await after.authenticator.authenticate(signed_in.access_token)).id == "ann"


async def test_a_second_block_replaces_the_first(floor: Floor) -> None:
    """Longer or shorter; `blocked_at` stays that of the first."""
    held = blocks(floor)
    first = await held.put(BOSS, "ann", NewBlock(reason="spam"))
    floor.clock.advance(5)
    second = await held.put(BOSS, "ann", NewBlock(for_s=10))
    assert second == Block("ann", second.until, "", first.blocked_at)
    floor.clock.advance(10)
    floor.revocations.check(Principal(id="ann"))


async def test_a_block_is_of_one_user_of_one_tenant(floor: Floor) -> None:
    """A namesake elsewhere, another user, and a key of that id come in."""
    held = blocks(floor)
    await held.put(BOSS, "ann", NewBlock())
    for other in (
        Principal(id="ann", tenant="other"),
        Principal(id="ben"),
        Principal(id="ann", kind="key"),
    ):
        floor.revocations.check(other)
    await held.remove(Principal(id="boss", tenant="other"), "ann")
    with pytest.raises(Blocked):
        floor.revocations.check(Principal(id="ann"))
    await held.remove(BOSS, "nobody")
