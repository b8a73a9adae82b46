"""Doors that the operator of the server has opened further: to networks of their own, or to an endpoint of their own."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from clarion.clock import Clock
from clarion.errors import SettingsError
from clarion.outbound.door import Outbound


def to_networks(
    clock: Clock, networks: Sequence[str], ports: Sequence[int], *, setting: str
) -> Outbound:
    """A way to strangers' URLs on the internet, and in networks that settings name: there without TLS, too.

    Args:
        clock: For the log.
        networks: `10.1.2.0/24`; none by default.
        ports: That may be called; none: `Outbound`'s own.
        setting: What names the networks, for the error.

    Raises:
        SettingsError: One is no network.
    """
    try:
        return Outbound(
            clock, allow_private=networks, allow_http=bool(networks), ports=ports or None
        )
    except ValueError as exc:
        raise SettingsError(f"{setting}: {exc}") from exc


def to_endpoint(clock: Clock, url: str) -> Outbound:
    """A way to the operator's own endpoint: it may be on this machine or a private network, where strangers' URLs must not lead.

    Raises:
        ValueError: It is no URL of HTTP.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("no URL of HTTP")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Outbound(clock, allow_private=("0.0.0.0/0", "::/0"), allow_http=True, ports=[port])
