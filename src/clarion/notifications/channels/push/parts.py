"""All that push messages need, made together."""

from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from msgspec import Struct

from clarion.clock import Clock
from clarion.ids import Ids
from clarion.notifications.channels.push.channel import (
    PushChannel,
    check_settings,
    push_providers,
)
from clarion.notifications.channels.push.devices import Devices
from clarion.notifications.channels.push.reports import Reports
from clarion.notifications.channels.push.tokens import Tokens
from clarion.notifications.channels.push.vapid import Vapid, load_key
from clarion.outbound import Outbound
from clarion.settings import Settings
from clarion.storage.secrets import secret_of
from clarion.storage.store import Store

TOKENS: Final = "push tokens"  # in the database
SECRET: Final = 32  # bytes


class PushKeys(Struct, frozen=True):
    """What the server signs with: for push services, and the tokens of devices."""

    vapid: EllipticCurvePrivateKey
    tokens: str

    def __repr__(self) -> str:
        return "PushKeys()"


async def push_keys(store: Store, ids: Ids) -> PushKeys:
    """The keys of the server; at its very first start they are made."""
    return PushKeys(await load_key(store, ids), await secret_of(store, TOKENS, ids.token(SECRET)))


class PushParts:
    """Push messages.

    Args:
        store: Keeps devices.
        keys: See `push_keys`.
        outbound: The guarded door to push services.
        settings: `push`, `sending`, `limits.push_devices`; `public_url` answers for it, if `push.subject` does not.
        on_woken: Called when runs may have been waiting for what a device reports.
        clock: The time.
        ids: Keys and salts of messages.

    Attributes:
        devices: Where they go.
        reports: What became of them.
        vapid: Who sends.
        channel: Sends.

    Raises:
        SettingsError: Something about the settings is wrong.
    """

    def __init__(
        self,
        store: Store,
        keys: PushKeys,
        outbound: Outbound,
        settings: Settings,
        on_woken: Callable[[], None],
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        own, url = settings.push, settings.public_url
        check_settings(own)
        subject = own.subject or (url if url.startswith("https://") else "")
        tokens = Tokens(keys.tokens)
        self.vapid = Vapid(keys.vapid, subject, clock)
        self.devices = Devices(
            store, own, settings.limits.push_devices, outbound, tokens, clock=clock
        )
        self.reports = Reports(store, tokens, on_woken, clock=clock)
        providers = push_providers(
            own, settings.sending, outbound, self.vapid, clock=clock, ids=ids
        )
        self.channel = PushChannel(self.devices, tokens, providers, own)
