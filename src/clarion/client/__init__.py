"""The Python SDK: what a back end says to a Clarion server over HTTP.

    from clarion.client import Client

    with Client("http://127.0.0.1:8000", key="clk_…") as clarion:
        clarion.notify(["ann"], title="Build finished", action_url="/builds/17")
        clarion.emit_to_room("builds", "build:finished", {"id": 17}, namespace="/")
        clarion.publish("board:builds", key="17", data={"passed": True})

`AsyncClient` has the same methods as coroutines, and `topic`, which follows one. Errors are the server's, by name: `exc.code == "rate_limited"`.
"""

from clarion.client.activity_calls import Activity, ActivityPage, ActivityWritten, Follow, Readers
from clarion.client.bulk_calls import Job, Report
from clarion.client.calls import Accepted, ApiError, Call, Emitted, Key, NewKey, Room, Socket
from clarion.client.dashboard_calls import Dashboard, Points
from clarion.client.event_calls import EventLine, EventNumbers, Tracked
from clarion.client.following import Change
from clarion.client.http import AsyncClient, Client
from clarion.client.message_calls import (
    DeadLetterGroup,
    DeadLettersDone,
    MessageStory,
    Stats,
)
from clarion.client.preference_calls import PreferenceLink, Preferences
from clarion.client.presence_calls import Device, Member, MemberPage, UserStatus, Visibility
from clarion.client.push_calls import PushDevice, PushPut
from clarion.client.search_calls import Collection, Document, FacetCount, Results, Written
from clarion.client.subscriber_calls import Address, Audience, MembersChanged, Subscriber
from clarion.client.subscription import Topic
from clarion.client.suppression_calls import Suppression, SuppressionPage
from clarion.client.template_calls import KeptTemplate, PutTemplate
from clarion.client.topic_calls import (
    Block,
    Item,
    LostPublications,
    Occupancy,
    Publication,
    Published,
    State,
)
from clarion.client.workflow_calls import (
    Cancelled,
    Checked,
    Judged,
    KeptWorkflow,
    Trigger,
    Triggered,
    WorkflowPut,
)

__all__ = [
    "Accepted",
    "Activity",
    "ActivityPage",
    "ActivityWritten",
    "Address",
    "ApiError",
    "AsyncClient",
    "Audience",
    "Block",
    "Call",
    "Cancelled",
    "Change",
    "Checked",
    "Client",
    "Collection",
    "Dashboard",
    "DeadLetterGroup",
    "DeadLettersDone",
    "Device",
    "Document",
    "Emitted",
    "EventLine",
    "EventNumbers",
    "FacetCount",
    "Follow",
    "Item",
    "Job",
    "Judged",
    "KeptTemplate",
    "KeptWorkflow",
    "Key",
    "LostPublications",
    "Member",
    "MemberPage",
    "MembersChanged",
    "MessageStory",
    "NewKey",
    "Occupancy",
    "Points",
    "PreferenceLink",
    "Preferences",
    "Publication",
    "Published",
    "PushDevice",
    "PushPut",
    "PutTemplate",
    "Readers",
    "Report",
    "Results",
    "Room",
    "Socket",
    "State",
    "Stats",
    "Subscriber",
    "Suppression",
    "SuppressionPage",
    "Topic",
    "Tracked",
    "Trigger",
    "Triggered",
    "UserStatus",
    "Visibility",
    "WorkflowPut",
    "Written",
]
