"""Durable state: the only floor that speaks SQL. One text for SQLite and PostgreSQL, one module per aggregate."""

from clarion.storage.backup import FORMER, back_up, restore
from clarion.storage.open import DATABASE, open_store
from clarion.storage.store import Param, Procedure, Sql, Store, Tx

__all__ = [
    "DATABASE",
    "FORMER",
    "Param",
    "Procedure",
    "Sql",
    "Store",
    "Tx",
    "back_up",
    "open_store",
    "restore",
]
