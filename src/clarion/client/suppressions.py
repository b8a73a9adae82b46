"""What both clients say of suppressions."""

from clarion.client import suppression_calls
from clarion.client.calling import AsyncCalls, Calls
from clarion.client.suppression_calls import Suppression, SuppressionPage


class SuppressionCalls(Calls):
    """The part of `Client` that speaks of addresses that are not written to."""

    def suppress(
        self, address: str, *, channel: str = "email", reason: str = "manual", detail: str = ""
    ) -> Suppression:
        """Write to an address no more; one that is suppressed already keeps its reason.

        Args:
            address: As the channel knows it.
            channel: Its name.
            reason: `manual`, `bounce`, `complaint` or `unsubscribe`: the last still lets critical workflows through.
            detail: For a person.
        """
        return self.call(suppression_calls.add(address, channel, reason, detail))

    def find_suppression(self, address: str, *, channel: str = "email") -> Suppression:
        """Why an address is not written to.

        Raises:
            NotFound: It is.
        """
        return self.call(suppression_calls.find(address, channel))

    def suppressions(
        self, *, channel: str = "email", after: str = "", limit: int = 50
    ) -> SuppressionPage:
        """A page of a channel's suppressions."""
        return self.call(suppression_calls.page(channel, after, limit))

    def unsuppress(self, address: str, *, channel: str = "email") -> None:
        """Write to an address again."""
        self.call(suppression_calls.remove(address, channel))


class AsyncSuppressionCalls(AsyncCalls):
    """The same as coroutines."""

    async def suppress(
        self, address: str, *, channel: str = "email", reason: str = "manual", detail: str = ""
    ) -> Suppression:
        """As `SuppressionCalls.suppress`."""
        return await self.call(suppression_calls.add(address, channel, reason, detail))

    async def find_suppression(self, address: str, *, channel: str = "email") -> Suppression:
        """As `SuppressionCalls.find_suppression`."""
        return await self.call(suppression_calls.find(address, channel))

    async def suppressions(
        self, *, channel: str = "email", after: str = "", limit: int = 50
    ) -> SuppressionPage:
        """As `SuppressionCalls.suppressions`."""
        return await self.call(suppression_calls.page(channel, after, limit))

    async def unsuppress(self, address: str, *, channel: str = "email") -> None:
        """As `SuppressionCalls.unsuppress`."""
        await self.call(suppression_calls.remove(address, channel))
