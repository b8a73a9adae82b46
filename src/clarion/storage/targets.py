"""Whom a trigger is for: one statement that reads the next slice of them, in the database's own order, each once.

People come from several sides (named, in audiences, by filters, everybody). Each side gives its first `n` behind the cursor, and the
first `n` of all together are the slice, so that nothing is sorted that has no index, and no list is kept anywhere. What a filter
asks that SQL cannot decide exactly, SQL narrows down; such people are not `is_sure`, and the caller asks the filter itself.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from msgspec import Struct

from clarion.storage.store import Param, Sql


class Narrowed(Struct, frozen=True):
    """A filter in SQL over `subscriber s`.

    Args:
        where: Holds for all whom the filter lets through, '' where nothing can be said.
        params: By name.
        is_exact: It holds for nobody else.
    """

    where: str = ""
    params: Mapping[str, Param] = {}
    is_exact: bool = False


class Candidate(Struct, frozen=True):
    """Somebody of a slice: by an exact side (`is_sure`), left out by an audience (`is_out`), known (`id` is not None)."""

    usr: str
    is_sure: int
    is_out: int
    id: str | None
    name: str
    email: str
    phone: str
    locale: str
    time_zone: str
    attributes: str


class Bare(Struct, frozen=True):
    """The same without what is known of them."""

    usr: str
    is_sure: int
    is_out: int
    id: str | None


class Sides(Struct, frozen=True):
    """Where people come from, and which audiences are left out; the shape of the statement."""

    has_users: bool = False
    has_rows: bool = False
    audiences: int = 0
    filters: tuple[tuple[str, bool], ...] = ()
    """Of each its `where` and whether that is exact."""
    without: int = 0

    @property
    def is_nobody(self) -> bool:
        """Whether nobody is meant."""
        return not (self.has_users or self.has_rows or self.audiences or self.filters)


class Count(Struct, frozen=True):
    """How many there are."""

    count: int


def slice_of(sides: Sides, *, is_bare: bool) -> Sql[Candidate]:
    """The statement; parameters `:tenant, :after, :n`, `:users` (JSON), `:trigger`, `:audience_0` …, `:without_0` …, those of filters.

    Its rows are `Candidate`, or `Bare` ones (which have the same first members).
    """
    return _slice_of(sides, is_bare)


@lru_cache(256)
def _slice_of(sides: Sides, is_bare: bool) -> Sql[Candidate]:
    arms = [_arm(text) for text in _sides(sides)]
    out = "0"
    if sides.without:
        names = ", ".join(f":without_{i}" for i in range(sides.without))
        out = f"""CASE WHEN EXISTS (SELECT 1 FROM audience_member x WHERE x.tenant = :tenant AND x.usr = c.usr
            AND x.audience IN ({names})) THEN 1 ELSE 0 END"""
    known = "" if is_bare else _KNOWN
    return Sql(
        f"""SELECT c.usr, c.is_sure, {out}, s.id{known}
            FROM (SELECT a.usr, max(a.is_sure) AS is_sure FROM ({" UNION ALL ".join(arms)}) AS a
                  GROUP BY a.usr ORDER BY a.usr LIMIT :n) AS c
            LEFT JOIN subscriber s ON s.tenant = :tenant AND s.id = c.usr ORDER BY c.usr""",
        Bare if is_bare else Candidate,  # type: ignore[arg-type]  # the same first members
    )


@lru_cache(256)
def count_of(sides: Sides) -> Sql[Count]:
    """How many people there are, without regard to who is left out; given up after 2 s. Parameters as those of a slice, from the start."""
    arms = (text.replace(":after", "''") for text in _sides(sides))
    # UNION leaves out who comes from several sides.
    members = " UNION ".join(f"SELECT x.usr FROM ({arm}) AS x" for arm in arms)
    return Sql(f"SELECT count(*) FROM ({members}) AS a", Count, within_s=2.0)


_KNOWN = "".join(
    f", coalesce(s.{name}, '')"
    for name in ("name", "email", "phone", "locale", "time_zone", "attributes")
)


def _sides(sides: Sides) -> Sequence[str]:
    found: list[str] = []
    if sides.has_users:
        found.append(
            "SELECT u.value AS usr, 1 AS is_sure FROM {texts u users} WHERE u.value > :after"
        )
    if sides.has_rows:
        found.append(
            """SELECT r.usr, 1 AS is_sure FROM trigger_recipient r
               WHERE r.tenant = :tenant AND r.trigger_id = :trigger AND r.usr > :after"""
        )
    found += [
        f"""SELECT m.usr, 1 AS is_sure FROM audience_member m
            WHERE m.tenant = :tenant AND m.audience = :audience_{i} AND m.usr > :after"""
        for i in range(sides.audiences)
    ]
    found += [
        f"""SELECT s.id AS usr, {int(is_exact)} AS is_sure FROM subscriber s
            WHERE s.tenant = :tenant AND s.id > :after{" AND " if where else ""}{where}"""
        for where, is_exact in sides.filters
    ]
    return found


def _arm(text: str) -> str:
    return f"SELECT * FROM ({text} ORDER BY usr LIMIT :n) AS x"
