"""What the doors lead to."""

from typing import Protocol

from clarion.accounts.accounts import Accounts
from clarion.accounts.authenticator import Authenticator
from clarion.accounts.blocks import Blocks
from clarion.accounts.keys import Keys
from clarion.api.routes.health import Readiness
from clarion.clock import Clock
from clarion.features.activity import Feeds
from clarion.features.dashboard import Dashboards
from clarion.features.presence import Presence
from clarion.features.search import Search
from clarion.ids import Ids
from clarion.notifications import Inbox, Notifications
from clarion.notifications.channels.push.parts import PushParts
from clarion.notifications.email import Email
from clarion.notifications.engine import Engine
from clarion.notifications.events.events import Events
from clarion.notifications.events.numbers import Numbers
from clarion.notifications.reach import Reach
from clarion.realtime import Server
from clarion.settings import Settings
from clarion.storage import Store
from clarion.topics import Subscriptions, Topics


class Services(Protocol):
    """The parts of a server that are spoken to over HTTP; an `App` has them all.

    Attributes:
        settings: Origins, limits, the public URL.
        store: Has the keys of calls that may be repeated.
        clock: For limits and metrics.
        ids: For ids of requests.
        authenticator: Checks credentials.
        accounts: Accounts and logins.
        keys: API keys.
        blocks: Users who may not come in.
        notifications: Accepts notifications.
        workflows: How they unfold.
        reach: Webhooks, text messages, chats.
        push: Push messages.
        email: What is told of emails.
        inbox: Everybody's inboxes.
        events: What people did.
        event_numbers: How often, and how many of them.
        topics: Topics, published to and read.
        subscriptions: Counts and ends those of all processes.
        activity: Streams of activities, and what users follow.
        search: Collections of documents.
        presence: Who is where.
        dashboards: What they show, and what their widgets are given.
        io: The Socket.IO server whose sockets the API speaks to.
    """

    settings: Settings
    store: Store
    clock: Clock
    ids: Ids
    authenticator: Authenticator
    accounts: Accounts
    keys: Keys
    blocks: Blocks
    notifications: Notifications
    workflows: Engine
    reach: Reach
    push: PushParts
    email: Email
    inbox: Inbox
    events: Events
    event_numbers: Numbers
    topics: Topics
    subscriptions: Subscriptions
    activity: Feeds
    search: Search
    presence: Presence
    dashboards: Dashboards
    io: Server

    @property
    def readiness(self) -> Readiness:
        """The newest state, without any waiting."""
