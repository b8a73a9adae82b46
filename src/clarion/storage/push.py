"""Push devices, beside what is common to all addresses (`storage/addresses.py`), and what devices report."""

from msgspec import Struct

from clarion.storage.store import Procedure, Sql


class Stale(Struct, frozen=True, array_like=True):
    """A device is gone, as of a time: one that was registered later is there again."""

    tenant: str
    id: str
    since_ms: int


class Refused(Struct, frozen=True, array_like=True):
    """A device was refused; after `most` times in a row it is forgotten."""

    tenant: str
    id: str
    most: int


class Owned(Struct, frozen=True, array_like=True):
    """A user's devices, of which those not heard of for longest go beyond `most`."""

    tenant: str
    usr: str
    most: int


class Reported(Struct, frozen=True, array_like=True):
    """A device says what became of a message; `clicked_ms` None: it was shown, no more."""

    tenant: str
    id: str
    delivered_ms: int
    clicked_ms: int | None


class Told(Struct, frozen=True):
    """Of the caller's n-th report: to which message it belongs."""

    n: int
    message: str


class Gone(Struct, frozen=True):
    """A device that was removed."""

    id: str


REMOVE_STALE = Procedure(
    "remove_stale_device",
    Stale,
    (
        Sql("""DELETE FROM address WHERE (tenant, id) IN (SELECT a.tenant, a.id FROM {rows r}
              JOIN address a ON a.tenant = r.tenant AND a.id = r.id WHERE a.channel = 'push' AND a.updated_ms <= r.since_ms)"""),
    ),
)
REMOVE_REFUSED = Procedure(
    "remove_refused_device",
    Refused,
    (
        Sql("""DELETE FROM address WHERE (tenant, id) IN (SELECT a.tenant, a.id FROM {rows r}
              JOIN address a ON a.tenant = r.tenant AND a.id = r.id WHERE a.channel = 'push' AND a.failures >= r.most)"""),
    ),
)
# Inside a transaction, behind the one that was just put.
KEEP_NEWEST = Sql(
    """DELETE FROM address WHERE tenant = :tenant AND usr = :usr AND channel = 'push' AND id NOT IN (
         SELECT id FROM address WHERE tenant = :tenant AND usr = :usr AND channel = 'push'
         ORDER BY updated_ms DESC, id LIMIT :most)"""
)
OLD = Sql(
    """DELETE FROM address WHERE (tenant, id) IN (
         SELECT tenant, id FROM address WHERE channel = 'push' AND updated_ms < :before_ms ORDER BY updated_ms LIMIT :n)"""
)
# What a device says may come before the provider's answer is written down, twice, and in any order. Then it is not due again when
# that lease ends: if nobody writes the answer any more, it has arrived all the same. Who holds the lease still may.
REPORTED = Procedure(
    "reported_push",
    Reported,
    (
        Sql("""UPDATE outgoing SET delivered_ms = coalesce(outgoing.delivered_ms, s.delivered_ms),
              clicked_ms = coalesce(outgoing.clicked_ms, s.clicked_ms),
              status = CASE WHEN outgoing.rank < 20 THEN 'delivered' ELSE outgoing.status END,
              rank = CASE WHEN outgoing.rank < 20 THEN 20 ELSE outgoing.rank END,
              run_ms = CASE WHEN outgoing.rank < 20 THEN NULL ELSE outgoing.run_ms END
            FROM (SELECT d.tenant, d.id, d.delivered_ms, d.clicked_ms FROM (
                    SELECT r.tenant, r.id, first_value(r.delivered_ms) OVER (PARTITION BY r.tenant, r.id ORDER BY r.n) AS delivered_ms,
                      first_value(r.clicked_ms) OVER (PARTITION BY r.tenant, r.id
                        ORDER BY CASE WHEN r.clicked_ms IS NULL THEN 1 ELSE 0 END, r.n) AS clicked_ms,
                      row_number() OVER (PARTITION BY r.tenant, r.id ORDER BY r.n) AS k
                    FROM {rows r}) AS d WHERE d.k = 1) AS s
            WHERE outgoing.tenant = s.tenant AND outgoing.id = s.id AND outgoing.channel = 'push'"""),
        Sql(
            """SELECT r.n, o.message FROM {rows r}
               JOIN outgoing o ON o.tenant = r.tenant AND o.id = r.id AND o.channel = 'push'""",
            Told,
        ),
    ),
)
