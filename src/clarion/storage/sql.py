"""One SQL text for two engines: the markers, and how rows travel into a procedure and its answers back.

The dialect is what SQLite >= 3.39 and PostgreSQL >= 15 both understand (upsert, RETURNING, CTE, window functions, partial
indexes, `UPDATE … FROM`, row values, `||`) plus these markers:

    :name            a parameter                       :name                              $1, $2 …
    {rows r}         the procedure's input set as r    json_each(…); r.n counts from 1    unnest(…) WITH ORDINALITY
    {texts u ids}    a parameter's JSON array of texts  json_each(:ids); u.value, u.n      json_array_elements_text(…)
    {in ids}         is one of such an array's         IN (… json_each(:ids))             = ANY (ARRAY (…)), which is looked up by key
    {text_at c a.b}  what JSON text has at a path       json_extract(…), as text           #>>
    {for_update}     hold the rows that are read        nothing: there is one writer       FOR UPDATE
    {skip_locked}    leave what others have locked     nothing: there is one writer       FOR UPDATE SKIP LOCKED
    {strict}         after a table's `)`               STRICT                             nothing
    {strict_rowless} likewise, key order on disk       STRICT, WITHOUT ROWID              nothing
    {bytewise}       a TEXT column sorts by its bytes  nothing: it does anyway            COLLATE "C"
    BIGINT, DOUBLE PRECISION, BYTEA                    INTEGER, REAL, BLOB                as they are

Conventions that make one text enough: time is BIGINT milliseconds from our Clock (never `now()`), JSON is TEXT, ids are TEXT, a
flag is BIGINT 0 or 1; `INSERT … SELECT … FROM {rows r} WHERE true ON CONFLICT …` (SQLite cannot parse it without the WHERE); no
data-modifying CTE (two steps instead); where PostgreSQL cannot know a parameter's type, `CAST(:name AS BIGINT)`.
"""

import operator
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Union, get_args, get_origin

import msgspec

from clarion.errors import Invalid, UsageError
from clarion.storage.store import Param, Procedure

_COLUMN_TYPES: Mapping[Any, str] = {str: "text", int: "bigint", float: "double precision"}
_SQLITE = {
    "{for_update}": "",
    "{skip_locked}": "",
    "{strict}": "STRICT",
    "{strict_rowless}": "STRICT, WITHOUT ROWID",
    "{bytewise}": "",
    "BIGINT": "INTEGER",
    "DOUBLE PRECISION": "REAL",
    "BYTEA": "BLOB",
}
_POSTGRES = {
    "{for_update}": "FOR UPDATE",
    "{skip_locked}": "FOR UPDATE SKIP LOCKED",
    "{strict}": "",
    "{strict_rowless}": "",
    "{bytewise}": 'COLLATE "C"',
}
_ROWS = re.compile(r"\{rows (\w+)\}")
_TEXTS = re.compile(r"\{texts (\w+) (\w+)\}")
_IN = re.compile(r"\{in (\w+)\}")
_TEXT_AT = re.compile(r"\{text_at ([\w.]+) ([\w.-]+)\}")
_MARK = re.compile("|".join([_TEXT_AT.pattern, *map(re.escape, _SQLITE)]))
# Not the second colon of a cast (`::text`), and nothing inside a literal ('12:30').
_PARAM = re.compile(r"'(?:[^']|'')*'|(?<!:):([a-z_]\w*)")
_READS = re.compile(r"\s*(SELECT|WITH)\b", re.IGNORECASE)
_encode = msgspec.json.Encoder().encode


@lru_cache(1024)
def for_sqlite(text: str, row: type[msgspec.Struct] | None = None) -> str:
    """The statement as SQLite takes it; the set, if any, is the parameter `:rows` (JSON, see `pack`)."""
    if row is not None:
        parts = ", ".join(f"value->>{i} AS {name}" for i, name in enumerate(row.__struct_fields__))
        # S608: the names are those of a struct's fields.
        text = _ROWS.sub(rf"(SELECT key + 1 AS n, {parts} FROM json_each(:rows)) AS \1", text)
    text = _TEXTS.sub(r"(SELECT key + 1 AS n, value FROM json_each(:\2)) AS \1", text)
    text = _IN.sub(r"IN (SELECT value FROM json_each(:\1))", text)
    return _TEXT_AT.sub(_sqlite_text_at, _replace(text, _SQLITE))


@lru_cache(1024)
def for_postgres(text: str, row: type[msgspec.Struct] | None = None) -> tuple[str, tuple[str, ...]]:
    """The statement as PostgreSQL takes it, and the names of its parameters in order.

    The set, if any, takes the first parameters: one array a column (see `columns`).
    """
    first = 1
    if row is not None and _ROWS.search(text):
        fields = msgspec.structs.fields(row)
        arrays = ", ".join(f"${i}::{_column_type(f)}[]" for i, f in enumerate(fields, 1))
        names = ", ".join(f.name for f in fields)
        text = _ROWS.sub(rf"unnest({arrays}) WITH ORDINALITY AS \1({names}, n)", text)
        first += len(fields)
    text = _TEXTS.sub(
        r"json_array_elements_text(CAST(:\2 AS json)) WITH ORDINALITY AS \1(value, n)", text
    )
    # Not IN (SELECT …): while PostgreSQL knows nothing of a table it would make a join of that, with the whole of it.
    text = _IN.sub(r"= ANY (ARRAY (SELECT json_array_elements_text(CAST(:\1 AS json))))", text)
    text = _TEXT_AT.sub(_postgres_text_at, _replace(text, _POSTGRES))
    order: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        name = found[1]
        return found[0] if name is None else f"${order.setdefault(name, first + len(order))}"

    return _PARAM.sub(number, text), tuple(order)


@lru_cache(1024)
def check_reads(text: str) -> None:
    """Refuse a write where only reads belong: SQLite's readers could not run it.

    Raises:
        UsageError: It is not a SELECT.
    """
    if not _READS.match(text):
        raise UsageError(f"store.fetch only reads; use a procedure or a transaction: {text[:60]!r}")


def check_params(params: Mapping[str, Param]) -> None:
    """Refuse what one of the engines could not hold, so that both refuse it.

    Raises:
        Invalid: A text with a NUL character.
    """
    for name, value in params.items():
        if isinstance(value, str) and "\0" in value:
            raise Invalid(f"{name} may not contain the character U+0000")


def pack(rows: Sequence[msgspec.Struct]) -> str:
    """A procedure's input (at least one row) as JSON, an array a row: how SQLite gets a set.

    Raises:
        Invalid: A text that is no Unicode, or has a NUL character (it would end there).
    """
    is_array = type(rows[0]).__struct_config__.array_like
    try:
        data = _encode(rows if is_array else [msgspec.structs.astuple(row) for row in rows])
    except UnicodeEncodeError as exc:
        raise Invalid("a text has half of a surrogate pair") from exc
    # The six bytes may also be an escaped backslash and four digits: only then the values are looked at.
    if b"\\u0000" in data:
        for row in rows:
            check_params(msgspec.structs.asdict(row))
    return data.decode()


def columns(row: type[msgspec.Struct], rows: Sequence[msgspec.Struct]) -> list[list[Any]]:
    """A procedure's input as one list a column: how PostgreSQL gets a set."""
    return [list(map(operator.attrgetter(name), rows)) for name in row.__struct_fields__]


def answers(procedure: Procedure, sizes: Sequence[int], found: Sequence[Any]) -> list[list[Any]]:
    """Hand the rows of a joined run back to its callers by `r.n`.

    Args:
        procedure: What was run; its last step says what a row is.
        sizes: Each caller's number of input rows, in the order in which they were joined.
        found: Rows of the last step as the driver gave them.

    Returns:
        One list of results per caller, `n` counted from each caller's own first row.
    """
    result = procedure.steps[-1].result
    if result is None:
        return [[] for _ in sizes]
    out: list[list[Any]] = [[] for _ in sizes]
    owner: list[tuple[list[Any], int]] = []
    for part, size in zip(out, sizes, strict=True):
        owner.extend([(part, len(owner))] * size)
    for n, *rest in found:
        part, before = owner[n - 1]
        part.append(result(n - before, *rest))
    return out


def split(script: str, engine: str) -> str:
    """Of a migration's text what is meant for one engine: `-- only: sqlite|postgresql` begins a block, `-- both` ends it."""
    blocks = re.split(r"^-- (?:only: (\w+)|both)[ \t]*$", script, flags=re.MULTILINE)
    return blocks[0] + "".join(_wanted(blocks[1:], engine))


def _wanted(blocks: Sequence[str | None], engine: str) -> Iterator[str]:
    for only, body in zip(blocks[::2], blocks[1::2], strict=True):
        if only in (None, engine):
            yield body or ""


def _sqlite_text_at(found: re.Match[str]) -> str:
    path = "$" + "".join(f'."{name}"' for name in found[2].split("."))
    column = found[1]
    return (
        f"(CASE {column} WHEN '' THEN NULL ELSE CAST(json_extract({column}, '{path}') AS TEXT) END)"
    )


def _postgres_text_at(found: re.Match[str]) -> str:
    # ARRAY, because the braces of '{a,b}' are for markers.
    names = ", ".join(f"'{name}'" for name in found[2].split("."))
    return f"(CAST(NULLIF({found[1]}, '') AS jsonb) #>> ARRAY[{names}])"


def _replace(text: str, marks: Mapping[str, str]) -> str:
    # A path into JSON stays as it is: an attribute may be called BIGINT.
    return _MARK.sub(lambda found: marks.get(found[0], found[0]), text)


def _column_type(field: msgspec.structs.FieldInfo) -> str:
    kinds = [field.type]
    if get_origin(field.type) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(field.type) if kind is not types.NoneType]
    if len(kinds) != 1 or kinds[0] not in _COLUMN_TYPES:
        raise UsageError(
            f"a procedure's row holds str, int and float, not {field.name}: {field.type}"
        )
    return _COLUMN_TYPES[kinds[0]]
