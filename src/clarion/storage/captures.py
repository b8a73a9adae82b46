"""Messages that were kept instead of sent: the newest of each tenant."""

from msgspec import Struct

from clarion.storage.store import Procedure, Sql


class CaptureRow(Struct, frozen=True, array_like=True):
    """One message; `content` is the JSON of what it says."""

    tenant: str
    id: str
    channel: str
    usr: str
    address: str
    workflow: str
    category: str
    message: str
    content: str
    at_ms: int


class FoundCapture(Struct, frozen=True):
    """The same, as it is read."""

    tenant: str
    id: str
    channel: str
    usr: str
    address: str
    workflow: str
    category: str
    message: str
    content: str
    at_ms: int


class TenantRow(Struct, frozen=True):
    """A tenant that has some."""

    tenant: str


_COLUMNS = "tenant, id, channel, usr, address, workflow, category, message, content, at_ms"
ADD = Procedure(
    "add_capture",
    CaptureRow,
    (
        Sql(
            f"INSERT INTO capture ({_COLUMNS}) SELECT {_COLUMNS} FROM {{rows r}} WHERE true ON CONFLICT DO NOTHING"
        ),
    ),
)
PAGE = Sql(
    f"""SELECT {_COLUMNS} FROM capture
        WHERE tenant = :tenant AND id < :before AND (:channel = '' OR channel = :channel) AND (:usr = '' OR usr = :usr)
        ORDER BY id DESC LIMIT :n""",
    FoundCapture,
)
FIND = Sql(f"SELECT {_COLUMNS} FROM capture WHERE tenant = :tenant AND id = :id", FoundCapture)
CLEAR = Sql("DELETE FROM capture WHERE tenant = :tenant")
TENANTS = Sql("SELECT DISTINCT tenant FROM capture ORDER BY tenant", TenantRow)
TRIM = Sql(
    """DELETE FROM capture WHERE tenant = :tenant AND id <=
       (SELECT id FROM capture WHERE tenant = :tenant ORDER BY id DESC LIMIT 1 OFFSET :keep)"""
)
