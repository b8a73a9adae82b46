"""What both clients say of preferences."""

from collections.abc import Mapping
from typing import Any

from clarion.client import preference_calls
from clarion.client.calling import AsyncCalls, Calls
from clarion.client.preference_calls import PreferenceLink, Preferences


class PreferenceCalls(Calls):
    """The part of `Client` that speaks of preferences."""

    def preferences(self, user: str) -> Preferences:
        """What a subscriber has said they want."""
        return self.call(preference_calls.find(user))

    def put_preferences(
        self, user: str, document: Mapping[str, Any], *, revision: int | None = None
    ) -> Preferences:
        """Say anew what a subscriber wants.

        Args:
            user: The subscriber.
            document: `{channels?, categories?, workflows?, muted?, quiet?, holidays?, paused_until?, digests?, time_zone?}`.
            revision: Of what was read: `stale` (412) where it has changed since. None: whatever is there.
        """
        return self.call(preference_calls.put(user, document, revision))

    def change_preferences(
        self, user: str, patch: Mapping[str, Any], *, revision: int | None = None
    ) -> Preferences:
        """Change parts of what a subscriber wants, by a merge patch (RFC 7396): None takes something back, lists are replaced."""
        return self.call(preference_calls.patch(user, patch, revision))

    def mute(
        self, user: str, path: str, value: str | int | bool, *, until: str | None = None
    ) -> Preferences:
        """Tell a subscriber nothing more of one thread: of messages whose payload has this value at `path` (`payload.thread`).

        Args:
            user: The subscriber.
            path: Into the payload.
            value: That it has there.
            until: RFC 3339; None: for good.
        """
        return self.call(preference_calls.mute(user, path, value, until))

    def unmute(self, user: str, path: str, value: str | int | bool) -> Preferences:
        """Tell a subscriber of a thread again."""
        return self.call(preference_calls.unmute(user, path, value))

    def preference_overview(self, user: str) -> dict[str, Any]:
        """What holds for a subscriber, by category, workflow and channel, with who says so: `{document, items, …}`."""
        return self.call(preference_calls.overview(user))

    def explain_preferences(
        self,
        user: str,
        channel: str,
        *,
        workflow: str | None = None,
        category: str | None = None,
        payload: Mapping[str, Any] | None = None,
        actor: str | None = None,
    ) -> dict[str, Any]:
        """What would become of a message to a subscriber now, and why: `{verdict, why, until, rules, choices, …}`.

        Args:
            user: The subscriber.
            channel: By which it would come.
            workflow: Whose message it is; None: a notification of `category`.
            category: Of a notification that no workflow sends.
            payload: That conditions and muted threads read.
            actor: Who did it, for conditions.
        """
        return self.call(
            preference_calls.explain(user, channel, workflow, category, payload, actor)
        )

    def preference_link(self, user: str, *, good_s: int | None = None) -> PreferenceLink:
        """The address of a subscriber's page, which needs no login; good for 30 days unless asked otherwise (s)."""
        return self.call(preference_calls.link(user, good_s))

    def preference_defaults(self) -> Preferences:
        """What the deployment says for everybody."""
        return self.call(preference_calls.find(None))

    def put_preference_defaults(
        self, document: Mapping[str, Any], *, revision: int | None = None
    ) -> Preferences:
        """Say what holds for everybody who has not said otherwise; `required`, `holidays` and `caps` hold for all."""
        return self.call(preference_calls.put(None, document, revision))


class AsyncPreferenceCalls(AsyncCalls):
    """The same as coroutines."""

    async def preferences(self, user: str) -> Preferences:
        """As `PreferenceCalls.preferences`."""
        return await self.call(preference_calls.find(user))

    async def put_preferences(
        self, user: str, document: Mapping[str, Any], *, revision: int | None = None
    ) -> Preferences:
        """As `PreferenceCalls.put_preferences`."""
        return await self.call(preference_calls.put(user, document, revision))

    async def change_preferences(
        self, user: str, patch: Mapping[str, Any], *, revision: int | None = None
    ) -> Preferences:
        """As `PreferenceCalls.change_preferences`."""
        return await self.call(preference_calls.patch(user, patch, revision))

    async def mute(
        self, user: str, path: str, value: str | int | bool, *, until: str | None = None
    ) -> Preferences:
        """As `PreferenceCalls.mute`."""
        return await self.call(preference_calls.mute(user, path, value, until))

    async def unmute(self, user: str, path: str, value: str | int | bool) -> Preferences:
        """As `PreferenceCalls.unmute`."""
        return await self.call(preference_calls.unmute(user, path, value))

    async def preference_overview(self, user: str) -> dict[str, Any]:
        """As `PreferenceCalls.preference_overview`."""
        return await self.call(preference_calls.overview(user))

    async def explain_preferences(
        self,
        user: str,
        channel: str,
        *,
        workflow: str | None = None,
        category: str | None = None,
        payload: Mapping[str, Any] | None = None,
        actor: str | None = None,
    ) -> dict[str, Any]:
        """As `PreferenceCalls.explain_preferences`."""
        return await self.call(
            preference_calls.explain(user, channel, workflow, category, payload, actor)
        )

    async def preference_link(self, user: str, *, good_s: int | None = None) -> PreferenceLink:
        """As `PreferenceCalls.preference_link`."""
        return await self.call(preference_calls.link(user, good_s))

    async def preference_defaults(self) -> Preferences:
        """As `PreferenceCalls.preference_defaults`."""
        return await self.call(preference_calls.find(None))

    async def put_preference_defaults(
        self, document: Mapping[str, Any], *, revision: int | None = None
    ) -> Preferences:
        """As `PreferenceCalls.put_preference_defaults`."""
        return await self.call(preference_calls.put(None, document, revision))
