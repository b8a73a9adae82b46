"""Which addresses of the outside may be dialled: rules over values, no I/O.

A URL that somebody else wrote may name this machine, its neighbours or a cloud's metadata service (server-side request forgery).
What counts is the address that is dialled, not the name, and every form that stands for an IPv4 address is refused with it.
"""

import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from httpx import URL, InvalidURL

from clarion.errors import OutboundRefused

Networks: TypeAlias = Sequence[IPv4Network | IPv6Network]

# IANA's special-purpose registry (RFC 6890 and later), and what clouds use besides. All that is not here is public.
_NOT_PUBLIC_4 = tuple(
    IPv4Network(net)
    for net in (
        "0.0.0.0/8",  # this network; connects to this host on Linux
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers; a cloud's metadata at 100.100.100.200
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's host agent
        "169.254.0.0/16",  # link-local; most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved; broadcast
    )
)

# Only 2000::/3 is handed out; ::ffff:, ::, NAT64 (64:ff9b::), unique local, link-local and multicast are all outside of it.
_PUBLIC_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(net)
    for net in (
        "2001::/23",  # protocol assignments; Teredo holds an IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 holds an IPv4 address
        "3fff::/20",  # documentation
    )
)


def parse_networks(listed: Iterable[str]) -> Networks:
    """Addresses and networks as text."""
    return [ip_network(item, strict=False) for item in listed]


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address belongs to somebody on the internet."""
    if isinstance(address, IPv4Address):
        return not any(address in net for net in _NOT_PUBLIC_4)
    if address.scope_id is not None or address not in _PUBLIC_6:
        return False
    return not any(address in net for net in _NOT_PUBLIC_6)


def check_addresses(host: str, found: Sequence[str], allowed: Networks) -> None:
    """All addresses of a name; one bad one spoils them, because it is the name's owner who chose them.

    Raises:
        OutboundRefused: One is neither public nor in `allowed`. The address is not told: it may be of interest to an attacker.
    """
    for text in found:
        address = ip_address(text)
        if not is_public(address) and not any(address in net for net in allowed):
            raise OutboundRefused(f"{host} is not a public address", opened_by="networks")


def addresses_in(host: str) -> Sequence[str]:
    """The address that a host is, in any form that the system would take for one (`127.1`, `0x7f000001`); nothing: it is a name.

    `localhost` and what ends with it are no names that anybody looks up (RFC 6761 §6.3).
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return ["127.0.0.1"]
    try:
        found = socket.getaddrinfo(name.strip("[]"), None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def check_url(url: str | URL, *, ports: Iterable[int], allow_http: bool) -> URL:
    """A URL before its name is resolved.

    Raises:
        OutboundRefused: Not http(s), a user in it, a port that is not listed, or no URL at all.
    """
    try:
        parsed = URL(url)
    except (InvalidURL, TypeError, ValueError) as exc:
        raise OutboundRefused("this is not a URL") from exc
    if parsed.scheme != "https" and not (allow_http and parsed.scheme == "http"):
        raise OutboundRefused(
            f"the URL must begin with {'http:// or ' if allow_http else ''}https://",
            opened_by=None if allow_http or parsed.scheme != "http" else "networks",
        )
    if not parsed.host:
        raise OutboundRefused("the URL names no host")
    if parsed.userinfo:
        raise OutboundRefused("the URL must not hold a user or password")
    if port_of(parsed) not in ports:
        raise OutboundRefused(f"port {port_of(parsed)} may not be called", opened_by="ports")
    return parsed


def port_of(url: URL) -> int:
    """The port, also where the scheme implies it."""
    return url.port if url.port is not None else 443 if url.scheme == "https" else 80


def origin_of(url: URL) -> tuple[str, str, int]:
    """Scheme, host and port."""
    return url.scheme, url.host, port_of(url)
