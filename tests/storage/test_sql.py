"""The markers, and how rows travel."""

import msgspec
import pytest

from clarion.errors import Invalid, UsageError
from clarion.storage import Procedure, Sql
from clarion.storage.sql import (
    answers,
    check_params,
    check_reads,
    columns,
    for_postgres,
    for_sqlite,
    pack,
    split,
)


class Row(msgspec.Struct, frozen=True, array_like=True):
    tenant: str
    size: int | None
    weight: float = 0.0


class Plain(msgspec.Struct):
    a: str
    b: int


class Found(msgspec.Struct, frozen=True):
    n: int
    off: int


def test_parameters_are_numbered_in_order_for_postgres() -> None:
    """A name that returns keeps its number; casts and literals are no parameters."""
    text, names = for_postgres("SELECT :b::text, ':no', 'it''s :no' WHERE a = :a AND b = :b")
    assert text == "SELECT $1::text, ':no', 'it''s :no' WHERE a = $2 AND b = $1"
    assert names == ("b", "a")


def test_the_input_set_becomes_what_each_engine_can_unfold() -> None:
    """PostgreSQL gets one array a column, SQLite one JSON text; both number the rows as r.n."""
    text, names = for_postgres("INSERT INTO t SELECT size FROM {rows r} WHERE r.n > :least", Row)
    assert (
        "unnest($1::text[], $2::bigint[], $3::double precision[]) WITH ORDINALITY AS r(tenant, size, weight, n)"
        in text
    )
    assert text.endswith("r.n > $4")
    assert names == ("least",)
    assert "key + 1 AS n, value->>0 AS tenant, value->>1 AS size" in for_sqlite(
        "SELECT n FROM {rows r}", Row
    )
    assert for_postgres("DELETE FROM t WHERE a = :a", Row) == ("DELETE FROM t WHERE a = $1", ("a",))


def test_markers_vanish_where_an_engine_needs_nothing() -> None:
    """Locks are PostgreSQL's, strictness SQLite's."""
    text = "SELECT 1 {for_update} {skip_locked}; CREATE TABLE t (a BIGINT, b DOUBLE PRECISION, c BYTEA) {strict_rowless}, {strict}"
    assert for_postgres(text)[0] == (
        "SELECT 1 FOR UPDATE FOR UPDATE SKIP LOCKED; CREATE TABLE t (a BIGINT, b DOUBLE PRECISION, c BYTEA) , "
    )
    assert for_sqlite(text) == (
        "SELECT 1  ; CREATE TABLE t (a INTEGER, b REAL, c BLOB) STRICT, WITHOUT ROWID, STRICT"
    )


@pytest.mark.parametrize("kind", [bytes, int | str, list[int]])
def test_a_row_holds_what_both_engines_can_take(kind: object) -> None:
    """A row with another type is a mistake of the program, found at once."""
    row = msgspec.defstruct("Bad", [("a", kind)])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="a procedure's row"):
        for_postgres("SELECT 1 FROM {rows r}", row)


def test_rows_are_packed_as_arrays() -> None:
    """Whether the struct says array_like or not."""
    assert pack([Row("t", None), Row("t", 2)]) == '[["t",null,0.0],["t",2,0.0]]'
    assert pack([Plain("x", 1)]) == '[["x",1]]'
    assert columns(Plain, [Plain("x", 1), Plain("y", 2)]) == [["x", "y"], [1, 2]]


def test_values_that_cannot_be_held_are_refused() -> None:
    """A NUL, half a surrogate pair; an escaped backslash before u0000 is fine."""
    assert pack([Row("\\u0000", 1)])
    for bad in (Row("\0", 1), Row("\udc00", 1)):
        with pytest.raises(Invalid):
            pack([bad])
    with pytest.raises(Invalid):
        check_params({"a": 1, "b": "\0"})


def test_only_selects_read() -> None:
    """Comments and case don't matter; a write does."""
    check_reads("\n  select 1")
    check_reads("WITH a AS (SELECT 1) SELECT * FROM a")
    for text in ("DELETE FROM t RETURNING a", "SELECTED"):
        with pytest.raises(UsageError):
            check_reads(text)


def test_answers_go_back_to_their_callers() -> None:
    """r.n counts over the joined rows, an answer's n over the caller's own; who asked for nothing gets nothing."""
    procedure = Procedure("p", Row, (Sql("…", Found),))
    assert answers(procedure, [2, 0, 1], [(3, 30), (1, 10), (2, 20)]) == [
        [Found(1, 10), Found(2, 20)],
        [],
        [Found(1, 30)],
    ]
    assert answers(Procedure("p", Row, (Sql("…"),)), [2, 1], []) == [[], []]


def test_blocks_for_one_engine() -> None:
    """`-- only:` begins a block, `-- both` ends it."""
    script = "a\n-- only: postgresql\nb\n-- only: sqlite\nc\n-- both\nd"
    assert split(script, "postgresql").split() == ["a", "b", "d"]
    assert split(script, "sqlite").split() == ["a", "c", "d"]
