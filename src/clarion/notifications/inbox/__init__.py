"""The inbox: what a person was sent, and what of it they have read or put away.

Every change is one transaction: the message, an entry of the user's log, and the number of unread messages. Whoever holds the
user's head is alone in that inbox, so that the log has one order. Subscribers are told after the commit.
"""

from clarion.notifications.inbox.inbox import Inbox
from clarion.notifications.inbox.ledger import Tell
from clarion.notifications.inbox.many import SEEN_MAX

__all__ = ["SEEN_MAX", "Inbox", "Tell"]
