"""`/v1/notifications`: tell people something."""

from clarion.api.layer import WRITES, Api
from clarion.api.limits import PerCaller
from clarion.api.repeats import Idempotency
from clarion.auth.principal import Principal
from clarion.auth.rights import Right
from clarion.errors import IdempotencyConflict, InProgress
from clarion.notifications import Accepted, CreateNotification, Notifications, Recipient


def add(api: Api, notifications: Notifications) -> None:
    """Open the door of notifications."""

    @api.route(
        "POST",
        "/v1/notifications",
        right=Right("notifications:send"),
        limit=PerCaller(),
        status=202,
        errors=(*WRITES, IdempotencyConflict, InProgress),
        example=CreateNotification(
            recipients=["ann", Recipient("ben", name="Ben")],
            title="Build finished",
            body="All 214 tests have passed.",
            action_url="/builds/17",
        ),
    )
    async def create_notification(
        caller: Principal, body: CreateNotification, headers: Idempotency
    ) -> Accepted:
        """Put a message into the inbox of each recipient, and show it to those who are there.

        A recipient that is only named must be known; one that is described becomes known. The answer says `durability`:
        with `fsync` it survives a crash of the server and of the machine. After an error with `outcome: unknown` repeat the
        call with the same Idempotency-Key.
        """
        return await notifications.send(caller, body, headers.key)
