"""Addresses of clients, as they are counted."""

import ipaddress


def network(address: str) -> str:
    """What is counted as one address: an IPv6 customer has at least a /64 (RFC 6177) and could use a new address for each call."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(parsed) >> 64 << 64)}/64"
