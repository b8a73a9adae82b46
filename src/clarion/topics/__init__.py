"""Topics: subscribe, get the state, then every change in order; after a break get just what was missed."""

from clarion.topics.commands import Commands
from clarion.topics.engine import TopicEngine
from clarion.topics.kinds import Granted, Kind, Kinds, Log, Read, Snapshot, Topic
from clarion.topics.stream import Entry, Position

__all__ = [
    "Commands",
    "Entry",
    "Granted",
    "Kind",
    "Kinds",
    "Log",
    "Position",
    "Read",
    "Snapshot",
    "Topic",
    "TopicEngine",
]
