"""The accepting procedure keeps the law of procedures: joined calls leave what the same calls leave one by one."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.clock import ManualClock
from clarion.storage import Store, open_store
from clarion.storage.notifications import ACCEPT, Acceptance, Outcome
from clarion.storage.store import Sql
from tests.support.services import Postgres

# What one call of the list sends: to whom (index, described as), with which key, and which body.
Call = tuple[list[tuple[int, str | None]], str, str]

Calls = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.integers(0, 3), st.sampled_from([None, "", "Ann", "Bob"])),
            min_size=1,
            max_size=4,
            unique_by=lambda to: to[0],
        ),
        st.sampled_from(["", "", "k1", "k2"]),
        st.sampled_from(["one", "two"]),
    ),
    min_size=1,
    max_size=8,
)
KNOWN = ("u0", "u1", "u2")  # u3 never is unless it is described; see `_rows`


def rows(serial: int, call: Call, tenant: str) -> list[Acceptance]:
    people, key, body = call
    made = [
        Acceptance(
            tenant=tenant,
            caller="key:app",
            notification=f"n{serial}",
            is_first=int(at == 0),
            # Whom a call describes nobody merely names: then the order inside a run would show, and may.
            usr=f"u{who}" if said is None else f"d{who}",
            message=f"m{serial}.{at}",
            mark=(serial * 7919 + at * 104729 + 2**31) % 2**32,
            at_ms=1_000 + serial,
            is_described=int(said is not None),
            name=said or "",
            email="x@y" if said == "Ann" else "",
        )
        for at, (who, said) in enumerate(people)
    ]
    made[0] = msgspec.structs.replace(
        made[0],
        idem_key=key,
        digest=body,
        answer=f"answer {serial}",
        title=body,
        recipients=len(made),
    )
    return made


class Row(msgspec.Struct, frozen=True):
    text: str


def dump(columns: str, table: str, order: str) -> Sql[Row]:
    whole = " || '|' || ".join(f"CAST({c} AS TEXT)" for c in columns.split())
    return Sql(f"SELECT {whole} FROM {table} WHERE tenant = :tenant ORDER BY {order}", Row)


DUMPS = (
    dump("id title recipients created_ms", "notification", "id"),
    dump("id name email created_ms updated_ms", "subscriber", "id"),
    dump("usr seq id notification created_ms", "message", "usr, seq"),
    dump("usr epoch top mark unread", "inbox_head", "usr"),
    dump("usr off mark prior event carries unread at_ms", "inbox_change", "usr, off"),
    dump("caller idem_key digest subject answer", "idempotency", "idem_key"),
)


async def state(store: Store, tenant: str) -> list[list[str]]:
    return [[row.text for row in await store.fetch(sql, tenant=tenant)] for sql in DUMPS]


async def prepare(store: Store, tenant: str) -> None:
    people = [
        Acceptance(tenant, "key:app", "n", int(not at), name, f"m{at}", 1, 1, is_described=1)
        for at, name in enumerate(KNOWN)
    ]
    await store.apply(ACCEPT, people)


def facts(outcomes: Sequence[Outcome], *, is_unknown: bool) -> list[Any]:
    """What the caller decides by, and is told.

    Who names somebody unknown is refused in any order; whether for that or for a key that another call of the same run has
    used with another body, is a matter of order.
    """
    if is_unknown:
        return [o.is_accepted for o in outcomes]
    return [
        (o.n, o.is_accepted, o.is_known, o.digest, o.answer, o.offset, o.mark, o.prior, o.unread)
        for o in sorted(outcomes, key=lambda o: o.n)
        if o.is_accepted or o.n == 1
    ]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[asyncio.Runner, Store]]:
    """A store, and the loop that it lives in."""
    with asyncio.Runner() as runner:
        url = ""
        if request.param == "postgresql":
            postgres: Postgres = request.getfixturevalue("postgres")
            url = runner.run(postgres.new_database())
        folder = tmp_path_factory.mktemp("law")
        store = runner.run(open_store(url=url, data_dir=folder, clock=ManualClock()))
        yield runner, store
        runner.run(store.close())


tenants = (f"tenant{number}" for number in itertools.count())


@settings(max_examples=60, deadline=None)
@given(calls=st.lists(Calls, min_size=1, max_size=3))
def test_joined_or_one_by_one_the_state_and_the_answers_are_the_same(
    house: tuple[asyncio.Runner, Store], calls: list[list[Call]]
) -> None:
    """apply(a + b) == apply(a); apply(b): rows of all tables, and what each caller is told."""
    runner, store = house
    runner.run(compare(store, calls))


async def compare(store: Store, calls: list[list[Call]]) -> None:
    together, alone = next(tenants), next(tenants)
    for tenant in (together, alone):
        await prepare(store, tenant)
    number = 0
    for group in calls:
        made = [(number + at, call) for at, call in enumerate(group)]
        number += len(group)
        joined = [row for at, call in made for row in rows(at, call, together)]
        found: list[Outcome] = sorted(await store.apply(ACCEPT, joined), key=lambda o: o.n)
        for at, call in made:
            own = await store.apply(ACCEPT, rows(at, call, alone))
            mine, found = found[: len(own)], found[len(own) :]
            first = mine[0].n - 1
            shifted = [msgspec.structs.replace(o, n=o.n - first) for o in mine]
            unknown = not (own[0].is_accepted or own[0].digest or all(o.is_known for o in own))
            assert facts(shifted, is_unknown=unknown) == facts(own, is_unknown=unknown)
    assert await state(store, together) == await state(store, alone)
