"""Webhooks, text messages and chats, put together."""

from clarion.clock import Clock
from clarion.ids import Ids
from clarion.notifications.channels import Providers, ProviderUrl
from clarion.notifications.channels import webhook as webhooks
from clarion.notifications.channels.chat import ChatChannel, Services
from clarion.notifications.channels.sms import NAME as SMS
from clarion.notifications.channels.sms import SmsChannel
from clarion.notifications.channels.twilio import Twilio
from clarion.notifications.engine import Engine
from clarion.notifications.sealing import Sealer
from clarion.notifications.texting import Texting
from clarion.notifications.webhooks import Endpoints
from clarion.outbound import to_networks
from clarion.settings import Settings
from clarion.storage.addresses import address_id
from clarion.storage.store import Store


class Reach:
    """The channels `webhook`, `sms` and `chat`, added to the engine's.

    Args:
        settings: Sections `webhook`, `sms`, `chat`, `sending`, and `public_url`.
        store: Where secrets and suppressions are.
        engine: Gets the channels.
        secret: Of the deployment: seals what is secret.
        clock: The time.
        ids: Secrets, nonces, jitter.

    Attributes:
        endpoints: What webhooks are signed with.
        texting: What carriers of text messages tell.

    Raises:
        SettingsError: Something in the settings is no good.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        engine: Engine,
        secret: str,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._settings, self._engine, self._clock, self._ids = settings, engine, clock, ids
        sealer = Sealer(secret, ids, settings.auth.other_secrets)
        self.endpoints = Endpoints(store, sealer, clock=clock, ids=ids)
        self.texting = Texting(store, engine.suppressions, settings.sms, clock=clock)
        self.texting.on_woken = engine.wake
        own = settings.webhook
        self._outbound = to_networks(clock, own.networks, own.ports, setting="webhook.networks")
        self._twilios: list[Twilio] = []
        self._add_webhook()
        self._add_sms()
        services = Services(settings.chat.services)
        self._chat = ChatChannel(self._providers("chat"), services, sealer, settings.chat)
        engine.channels.add(self._chat)

    async def close(self) -> None:
        """Close connections, and end threads."""
        await self._outbound.close()
        for provider in self._twilios:
            await provider.close()
        self._chat.apprise.close()

    def _providers(self, channel: str) -> Providers:
        return Providers(channel, self._settings.sending, clock=self._clock, ids=self._ids)

    def _add_webhook(self) -> None:
        poster = webhooks.Poster(
            self.endpoints,
            self._outbound,
            self._settings.webhook,
            self._forget,
            clock=self._clock,
            ids=self._ids,
        )
        self.webhook = webhooks.WebhookChannel(
            poster, self._providers(webhooks.NAME), self._settings.webhook
        )
        self._engine.channels.add(self.webhook)

    async def _forget(self, tenant: str, url: str) -> None:
        await self._engine.addresses.remove(tenant, address_id(webhooks.NAME, url))

    def _add_sms(self) -> None:
        settings, suppressions = self._settings.sms, self._engine.suppressions
        providers = self._providers(SMS)
        providers.add_urls(settings.providers, {"twilio": self._twilio}, "sms.providers")
        self._engine.channels.add(
            SmsChannel(
                providers, settings.max_segments, lambda message: suppressions.why(message, SMS)
            )
        )

    def _twilio(self, url: ProviderUrl) -> Twilio:
        made = Twilio(url, self._settings.public_url, self._clock)
        self._twilios.append(made)
        self.texting.providers[made.name] = made
        return made
