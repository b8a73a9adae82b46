"""What went wrong with PostgreSQL, in our words.

Three questions decide: was it the caller's values (SQLSTATE 22, 23), did the server say that it rolled back, or did we lose the
connection and know nothing.
"""

import contextlib
from collections.abc import Iterator
from typing import Final

import asyncpg

from clarion.errors import Conflict, Internal, Invalid, StorageFull, Unavailable

DRIVER: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,  # TimeoutError is one
)
"""All that asyncpg raises, and what its sockets raise."""
READ_ONLY = "PostgreSQL only reads: it is a standby, or was set to read-only"
_REPEATABLE = frozenset({"40001", "40P01"})  # serialization failure, deadlock
_ROLLED_BACK = frozenset({"55P03", "57014", "25P03"})  # lock, statement and idle time-outs


class ConnectionLost(Unavailable):
    """The answer will never come. Whoever had sent a write does not know its outcome."""


@contextlib.contextmanager
def in_our_words() -> Iterator[None]:
    """Raise what the driver raises inside as an error of ours."""
    try:
        yield
    except DRIVER as exc:
        raise as_error(exc) from exc


def as_error(exc: Exception) -> Exception:
    """A failure of the driver in our words. What it says stays in the cause: it may quote values."""
    if isinstance(exc, asyncpg.InterfaceError) and isinstance(exc, ValueError):
        return Invalid("a value does not fit its column")  # asyncpg could not encode it
    if isinstance(exc, asyncpg.InternalClientError) and can_repeat(exc):
        return Unavailable("the schema has just changed")
    state = exc.sqlstate if isinstance(exc, asyncpg.PostgresError) else None
    if state is None:
        return ConnectionLost("the connection to PostgreSQL was lost")
    match state[:2]:
        case "22":
            return Invalid("a value does not fit its column")
        case "23":
            return Conflict("it contradicts what is stored")
        case "40":
            return Unavailable("PostgreSQL rolled it back")
        case "53":
            return (
                StorageFull("PostgreSQL has no room left")
                if state == "53100"
                else Unavailable("PostgreSQL is out of resources")
            )
        case _ if state == "25006":
            return Unavailable(READ_ONLY)
        case _ if state in _ROLLED_BACK:
            return Unavailable("PostgreSQL took too long and rolled it back")
        case "08" | "57" | "58" | "XX":
            # Shutting down, I/O errors, a crashed neighbour: the end of a commit may have been on its way.
            return ConnectionLost("PostgreSQL ended the connection")
        case _:
            return Internal("a statement is wrong")


def can_repeat(exc: BaseException) -> bool:
    """Whether the server (or the driver, before it sent anything) refused for a reason that is gone when it is tried again."""
    for found in (exc, exc.__cause__):
        if isinstance(found, asyncpg.exceptions.OutdatedSchemaCacheError):
            return True
        if isinstance(found, asyncpg.PostgresError) and found.sqlstate in _REPEATABLE:
            return True
    return False
