"""What both clients say of workflows."""

from collections.abc import Mapping, Sequence
from typing import Any

from clarion.client import workflow_calls
from clarion.client.calling import AsyncCalls, Calls
from clarion.client.calls import Recipient
from clarion.client.workflow_calls import (
    Cancelled,
    Checked,
    KeptWorkflow,
    Trigger,
    Triggered,
    WorkflowPut,
)


class WorkflowCalls(Calls):
    """The part of `Client` that speaks of workflows."""

    def put_workflow(
        self, definition: Mapping[str, Any], *, dry_run: bool = False, if_match: str | None = None
    ) -> WorkflowPut:
        """Keep a workflow as its next version; the same as the current one changes nothing.

        Args:
            definition: As it is written in YAML: `workflow`, `steps`, …
            dry_run: Check it, and keep nothing.
            if_match: The version that was read, in quotes: refused where another is current by now.
        """
        return self.call(workflow_calls.put(definition, dry_run=dry_run, if_match=if_match))

    def find_workflow(self, workflow: str, version: int | None = None) -> KeptWorkflow:
        """A workflow, in its current version unless another is named."""
        return self.call(workflow_calls.find_workflow(workflow, version))

    def workflows(self, *, after: str = "", limit: int = 50) -> dict[str, Any]:
        """A page of workflows: `{items, next}`."""
        return self.call(workflow_calls.workflows(after, limit))

    def set_workflow_active(self, workflow: str, is_active: bool) -> KeptWorkflow:
        """Let a workflow be triggered, or no longer; what runs goes on."""
        return self.call(workflow_calls.set_active(workflow, is_active))

    def check_definitions(self, definitions: Sequence[Mapping[str, Any]]) -> Checked:
        """What would become of workflows, templates, schedules and defaults if all were put; nothing is kept.

        Args:
            definitions: Each as it is written in a file of `clarion apply`.
        """
        return self.call(workflow_calls.check(definitions))

    def trigger(
        self,
        workflow: str,
        recipients: Sequence[Recipient] = (),
        payload: Mapping[str, Any] | None = None,
        *,
        audiences: Sequence[str] = (),
        filter: str | None = None,
        did: Sequence[Mapping[str, Any]] = (),
        everyone: bool = False,
        exclude: Sequence[str] = (),
        exclude_audiences: Sequence[str] = (),
        actor: str | None = None,
        cancel_key: str | None = None,
        idempotency_key: str | None = None,
        at: str | None = None,
        zone: str | None = None,
        priority: str | None = None,
    ) -> Triggered:
        """Run a workflow for all who are named in any of these ways; each person gets it once.

        Args:
            workflow: Its key.
            recipients: Ids, or `{"id": …, "name"?, "email"?, "phone"?, "locale"?, "time_zone"?, "attributes"?}`, which are stored as well.
            payload: JSON for templates and conditions.
            audiences: Names of audiences.
            filter: A condition over subscribers: `recipient.attributes.plan == "pro"`.
            did: Who did something: `{"event": "order.paid", "within": "30d", "times"?: 2}`.
            everyone: All subscribers.
            exclude: Ids of those who do not get it.
            exclude_audiences: Audiences whose people do not get it.
            actor: Who did what this tells of: they are not told.
            cancel_key: Names it for `cancel_triggers`, while it waits.
            idempotency_key: Makes calls from several processes one call; by default one is made for this call's retries.
            at: Not now but then: what the clock in the zone shows, `2026-12-24T18:00`, or with an offset.
            zone: A time zone's name, or `recipient`: each recipient's own. None: UTC.
            priority: `critical`, `high`, `normal` or `low`. None: as the workflow says.
        """
        key = self._key(idempotency_key)
        return self.call(
            workflow_calls.trigger(
                workflow,
                recipients,
                payload,
                key,
                audiences=audiences,
                filter=filter,
                did=did,
                everyone=everyone,
                exclude=exclude,
                exclude_audiences=exclude_audiences,
                actor=actor,
                cancel_key=cancel_key,
                at=at,
                zone=zone,
                priority=priority,
            )
        )

    def find_trigger(self, id: str) -> Trigger:
        """A trigger as it stands."""
        return self.call(workflow_calls.find(id))

    def cancel_trigger(self, id: str) -> Cancelled:
        """Call off what has not happened yet of a trigger."""
        return self.call(workflow_calls.cancel(id))

    def cancel_triggers(self, cancel_key: str) -> Cancelled:
        """Call off all triggers that were given this key."""
        return self.call(workflow_calls.cancel_all(cancel_key))

    def digests(
        self, workflow: str, recipient: str, *, after: str = "", limit: int = 50
    ) -> dict[str, Any]:
        """A page of a recipient's open digests of a workflow: `{items, next}`."""
        return self.call(workflow_calls.digests(workflow, recipient, after, limit))

    def release_digest(self, id: str) -> None:
        """Let a digest close now, with what is in it."""
        self.call(workflow_calls.release_digest(id))

    def runs(self, trigger: str, *, after: str = "", limit: int = 50) -> dict[str, Any]:
        """A page of the runs of a trigger: `{items, next}`; `all_runs` finds them by user and workflow."""
        return self.call(workflow_calls.runs(trigger, after, limit))

    def run(self, id: str) -> dict[str, Any]:
        """One recipient's way through a workflow, with every step and why."""
        return self.call(workflow_calls.run(id))

    def replay_run(self, id: str, version: int | None = None) -> dict[str, Any]:
        """What would have become of a run under another version of its workflow (None: the current one); nothing is sent by asking."""
        return self.call(workflow_calls.replay_run(id, version))


class AsyncWorkflowCalls(AsyncCalls):
    """The same as coroutines."""

    async def put_workflow(
        self, definition: Mapping[str, Any], *, dry_run: bool = False, if_match: str | None = None
    ) -> WorkflowPut:
        """As `WorkflowCalls.put_workflow`."""
        return await self.call(workflow_calls.put(definition, dry_run=dry_run, if_match=if_match))

    async def find_workflow(self, workflow: str, version: int | None = None) -> KeptWorkflow:
        """As `WorkflowCalls.find_workflow`."""
        return await self.call(workflow_calls.find_workflow(workflow, version))

    async def workflows(self, *, after: str = "", limit: int = 50) -> dict[str, Any]:
        """As `WorkflowCalls.workflows`."""
        return await self.call(workflow_calls.workflows(after, limit))

    async def set_workflow_active(self, workflow: str, is_active: bool) -> KeptWorkflow:
        """As `WorkflowCalls.set_workflow_active`."""
        return await self.call(workflow_calls.set_active(workflow, is_active))

    async def check_definitions(self, definitions: Sequence[Mapping[str, Any]]) -> Checked:
        """As `WorkflowCalls.check_definitions`."""
        return await self.call(workflow_calls.check(definitions))

    async def trigger(
        self,
        workflow: str,
        recipients: Sequence[Recipient] = (),
        payload: Mapping[str, Any] | None = None,
        *,
        audiences: Sequence[str] = (),
        filter: str | None = None,
        did: Sequence[Mapping[str, Any]] = (),
        everyone: bool = False,
        exclude: Sequence[str] = (),
        exclude_audiences: Sequence[str] = (),
        actor: str | None = None,
        cancel_key: str | None = None,
        idempotency_key: str | None = None,
        at: str | None = None,
        zone: str | None = None,
        priority: str | None = None,
    ) -> Triggered:
        """As `WorkflowCalls.trigger`."""
        key = self._key(idempotency_key)
        return await self.call(
            workflow_calls.trigger(
                workflow,
                recipients,
                payload,
                key,
                audiences=audiences,
                filter=filter,
                did=did,
                everyone=everyone,
                exclude=exclude,
                exclude_audiences=exclude_audiences,
                actor=actor,
                cancel_key=cancel_key,
                at=at,
                zone=zone,
                priority=priority,
            )
        )

    async def find_trigger(self, id: str) -> Trigger:
        """As `WorkflowCalls.find_trigger`."""
        return await self.call(workflow_calls.find(id))

    async def cancel_trigger(self, id: str) -> Cancelled:
        """As `WorkflowCalls.cancel_trigger`."""
        return await self.call(workflow_calls.cancel(id))

    async def cancel_triggers(self, cancel_key: str) -> Cancelled:
        """As `WorkflowCalls.cancel_triggers`."""
        return await self.call(workflow_calls.cancel_all(cancel_key))

    async def digests(
        self, workflow: str, recipient: str, *, after: str = "", limit: int = 50
    ) -> dict[str, Any]:
        """As `WorkflowCalls.digests`."""
        return await self.call(workflow_calls.digests(workflow, recipient, after, limit))

    async def release_digest(self, id: str) -> None:
        """As `WorkflowCalls.release_digest`."""
        await self.call(workflow_calls.release_digest(id))

    async def runs(self, trigger: str, *, after: str = "", limit: int = 50) -> dict[str, Any]:
        """As `WorkflowCalls.runs`."""
        return await self.call(workflow_calls.runs(trigger, after, limit))

    async def run(self, id: str) -> dict[str, Any]:
        """As `WorkflowCalls.run`."""
        return await self.call(workflow_calls.run(id))

    async def replay_run(self, id: str, version: int | None = None) -> dict[str, Any]:
        """As `WorkflowCalls.replay_run`."""
        return await self.call(workflow_calls.replay_run(id, version))
