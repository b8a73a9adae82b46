"""Topics: subscribe, get the state, then every change in order; after a break get just what was missed."""

from clarion.topics.asking import Ask
from clarion.topics.batches import publish_many
from clarion.topics.commands import Commands
from clarion.topics.engine import TopicEngine
from clarion.topics.handle import TopicHandle
from clarion.topics.kinds import Granted, Kind, Kinds, Log, Read, SignedIn, Snapshot, Topic
from clarion.topics.publishing import Call, Publish, PublishArgs, Published
from clarion.topics.reading import Reader
from clarion.topics.stream import Entry, Position
from clarion.topics.subscriptions import Subscriptions
from clarion.topics.topics import Topics

__all__ = [
    "Ask",
    "Call",
    "Commands",
    "Entry",
    "Granted",
    "Kind",
    "Kinds",
    "Log",
    "Position",
    "Publish",
    "PublishArgs",
    "Published",
    "Read",
    "Reader",
    "SignedIn",
    "Snapshot",
    "Subscriptions",
    "Topic",
    "TopicEngine",
    "TopicHandle",
    "Topics",
    "publish_many",
]
