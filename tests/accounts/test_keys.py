"""API keys: made, listed, used, revoked; on each database."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clarion.accounts import Keys, NewApiKey
from clarion.auth import Principal, Revoked, api_keys, system
from clarion.clock import as_datetime
from clarion.errors import Forbidden, NotFound, Unauthenticated, Unavailable
from clarion.ids import Ids, digest
from clarion.storage import Sql
from clarion.storage import api_keys as rows
from tests.accounts.conftest import Floor

OPERATOR = system("cli")
ACME = Principal(id="boss", tenant="acme", scopes=frozenset({"*"}))


async def make(floor: Floor, *scopes: str, caller: Principal = OPERATOR) -> NewApiKey:
    return await floor.keys.create(caller, "shop", scopes or ("notifications:send",))


async def test_a_key_lets_its_back_end_in(floor: Floor) -> None:
    """As a key of its tenant, with its scopes and without an end."""
    made = await make(floor, "notifications:send", "keys:read", "keys:read")
    assert made.scopes == ["keys:read", "notifications:send"]
    assert made.created_at == as_datetime(floor.clock.now_ms())
    assert await floor.keys.verify(made.key) == Principal(
        id=made.id,
        kind="key",
        scopes=frozenset({"keys:read", "notifications:send"}),
        token_id=made.id,
    )


async def test_the_database_has_a_digest_and_no_secret(floor: Floor) -> None:
    """The key in clear text was in one answer and nowhere else."""
    made = await make(floor)
    (row,) = await floor.store.fetch(rows.LIST, tenant="default")
    assert row.digest == digest(made.key.removeprefix(f"clk_{made.id}_"))
    assert made.key[-43:] not in repr(row)


async def test_keys_are_listed_without_their_secrets(floor: Floor) -> None:
    """Oldest first, with when they were last used; other tenants' are not there."""
    first = await make(floor)
    floor.clock.advance(1)
    second = await make(floor, "*")
    await make(floor, caller=ACME)
    await floor.keys.verify(first.key)
    await floor.keys.flush()
    listed = await floor.keys.list(OPERATOR)
    assert [(key.id, key.scopes) for key in listed] == [
        (first.id, ["notifications:send"]),
        (second.id, ["*"]),
    ]
    assert [key.last_used_at for key in listed] == [as_datetime(floor.clock.now_ms()), None]
    assert [key.created_at for key in listed] == [first.created_at, second.created_at]


async def test_nobody_gives_a_key_more_than_they_have(floor: Floor) -> None:
    """Making keys is no way to rights that one lacks; a refused call makes none."""
    caller = Principal(id="ann", scopes=frozenset({"keys:write", "notifications:*"}))
    for scope in ("*", "keys:*", "notifications:send:all", "presence:read"):
        with pytest.raises(Forbidden):
            await make(floor, "notifications:send", scope, caller=caller)
    assert await floor.keys.list(OPERATOR) == []
    made = await make(floor, "notifications:send", "notifications:*", caller=caller)
    assert (await floor.keys.verify(made.key)).scopes == {"notifications:send", "notifications:*"}


async def test_a_revoked_key_ends_at_once(floor: Floor) -> None:
    """Also one that was used a moment ago; what came in with it is told."""
    made, other = await make(floor), await make(floor)
    principal = await floor.keys.verify(made.key)
    await floor.keys.revoke(OPERATOR, made.id)
    with pytest.raises(Unauthenticated):
        await floor.keys.verify(made.key)
    assert floor.revoked == [Revoked(tenant="default", kind="key", id=made.id)]
    assert not floor.authenticator.is_good(principal)
    assert (await floor.keys.verify(other.key)).id == other.id


async def test_a_caller_who_leaves_while_revoking_has_revoked(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is cancelled: the key ends all the same, with what came in with it."""
    made = await make(floor)
    principal = await floor.keys.verify(made.key)
    told = asyncio.Event()
    monkeypatch.setattr(floor.revocations, "_on_revoked", lambda _: told.set())
    revoke = asyncio.get_running_loop().create_task(floor.keys.revoke(OPERATOR, made.id))
    await asyncio.sleep(0)
    revoke.cancel()
    async with asyncio.timeout(10):
        await told.wait()
    assert not floor.authenticator.is_good(principal)
    with pytest.raises(Unauthenticated):
        await floor.keys.verify(made.key)


async def test_a_check_that_began_before_the_revocation_lets_nobody_in(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row was read, then the key ended, then the check goes on: refused, and the next one too, though the row is remembered."""
    made = await make(floor)
    fetch, has_read, go_on = floor.store.fetch, asyncio.Event(), asyncio.Event()

    async def slowly(sql: Sql[Any], **params: Any) -> list[Any]:
        found = await fetch(sql, **params)
        has_read.set()
        await go_on.wait()
        return list(found)

    monkeypatch.setattr(floor.store, "fetch", slowly)
    checking = asyncio.get_running_loop().create_task(floor.authenticator.authenticate(made.key))
    await has_read.wait()
    await floor.keys.revoke(OPERATOR, made.id)
    go_on.set()
    with pytest.raises(Unauthenticated):
        await checking
    with pytest.raises(Unauthenticated):
        await floor.authenticator.authenticate(made.key)


async def test_a_key_of_another_tenant_does_not_exist(floor: Floor) -> None:
    """It can be neither seen nor revoked, and the answer is that of an unknown one."""
    made = await make(floor)
    for caller, key_id in ((ACME, made.id), (OPERATOR, "0" * 16), (OPERATOR, "")):
        with pytest.raises(NotFound, match="no such key"):
            await floor.keys.revoke(caller, key_id)
    assert (await floor.keys.verify(made.key)).tenant == "default"
    assert floor.revoked == []


async def test_what_is_not_quite_a_key_lets_nobody_in(floor: Floor) -> None:
    """Wrong secret, unknown id, no key at all: one answer."""
    made = await make(floor)
    wrong = made.key[:-1] + ("A" if made.key[-1] != "A" else "B")
    answers = []
    for credential in (wrong, "clk_" + "0" * 16 + made.key[20:], made.key + "\n", "clk_", ""):
        with pytest.raises(Unauthenticated) as caught:
            await floor.keys.verify(credential)
        answers.append(caught.value.as_answer())
    assert all(answer == answers[0] for answer in answers)


class CountingStore:
    """Counts reads; everything else is the store's."""

    def __init__(self, store: Any) -> None:
        self._store, self.reads = store, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def fetch(self, sql: Sql[Any], **params: Any) -> list[Any]:
        self.reads += 1
        return list(await self._store.fetch(sql, **params))


async def test_a_busy_key_costs_no_queries_and_is_believed_for_five_seconds(floor: Floor) -> None:
    """A wrong secret doesn't either. A key that another process revoked ends within five seconds."""
    made = await make(floor)
    store = CountingStore(floor.store)
    keys = Keys(store, floor.revocations, clock=floor.clock, ids=floor.ids)  # type: ignore[arg-type]  a stand-in
    for _ in range(100):
        await keys.verify(made.key)
        with pytest.raises(Unauthenticated):
            await keys.verify(made.key[:-2] + "--")
    assert store.reads == 1
    await floor.keys.revoke(OPERATOR, made.id)  # the other process
    floor.clock.advance(4.9)
    await keys.verify(made.key)
    floor.clock.advance(0.1)
    with pytest.raises(Unauthenticated):
        await keys.verify(made.key)


async def test_the_cache_is_bounded(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest makes room; unknown ids take none."""
    monkeypatch.setattr("clarion.accounts.keys._CACHED_KEYS", 2)
    store = CountingStore(floor.store)
    keys = Keys(store, floor.revocations, clock=floor.clock, ids=floor.ids)  # type: ignore[arg-type]  a stand-in
    made = [await make(floor) for _ in range(3)]
    for key in made:
        await keys.verify(key.key)
    with pytest.raises(Unauthenticated):
        await keys.verify("clk_" + "0" * 16 + "_" + "x" * 43)
    assert store.reads == 4
    await keys.verify(made[2].key)
    await keys.verify(made[1].key)
    assert store.reads == 4
    await keys.verify(made[0].key)
    assert store.reads == 5


async def test_uses_are_written_together_and_once(floor: Floor) -> None:
    """A hundred uses are one write, no use is none."""
    made = await make(floor)
    await floor.keys.flush()
    for _ in range(100):
        floor.clock.advance(0.001)
        await floor.keys.verify(made.key)
    await floor.keys.flush()
    (listed,) = await floor.keys.list(OPERATOR)
    assert listed.last_used_at == as_datetime(floor.clock.now_ms())


async def test_uses_that_could_not_be_written_are_written_next_time(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is away for one flush: nothing of it is forgotten, and what came later is newer."""
    made, other = await make(floor), await make(floor)
    for key in (made, other):
        await floor.keys.verify(key.key)
    first_ms = floor.clock.now_ms()

    async def away(*_: object) -> list[Any]:
        floor.clock.advance(1)
        await floor.keys.verify(other.key)
        raise Unavailable

    with monkeypatch.context() as patched:
        patched.setattr(floor.store, "apply", away)
        with pytest.raises(Unavailable):
            await floor.keys.flush()
    await floor.keys.flush()
    assert {key.id: key.last_used_at for key in await floor.keys.list(OPERATOR)} == {
        made.id: as_datetime(first_ms),
        other.id: as_datetime(floor.clock.now_ms()),
    }


USES = st.lists(
    st.builds(
        rows.Use, st.sampled_from(["a", "b"]), st.sampled_from(["1", "2", "3"]), st.integers(1, 9)
    ),
    max_size=6,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(first=USES, then=USES)
async def test_uses_that_are_written_together_or_apart_leave_the_same(
    floor: Floor, first: list[rows.Use], then: list[rows.Use]
) -> None:
    """The law of procedures; and the latest use wins in whatever order they come."""

    async def state_after(*runs: Sequence[rows.Use]) -> list[rows.KeyRow]:
        async with floor.store.transaction() as tx:
            await tx.execute(Sql("DELETE FROM api_key"))
            for tenant, n in (("a", 1), ("a", 2), ("b", 3)):
                await tx.execute(
                    rows.ADD, tenant=tenant, id=str(n), name="", digest="", scopes="", now_ms=0
                )
        for run in runs:
            await floor.store.apply(rows.USED, run)
        return [row for tenant in "ab" for row in await floor.store.fetch(rows.LIST, tenant=tenant)]

    together = await state_after([*first, *then])
    assert await state_after(first, then) == together
    assert await state_after(then, first) == together
    latest = {row.id: row.used_ms for row in together}
    for use in (*first, *then):
        if (use.tenant, use.id) in {("a", "1"), ("a", "2"), ("b", "3")}:
            assert (latest[use.id] or 0) >= use.used_ms


def test_ids_of_keys_are_seeded_in_a_simulation() -> None:
    """The same seed makes the same keys: a run can be replayed."""
    assert api_keys.make(Ids.seeded(1)) == api_keys.make(Ids.seeded(1))
