"""The statements of audiences and of bulk: their procedures obey the joining law."""

from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.storage import audiences, bulk, outgoing, subscribers
from clarion.storage.sql import for_postgres, for_sqlite
from clarion.storage.store import Procedure, Sql
from tests.support.law import assert_law

_tenants, _ids, _times = st.sampled_from("tu"), st.sampled_from("abz"), st.integers(1, 9)
_memberships = st.lists(
    st.lists(
        st.builds(audiences.Membership, _tenants, st.sampled_from(["x", "y"]), _ids, _times),
        max_size=3,
    ),
    max_size=4,
)


class NewAudience(audiences.Membership, frozen=True, array_like=True):
    """An audience, as a procedure can make it."""


_MAKE = Procedure(
    "make_audience",
    NewAudience,
    (Sql("INSERT INTO audience SELECT tenant, audience, '', '', at_ms, at_ms FROM {rows r}"),),
)
GIVEN = [
    (_MAKE, [NewAudience(t, "x", "", 1) for t in "tu"]),
    (
        subscribers.DESCRIBE,
        [subscribers.Described(t, i, "", "", "", "", "", "", 1) for t in "tu" for i in "ab"],
    ),
]


@settings(max_examples=30, deadline=None)
@given(_memberships)
def test_putting_in(rows: list[list[audiences.Membership]]) -> None:
    """Whoever is known is in it since they were first put in; of the others each caller is told."""
    assert_law(audiences.ADD_MEMBERS, rows, given=GIVEN)


@settings(max_examples=30, deadline=None)
@given(_memberships)
def test_taking_out(rows: list[list[audiences.Membership]]) -> None:
    """Who is taken out twice is out once."""
    there = [audiences.Membership(t, "x", i, 1) for t in "tu" for i in "ab"]
    assert_law(audiences.TAKE_OUT, rows, given=[*GIVEN, (audiences.ADD_MEMBERS, there)])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.lists(st.builds(bulk.Told, _tenants, _ids, st.sampled_from("mn")), max_size=3),
        max_size=4,
    )
)
def test_asking_where_messages_stand(rows: list[list[bulk.Told]]) -> None:
    """Each caller is told of its own."""
    content = [outgoing.NewContent("t", "c", "s", "hello", "", "", "", 1, 1, "g", "w", "")]
    delivered = [outgoing.Delivery("t", i, "m", "c", 7, 1) for i in "ab"]
    assert_law(
        bulk.TOLD, rows, given=[(outgoing.ADD_CONTENT, content), (outgoing.DELIVER, delivered)]
    )


def test_texts_and_paths_are_written_as_each_engine_has_them() -> None:
    """A parameter's texts are a set, or what a column is one of; a path into JSON text is text."""
    text = "SELECT u.value, {text_at s.attributes a.b-c} FROM {texts u ids}, s WHERE x = :x AND y {in ids}"
    assert for_sqlite(text) == (
        """SELECT u.value, (CASE s.attributes WHEN '' THEN NULL ELSE CAST(json_extract(s.attributes, '$."a"."b-c"') AS TEXT) END)"""
        " FROM (SELECT key + 1 AS n, value FROM json_each(:ids)) AS u, s WHERE x = :x AND y IN (SELECT value FROM json_each(:ids))"
    )
    assert for_postgres(text) == (
        (
            "SELECT u.value, (CAST(NULLIF(s.attributes, '') AS jsonb) #>> ARRAY['a', 'b-c'])"
            " FROM json_array_elements_text(CAST($1 AS json)) WITH ORDINALITY AS u(value, n), s WHERE x = $2"
            " AND y = ANY (ARRAY (SELECT json_array_elements_text(CAST($1 AS json))))"
        ),
        ("ids", "x"),
    )
    path = """json_extract(s.attributes, '$."BIGINT"')"""
    assert path in for_sqlite("SELECT CAST({text_at s.attributes BIGINT} AS BIGINT)")
    assert "AS INTEGER)" in for_sqlite("SELECT CAST({text_at s.attributes BIGINT} AS BIGINT)")
