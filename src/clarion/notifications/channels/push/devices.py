"""Devices: where a user's push messages go. They sign themselves on, from a browser or an app, each time the app starts.

A device is one person's at a time: whoever signs in on it has it. An endpoint comes from a client and is called by this server,
so only those of known push services are taken, unless a setting allows others.
"""

import fnmatch
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from clarion.clock import Clock, as_datetime, maybe_datetime
from clarion.errors import Fault, Invalid, NotFound, OutboundRefused
from clarion.notifications.channels.push.base import Device as Target
from clarion.notifications.channels.push.base import Kind
from clarion.notifications.channels.push.encryption import receiver
from clarion.notifications.channels.push.tokens import Tokens
from clarion.outbound import Outbound
from clarion.patterns import worded
from clarion.settings import Push
from clarion.storage import addresses as sql
from clarion.storage import push as push_sql
from clarion.storage.addresses import address_id
from clarion.storage.slices import in_slices
from clarion.storage.store import Store
from clarion.telemetry import limit_exceeded

CHANNEL: Final = "push"
SLICE: Final = 500  # devices that are purged at once
Base64 = Annotated[str, Meta(max_length=200)]


class Keys(Struct, frozen=True):
    """What a browser encrypts for: base64url."""

    p256dh: Base64
    auth: Base64


class Subscription(Struct, frozen=True, rename={"expiration_time": "expirationTime"}):
    """What a browser's `subscription.toJSON()` is."""

    endpoint: Annotated[str, Meta(min_length=1, max_length=2_048)]
    keys: Keys
    expiration_time: float | None = None


class PutDevice(Struct, frozen=True, forbid_unknown_fields=True):
    """A device: one of `subscription`, `fcm`, `apns`."""

    subscription: Subscription | None = None
    """A browser's."""
    fcm: (
        Annotated[
            str,
            Meta(
                pattern=worded(
                    r"^[A-Za-z0-9_:.=-]{1,1024}$(?!\n)", "a token, as FCM gives it to the app"
                ),
                description="FCM's token",
            ),
        ]
        | None
    ) = None
    apns: (
        Annotated[
            str,
            Meta(
                pattern=worded(
                    r"^[0-9a-fA-F]{16,200}$(?!\n)",
                    "a token in hexadecimal digits, as Apple gives it to the app",
                ),
                description="Apple's token, in hex",
            ),
        ]
        | None
    ) = None
    topic: Annotated[
        str,
        Meta(
            pattern=worded(
                r"^[A-Za-z0-9.-]{0,200}$(?!\n)", "an app's bundle id, such as com.example.app"
            ),
            description="Bundle id of the app on an Apple device, if it is not the provider's",
        ),
    ] = ""
    label: Annotated[
        str,
        Meta(
            max_length=100,
            description="What a person calls it",
            pattern=worded(r"^[^\u0000]*$", "text without U+0000"),
        ),
    ] = ""


class Device(Struct, frozen=True):
    """A device as it stands. Where it is reached is not told: whoever knows that could send to it."""

    id: str
    kind: Literal["web", "fcm", "apns", "unknown"]
    """`unknown`: nothing is sent to it, because nobody can read what is stored of it. It can be removed."""
    label: str
    created_at: datetime
    updated_at: datetime
    last_ok_at: datetime | None
    failures: int
    error: str | None


class PutResult(Struct, frozen=True):
    """The device, and for a browser what its service worker shows to renew the subscription."""

    id: str
    kind: Kind
    renewal: str | None


class DeviceList(Struct, frozen=True):
    """All devices of a user."""

    items: list[Device]


class _Kept(Struct, frozen=True):
    """What is stored beside the endpoint or token."""

    kind: Kind
    p256dh: str = ""
    auth: str = ""
    topic: str = ""


class Devices:
    """The devices of users.

    Args:
        store: Where they are.
        settings: Which push services are known, and when a device is forgotten.
        most: `limits.push_devices`.
        outbound: Says which URLs may be called.
        tokens: For renewals.
        clock: Time of changes.
    """

    def __init__(
        self,
        store: Store,
        settings: Push,
        most: int,
        outbound: Outbound,
        tokens: Tokens,
        *,
        clock: Clock,
    ) -> None:
        self._store, self._settings, self._most = store, settings, most
        self._outbound, self._tokens, self._clock = outbound, tokens, clock

    async def put(self, tenant: str, user: str, given: PutDevice) -> PutResult:
        """Send a user's messages to a device, too; the same one again is the same device, and whoever's it was, it is theirs now.

        Raises:
            Invalid: It is none, or one at a push service that is not known.
        """
        return await self._put(tenant, user, given, former="")

    async def _put(self, tenant: str, user: str, given: PutDevice, *, former: str) -> PutResult:
        kind, address, data = self._read(given)
        id = address_id(CHANNEL, address)
        text = msgspec.json.encode({"kind": kind, **data}).decode()
        now_ms = self._clock.now_ms()
        row = sql.NewAddress(tenant, id, user, CHANNEL, address, text, given.label, now_ms)
        async with self._store.transaction() as tx:
            if former not in ("", id):
                await tx.apply(sql.REMOVE, [sql.Removed(tenant, former, user)])
            await tx.apply(sql.PUT, [row])
            gone = await tx.execute(push_sql.KEEP_NEWEST, tenant=tenant, usr=user, most=self._most)
        if gone:
            limit_exceeded.labels("push_devices").inc(gone)
        renewal = self._tokens.make("renew", tenant, user, id) if kind == "web" else None
        return PutResult(id, kind, renewal)

    async def renew(self, token: str, subscription: Subscription) -> PutResult:
        """Put a browser's new subscription in the place of its former one.

        Raises:
            Invalid: The token is none, or what it stands for is no subscription.
            NotFound: The device is no longer that user's.
        """
        tenant, user, id = self._tokens.read("renew", token, 3)
        row = await self._find(tenant, user, id)
        given = PutDevice(subscription, label=row.label)
        # In one step: a message between two would be shown twice, or not at all.
        return await self._put(tenant, user, given, former=id)

    async def list(self, tenant: str, user: str) -> DeviceList:
        """The devices of a user, the first one first."""
        rows = await self._store.fetch(sql.OF_USER, tenant=tenant, usr=user)
        return DeviceList([_device(row) for row in rows if row.channel == CHANNEL])

    async def remove(self, tenant: str, user: str, id: str) -> None:
        """Send nothing more to a device.

        Raises:
            NotFound: The user has no such device.
        """
        await self._find(tenant, user, id)
        await self._store.apply(sql.REMOVE, [sql.Removed(tenant, id, user)])

    async def target(self, tenant: str, user: str, id: str) -> Target | None:
        """Where a message goes; None: the device is no longer the user's, or nobody can read what is stored of it."""
        for row in await self._store.fetch(sql.FIND, tenant=tenant, id=id):
            if row.usr == user and row.channel == CHANNEL:
                kept = _kept(row)
                if kept is None:
                    return None
                data = msgspec.to_builtins(kept)
                return Target(row.id, kept.kind, row.address, data, row.updated_ms)
        return None

    async def worked(self, tenant: str, id: str) -> None:
        """It took a message."""
        await self._store.apply(sql.WORKED, [sql.Worked(tenant, id, self._clock.now_ms())])

    async def refused(self, tenant: str, id: str, why: str) -> None:
        """It did not take a message, and the failure is its own: after several in a row it is forgotten."""
        await self._store.apply(sql.FAILED, [sql.Failed(tenant, id, why)])
        row = push_sql.Refused(tenant, id, self._settings.device_failures)
        await self._store.apply(push_sql.REMOVE_REFUSED, [row])

    async def gone(self, tenant: str, id: str, since_ms: int) -> None:
        """It is there no more, unless it was registered after that time."""
        await self._store.apply(push_sql.REMOVE_STALE, [push_sql.Stale(tenant, id, since_ms)])

    async def purge(self) -> AsyncIterator[int]:
        """Forget those that have not been registered anew for `push.device_days`."""
        if not self._settings.device_days:
            return
        before_ms = self._clock.now_ms() - self._settings.device_days * 86_400_000
        async for count in in_slices(self._store, push_sql.OLD, SLICE, before_ms=before_ms):
            yield count

    async def _find(self, tenant: str, user: str, id: str) -> sql.AddressRow:
        for row in await self._store.fetch(sql.FIND, tenant=tenant, id=id):
            if row.usr == user and row.channel == CHANNEL:
                return row
        raise NotFound("there is no such device")

    def _read(self, given: PutDevice) -> tuple[Kind, str, dict[str, str]]:
        if sum(each is not None for each in (given.subscription, given.fcm, given.apns)) != 1:
            raise Invalid("a device has one of `subscription`, `fcm`, `apns`")
        if given.topic and given.apns is None:
            raise _wrong("/topic", "goes with `apns`")
        if given.subscription is not None:
            keys = given.subscription.keys
            self._check_endpoint(given.subscription.endpoint)
            try:
                receiver(keys.p256dh, keys.auth)
            except ValueError as exc:
                raise _wrong("/subscription/keys", str(exc)) from exc
            return "web", given.subscription.endpoint, {"p256dh": keys.p256dh, "auth": keys.auth}
        if given.fcm is not None:
            return "fcm", given.fcm, {}
        assert given.apns is not None, "one of three"
        return "apns", given.apns.lower(), {"topic": given.topic} if given.topic else {}

    def _check_endpoint(self, endpoint: str) -> None:
        try:
            self._outbound.check(endpoint)
        except OutboundRefused as exc:
            raise _wrong("/subscription/endpoint", str(exc)) from exc
        if service_of(endpoint, self._settings.known_services) is None:
            host = urlsplit(endpoint).hostname or ""
            raise _wrong(
                "/subscription/endpoint",
                f"{host[:100]} is no known push service; push.services can name it",
            )


def service_of(endpoint: str, services: Sequence[str]) -> str | None:
    """The known push service that a URL's host belongs to: `fcm.googleapis.com`, `*.push.apple.com`, or `*` for any."""
    host = urlsplit(endpoint).hostname or ""
    return next((each for each in services if fnmatch.fnmatchcase(host, each)), None)


def _wrong(pointer: str, detail: str) -> Invalid:
    return Invalid(f"this is no device: {detail}", faults=[Fault(pointer, detail)])


def _kept(row: sql.AddressRow) -> _Kept | None:
    try:
        return msgspec.json.decode(row.data, type=_Kept)
    except msgspec.DecodeError:
        return None


def _device(row: sql.AddressRow) -> Device:
    return Device(
        row.id,
        kept.kind if (kept := _kept(row)) else "unknown",
        row.label,
        as_datetime(row.created_ms),
        as_datetime(row.updated_ms),
        maybe_datetime(row.last_ok_ms),
        row.failures,
        row.error,
    )
