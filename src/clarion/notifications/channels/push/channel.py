"""The push channel: looks up the device, and hands the message to who carries it there."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from clarion.clock import Clock
from clarion.errors import Fault, Invalid, SettingsError
from clarion.ids import Ids
from clarion.notifications.channels.base import NotSent, Outgoing, Sent
from clarion.notifications.channels.line import Allowed
from clarion.notifications.channels.providers import Provided, Providers
from clarion.notifications.channels.push import apns, fcm
from clarion.notifications.channels.push.base import Device, Gone, Kind, Push, Unwelcome
from clarion.notifications.channels.push.content import PushContent, PushSaid
from clarion.notifications.channels.push.devices import CHANNEL, Devices, service_of
from clarion.notifications.channels.push.tokens import Tokens
from clarion.notifications.channels.push.vapid import Vapid
from clarion.notifications.channels.push.web import WebPush
from clarion.notifications.channels.urls import ProviderUrl
from clarion.outbound import Outbound
from clarion.settings import Push as Settings
from clarion.settings import Sending

ATTEMPTS: Final = 8


class PushChannel(Provided):
    """Messages to devices: a step's message goes to each device of the person.

    Args:
        devices: Where they go.
        tokens: With which devices report.
        providers: Who carries them.
        settings: The push services that are known.
    """

    name = CHANNEL
    content = PushContent
    said = PushSaid
    max_attempts = ATTEMPTS
    needs_addresses = True

    def __init__(
        self, devices: Devices, tokens: Tokens, providers: "PushProviders", settings: Settings
    ) -> None:
        super().__init__(providers)
        self._devices, self._tokens, self._settings = devices, tokens, settings
        self._kinds = providers.kinds

    def addresses(self, recipient: Mapping[str, Any]) -> Sequence[str]:
        """Ids of the recipient's devices."""
        return [each["id"] for each in recipient.get("addresses", {}).get(CHANNEL, ())]

    def kept(self, address: str) -> str:
        """Refuse it: a device is more than an address, and has a door of its own.

        Raises:
            Invalid: Always.
        """
        detail = "devices are registered at /v1/push/devices, or /v1/users/{id}/push/devices"
        raise Invalid(detail, faults=[Fault("/channel", detail)])

    async def send(self, message: Outgoing) -> Sent:
        """Hand a message over, and note what that says of the device.

        Raises:
            NotSent: It was not taken.
            NotYet: Nobody may be asked now.
        """
        device = await self._devices.target(message.tenant, message.user, message.address)
        if device is None:
            raise NotSent("the device is no longer the user's", provider="", is_final=True)
        push = Push(
            **msgspec.structs.asdict(message),
            device=device,
            said=msgspec.convert(message.content, PushSaid),
            report=self._tokens.make("report", message.tenant, message.id),
        )
        carriers = self._carriers(device)
        try:
            sent = await self.providers.send(push, carriers)
        except Gone as exc:
            since_ms = device.updated_ms if exc.since_ms is None else exc.since_ms
            await self._devices.gone(message.tenant, device.id, since_ms)
            raise
        except Unwelcome as exc:
            await self._devices.refused(message.tenant, device.id, exc.why)
            raise
        if sent.provider in carriers:  # and not kept instead, where nothing is to leave
            await self._devices.worked(message.tenant, device.id)
        return sent

    def _carriers(self, device: Device) -> Sequence[str]:
        if device.kind != "web":
            return self._kinds[device.kind]
        # It may have been known when the device came, and not be known now.
        service = service_of(device.address, self._settings.known_services)
        return [] if service is None else [name_of(service)]


class PushProviders(Providers):
    """Who carries push messages.

    Attributes:
        kinds: Names of those who carry to a kind of device.
    """

    kinds: dict[Kind, list[str]]


def name_of(service: str) -> str:
    """What the provider for a known push service is called."""
    return "webpush" if service == "*" else f"webpush:{service}"


def push_providers(
    settings: Settings,
    sending: Sending,
    outbound: Outbound,
    vapid: Vapid,
    *,
    clock: Clock,
    ids: Ids,
) -> PushProviders:
    """One for each known push service of browsers, so that one that is down delays no other, and those that are set.

    Raises:
        SettingsError: `push.providers` names one that is no good.
    """
    providers = PushProviders(CHANNEL, sending, clock=clock, ids=ids)
    providers.kinds = {"web": [], "fcm": [], "apns": []}
    timeout_s = settings.timeout_s
    for service in settings.known_services:
        web = WebPush(name_of(service), outbound, vapid, clock=clock, ids=ids, timeout_s=timeout_s)
        # The door's own deadline comes first, and says who did not answer.
        providers.add(web, Allowed(timeout_s=timeout_s + 1.0))

    def make_fcm(url: ProviderUrl) -> fcm.Fcm:
        url.only("url")
        path = Path(url.path)
        account = fcm.read_account(path, "push.providers")
        providers.kinds["fcm"].append(url.name)
        return fcm.Fcm(
            url.name,
            account,
            outbound,
            clock=clock,
            timeout_s=timeout_s,
            url=url.options.get("url", fcm.URL),
        )

    def make_apns(url: ProviderUrl) -> apns.Apns:
        url.only("topic")
        topic = url.options.get("topic", "")
        if not (url.user and url.password and url.host and topic):
            raise url.wrong("write apns://TEAM:KEYID@api.push.apple.com/path/key.p8?topic=BUNDLE")
        providers.kinds["apns"].append(url.name)
        return apns.Apns(
            url.name,
            apns.read_key(Path(url.path), "push.providers"),
            url.password,
            url.user,
            topic,
            outbound,
            clock=clock,
            timeout_s=timeout_s,
            url=f"https://{url.host}" + (f":{url.port}" if url.port else ""),
        )

    providers.add_urls(settings.providers, {"fcm": make_fcm, "apns": make_apns}, "push.providers")
    return providers


def check_settings(settings: Settings) -> None:
    """Refuse what cannot be meant.

    Raises:
        SettingsError: A known push service is no host.
    """
    for service in settings.services:
        if service != "*" and (not service or "/" in service or "*" in service.removeprefix("*.")):
            raise SettingsError(
                f"push.services: {service[:100]!r} is no host: write push.example.com, *.example.com, or * for any"
            )
