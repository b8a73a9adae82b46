"""Triggers that become notifications."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from clarion.auth.principal import Principal
from clarion.errors import Fault, Invalid
from clarion.notifications.notifications import CreateNotification, Notifications
from clarion.topics.triggers import Trigger

# Of JSON, for what a trigger says of itself in `data`: names and ids.
ABOUT_BYTES: Final = 2048


class NotifyingTriggers:
    """Sends each trigger's notification, once (see `topics.triggers.Triggers`).

    Args:
        notifications: Sends.
    """

    def __init__(self, notifications: Notifications) -> None:
        self._notifications = notifications

    def check(self, notification: Mapping[str, Any]) -> None:
        """Refuse what is no notification, or has no room for what a trigger adds.

        Raises:
            Invalid: It is none, or its `data` has more than 14 KiB.
        """
        body = _read(notification)
        room = {"": "x" * ABOUT_BYTES}
        self._notifications.check(msgspec.structs.replace(body, data={**(body.data or {}), **room}))

    async def hand(self, trigger: Trigger) -> None:
        """Send it: on disk before this returns.

        Raises:
            Invalid: A recipient is not known, or it was changed since this trigger was handed on before (IdempotencyConflict).
            OutcomeUnknown, Unavailable, StorageFull: Of the store.
        """
        body = _read(trigger.notification)
        told = {**(body.data or {}), trigger.source: dict(trigger.about)}
        whose = Principal(id=trigger.source, tenant=trigger.tenant, kind="system")
        await self._notifications.send(
            whose, msgspec.structs.replace(body, data=told), idempotency_key=trigger.key
        )


def _read(notification: Mapping[str, Any]) -> CreateNotification:
    try:
        return msgspec.convert(notification, CreateNotification)
    except msgspec.ValidationError as exc:
        raise Invalid(faults=[Fault.of(exc)]) from exc
