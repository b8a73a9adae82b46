"""Idempotency keys. `answer` '': the call that has taken it still runs.

Imports take theirs with their effect, in one transaction; triggers and notifications do so set by set (`triggers`, `notifications`).
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
       VALUES (:tenant, :caller, :route, :key, :digest, :subject, :answer, :now_ms) ON CONFLICT DO NOTHING"""
)
FIND: Final = Sql(
    f"SELECT digest, answer, created_ms FROM idempotency WHERE {_THIS} {{for_update}}", Taken
)
TAKE_OVER: Final = Sql(f"UPDATE idempotency SET created_ms = :now_ms WHERE {_THIS}")
ANSWER: Final = Sql(f"UPDATE idempotency SET answer = :answer WHERE {_THIS}")
FORGET: Final = Sql(f"DELETE FROM idempotency WHERE {_THIS} AND answer = ''")
