"""Idempotency keys of calls whose effect knows nothing of them: taken before, answered after. `answer` '': the call still runs.

A door that writes its key with its effect, in one transaction, has a scope of its own in the same table and does not come here.
"""

from typing import Final

from msgspec import Struct

from clarion.storage.store import Sql

_THIS = "tenant = :tenant AND caller = :caller AND route = :route AND idem_key = :key"


class Taken(Struct, frozen=True):
    """What is kept of a call."""

    digest: str
    answer: str
    created_ms: int


TAKE: Final = Sql(
    """INSERT INTO idempotency (tenant, caller, route, idem_key, digest, subject, answer, created_ms)
       VALUES (:tenant, :caller, :route, :key, :digest, '', '', :now_ms) ON CONFLICT DO NOTHING"""
)
FIND: Final = Sql(
    f"SELECT digest, answer, created_ms FROM idempotency WHERE {_THIS} {{for_update}}", Taken
)
TAKE_OVER: Final = Sql(f"UPDATE idempotency SET created_ms = :now_ms WHERE {_THIS}")
ANSWER: Final = Sql(f"UPDATE idempotency SET answer = :answer WHERE {_THIS}")
FORGET: Final = Sql(f"DELETE FROM idempotency WHERE {_THIS} AND answer = ''")
