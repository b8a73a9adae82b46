"""Activity: who did what to what, newest first, seen live; and timelines of what users follow."""

from clarion.features.activity.activity import Activity, Edit, NewActivity, Page, Told, Written
from clarion.features.activity.changes import WINDOW, window_after
from clarion.features.activity.feeds import Feeds
from clarion.features.activity.streams import Streams
from clarion.features.activity.timelines import Follow, FollowPage, Timeline, Timelines
from clarion.features.activity.viewing import sees

__all__ = [
    "WINDOW",
    "Activity",
    "Edit",
    "Feeds",
    "Follow",
    "FollowPage",
    "NewActivity",
    "Page",
    "Streams",
    "Timeline",
    "Timelines",
    "Told",
    "Written",
    "sees",
    "window_after",
]
