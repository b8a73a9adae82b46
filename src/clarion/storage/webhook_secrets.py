"""What webhook endpoints are signed with, sealed; see `notifications.webhooks`."""

from msgspec import Struct

from clarion.storage.store import Sql


class SecretRow(Struct, frozen=True):
    """One endpoint's secrets."""

    current: str
    former: str
    former_until_ms: int


FIND = Sql(
    "SELECT current, former, former_until_ms FROM webhook_secret WHERE tenant = :tenant AND id = :id",
    SecretRow,
)
ADD = Sql(
    """INSERT INTO webhook_secret (tenant, id, current, former, former_until_ms, changed_ms)
       VALUES (:tenant, :id, :current, '', 0, :now_ms) ON CONFLICT DO NOTHING"""
)
# While the former still signs it stays the former: a rotation whose answer was lost can be repeated, and no receiver is left behind.
ROTATE = Sql(
    """UPDATE webhook_secret SET former = CASE WHEN webhook_secret.former_until_ms > :now_ms THEN webhook_secret.former ELSE webhook_secret.current END, former_until_ms = :until_ms, current = :current, changed_ms = :now_ms
       WHERE tenant = :tenant AND id = :id"""
)
