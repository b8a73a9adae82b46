"""What kinds of topics hand on, such as an alert of a dashboard, becomes a notification or a run of a workflow.

At once, or digested: that is for the workflow to say, with a step `digest` over what has happened.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from clarion.auth.principal import Principal
from clarion.errors import Fault, Invalid
from clarion.notifications.asking import check_size
from clarion.notifications.notifications import CreateNotification, Notifications
from clarion.notifications.trigger_shapes import CreateTrigger
from clarion.notifications.triggering import Triggers
from clarion.topics.triggers import Trigger

# Of JSON, for what a trigger says of itself: names and ids.
ABOUT_BYTES: Final = 2048

T = TypeVar("T")


class HandedOn:
    """Does what each trigger asks for, once (see `topics.triggers.Triggers`).

    Args:
        notifications: Sends.
        workflows: Runs workflows.
    """

    def __init__(self, notifications: Notifications, workflows: Triggers) -> None:
        self._notifications, self._workflows = notifications, workflows

    async def check(self, trigger: Trigger) -> None:
        """Refuse what can never be done, or has no room for what a trigger adds.

        Raises:
            Invalid: It is neither a notification nor a trigger of a workflow that is there, its payload is not as the workflow says, or
                `data` has more than 14 KiB, `payload` more than 62.
        """
        room = {**trigger.about, "": "x" * ABOUT_BYTES}
        if "workflow" in trigger.asks:
            run = _read(trigger.asks, CreateTrigger)
            check_size({**run.payload, trigger.source: room})
            await self._workflows.check(trigger.tenant, _with_payload(run, trigger))
        else:
            body = _read(trigger.asks, CreateNotification)
            data = {**(body.data or {}), trigger.source: room}
            self._notifications.check(msgspec.structs.replace(body, data=data))

    async def hand(self, trigger: Trigger) -> None:
        """Do it: on disk before this returns.

        Raises:
            Conflict: The workflow is not active, or what is asked for was changed since this trigger was handed on before (IdempotencyConflict).
            Invalid: A recipient is not known, or there is no such workflow any more.
            OutcomeUnknown, Unavailable, StorageFull: Of the store.
        """
        whose = Principal(id=trigger.source, tenant=trigger.tenant, kind="system")
        if "workflow" in trigger.asks:
            run = _with_payload(_read(trigger.asks, CreateTrigger), trigger)
            await self._workflows.accept(whose, run, idempotency_key=trigger.key)
            return
        body = _read(trigger.asks, CreateNotification)
        told = {**(body.data or {}), trigger.source: dict(trigger.about)}
        await self._notifications.send(
            whose, msgspec.structs.replace(body, data=told), idempotency_key=trigger.key
        )


def _with_payload(run: CreateTrigger, trigger: Trigger) -> CreateTrigger:
    return msgspec.structs.replace(
        run, payload={**run.payload, trigger.source: dict(trigger.about)}
    )


def _read(asks: Mapping[str, Any], type: type[T]) -> T:
    try:
        return msgspec.convert(asks, type)
    except msgspec.ValidationError as exc:
        raise Invalid(faults=[Fault.of(exc, type)]) from exc
