"""What both clients say of imports, exports, and what failed."""

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from clarion.client import bulk_calls
from clarion.client.bulk_calls import Job
from clarion.client.calling import AsyncCalls, Calls
from clarion.client.calls import Recipient


class ImportCalls(Calls):
    """The part of `Client` that speaks of lines that go in and out."""

    def import_subscribers(
        self,
        given: Sequence[Recipient] | Path,
        *,
        audience: str | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Take in many subscribers, line by line; a job does it: `find_import` says how far it is.

        Args:
            given: As recipients of `trigger`; or a file: a table (`.csv`), or NDJSON.
            audience: They are put into it, too.
            idempotency_key: Makes calls from several processes one call; by default one is made for this call's retries.
        """
        media, content = bulk_calls.imported(given)
        key = self._key(idempotency_key)
        return self.call(bulk_calls.import_(media, content, audience, key))

    def find_import(self, id: str) -> Job:
        """How far an import is."""
        return self.call(bulk_calls.find_import(id))

    def cancel_import(self, id: str) -> Job:
        """Take no more lines."""
        return self.call(bulk_calls.cancel_import(id))

    def import_failures(self, id: str) -> Iterator[dict[str, Any]]:
        """The lines that were not taken, and why: `{line, reason}`."""
        return self._lines(bulk_calls.import_failures(id))

    def export_subscribers(
        self, *, filter: str | None = None, audience: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """All subscribers, of a filter or an audience, as `import_subscribers` takes them."""
        return self._lines(bulk_calls.export(filter, audience, "ndjson"))

    def trigger_failures(self, trigger: str) -> Iterator[dict[str, Any]]:
        """All that failed of a trigger: `{user, channel, step, address, status, reason, attempts, at}`."""
        return self._lines(bulk_calls.failures(trigger))


class AsyncImportCalls(AsyncCalls):
    """The same as coroutines."""

    async def import_subscribers(
        self,
        given: Sequence[Recipient] | Path,
        *,
        audience: str | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """As `ImportCalls.import_subscribers`."""
        media, content = bulk_calls.imported(given)
        key = self._key(idempotency_key)
        return await self.call(bulk_calls.import_(media, content, audience, key))

    async def find_import(self, id: str) -> Job:
        """As `ImportCalls.find_import`."""
        return await self.call(bulk_calls.find_import(id))

    async def cancel_import(self, id: str) -> Job:
        """As `ImportCalls.cancel_import`."""
        return await self.call(bulk_calls.cancel_import(id))

    def import_failures(self, id: str) -> AsyncIterator[dict[str, Any]]:
        """As `ImportCalls.import_failures`."""
        return self._lines(bulk_calls.import_failures(id))

    def export_subscribers(
        self, *, filter: str | None = None, audience: str | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """As `ImportCalls.export_subscribers`."""
        return self._lines(bulk_calls.export(filter, audience, "ndjson"))

    def trigger_failures(self, trigger: str) -> AsyncIterator[dict[str, Any]]:
        """As `ImportCalls.trigger_failures`."""
        return self._lines(bulk_calls.failures(trigger))
