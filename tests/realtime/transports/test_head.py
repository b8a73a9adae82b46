"""Rules for a request's head, as values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.errors import SettingsError
from clarion.realtime.transports.head import (
    Refused,
    Upgrade,
    check_head,
    check_header,
    has_body,
    is_trusted,
    joined,
    original,
    parse_networks,
    wants_websocket,
    websocket_key,
)
from clarion.settings import Limits

HOST = (b"host", b"x")
KEY = (b"sec-websocket-key", b"MDEyMzQ1Njc4OWFiY2RlZg==")
VERSION = (b"sec-websocket-version", b"13")
LIMITS = Limits(head_bytes=1024, headers=10)


def refusal(call, *args):
    with pytest.raises(Refused) as caught:
        call(*args)
    return caught.value.status


def test_refusal_is_a_whole_response():
    """A refusal says what it is, how long it is, and that the connection ends."""
    why = Refused(503, '{"a":"é"}', "application/json", retry_after_s=5)
    head, _, body = why.as_response().partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 503 Service Unavailable",
        b"content-type: application/json",
        b"content-length: 10",
        b"connection: close",
        b"retry-after: 5",
    ]
    assert body == '{"a":"é"}'.encode()
    assert str(why) == '503 {"a":"é"}'
    assert b"sec-websocket-version: 13\r\n" in Refused(426, b"").as_response()


def test_upgrade_has_path_query_and_headers():
    """Admission sees path and query apart, and a header's values together."""
    upgrade = Upgrade(b"/s/?a=1?2", [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")], None, False)
    assert (upgrade.path, upgrade.query) == (b"/s/", b"a=1?2")
    assert (upgrade.header(b"a"), upgrade.header(b"c")) == (b"1,3", b"")
    assert joined([], b"a") == b""


@given(st.binary(max_size=40))
def test_no_control_byte_comes_in(value):
    """Any value is let in exactly if it has no control byte; a tab is none, and a cookie may hold UTF-8."""
    c0 = any((byte < 0x20 and byte != 9) or byte == 0x7F for byte in value)
    c1 = any(0x80 <= byte <= 0x9F for byte in value)
    for name, is_bad in ((b"x-a", c0 or c1), (b"cookie", c0)):
        if is_bad:
            assert refusal(check_header, name, value) == 400
        else:
            check_header(name, value)


def test_websocket_headers_are_ascii():
    """Only the handshake's own headers must be ASCII."""
    assert refusal(check_header, b"sec-websocket-protocol", b"caf\xe9") == 400
    check_header(b"x-name", b"caf\xe9")
    check_header(b"sec-websocket-protocol", b"cafe")


def test_head_at_its_limits_passes_and_one_more_does_not():
    """Count and size hold at n and break at n + 1, each with its own name."""
    check_head("1.1", [HOST] + [(b"a", b"")] * 9, LIMITS)
    assert refusal(check_head, "1.1", [HOST] + [(b"a", b"")] * 10, LIMITS) == 431
    rest = 1024 - len(b"host: x\r\n") - len(b"a: \r\n")
    check_head("1.1", [HOST, (b"a", b"x" * rest)], LIMITS)
    with pytest.raises(Refused) as caught:
        check_head("1.1", [HOST, (b"a", b"x" * (rest + 1))], LIMITS)
    assert (caught.value.status, caught.value.limit) == (431, "head_bytes")


@pytest.mark.parametrize("host", [b"a.example:8000", b"[::1]:1", b"[::1]", b"127.0.0.1", b"a_b-c"])
def test_good_hosts(host):
    """Names, addresses and ports are Hosts."""
    check_head("1.1", [(b"host", host)], LIMITS)


@pytest.mark.parametrize("host", [b"", b"a/b", b"u@a", b"a b", b"a:b", b"[::1", b"a\n", b"a:1:2"])
def test_bad_hosts(host):
    """Nothing else is: it may end up in a link or a log."""
    assert refusal(check_head, "1.1", [(b"host", host)], LIMITS) == 400


def test_host_comes_once():
    """HTTP/1.1 has one Host, HTTP/1.0 one at most."""
    assert refusal(check_head, "1.1", [], LIMITS) == 400
    assert refusal(check_head, "1.0", [HOST, HOST], LIMITS) == 400
    check_head("1.0", [], LIMITS)


def test_wants_websocket():
    """Connection is a list over all its headers, case does not count, and h2c is not ours."""
    keep, up = (b"connection", b"keep-alive"), (b"connection", b"x, UPGRADE")
    assert wants_websocket([keep, up, (b"upgrade", b"WebSocket ")])
    assert not wants_websocket([keep, (b"upgrade", b"websocket")])
    assert not wants_websocket([up, (b"upgrade", b"h2c")])


def test_has_body():
    """A length of nothing is no body."""
    assert has_body([(b"content-length", b"10")])
    assert has_body([(b"transfer-encoding", b"chunked")])
    assert not has_body([(b"content-length", b"0"), HOST])


def test_websocket_key():
    """A handshake is GET, version 13, and a key of 16 bytes."""
    assert websocket_key(b"GET", [VERSION, KEY]) == KEY[1]
    assert refusal(websocket_key, b"POST", [VERSION, KEY]) == 405
    assert refusal(websocket_key, b"GET", [(b"sec-websocket-version", b"8"), KEY]) == 426
    assert refusal(websocket_key, b"GET", [VERSION]) == 400
    for bad in (b"A" * 24, b"!" * 24, b"MDEy", KEY[1] * 2):
        assert refusal(websocket_key, b"GET", [VERSION, (KEY[0], bad)]) == 400


PROXIES = parse_networks(["10.0.0.0/8", "::1", " 192.168.1.1 "])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("8.8.8.8", b"1.1.1.1", "8.8.8.8"),  # not trusted itself
        ("10.0.0.1", b"1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", b"6.6.6.6, 1.1.1.1", "1.1.1.1"),  # the client made the first one up
        ("10.0.0.1", b"1.1.1.1, 10.0.0.2", "1.1.1.1"),  # two proxies
        ("10.0.0.1", b"1.1.1.1, unknown", "10.0.0.1"),
        ("10.0.0.1", b"1.1.1.1, unknown, 10.0.0.3", "10.0.0.3"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("10.0.0.1", b"10.0.0.9", "10.0.0.9"),
        ("::1", b"[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:10.0.0.1", b"1.1.1.1:80", "1.1.1.1"),
        ("fe80::1%eth0", b"1.1.1.1", "fe80::1%eth0"),
    ],
)
def test_the_client_is_the_first_from_the_right_that_nobody_trusts(peer, forwarded, client):
    """X-Forwarded-For is believed as far as trusted proxies wrote it, and no further."""
    found, _ = original((peer, 1), False, [(b"x-forwarded-for", forwarded)], PROXIES)
    assert found is not None
    assert found[0] == client


def test_the_scheme_is_the_nearest_proxys():
    """X-Forwarded-Proto counts from a trusted proxy only, and only where it names a scheme."""
    proxy, proto = ("10.0.0.1", 1), b"x-forwarded-proto"
    assert original(proxy, False, [(proto, b"http, https")], PROXIES) == (proxy, True)
    assert original(proxy, True, [(proto, b"ws")], PROXIES) == (proxy, False)
    assert original(proxy, True, [(proto, b"gopher")], PROXIES) == (proxy, True)
    stranger = ("8.8.8.8", 1)
    assert original(stranger, False, [(proto, b"https")], PROXIES) == (stranger, False)
    assert original(None, False, [(proto, b"https")], PROXIES) == (None, False)


def test_networks_come_from_the_settings():
    """An address is a network of one; anything else is told with the setting's name."""
    assert is_trusted("192.168.1.1", PROXIES)
    assert not is_trusted("192.168.1.2", PROXIES)
    with pytest.raises(SettingsError, match="trusted_proxies"):
        parse_networks(["proxy.local"])
