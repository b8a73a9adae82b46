"""Activity: who did what to what, newest first, seen live; and timelines of what users follow."""

from clarion.features.activity.activity import Activity, Edit, NewActivity, Page, Told, Written
from clarion.features.activity.changes import WINDOW
from clarion.features.activity.feed import Feed, Looks, Upto, user_of
from clarion.features.activity.feeds import Feeds
from clarion.features.activity.grouping import Counts, Group
from clarion.features.activity.reactions import Reaction, ReactionPage, Reactions
from clarion.features.activity.streams import Streams
from clarion.features.activity.timelines import Follow, FollowPage, Timeline, Timelines
from clarion.features.activity.viewing import Readers, sees

__all__ = [
    "WINDOW",
    "Activity",
    "Counts",
    "Edit",
    "Feed",
    "Feeds",
    "Follow",
    "FollowPage",
    "Group",
    "Looks",
    "NewActivity",
    "Page",
    "Reaction",
    "ReactionPage",
    "Reactions",
    "Readers",
    "Streams",
    "Timeline",
    "Timelines",
    "Told",
    "Upto",
    "Written",
    "sees",
    "user_of",
]
