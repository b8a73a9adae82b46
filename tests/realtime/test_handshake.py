"""What is kept of a client's first request."""

from clarion.realtime.handshake import make_handshake
from clarion.realtime.transports.head import Upgrade
from clarion.realtime.transports.request import Request
from tests.support.memory_transport import handshake

HEADERS = [
    (b"host", b"example.com"),
    (b"origin", b"https://example.com"),
    (b"cookie", b"a=1"),
    (b"x-forwarded-for", b"1.1.1.1"),
    (b"x-forwarded-for", b"2.2.2.2"),
    (b"sec-websocket-key", b"secret of the connection"),
    (b"connection", b"Upgrade"),
]


def test_a_handshake_says_what_node_says():
    """Headers, query, address, time, whether it is secure and from another site: as `socket.handshake` in Node."""
    target = b"/socket.io/?EIO=4&transport=websocket&room=a%20b&room=c&empty="
    request = Request.of_upgrade(Upgrade(target, HEADERS, ("192.0.2.7", 5000), True))
    made = make_handshake(request, now_ms=1_790_000_000_123)
    assert made.headers["cookie"] == "a=1"
    assert made.headers["x-forwarded-for"] == "1.1.1.1, 2.2.2.2"
    assert made.query == {"EIO": "4", "transport": "websocket", "room": "c", "empty": ""}
    assert made.address == "192.0.2.7"
    assert made.time.endswith(".123+00:00")
    assert made.secure
    assert made.xdomain
    assert made.auth == {}


def test_what_only_made_the_connection_is_forgotten():
    """Headers that say how the connection was made are not kept for its life."""
    request = Request.of_upgrade(Upgrade(b"/socket.io/", HEADERS, None, False))
    made = make_handshake(request, now_ms=0)
    assert set(made.headers) == {"host", "origin", "cookie", "x-forwarded-for"}
    assert made.address == ""
    assert made.query == {}


def test_a_program_names_no_origin():
    """Without an Origin header a request is not from another site."""
    assert not handshake(raw_headers=b"host:x\nx-origin:1").xdomain
    assert handshake(raw_headers=b"host:x\norigin:http://x").xdomain
    assert handshake(raw_headers=b"").headers == {}
