"""Telling those who look at their inbox on this process, or on any, of what others have put there."""

from collections.abc import Sequence
from typing import Protocol

from clarion.notifications.changes import data_of
from clarion.notifications.inbox.ledger import Ledger
from clarion.notifications.log import topic_of
from clarion.notifications.messages import Message
from clarion.topics.stream import Entry


class Added(Protocol):
    """Where a message stands in the log of its inbox, and how many are unread with it."""

    @property
    def offset(self) -> int | None: ...  # noqa: D102
    @property
    def epoch(self) -> str: ...  # noqa: D102
    @property
    def mark(self) -> int: ...  # noqa: D102
    @property
    def prior(self) -> int: ...  # noqa: D102
    @property
    def unread(self) -> int: ...  # noqa: D102
    @property
    def unseen(self) -> int: ...  # noqa: D102


class Telling(Ledger):
    """Word of what was added."""

    async def announce_added(self, tenant: str, user: str, message: Message, at: Added) -> None:
        """Tell a user's sockets of a message that was committed.

        Args:
            tenant: Theirs.
            user: Whose inbox.
            message: As it was added.
            at: Where it stands in the log; of a storage procedure's answer.
        """
        assert at.offset is not None, "committed, and in no log"
        data = data_of("", message, at.unread, at.unseen)
        entry = Entry(at.offset, at.mark, at.prior, "added", data)
        await self.announce(tenant, user, at.epoch, entry)

    async def announce_added_here(
        self, tenant: str, user: str, message: Message, at: Added
    ) -> None:
        """As `announce_added`, to the sockets of this process alone: each process tells its own."""
        assert at.offset is not None, "committed, and in no log"
        entry = Entry(
            at.offset, at.mark, at.prior, "added", data_of("", message, at.unread, at.unseen)
        )
        self._engine.announce_here(topic_of(tenant, user), at.epoch, [entry])

    def present(self, tenant: str, users: Sequence[str]) -> list[str]:
        """Those of some users who look at their inbox on this process."""
        feeds = self._engine.feeds
        return [user for user in users if topic_of(tenant, user) in feeds] if feeds else []

    def present_between(self, tenant: str, first: str, last: str) -> list[str]:
        """Those who look at their inbox on this process, with ids from one to another."""
        return [
            topic.name
            for topic in self._engine.feeds
            if topic.tenant == tenant and topic.kind == "inbox" and first <= topic.name <= last
        ]
