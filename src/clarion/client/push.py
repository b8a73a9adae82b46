"""What both clients say of push devices."""

from collections.abc import Mapping
from typing import Any

from clarion.client import push_calls
from clarion.client.calling import AsyncCalls, Calls
from clarion.client.push_calls import PushDevice, PushPut


class PushCalls(Calls):
    """The part of `Client` that speaks of push devices."""

    def push_key(self) -> str:
        """What pages subscribe with (`applicationServerKey`)."""
        return self.call(push_calls.key()).key

    def put_push_device(
        self,
        user: str,
        *,
        subscription: Mapping[str, Any] | None = None,
        fcm: str | None = None,
        apns: str | None = None,
        topic: str = "",
        label: str = "",
    ) -> PushPut:
        """Send a user's push messages to a device, too; whoever's it was, it is theirs now.

        Args:
            user: Whose it is.
            subscription: A browser's, as `subscription.toJSON()` gives it. One of this, `fcm` and `apns` is needed.
            fcm: The token that FCM gave to an app.
            apns: The token that Apple gave to an app, in hex.
            topic: Bundle id of the app on an Apple device, if it is not the one that the server's settings name.
            label: What a person calls it.
        """
        return self.call(push_calls.put(user, subscription, fcm, apns, topic, label))

    def push_devices(self, user: str) -> list[PushDevice]:
        """The devices of a user."""
        return self.call(push_calls.listed(user)).items

    def remove_push_device(self, user: str, device: str) -> None:
        """Send nothing more to a device of a user's."""
        self.call(push_calls.remove(user, device))


class AsyncPushCalls(AsyncCalls):
    """The same as coroutines."""

    async def push_key(self) -> str:
        """As `PushCalls.push_key`."""
        return (await self.call(push_calls.key())).key

    async def put_push_device(
        self,
        user: str,
        *,
        subscription: Mapping[str, Any] | None = None,
        fcm: str | None = None,
        apns: str | None = None,
        topic: str = "",
        label: str = "",
    ) -> PushPut:
        """As `PushCalls.put_push_device`."""
        return await self.call(push_calls.put(user, subscription, fcm, apns, topic, label))

    async def push_devices(self, user: str) -> list[PushDevice]:
        """As `PushCalls.push_devices`."""
        return (await self.call(push_calls.listed(user))).items

    async def remove_push_device(self, user: str, device: str) -> None:
        """As `PushCalls.remove_push_device`."""
        await self.call(push_calls.remove(user, device))
