"""Topic stores: logs and states for kinds that have no rows of their own. Memory, Redis and SQL pass one conformance suite."""

from clarion.topics.stores.base import Appended, Expired, Items, Keep, TopicStore, announces
from clarion.topics.stores.memory import MemoryStore
from clarion.topics.stores.sql import SqlStore

__all__ = [
    "Appended",
    "Expired",
    "Items",
    "Keep",
    "MemoryStore",
    "SqlStore",
    "TopicStore",
    "announces",
]
