"""Subscribers: the people and services that notifications can reach.

An account's registration adds one in its own transaction, so that whoever can log in can be notified; a notification adds
those that it describes. '' in a column says: not known.
"""

from msgspec import Struct

from clarion.storage.store import Procedure, Sql


class Subscriber(Struct, frozen=True):
    """What is known of one subscriber; times are ms since 1970, attributes the text of a JSON object."""

    id: str
    name: str
    email: str
    phone: str
    locale: str
    time_zone: str
    attributes: str
    created_ms: int
    updated_ms: int


class There(Struct, frozen=True):
    """Somebody who is known."""

    id: str


_COLUMNS = ", ".join(Subscriber.__struct_fields__)
FIND = Sql(f"SELECT {_COLUMNS} FROM subscriber WHERE tenant = :tenant AND id = :id", Subscriber)
# `ids`: a JSON array.
FIND_ALL = Sql(
    f"""SELECT {_COLUMNS} FROM subscriber
        WHERE tenant = :tenant AND id {{in ids}} ORDER BY id""",
    Subscriber,
)

# Inside a transaction: those who have not been erased meanwhile.
THERE = Sql("SELECT id FROM subscriber WHERE tenant = :tenant AND id {in ids}", There)

# Inside a transaction: 1 row was added, or 0 when the id is taken.
ADD = Sql(
    """INSERT INTO subscriber (tenant, id, name, email, phone, locale, time_zone, attributes, created_ms, updated_ms)
       VALUES (:tenant, :id, :name, '', '', '', '', '', :now_ms, :now_ms) ON CONFLICT DO NOTHING"""
)

# Inside a transaction: whoever changes one holds it.
HOLD = Sql(
    f"SELECT {_COLUMNS} FROM subscriber WHERE tenant = :tenant AND id = :id {{for_update}}",
    Subscriber,
)
# As it is said here: what is '' is not known any longer.
PUT = Sql(
    """INSERT INTO subscriber (tenant, id, name, email, phone, locale, time_zone, attributes, created_ms, updated_ms)
       VALUES (:tenant, :id, :name, :email, :phone, :locale, :time_zone, :attributes, :now_ms, :now_ms)
       ON CONFLICT (tenant, id) DO UPDATE SET name = excluded.name, email = excluded.email, phone = excluded.phone,
         locale = excluded.locale, time_zone = excluded.time_zone, attributes = excluded.attributes, updated_ms = excluded.updated_ms"""
)
DELETE = Sql("DELETE FROM subscriber WHERE tenant = :tenant AND id = :id")


class Named(Struct, frozen=True, array_like=True):
    """Names a subscriber."""

    tenant: str
    id: str


class Known(Struct, frozen=True):
    """The caller's n-th subscriber; who is not known has no row."""

    n: int
    id: str
    name: str = ""
    email: str = ""
    phone: str = ""
    locale: str = ""
    time_zone: str = ""
    attributes: str = ""


class Described(Struct, frozen=True, array_like=True):
    """What is said of a subscriber; '' in a column says nothing, and what is stored stays."""

    tenant: str
    usr: str
    name: str
    email: str
    phone: str
    locale: str
    time_zone: str
    attributes: str
    at_ms: int


KNOWN = Procedure(
    "known_subscribers",
    Named,
    (
        Sql(
            """SELECT r.n, s.id, s.name, s.email, s.phone, s.locale, s.time_zone, s.attributes
               FROM {rows r} JOIN subscriber s ON s.tenant = r.tenant AND s.id = r.id""",
            Known,
        ),
    ),
)


def latest_of(column: str, about: str = "r.tenant, r.usr") -> str:
    """The newest value that says something, of all rows that are about one thing."""
    return f"""first_value(r.{column}) OVER (PARTITION BY {about}
        ORDER BY CASE r.{column} WHEN '' THEN 1 ELSE 0 END, r.n DESC) AS {column}"""


def keep_of(column: str, table: str) -> str:
    """For an upsert: what says nothing leaves what is there."""
    return f"{column} = CASE excluded.{column} WHEN '' THEN {table}.{column} ELSE excluded.{column} END"


DESCRIBED = ("name", "email", "phone", "locale", "time_zone", "attributes")


def describe(source: str) -> Sql[None]:
    """Make subscribers known, or say more of them: a step for a procedure whose rows name `tenant, usr, at_ms` and what is said.

    Args:
        source: The FROM clause and its WHERE, with the rows as `r`.
    """
    return Sql(f"""INSERT INTO subscriber (tenant, id, {", ".join(DESCRIBED)}, created_ms, updated_ms)
        SELECT d.tenant, d.usr, {", ".join(f"d.{column}" for column in DESCRIBED)}, d.created_ms, d.at_ms
        FROM (SELECT r.tenant, r.usr, {", ".join(map(latest_of, DESCRIBED))}, r.at_ms,
                first_value(r.at_ms) OVER (PARTITION BY r.tenant, r.usr ORDER BY r.n) AS created_ms,
                row_number() OVER (PARTITION BY r.tenant, r.usr ORDER BY r.n DESC) AS nth
              FROM {source}) AS d
        WHERE d.nth = 1 ORDER BY d.tenant, d.usr
        ON CONFLICT (tenant, id) DO UPDATE SET {", ".join(keep_of(c, "subscriber") for c in DESCRIBED)}, updated_ms = excluded.updated_ms""")


DESCRIBE = Procedure("describe_subscriber", Described, (describe("{rows r} WHERE true"),))
