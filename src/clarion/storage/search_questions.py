"""Questions about the documents of a collection, as SQL: conditions, pages in an order, counts of values.

A question's text depends on its shape alone, all values are parameters. Conditions name documents by sets (`doc IN (…)`) that an index gives, so that the
engine begins with the smallest; who may see a document is looked up of each that is left.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from clarion.storage.search import NUMBERS, Engine
from clarion.storage.store import Param, Sql

_WORDS: Final = {
    "sqlite": "SELECT w.rowid FROM search_words w WHERE w.search_words MATCH :{q} AND w.rowid BETWEEN :low AND :high",
    "postgresql": """SELECT t.doc FROM search_text t WHERE t.tenant = :tenant AND array_to_tsvector(string_to_array(
        trim(t.words) || ' =' || CAST(t.collection AS TEXT), ' ')) @@ CAST(CAST(:{q} AS TEXT) AS tsquery)""",
}
_VALUES: Final = "SELECT v.doc FROM search_value v WHERE v.tenant = :tenant AND v.collection = :collection AND v.field = :{f}"
_OF_DOC: Final = "v.tenant = :tenant AND v.doc = d.doc AND v.field"


class PageRow(Struct, frozen=True):
    """The log's top and the number of matches, and one of them; `id` and what follows are None in the only row of an empty page."""

    top: int
    total: int
    id: str | None
    data: str
    access: str
    version: int
    off: int
    changed_ms: int


class CountRow(Struct, frozen=True):
    """How many matches have a value; `txt` of texts, `num` of all others."""

    txt: str
    num: float
    count: int


Value = str | float | bool


class Order(Struct, frozen=True):
    """A field to sort by; documents without it come last."""

    field: str
    is_text: bool
    falls: bool = False


class Question:
    """Conditions on the documents of one collection, and what is asked of those that meet them.

    Args:
        engine: Whose SQL.
        tenant: Whose collection.
        collection: Its number.
        within_s: What an answer may take (s).
    """

    def __init__(self, engine: Engine, tenant: str, collection: int, within_s: float) -> None:
        self._engine = engine
        self._within_s = within_s
        self.params: dict[str, Param] = {"tenant": tenant, "collection": collection}
        self._collection = collection
        self._where: list[str] = []

    def require(self, condition: str) -> None:
        """Take only documents that meet it."""
        self._where.append(condition)

    # ── conditions ──
    def has(self, field: str, values: Sequence[Value]) -> str:
        """One of these values."""
        column = "txt" if isinstance(values[0], str) else "num"
        listed = ", ".join(self._value(value) for value in values)
        return f"d.doc IN ({self._values(field)} AND v.{column} IN ({listed}))"

    def visible(self, tags: Sequence[str]) -> str:
        """No access tags, or one of these."""
        if not tags:
            return "d.access = '[]'"
        listed = ", ".join(self._param(tag) for tag in tags)
        return f"(d.access = '[]' OR EXISTS (SELECT 1 FROM search_value v WHERE {_OF_DOC} = '' AND v.txt IN ({listed})))"

    def between(
        self, field: str, low: float, high: float, *, low_open: bool, high_open: bool
    ) -> str:
        """A number in a range."""
        above, below = ">" if low_open else ">=", "<" if high_open else "<="
        bounds = f"v.num {above} {self._param(low)} AND v.num {below} {self._param(high)}"
        return f"d.doc IN ({self._values(field)} AND v.txt = '' AND {bounds})"

    def exists(self, field: str) -> str:
        """Any value."""
        return f"d.doc IN ({self._values(field)})"

    def all_of(self, parts: Sequence[str]) -> str:
        """All of these."""
        return f"({' AND '.join(parts)})"

    def any_of(self, parts: Sequence[str]) -> str:
        """One of these."""
        return f"({' OR '.join(parts)})"

    def none_of(self, part: str) -> str:
        """Not this."""
        return f"NOT {part}" if part.startswith("(") else f"NOT ({part})"

    def words(self, words: Sequence[str], prefixes: Sequence[str]) -> str:
        """All of these words, and words that begin so. Words consist of a-z, 0-9 and what is not ASCII."""
        if self._engine == "sqlite":
            wanted = [f'"{word}"' for word in words] + [f'"{prefix}" *' for prefix in prefixes]
            given = " AND ".join(wanted)
            self.params["low"] = self._collection * NUMBERS
            self.params["high"] = (self._collection + 1) * NUMBERS - 1
        else:
            wanted = [f"'{word}'" for word in words] + [f"'{prefix}':*" for prefix in prefixes]
            given = " & ".join([f"'={self._collection}'", *wanted])
        name = self._param(given)[1:]
        return f"d.doc IN ({_WORDS[self._engine].format(q=name)})"

    def phrase(self, words: Sequence[str]) -> str:
        """These words in a row; `words` must be required as well."""
        like = self._param(f"% {' '.join(words)} %")
        return f"EXISTS (SELECT 1 FROM search_text t WHERE t.tenant = :tenant AND t.doc = d.doc AND t.words LIKE {like})"

    # ── what is asked ──
    def page(
        self, order: Sequence[Order], after: Sequence[Value | None] | None, n: int
    ) -> Sql[PageRow]:
        """Documents in an order.

        Args:
            order: After it they are in the order of their ids.
            after: The values of `order`, then the id, of the document that they follow; None: from the first.
            n: At most so many.
        """
        keys = [self._key(each) for each in order]
        columns = "".join(f", {key} AS k{i}" for i, key in enumerate(keys))
        by = [
            f"CASE WHEN k{i} IS NULL THEN 1 ELSE 0 END, k{i}{' DESC' if each.falls else ''}"
            for i, each in enumerate(order)
        ]
        self.params["n"] = n
        behind = "true" if after is None else self._behind(order, after)
        text = f"""WITH hit AS (SELECT d.doc, d.id{columns} FROM search_document d WHERE {self._hit()})
            SELECT c.top, (SELECT COUNT(*) FROM hit), p.* FROM search_collection c LEFT JOIN (
              SELECT d.id, d.data, d.access, d.version, d.off, d.changed_ms
              FROM (SELECT * FROM hit WHERE {behind} ORDER BY {", ".join([*by, "id"])} LIMIT :n) AS h
              JOIN search_document d ON d.tenant = :tenant AND d.doc = h.doc) AS p ON true
            WHERE c.tenant = :tenant AND c.collection = :collection AND c.deleted_ms IS NULL"""
        return Sql(text, PageRow, self._within_s)

    def counts(self, field: str, n: int) -> Sql[CountRow]:
        """The values of a field that most matches have, and how many these are."""
        self.params["n"], self.params["facet"] = n, field
        text = f"""SELECT v.txt, v.num, COUNT(*) AS many FROM search_value v
            JOIN search_document d ON d.tenant = v.tenant AND d.doc = v.doc
            WHERE v.tenant = :tenant AND v.collection = :collection AND v.field = :facet AND {self._hit()}
            GROUP BY v.txt, v.num ORDER BY many DESC, v.txt, v.num LIMIT :n"""
        return Sql(text, CountRow, self._within_s)

    def _hit(self) -> str:
        return " AND ".join(["d.tenant = :tenant", "d.collection = :collection", *self._where])

    def _key(self, order: Order) -> str:
        column = "txt" if order.is_text else "num"
        return f"(SELECT MIN(v.{column}) FROM search_value v WHERE {_OF_DOC} = {self._param(order.field)})"

    def _behind(self, order: Sequence[Order], after: Sequence[Value | None]) -> str:
        ways, same = [], list[str]()
        for i, (each, value) in enumerate(zip(order, after, strict=False)):
            if value is None:
                same.append(f"k{i} IS NULL")
                continue
            given = self._value(value)
            beyond = f"(k{i} {'<' if each.falls else '>'} {given} OR k{i} IS NULL)"
            ways.append(self.all_of([*same, beyond]))
            same.append(f"k{i} = {given}")
        ways.append(self.all_of([*same, f"id > {self._param(after[-1])}"]))
        return self.any_of(ways)

    def _values(self, field: str) -> str:
        return _VALUES.format(f=self._param(field)[1:])

    def _value(self, value: Value) -> str:
        return self._param(value if isinstance(value, str) else float(value))

    def _param(self, value: Param) -> str:
        name = f"p{len(self.params)}"
        self.params[name] = value
        return f":{name}"
