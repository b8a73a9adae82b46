"""What every `Store` promises. Inherit `StoreConformance` and give a `store` fixture whose idle time is 0.3 s."""

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clarion.errors import Closed, Conflict, Internal, Invalid, Unavailable, UsageError
from clarion.storage import Procedure, Sql, Store
from clarion.telemetry import REGISTRY
from tests.support.ledger import (
    APPEND,
    NOTE,
    OPEN,
    RAISE_TOP,
    START,
    TOP,
    Book,
    Entry,
    Line,
    Position,
    Top,
    assert_gapless,
    lines,
)

IDLE_S = 0.3
_examples = itertools.count(1)

AT_TOP = Sql(
    "SELECT top FROM ledger_head WHERE tenant = :tenant AND book = :book AND top = :top", Top
)
WRONG = Procedure("wrong", Entry, (Sql("INSERT INTO nowhere SELECT r.id FROM {rows r}"),))

_rows = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.text(min_size=1, max_size=3).filter(lambda s: "\0" not in s)
    ),
    max_size=6,
)


def _entries(tenant: str, call: int, rows: list[tuple[str, str]]) -> list[Entry]:
    return [Entry(tenant, book, f"{call}-{i}", note) for i, (book, note) in enumerate(rows)]


class StoreConformance:
    # ── procedures ──
    async def test_answers_each_caller_about_its_own_rows(self, store: Store) -> None:
        """What a procedure returns is counted from the caller's own first row."""
        first = await store.apply(
            APPEND, [Entry("t", "a", "1"), Entry("t", "b", "2"), Entry("t", "a", "3")]
        )
        assert first == [Position(1, 1), Position(2, 1), Position(3, 2)]
        assert await store.apply(APPEND, [Entry("t", "a", "4")]) == [Position(1, 3)]

    async def test_values_come_back_as_they_went_in(self, store: Store) -> None:
        """Text of any language, 64-bit numbers, floats and nothing survive the way there and back."""
        notes = ['a "quoted" \\u0000 text', "naïve ☃ 🎺", "line\nbreak\ttab", "{rows r} :name $1"]
        await store.apply(
            APPEND,
            [Entry("t", "a", note, note, 2**63 - 1, 0.1) for note in notes]
            + [Entry("t", "a", "none")],
        )
        assert await lines(store) == [
            *(Line("a", i, note, note, 2**63 - 1, 0.1) for i, note in enumerate(notes, 1)),
            Line("a", 5, "none", "x", None, None),
        ]

    async def test_a_procedure_without_a_result_answers_nothing(self, store: Store) -> None:
        """No rows in or no result asked: an empty list."""
        await store.apply(APPEND, [Entry("t", "a", "1")])
        assert await store.apply(NOTE, [Entry("t", "a", "1", "seen")]) == []
        assert await store.apply(APPEND, []) == []
        assert [line.note for line in await lines(store)] == ["seen"]

    async def test_many_callers_are_joined_and_none_mixed_up(self, store: Store) -> None:
        """200 concurrent callers each get their own offset; offsets have no gap and no double."""
        calls = [store.apply(APPEND, [Entry("t", f"b{i % 3}", str(i))]) for i in range(200)]
        answers = await asyncio.gather(*calls)
        found = await lines(store)
        assert_gapless(found)
        assert {line.id: line.off for line in found} == {
            str(i): part[0].off for i, part in enumerate(answers)
        }

    async def test_poison_hurts_only_itself(self, store: Store) -> None:
        """Of 60 concurrent calls 5 break a constraint: these are told Conflict, 55 are stored without a gap."""
        notes = ["" if i % 12 == 7 else "x" for i in range(60)]
        calls = [
            store.apply(APPEND, [Entry("t", "a", str(i), note)]) for i, note in enumerate(notes)
        ]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(o) for o in outcomes] == [list if note else Conflict for note in notes]
        found = await lines(store)
        assert_gapless(found)
        assert {line.id for line in found} == {str(i) for i, note in enumerate(notes) if note}

    @pytest.mark.parametrize(
        "bad",
        [
            Entry("t", "a", "bad", "nul \0"),
            Entry("t", "a", "bad", "\ud800"),
            Entry("t", "a", "bad", amount=2**70),
            Entry("t", "a", "bad", amount="many"),  # type: ignore[arg-type]
        ],
        ids=["nul", "surrogate", "number", "type"],
    )
    async def test_a_value_that_cannot_be_held_is_invalid(self, store: Store, bad: Entry) -> None:
        """A value that one of the engines could not hold is refused by both; its neighbours are stored."""
        rows = [Entry("t", "a", "1"), bad, Entry("t", "a", "2")]
        outcomes = await asyncio.gather(
            *(store.apply(APPEND, [row]) for row in rows), return_exceptions=True
        )
        assert [type(o) for o in outcomes] == [list, Invalid, list]
        assert sorted(line.id for line in await lines(store)) == ["1", "2"]

    @pytest.mark.parametrize("bad", ["nul \0", "\ud800", 2**63], ids=["nul", "surrogate", "number"])
    async def test_a_parameter_that_cannot_be_held_is_invalid(
        self, store: Store, bad: str | int
    ) -> None:
        """In a transaction and in a read it is refused as in a procedure: nothing of the driver's leaves the floor."""
        given = {"tenant": "t", "book": "a", "top": 1} | (
            {"top": bad} if isinstance(bad, int) else {"book": bad}
        )
        with pytest.raises(Invalid):
            async with store.transaction() as tx:
                await tx.execute(RAISE_TOP, **given)
        with pytest.raises(Invalid):
            await store.fetch(AT_TOP, **given)

    async def test_each_caller_of_a_failed_run_has_an_error_of_its_own(self, store: Store) -> None:
        """Calls that were joined and refused together: a traceback of one does not grow with those of the others."""
        calls = [store.apply(WRONG, [Entry("t", "a", str(i))]) for i in range(20)]
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(error) for error in errors} == {Internal}
        assert len({id(error) for error in errors}) == 20

    async def test_a_call_is_stored_whole_or_not_at_all(self, store: Store) -> None:
        """One bad row among a call's rows: none of them is stored."""
        with pytest.raises(Conflict):
            await store.apply(APPEND, [Entry("t", "a", "1"), Entry("t", "a", "2", "")])
        assert await lines(store) == []

    async def test_a_cancelled_callers_write_still_happens(self, store: Store) -> None:
        """Who goes away before the answer has lost the answer, not the write."""
        tasks = [
            asyncio.ensure_future(store.apply(APPEND, [Entry("t", "a", str(i))])) for i in range(20)
        ]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await store.apply(APPEND, [Entry("t", "a", "last")])
        found = await lines(store)
        assert_gapless(found)
        assert len(found) == 21

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
        ],
    )
    @given(groups=st.lists(_rows, min_size=1, max_size=6))
    async def test_the_joining_law(self, store: Store, groups: list[list[tuple[str, str]]]) -> None:
        """A run over a + b leaves the state of a run over a, then over b; concurrent calls end like calls in some order."""
        at_once, one_by_one, together = (f"t{next(_examples)}" for _ in range(3))
        await store.apply(
            APPEND, [e for i, rows in enumerate(groups) for e in _entries(at_once, i, rows)]
        )
        answers = [
            await store.apply(APPEND, _entries(one_by_one, i, rows))
            for i, rows in enumerate(groups)
        ]
        assert await lines(store, at_once) == await lines(store, one_by_one)
        joined = await asyncio.gather(
            *(store.apply(APPEND, _entries(together, i, rows)) for i, rows in enumerate(groups))
        )
        found = await lines(store, together)
        assert_gapless(found)
        assert sorted((line.book, line.id, line.note) for line in found) == sorted(
            (line.book, line.id, line.note) for line in await lines(store, one_by_one)
        )
        assert [[p.n for p in part] for part in joined] == [[p.n for p in part] for part in answers]
        offsets = {line.id: line.off for line in found}
        for i, part in enumerate(joined):
            assert [offsets[f"{i}-{p.n - 1}"] for p in part] == [p.off for p in part]

    async def test_the_duration_of_calls_is_measured(self, store: Store) -> None:
        """Each procedure and all reads have a histogram."""

        def count(operation: str) -> float:
            return (
                REGISTRY.get_sample_value("clarion_db_seconds_count", {"operation": operation}) or 0
            )

        before = count("append_entry")
        await store.apply(APPEND, [Entry("t", "a", "1")])
        assert count("append_entry") == before + 1

    # ── transactions ──
    async def test_a_transaction_reads_its_writes_and_commits(self, store: Store) -> None:
        """Statements and procedures of one block are stored together, and see each other."""
        async with store.transaction() as tx:
            assert await tx.execute(START, tenant="t", book="a") == 1
            assert await tx.apply(APPEND, [Entry("t", "a", "1"), Entry("t", "a", "2")]) == [
                Position(1, 1),
                Position(2, 2),
            ]
            assert [row.top for row in await tx.fetch(TOP, tenant="t", book="a")] == [2]
            assert await tx.execute(RAISE_TOP, tenant="t", book="b", top=1) == 0
        assert len(await lines(store)) == 2

    async def test_several_procedures_go_in_one_trip(self, store: Store) -> None:
        """They run in order, each is answered for its own rows, one without rows is left out; the first that fails dooms the block."""
        async with store.transaction() as tx:
            assert await tx.apply_all(
                (OPEN, [Book("t", "a", 10)]),
                (OPEN, [Book("t", "b", 20), Book("t", "c", 30)]),
                (APPEND, [Entry("t", "a", "1"), Entry("t", "b", "2")]),
                (APPEND, []),
                (OPEN, [Book("t", "a", 0)]),
                (APPEND, [Entry("t", "a", "3")]),
            ) == [[], [], [Position(1, 11), Position(2, 21)], [], [], [Position(1, 12)]]
            assert await tx.apply_all((APPEND, [])) == [[]]
        bad = Entry("t", "a", "nul\0")
        with pytest.raises(Invalid):  # noqa: PT012
            async with store.transaction() as tx:
                with pytest.raises(Invalid):
                    await tx.apply_all(
                        (APPEND, [Entry("t", "a", "4")]),
                        (APPEND, [bad]),
                        (APPEND, [Entry("t", "a", "5")]),
                    )
        assert sorted(line.id for line in await lines(store)) == ["1", "2", "3"]

    async def test_nothing_is_seen_before_the_commit(self, store: Store) -> None:
        """A reader sees the state before an open transaction."""
        wrote, seen = asyncio.Event(), asyncio.Event()

        async def write() -> None:
            async with store.transaction() as tx:
                await tx.apply(APPEND, [Entry("t", "a", "1")])
                wrote.set()
                await seen.wait()

        writing = asyncio.ensure_future(write())
        await wrote.wait()
        assert await lines(store) == []
        seen.set()
        await writing
        assert len(await lines(store)) == 1

    async def test_an_exception_rolls_back(self, store: Store) -> None:
        """A block that raises leaves nothing; the exception goes on to the caller; neighbours are stored."""

        async def fail() -> None:
            async with store.transaction() as tx:
                await tx.apply(APPEND, [Entry("t", "a", "1")])
                raise LookupError

        neighbours = [store.apply(APPEND, [Entry("t", "a", str(i))]) for i in range(2, 6)]
        failed, *others = await asyncio.gather(fail(), *neighbours, return_exceptions=True)
        assert isinstance(failed, LookupError)
        assert all(isinstance(other, list) for other in others)
        assert sorted(line.id for line in await lines(store)) == ["2", "3", "4", "5"]

    async def test_a_failed_statement_dooms_its_transaction(self, store: Store) -> None:
        """After an error that the block has swallowed nothing more runs, and the end says why nothing was stored."""
        with pytest.raises(Conflict):  # noqa: PT012
            async with store.transaction() as tx:
                await tx.apply(APPEND, [Entry("t", "a", "1")])
                with pytest.raises(Conflict):
                    await tx.execute(START, tenant="t", book="a")
                with pytest.raises(Conflict):
                    await tx.fetch(TOP, tenant="t", book="a")
        assert await lines(store) == []
        await store.apply(APPEND, [Entry("t", "a", "1")])

    async def test_a_cancelled_block_rolls_back(self, store: Store) -> None:
        """Cancelled between two statements: nothing is stored, the store goes on."""
        inside = asyncio.Event()

        async def hang() -> None:
            async with store.transaction() as tx:
                await tx.apply(APPEND, [Entry("t", "a", "1")])
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.ensure_future(hang())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await store.apply(APPEND, [Entry("t", "a", "2")])
        assert [line.id for line in await lines(store)] == ["2"]

    async def test_a_statement_that_was_cancelled_is_never_committed(self, store: Store) -> None:
        """A block that swallows the cancelling of a statement cannot commit the rest of itself."""
        with pytest.raises(Unavailable):  # noqa: PT012
            async with store.transaction() as tx:
                statement = asyncio.ensure_future(tx.apply(APPEND, [Entry("t", "a", "1")]))
                await asyncio.sleep(0)
                statement.cancel()
                await asyncio.wait([statement])
        assert await lines(store) == []

    async def test_an_idle_transaction_is_rolled_back(self, store: Store) -> None:
        """Who awaits something else inside is rolled back after the idle time, so that others can write."""
        with pytest.raises(Unavailable):  # noqa: PT012
            async with store.transaction() as tx:
                await tx.apply(APPEND, [Entry("t", "a", "1")])
                await asyncio.sleep(IDLE_S * 1.5)
                await tx.apply(APPEND, [Entry("t", "a", "2")])
        assert await lines(store) == []
        await store.apply(APPEND, [Entry("t", "a", "3")])

    async def test_read_decide_write_is_not_torn(self, store: Store) -> None:
        """20 concurrent transactions that read a row for update, then write it, lose none of their changes."""
        async with store.transaction() as tx:
            await tx.execute(START, tenant="t", book="a")

        async def increment() -> None:
            async with store.transaction() as tx:
                [row] = await tx.fetch(TOP, tenant="t", book="a")
                await tx.execute(RAISE_TOP, tenant="t", book="a", top=row.top + 1)

        await asyncio.gather(*(increment() for _ in range(20)))
        async with store.transaction() as tx:
            assert [row.top for row in await tx.fetch(TOP, tenant="t", book="a")] == [20]

    async def test_the_store_is_refused_inside_a_transaction(self, store: Store) -> None:
        """A call that would wait for its own transaction is a UsageError; a task that outlives the block may call."""
        ended = asyncio.Event()

        async def later() -> list[Any]:
            await ended.wait()
            return await store.apply(APPEND, [Entry("t", "a", "2")])

        async with store.transaction() as tx:
            await tx.apply(APPEND, [Entry("t", "a", "1")])
            with pytest.raises(UsageError):
                await store.apply(APPEND, [Entry("t", "a", "x")])
            with pytest.raises(UsageError):
                await store.fetch(TOP, tenant="t", book="a")
            with pytest.raises(UsageError):
                async with store.transaction():
                    pass
            task = asyncio.ensure_future(later())
        ended.set()
        assert await task == [Position(1, 2)]
        with pytest.raises(Closed):
            await tx.execute(START, tenant="t", book="z")

    # ── reading and the rest ──
    async def test_reads_only_read(self, store: Store) -> None:
        """A write through fetch is refused, as is a parameter that cannot be held."""
        with pytest.raises(UsageError):
            await store.fetch(Sql("DELETE FROM ledger RETURNING off", Position), tenant="t")
        with pytest.raises(Invalid):
            await store.fetch(TOP, tenant="t\0", book="a")

    async def test_a_wrong_statement_is_a_bug_of_ours(self, store: Store) -> None:
        """What the driver says of wrong SQL does not leave the floor."""
        wrong = Sql("SELECT nothing FROM nowhere WHERE tenant = :tenant", Position)
        with pytest.raises(Internal) as caught:
            await store.fetch(wrong, tenant="t")
        assert "nowhere" not in caught.value.message
        with pytest.raises(Internal):
            async with store.transaction() as tx:
                await tx.fetch(wrong, tenant="t")

    async def test_close_finishes_what_was_begun(self, store: Store) -> None:
        """Calls before the close are answered, calls after it are refused; closing twice is fine."""
        await store.ping()
        calls = [
            asyncio.ensure_future(store.apply(APPEND, [Entry("t", "a", str(i))])) for i in range(10)
        ]
        await asyncio.sleep(0)
        await store.close()
        assert sorted(part[0].off for part in await asyncio.gather(*calls)) == list(range(1, 11))
        await store.close()
        for refused in (
            store.apply(APPEND, [Entry("t", "a", "x")]),
            store.fetch(TOP, tenant="t", book="a"),
            store.ping(),
        ):
            with pytest.raises(Closed):
                await refused
