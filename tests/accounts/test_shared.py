"""What ends on one process ends on all of them: by being told, or by reading again what is stored."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from clarion.accounts import (
    REVOKED,
    Blocks,
    NewAccount,
    NewBlock,
    Opened,
    RefreshToken,
    Shared,
    teller,
)
from clarion.accounts.revocations import Revocations
from clarion.auth import Principal, system
from clarion.errors import Blocked, ClarionError, Unauthenticated, Unavailable
from tests.accounts.conftest import Floor

BOSS = system("boss")
ANN = NewAccount("ann", "correct horse battery")


class Process:
    """One process over the same database; what it wants to tell is kept, or handed on at once."""

    def __init__(self, floor: Floor) -> None:
        self.floor, self.told = floor, list[tuple[str, Any]]()
        self.opened = Opened(floor.clock)
        floor.revocations = Revocations(
            floor.store,
            floor.clock,
            self.opened.revoked,
            tell=teller(lambda question, value: self.told.append((question, value))),
        )
        floor.keys._revocations = floor.accounts._revocations = floor.revocations
        floor.authenticator._revocations = floor.revocations
        self.blocks = Blocks(floor.store, floor.revocations, floor.clock)
        self.shared = Shared(floor.revocations, self.blocks, floor.keys, self.opened)
        self.ended: list[ClarionError] = []

    async def open(self, credential: str) -> Principal:
        """A connection that notes why it ends."""
        principal = await self.floor.authenticator.authenticate(credential)
        self.opened.add(principal, self.ended.append)
        return principal

    async def look_again(self) -> None:
        self.shared.look_again(None)
        assert self.shared._reading is not None
        await self.shared._reading


@pytest.fixture
def processes(floor: Floor) -> tuple[Process, Process]:
    return Process(floor), Process(floor.restarted())


Reach = Callable[[Process, Process], Awaitable[None]]


async def by_telling(one: Process, other: Process) -> None:
    for question, value in one.told:
        assert question == REVOKED
        other.shared.hear(value)
    one.told.clear()


async def by_reading(_: Process, other: Process) -> None:
    await other.look_again()


@pytest.mark.parametrize("reach", [by_telling, by_reading])
async def test_what_ends_on_one_ends_on_the_other(
    processes: tuple[Process, Process], reach: Reach
) -> None:
    """A login, a key, a user who is blocked; who is let in again comes in on both."""
    one, other = processes
    signed_in = await one.floor.accounts.register(ANN)
    key = await one.floor.keys.create(BOSS, "k", [])
    ann = await other.open(signed_in.access_token)
    await other.open(key.key)

    await one.floor.keys.revoke(BOSS, key.id)
    await one.blocks.put(BOSS, ann.id, NewBlock())
    await reach(one, other)
    assert [type(why) for why in other.ended] in (
        [Unauthenticated, Blocked],
        [Blocked, Unauthenticated],
    )
    with pytest.raises(Unauthenticated):
        await other.floor.authenticator.authenticate(key.key)
    with pytest.raises(Blocked):
        await other.floor.authenticator.authenticate(signed_in.access_token)

    await one.blocks.remove(BOSS, ann.id)
    await reach(one, other)
    await other.open(signed_in.access_token)
    await one.floor.accounts.logout(RefreshToken(signed_in.refresh_token))
    await reach(one, other)
    assert [type(why) for why in other.ended[2:]] == [Unauthenticated]
    with pytest.raises(Unauthenticated):
        await other.floor.authenticator.authenticate(signed_in.access_token)


async def test_what_changes_while_it_is_read_is_not_undone(
    processes: tuple[Process, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page was read before, the change is newer."""
    one, other = processes
    await one.blocks.put(BOSS, "old", NewBlock())
    fetch = other.floor.store.fetch

    async def slowly(*args: Any, **given: Any) -> Any:
        page = await fetch(*args, **given)
        await other.blocks.put(BOSS, "new", NewBlock())
        other.shared.hear(
            [{"tenant": "default", "kind": "user", "id": "old", "is_blocked": True}, 0]
        )
        return page

    monkeypatch.setattr(other.floor.store, "fetch", slowly)
    await other.blocks.load()
    other.floor.revocations.check_user("default", "old")
    with pytest.raises(Blocked):
        other.floor.revocations.check_user("default", "new")


async def test_a_database_that_is_away_is_asked_again(
    processes: tuple[Process, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it answers."""
    one, other = processes
    await one.blocks.put(BOSS, "ann", NewBlock())
    load, failures = other.floor.revocations.load, [1, 2]

    async def flaky() -> None:
        if failures:
            failures.pop()
            raise Unavailable("away")
        await load()

    monkeypatch.setattr(other.floor.revocations, "load", flaky)
    monkeypatch.setattr("clarion.accounts.shared.AGAIN_S", 0)
    await other.look_again()
    with pytest.raises(Blocked):
        other.floor.revocations.check_user("default", "ann")
    await other.shared.close()
