"""Who may stay: subscriptions end with their credential, with the token that they came with, and with their right."""

import asyncio
from collections.abc import Sequence
from typing import Any

from clarion.clock import Clock
from clarion.errors import PeerError, ServerError
from clarion.protocol.codes import CloseCode
from clarion.telemetry import Tasks
from clarion.topics.books import Books
from clarion.topics.ending import Ending
from clarion.topics.live import Subscription
from clarion.topics.repairs import End, in_turns

ASKED_AT_ONCE = 64  # questions to the application


class Staying:
    """Looks after the rights of this node's subscriptions.

    Args:
        books: All of them.
        clock: For the end of credentials.
        end: Ends one.
        tasks: Where the application is asked.
    """

    def __init__(self, books: Books, clock: Clock, end: End, tasks: Tasks) -> None:
        self._books = books
        self._clock = clock
        self._end = end
        self._tasks = tasks
        # Those that came with a token of their own.
        self.ending = Ending()

    async def recheck(self) -> None:
        """End the subscriptions whose credential has run out or whose right was taken back."""
        now_ms = self._clock.now_ms()
        asked: list[Subscription] = []
        async for subscription in in_turns(self._books.all()):
            if subscription.has_ended:
                continue
            principal, feed = subscription.principal, subscription.feed
            if principal is not None and principal.has_expired(now_ms):
                self._end(subscription, CloseCode.TOKEN_EXPIRED)
                continue
            if feed.kind.asks("subscribe"):
                asked.append(subscription)
                continue
            try:
                feed.kind.check("subscribe", principal, subscription.asked)
            except PeerError:
                self._end(subscription, CloseCode.REVOKED)
        if asked:
            self._tasks.spawn(self._ask_again(asked), name="topics: rights asked for again")

    async def _ask_again(self, subscriptions: Sequence[Subscription]) -> None:
        # A user's sockets are one question, unless their tokens make a difference.
        questions: dict[Any, list[Subscription]] = {}
        for subscription in subscriptions:
            who = subscription.feed.kind.asked_as("subscribe", subscription.principal)
            questions.setdefault((who, subscription.asked), []).append(subscription)
        waiting = list(questions.values())
        for at in range(0, len(waiting), ASKED_AT_ONCE):
            await asyncio.gather(*map(self._ask_about, waiting[at : at + ASKED_AT_ONCE]))

    async def _ask_about(self, same: Sequence[Subscription]) -> None:
        first = same[0]
        try:
            await first.feed.kind.admit("subscribe", first.principal, first.asked, again=True)
        except (PeerError, ServerError) as exc:
            is_no = isinstance(exc, PeerError)
            for subscription in same:
                self._end(subscription, CloseCode.REVOKED if is_no else CloseCode.UNCONFIRMED)

    def expire(self) -> None:
        """End the subscriptions whose own token has run out."""
        for subscription in self.ending.due(self._clock.now_ms()):
            self._end(subscription, CloseCode.TOKEN_EXPIRED)
