"""Addresses that are not written to, on any channel."""

from typing import Literal

from msgspec import Struct

from clarion.storage.store import Procedure, Sql


class NewSuppression(Struct, frozen=True, array_like=True):
    """An address that must not be written to from now on; one that is there already stays as it is."""

    tenant: str
    channel: str
    address: str
    reason: str
    detail: str
    message: str
    created_ms: int


class Written(Struct, frozen=True, array_like=True):
    """An address that is going to be written to."""

    tenant: str
    channel: str
    address: str


class Found(Struct, frozen=True):
    """The caller's n-th address must not be."""

    n: int
    reason: str
    detail: str


class SuppressionRow(Struct, frozen=True):
    """One of them."""

    channel: str
    address: str
    reason: Literal["bounce", "complaint", "unsubscribe", "manual"]
    detail: str
    message: str
    created_ms: int


ADD = Procedure(
    "add_suppression",
    NewSuppression,
    (
        # Who complained once and bounces later has still complained, and that is what a person has to know.
        Sql("""INSERT INTO suppression (tenant, channel, address, reason, detail, message, created_ms)
            SELECT r.tenant, r.channel, r.address, r.reason, r.detail, r.message, r.created_ms
            FROM {rows r} WHERE true ON CONFLICT DO NOTHING"""),
    ),
)
LOOK = Procedure(
    "look_for_suppressions",
    Written,
    (
        Sql(
            """SELECT r.n, s.reason, s.detail FROM {rows r}
               JOIN suppression s ON s.tenant = r.tenant AND s.channel = r.channel AND s.address = r.address""",
            Found,
        ),
    ),
)
REMOVE = Sql(
    "DELETE FROM suppression WHERE tenant = :tenant AND channel = :channel AND address = :address"
)
_ROW = "channel, address, reason, detail, message, created_ms"
FIND = Sql(
    f"SELECT {_ROW} FROM suppression WHERE tenant = :tenant AND channel = :channel AND address = :address",
    SuppressionRow,
)
PAGE = Sql(
    f"""SELECT {_ROW} FROM suppression WHERE tenant = :tenant AND channel = :channel AND address > :after
        ORDER BY address LIMIT :n""",
    SuppressionRow,
)
