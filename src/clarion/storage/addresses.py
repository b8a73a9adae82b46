"""Addresses of subscribers on channels that have their own: push devices, chats. An address is one person's at a time."""

from msgspec import Struct

from clarion.ids import digest
from clarion.storage.store import Procedure, Sql
from clarion.storage.subscribers import Named


def address_id(channel: str, address: str) -> str:
    """The id of an address: the same for the same."""
    return digest(f"{channel}\n{address}")


class NewAddress(Struct, frozen=True, array_like=True):
    """An address to be known; one that is known is this user's from now on, with what is said here.

    `id` follows from channel and address (`address_id`); `data` is the text of a JSON object, '' for nothing.
    """

    tenant: str
    id: str
    usr: str
    channel: str
    address: str
    data: str
    label: str
    at_ms: int


class Removed(Struct, frozen=True, array_like=True):
    """Names an address to be forgotten. `usr`: only if it is theirs, '' whoever's it is."""

    tenant: str
    id: str
    usr: str = ""


class Worked(Struct, frozen=True, array_like=True):
    """An address took a message."""

    tenant: str
    id: str
    at_ms: int


class Failed(Struct, frozen=True, array_like=True):
    """An address did not take a message; why, in the provider's words."""

    tenant: str
    id: str
    error: str


class AddressRow(Struct, frozen=True):
    """An address as it is kept."""

    id: str
    usr: str
    channel: str
    address: str
    data: str
    label: str
    created_ms: int
    updated_ms: int
    last_ok_ms: int | None
    failures: int
    error: str | None


class UserAddress(Struct, frozen=True):
    """An address of the caller's n-th user."""

    n: int
    id: str
    channel: str
    address: str
    data: str


_COLUMNS = (
    "id, usr, channel, address, data, label, created_ms, updated_ms, last_ok_ms, failures, error"
)

PUT = Procedure(
    "put_address",
    NewAddress,
    (
        Sql("""INSERT INTO address (tenant, id, usr, channel, address, data, label, created_ms, updated_ms)
            SELECT a.tenant, a.id, a.usr, a.channel, a.address, a.data, a.label, a.created_ms, a.at_ms
            FROM (SELECT r.*, first_value(r.at_ms) OVER (PARTITION BY r.tenant, r.id ORDER BY r.n) AS created_ms,
                    row_number() OVER (PARTITION BY r.tenant, r.id ORDER BY r.n DESC) AS k FROM {rows r}) AS a
            WHERE a.k = 1 ORDER BY a.tenant, a.id
            ON CONFLICT (tenant, id) DO UPDATE SET usr = excluded.usr, data = excluded.data, label = excluded.label,
              updated_ms = excluded.updated_ms, failures = 0, error = NULL"""),
    ),
)
REMOVE = Procedure(
    "remove_address",
    Removed,
    (
        Sql("""DELETE FROM address WHERE (tenant, id) IN (SELECT a.tenant, a.id FROM {rows r}
              JOIN address a ON a.tenant = r.tenant AND a.id = r.id WHERE r.usr = '' OR r.usr = a.usr)"""),
    ),
)
WORKED = Procedure(
    "address_worked",
    Worked,
    (
        Sql("""UPDATE address SET last_ok_ms = s.at_ms, failures = 0, error = NULL
            FROM (SELECT r.tenant, r.id, max(r.at_ms) AS at_ms FROM {rows r} GROUP BY r.tenant, r.id) AS s
            WHERE address.tenant = s.tenant AND address.id = s.id
              AND (address.last_ok_ms IS NULL OR address.last_ok_ms <= s.at_ms)"""),
    ),
)
FAILED = Procedure(
    "address_failed",
    Failed,
    (
        Sql("""UPDATE address SET failures = address.failures + s.times, error = s.error
            FROM (SELECT r.tenant, r.id, r.error, count(*) OVER (PARTITION BY r.tenant, r.id) AS times,
                    row_number() OVER (PARTITION BY r.tenant, r.id ORDER BY r.n DESC) AS k FROM {rows r}) AS s
            WHERE s.k = 1 AND address.tenant = s.tenant AND address.id = s.id"""),
    ),
)
OF_USERS = Procedure(
    "addresses_of_users",
    Named,
    (
        Sql(
            """SELECT r.n, a.id, a.channel, a.address, a.data FROM {rows r}
               JOIN address a ON a.tenant = r.tenant AND a.usr = r.id ORDER BY r.n, a.channel, a.created_ms, a.id""",
            UserAddress,
        ),
    ),
)
OF_USER = Sql(
    f"SELECT {_COLUMNS} FROM address WHERE tenant = :tenant AND usr = :usr ORDER BY channel, created_ms, id",
    AddressRow,
)
FIND = Sql(f"SELECT {_COLUMNS} FROM address WHERE tenant = :tenant AND id = :id", AddressRow)
