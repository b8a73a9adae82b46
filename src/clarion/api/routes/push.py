"""`/v1/push`: devices that take push messages, and what they report. `/v1/users/{id}/push/devices`: the same, for back ends."""

from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

from clarion.api.layer import READS, WRITES, Api, Reply
from clarion.api.limits import PerCaller, Unlimited
from clarion.api.pages.files import AcceptEncoding, File
from clarion.auth.principal import Principal
from clarion.auth.rights import Public, Right, Self
from clarion.errors import NotFound
from clarion.notifications.channels.push.devices import (
    DeviceList,
    Keys,
    PutDevice,
    PutResult,
    Subscription,
)
from clarion.notifications.channels.push.parts import PushParts
from clarion.notifications.channels.push.reports import Report
from clarion.notifications.recipients import UserId

WORKER: Final = Path(__file__).parent.parent / "pages" / "push_worker.js"
_MANAGE: Final = Right("users:manage")
_EXAMPLE: Final = PutDevice(
    Subscription(
        "https://updates.push.services.mozilla.com/wpush/v2/gAAAAA",
        Keys(
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "BTBZMqHH6r4Tts7J_aSIgg",
        ),
    )
)


class PushKey(Struct, frozen=True):
    """What a page subscribes with: `applicationServerKey`, base64url."""

    key: str


class DevicePath(Struct, frozen=True):
    """Names a device of the caller's."""

    id: Annotated[str, Meta(max_length=64)]


class UserPath(Struct, frozen=True):
    """Names a user."""

    id: UserId


class UserDevicePath(Struct, frozen=True):
    """Names a device of a user's."""

    id: UserId
    device: Annotated[str, Meta(max_length=64)]


class Renewal(Struct, frozen=True, forbid_unknown_fields=True):
    """A browser's new subscription, and the `renewal` that it was given with the former one."""

    renewal: Annotated[str, Meta(min_length=1, max_length=1_024)]
    subscription: Subscription


def add(api: Api, push: PushParts) -> None:
    """Open the doors of push messages."""
    _own(api, push)
    _of_users(api, push)
    _of_workers(api, push)


def _own(api: Api, push: PushParts) -> None:
    devices = push.devices

    @api.route(
        "POST",
        "/v1/push/devices",
        right=Self(),
        limit=PerCaller(),
        errors=WRITES,
        example=_EXAMPLE,
    )
    async def put_device(caller: Principal, body: PutDevice) -> PutResult:
        """Send the caller's push messages to a device, too: a browser's subscription, or an app's token of FCM or APNs.

        To be called each time the app starts. The same device again is the same; if it was somebody else's, it is the caller's now.
        """
        return await devices.put(caller.tenant, caller.id, body)

    @api.route("GET", "/v1/push/devices", right=Self(), limit=PerCaller(), errors=READS)
    async def list_devices(caller: Principal) -> DeviceList:
        """The caller's devices."""
        return await devices.list(caller.tenant, caller.id)

    @api.route(
        "DELETE",
        "/v1/push/devices/{id}",
        right=Self(),
        limit=PerCaller(),
        status=204,
        errors=(*WRITES, NotFound),
    )
    async def remove_device(caller: Principal, path: DevicePath) -> None:
        """Send nothing more to a device of the caller's."""
        await devices.remove(caller.tenant, caller.id, path.id)


def _of_users(api: Api, push: PushParts) -> None:
    devices = push.devices

    @api.route(
        "POST",
        "/v1/users/{id}/push/devices",
        right=_MANAGE,
        limit=PerCaller(),
        errors=WRITES,
        example=_EXAMPLE,
    )
    async def put_user_device(caller: Principal, path: UserPath, body: PutDevice) -> PutResult:
        """Send a user's push messages to a device, too."""
        return await devices.put(caller.tenant, path.id, body)

    @api.route("GET", "/v1/users/{id}/push/devices", right=_MANAGE, limit=PerCaller(), errors=READS)
    async def list_user_devices(caller: Principal, path: UserPath) -> DeviceList:
        """A user's devices."""
        return await devices.list(caller.tenant, path.id)

    @api.route(
        "DELETE",
        "/v1/users/{id}/push/devices/{device}",
        right=_MANAGE,
        limit=PerCaller(),
        status=204,
        errors=(*WRITES, NotFound),
    )
    async def remove_user_device(caller: Principal, path: UserDevicePath) -> None:
        """Send nothing more to a device of a user's."""
        await devices.remove(caller.tenant, path.id, path.device)


def _of_workers(api: Api, push: PushParts) -> None:
    held = Public(reason="a service worker has no login; the token in the body says what it may do")
    worker = File(WORKER)

    @api.route("GET", "/v1/push/key", right=Public(reason="a public key"), limit=PerCaller())
    async def get_push_key() -> PushKey:
        """The key that pages subscribe with; it never changes."""
        return PushKey(push.vapid.public_key)

    @api.route(
        "POST",
        "/v1/push/renewals",
        right=held,
        limit=PerCaller(),
        errors=(*WRITES, NotFound),
        example=Renewal("a…", _EXAMPLE.subscription or Subscription("", Keys("", ""))),
    )
    async def renew_device(body: Renewal) -> PutResult:
        """Put a browser's new subscription in the place of its former one, which the push service has ended."""
        return await push.devices.renew(body.renewal, body.subscription)

    @api.route(
        "POST",
        "/v1/push/reports",
        right=held,
        limit=PerCaller(),
        status=204,
        errors=WRITES,
        example=Report("a…", "clicked"),
    )
    async def report_push(body: Report) -> None:
        """Tell that a device has shown a message, or that its user has clicked it; the first of each counts."""
        await push.reports.take(body)

    @api.route(
        "GET",
        "/v1/push/worker.js",
        right=Public(reason="a script, the same for everybody"),
        limit=Unlimited(reason="served from memory"),
        is_listed=False,
    )
    async def push_worker(headers: AcceptEncoding) -> Reply[bytes]:
        """The service worker."""
        reply = worker.reply(headers)
        # Its scope is all of the origin, though it lies below /v1/push/.
        reply.headers["service-worker-allowed"] = "/"
        # Pages of other origins import it into workers of their own.
        reply.headers["cross-origin-resource-policy"] = "cross-origin"
        return reply
