"""Subscribers: the people and services that notifications can reach.

An account's registration adds one in its own transaction, so that whoever can log in can be notified; a notification adds
those that it describes. '' in a column says: not known.
"""

from msgspec import Struct

from clarion.storage.store import Sql


class Subscriber(Struct, frozen=True):
    """What is known of one subscriber; times are ms since 1970, attributes the text of a JSON object."""

    id: str
    name: str
    email: str
    locale: str
    time_zone: str
    attributes: str
    created_ms: int
    updated_ms: int


FIND = Sql(
    """SELECT id, name, email, locale, time_zone, attributes, created_ms, updated_ms
       FROM subscriber WHERE tenant = :tenant AND id = :id""",
    Subscriber,
)

# Inside a transaction: 1 row was added, or 0 when the id is taken.
ADD = Sql(
    """INSERT INTO subscriber (tenant, id, name, email, locale, time_zone, attributes, created_ms, updated_ms)
       VALUES (:tenant, :id, :name, '', '', '', '', :now_ms, :now_ms) ON CONFLICT DO NOTHING"""
)
