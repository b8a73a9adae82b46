"""Push messages."""

from typing import Annotated

from msgspec import Struct

from clarion.settings.about import about

KNOWN_SERVICES = (
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "*.notify.windows.com",
    "*.push.apple.com",
)


class Push(Struct, frozen=True, forbid_unknown_fields=True):
    """Push messages to browsers, Android and Apple's devices."""

    subject: Annotated[
        str,
        about(
            "Whom push services write to when something is wrong: `mailto:…` or `https://…`; empty: `public_url`, if it is https",
            pattern=r"^(|mailto:\S+|https://\S+)$",
        ),
    ] = ""
    providers: Annotated[
        list[str],
        about(
            "FCM as `fcm:///path/account.json`, APNs as `apns://TEAM:KEYID@api.push.apple.com/path/key.p8?topic=BUNDLE`; browsers need none"
        ),
    ] = []
    services: Annotated[
        list[str],
        about(
            "Hosts of push services whose endpoints browsers may bring, beside those of Chrome, Edge, Firefox and Safari (`*.example.com`; `*`: any)"
        ),
    ] = []
    networks: Annotated[
        list[str],
        about(
            "Networks that are not public in which push services may be (`10.1.2.0/24`); with any of them, `http://` is allowed"
        ),
    ] = []
    ports: Annotated[
        list[int], about("Ports on which push services may be called; empty: 443 and 8443")
    ] = []
    timeout_s: Annotated[float, about("For a push service's answer (s)", gt=0, le=60)] = 10.0
    device_failures: Annotated[
        int,
        about(
            "A device that was refused so often in a row is forgotten (404 and 410: at once)", ge=1
        ),
    ] = 10
    device_days: Annotated[
        int,
        about(
            "A device that was not registered anew for so long (days; 0: for ever) is forgotten",
            ge=0,
            le=36_600,
        ),
    ] = 270

    @property
    def known_services(self) -> tuple[str, ...]:
        """All hosts of push services, as patterns."""
        return (*KNOWN_SERVICES, *self.services)
