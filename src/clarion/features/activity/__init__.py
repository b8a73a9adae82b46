"""Activity streams: who did what to what, newest first, seen live as activities are added, changed and removed."""

from clarion.features.activity.activity import Activity, Edit, NewActivity, Page, Written
from clarion.features.activity.changes import WINDOW, window_after
from clarion.features.activity.log import activity_kind
from clarion.features.activity.publish import publish
from clarion.features.activity.streams import Streams
from clarion.features.activity.timelines import Follow, FollowPage, Timeline, Timelines

__all__ = [
    "WINDOW",
    "Activity",
    "Edit",
    "Follow",
    "FollowPage",
    "NewActivity",
    "Page",
    "Streams",
    "Timeline",
    "Timelines",
    "Written",
    "activity_kind",
    "publish",
    "window_after",
]
