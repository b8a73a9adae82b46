"""Which addresses and URLs may be called, as values."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.errors import OutboundRefused
from clarion.outbound.addresses import (
    addresses_in,
    check_addresses,
    check_url,
    is_public,
    origin_of,
    parse_networks,
    port_of,
)


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("127.1", ["127.0.0.1"]),
        ("0x7f000001", ["127.0.0.1"]),
        ("2130706433", ["127.0.0.1"]),
        ("::1", ["::1"]),
        ("[::ffff:10.0.0.1]", ["::ffff:10.0.0.1"]),
        ("localhost", ["127.0.0.1"]),
        ("a.localhost", ["127.0.0.1"]),
        ("LocalHost.", ["127.0.0.1"]),
        ("127.0.0.1.", ["127.0.0.1"]),
        ("example.com", []),
        ("127.0.0.1.example.com", []),
        ("x" * 300, []),
    ],
)
def test_a_host_that_is_an_address(host: str, found: list[str]) -> None:
    """In whatever form the system would take for one; a name is not looked up."""
    assert addresses_in(host) == found


NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:8.8.8.8",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "fec0::1",
    "ff02::1",
]

PUBLIC = ["1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "2606:4700::1111"]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_public_is_refused(address):
    """This machine, its neighbours, metadata, multicast, and every form that hides an IPv4 address."""
    with pytest.raises(OutboundRefused) as caught:
        check_addresses("name", ["1.1.1.1", address], [])
    assert address not in str(caught.value)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_passes(address):
    """The neighbours of the ranges are on the internet."""
    check_addresses("name", [address], [])


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_nothing_is_public_that_python_calls_private(address):
    """Our list is at least as strict as the standard library's."""
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast


def test_a_network_can_be_allowed():
    """What the settings allow passes, its neighbours do not."""
    allowed = parse_networks(["10.1.2.3", "fd00::/64"])
    check_addresses("name", ["10.1.2.3", "fd00::9"], allowed)
    with pytest.raises(OutboundRefused):
        check_addresses("name", ["10.1.2.4"], allowed)
    assert not is_public(ip_address("10.1.2.3"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://a.example/", "must begin with https://"),
        ("ftp://a.example/", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("//a.example/", "must begin with https://"),
        ("a.example", "must begin with https://"),
        ("https:///path", "names no host"),
        ("https://u:p@a.example/", "user or password"),
        ("https://a.example@b.example/", "user or password"),
        ("https://a.example:22/", "port 22"),
        ("https://a.example:80/", "port 80"),
        ("https://a.example:port/", "not a URL"),
        ("https://a\r\nb/", "not a URL"),
        ("https://" + "a" * 70_000, "not a URL"),
    ],
)
def test_what_is_no_url_for_us_is_refused(url, words):
    """Scheme, user, host and port are judged before any name is resolved."""
    with pytest.raises(OutboundRefused, match=words):
        check_url(url, ports=(443,), allow_http=False)


def test_urls_that_may_be_called():
    """HTTPS always, HTTP where it is allowed; ports by default those of the scheme."""
    url = check_url("https://a.example/x?y", ports=(443,), allow_http=False)
    assert origin_of(url) == ("https", "a.example", 443)
    url = check_url("http://a.example/", ports=(80, 443), allow_http=True)
    assert port_of(url) == 80
    assert port_of(check_url("https://a:8443", ports=(8443,), allow_http=False)) == 8443
    with pytest.raises(OutboundRefused, match="http:// or https://"):
        check_url("gopher://a", ports=(443,), allow_http=True)
