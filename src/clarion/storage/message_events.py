"""What is told of a message after it was handed over. Its life cycle goes forward: what comes late and ranks lower changes nothing."""

from msgspec import Struct

from clarion.storage.store import Procedure, Sql


class NewEvent(Struct, frozen=True, array_like=True):
    """Something became of a message. `status` with its `rank` '' and 0 where its life cycle stays; the times are None where it does not say."""

    tenant: str
    message: str
    kind: str
    at_ms: int
    detail: str
    status: str
    rank: int
    is_read: int
    is_clicked: int


class Told(Struct, frozen=True):
    """The caller's n-th event was about this message."""

    n: int
    usr: str
    channel: str
    address: str
    made: str


class Message(Struct, frozen=True):
    """Whose it is, and when it was handed over, or made."""

    usr: str
    channel: str
    address: str
    sent_ms: int


class EventRow(Struct, frozen=True):
    """What was told, as often as it was."""

    kind: str
    first_ms: int
    last_ms: int
    count: int
    detail: str


class Named(Struct, frozen=True):
    """A message."""

    tenant: str
    id: str


def _earliest(column: str, which: str) -> Sql[None]:
    """When something happened first, as far as it was told."""
    return Sql(
        f"""UPDATE outgoing SET {column} = CASE WHEN outgoing.{column} < s.at_ms THEN outgoing.{column} ELSE s.at_ms END
            FROM (SELECT r.tenant, r.message, min(r.at_ms) AS at_ms FROM {{rows r}} WHERE {which} GROUP BY r.tenant, r.message) AS s
            WHERE outgoing.tenant = s.tenant AND outgoing.id = s.message"""
    )


TELL = Procedure(
    "tell_of_message",
    NewEvent,
    (
        # Known messages only: what is told of others is somebody else's.
        Sql("""INSERT INTO message_event (tenant, message, kind, first_ms, last_ms, count, detail)
            SELECT s.tenant, s.message, s.kind, s.first_ms, s.last_ms, s.count, s.detail
            FROM (SELECT r.tenant, r.message, r.kind, r.detail,
                min(r.at_ms) OVER (PARTITION BY r.tenant, r.message, r.kind) AS first_ms,
                max(r.at_ms) OVER (PARTITION BY r.tenant, r.message, r.kind) AS last_ms,
                count(*) OVER (PARTITION BY r.tenant, r.message, r.kind) AS count,
                row_number() OVER (PARTITION BY r.tenant, r.message, r.kind ORDER BY r.n DESC) AS k FROM {rows r}) AS s
            JOIN outgoing o ON o.tenant = s.tenant AND o.id = s.message WHERE s.k = 1
            ON CONFLICT (tenant, message, kind) DO UPDATE SET
              first_ms = CASE WHEN excluded.first_ms < message_event.first_ms THEN excluded.first_ms ELSE message_event.first_ms END,
              last_ms = CASE WHEN excluded.last_ms > message_event.last_ms THEN excluded.last_ms ELSE message_event.last_ms END,
              count = message_event.count + excluded.count, detail = excluded.detail"""),
        # A message whose end nobody knew is not sent again: whoever holds it has lost it.
        Sql("""UPDATE outgoing SET run_ms = NULL, lease_by = NULL, token = outgoing.token + 1
            FROM (SELECT DISTINCT r.tenant, r.message FROM {rows r} WHERE r.rank > 0) AS s
            WHERE outgoing.tenant = s.tenant AND outgoing.id = s.message AND outgoing.status = 'queued'"""),
        Sql(
            """UPDATE outgoing SET status = s.status, rank = s.rank,
              cause = CASE WHEN s.rank > 20 THEN s.detail ELSE outgoing.cause END
            FROM (SELECT r.*, row_number() OVER (PARTITION BY r.tenant, r.message ORDER BY r.rank DESC, r.n) AS k FROM {rows r}) AS s
            WHERE s.k = 1 AND s.rank > outgoing.rank AND outgoing.tenant = s.tenant AND outgoing.id = s.message"""
        ),
        _earliest("delivered_ms", "r.status = 'delivered'"),
        _earliest("ended_ms", "r.rank > 0"),
        _earliest("seen_ms", "r.is_read = 1"),
        _earliest("read_ms", "r.is_read = 1"),
        _earliest("clicked_ms", "r.is_clicked = 1"),
        Sql(
            """SELECT r.n, o.usr, o.channel, o.address, o.message FROM {rows r}
               JOIN outgoing o ON o.tenant = r.tenant AND o.id = r.message ORDER BY r.n""",
            Told,
        ),
    ),
)
MESSAGE = Sql(
    "SELECT usr, channel, address, coalesce(sent_ms, created_ms) FROM outgoing WHERE tenant = :tenant AND id = :id",
    Message,
)
# Whatever tenant it is of: a provider knows no tenants.
BY_PROVIDER_ID = Sql(
    """SELECT tenant, id FROM outgoing WHERE provider_id = :provider_id AND provider_id <> ''
       AND channel = :channel ORDER BY created_ms DESC LIMIT 1""",
    Named,
)
EVENTS = Sql(
    """SELECT kind, first_ms, last_ms, count, detail FROM message_event
       WHERE tenant = :tenant AND message = :message ORDER BY first_ms, kind""",
    EventRow,
)
