"""Notifications: tell people something, and keep it in their inbox until they have read it."""

from clarion.notifications.inbox import Inbox
from clarion.notifications.log import inbox_kind
from clarion.notifications.messages import ChangedAll, InboxPage, Message
from clarion.notifications.notifications import Accepted, CreateNotification, Notifications
from clarion.notifications.recipients import Recipient, UserId
from clarion.notifications.triggers import HandedOn

__all__ = [
    "Accepted",
    "ChangedAll",
    "CreateNotification",
    "HandedOn",
    "Inbox",
    "InboxPage",
    "Message",
    "Notifications",
    "Recipient",
    "UserId",
    "inbox_kind",
]
