"""Addresses as they are counted."""

import pytest

from clarion.realtime.addresses import network


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a:path", "a:path"),
    ],
)
def test_an_ipv6_customer_is_one_address(address: str, counted: str) -> None:
    """Whoever has 2^64 addresses does not get 2^64 limits."""
    assert network(address) == counted
