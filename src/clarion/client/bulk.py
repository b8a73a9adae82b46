"""What both clients say of sends that take long."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from clarion.client import bulk_calls
from clarion.client.bulk_calls import Job, Report
from clarion.client.calling import AsyncCalls, Calls
from clarion.client.calls import Recipient
from clarion.client.workflow_calls import Triggered


class BulkCalls(Calls):
    """The part of `Client` that speaks of many recipients."""

    def trigger_many(
        self,
        workflow: str,
        recipients: Sequence[Recipient],
        payload: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        **more: Any,
    ) -> Triggered:
        """Run a workflow for up to `limits.stream_recipients` recipients, sent line by line. All are accepted, or nothing.

        Args:
            workflow: Its key.
            recipients: As of `trigger`.
            payload: JSON for templates and conditions.
            idempotency_key: Makes calls from several processes one call; by default one is made for this call's retries.
            more: As of `trigger`: `audiences`, `exclude`, `at`, ….
        """
        key = self._key(idempotency_key)
        trigger = {"payload": dict(payload or {}), **more}
        return self.call(
            bulk_calls.trigger_lines(
                workflow, trigger, partial(bulk_calls.recipients, recipients), key
            )
        )

    def progress(self, trigger: str) -> Job:
        """How far a trigger is."""
        return self.call(bulk_calls.progress(trigger))

    def pause_trigger(self, id: str) -> Job:
        """Let nothing more of it begin until it is resumed."""
        return self.call(bulk_calls.pause(id))

    def resume_trigger(self, id: str) -> Job:
        """Let it go on where it was paused."""
        return self.call(bulk_calls.resume(id))

    def report(self, trigger: str) -> Report:
        """What has become of a trigger so far, with the reasons why some failed."""
        return self.call(bulk_calls.report(trigger))


class AsyncBulkCalls(AsyncCalls):
    """The same as coroutines."""

    async def trigger_many(
        self,
        workflow: str,
        recipients: Sequence[Recipient],
        payload: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        **more: Any,
    ) -> Triggered:
        """As `BulkCalls.trigger_many`."""
        key = self._key(idempotency_key)
        trigger = {"payload": dict(payload or {}), **more}
        return await self.call(
            bulk_calls.trigger_lines(
                workflow, trigger, partial(bulk_calls.recipients, recipients), key
            )
        )

    async def progress(self, trigger: str) -> Job:
        """As `BulkCalls.progress`."""
        return await self.call(bulk_calls.progress(trigger))

    async def pause_trigger(self, id: str) -> Job:
        """As `BulkCalls.pause_trigger`."""
        return await self.call(bulk_calls.pause(id))

    async def resume_trigger(self, id: str) -> Job:
        """As `BulkCalls.resume_trigger`."""
        return await self.call(bulk_calls.resume(id))

    async def report(self, trigger: str) -> Report:
        """As `BulkCalls.report`."""
        return await self.call(bulk_calls.report(trigger))
