"""Topics: subscribe, get the state, then every change in order; after a break get just what was missed."""

from clarion.topics.commands import Commands
from clarion.topics.engine import TopicEngine
from clarion.topics.kinds import Granted, Kind, Kinds, Log, Read, SignedIn, Snapshot, Topic
from clarion.topics.publishing import Call, Publish, Published
from clarion.topics.stream import Entry, Position
from clarion.topics.topics import TopicHandle, Topics

__all__ = [
    "Call",
    "Commands",
    "Entry",
    "Granted",
    "Kind",
    "Kinds",
    "Log",
    "Position",
    "Publish",
    "Published",
    "Read",
    "SignedIn",
    "Snapshot",
    "Topic",
    "TopicEngine",
    "TopicHandle",
    "Topics",
]
