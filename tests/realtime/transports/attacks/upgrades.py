"""Upgrades to WebSocket: what is refused, what waits, and what stands behind one."""

from tests.realtime.transports.attacks.target import Target, attack
from tests.support.raw_client import GET, TEXT, frame, hang_up, statuses, upgrade


@attack
async def bytes_behind_the_upgrade_are_kept(target: Target) -> None:
    """A client need not wait for the 101 before it sends frames."""
    reader, writer = await target.dial(upgrade() + frame(TEXT, b"early"))
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(7) == b"\x81\x05early"
    await hang_up(writer)


@attack
async def big_frames_behind_the_upgrade_are_kept(target: Target) -> None:
    """However many."""
    frames = b"".join(frame(TEXT, b"%05d" % i * 700) for i in range(40))
    reader, writer = await target.dial(upgrade() + frames)
    await reader.readuntil(b"\r\n\r\n")
    assert (await reader.readexactly(40 * 3504))[-5:] == b"00039"
    await hang_up(writer)


@attack
async def connection_header_is_a_list(target: Target) -> None:
    """Firefox's `keep-alive, Upgrade` and two Connection headers are upgrades too."""
    assert await target.first_status(upgrade(connection=b"keep-alive, Upgrade")) == 101
    assert await target.first_status(upgrade(b"Connection: keep-alive\r\n")) == 101


@attack
async def wrong_upgrades_are_refused(target: Target) -> None:
    """Another path, a bad key, another version, another method: each has its answer, before anything is built."""
    assert await target.first_status(upgrade(path=b"/elsewhere")) == 404
    for key in (b"short", b"", b"!" * 24, b"A" * 1000):
        assert await target.first_status(upgrade(key=key)) == 400
    answer = await target.ask(upgrade(version=b"12"))
    assert statuses(answer) == [426]
    assert b"sec-websocket-version: 13" in answer
    assert await target.first_status(upgrade().replace(b"GET", b"POST")) == 405


@attack
async def non_ascii_handshake_gets_400(target: Target) -> None:
    """Headers of the WebSocket handshake are ASCII."""
    for name in (b"Key", b"Protocol", b"Extensions"):
        extra = b"Sec-WebSocket-" + name + b": caf\xc3\xa9\r\n"
        assert await target.first_status(upgrade(extra)) == 400


@attack
async def admission_can_refuse(target: Target) -> None:
    """The application says no before the 101, with its own body; a bug in it is 500 and tells nothing."""
    answer = await target.ask(upgrade(path=b"/socket.io/?refuse"))
    assert statuses(answer) == [400]
    assert b"content-type: application/json" in answer
    assert answer.endswith(b'{"code":0,"message":"Transport unknown"}')
    answer = await target.ask(upgrade(path=b"/socket.io/?raise"))
    assert statuses(answer) == [500]
    assert b"bug" not in answer


@attack
async def upgrade_waits_for_nobody(target: Target) -> None:
    """An upgrade behind a request that is still served is refused, and the answer before it stays whole."""
    answer = await target.ask(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" + upgrade())
    assert statuses(answer) == [200]
    assert answer.endswith(b"hello 0")


@attack
async def upgrade_behind_a_finished_request_is_fine(target: Target) -> None:
    """A connection that was used for HTTP may become a WebSocket."""
    reader, writer = await target.dial(GET + b"\r\n")
    await reader.readuntil(b"hello 0")
    writer.write(upgrade() + frame(TEXT, b"hi"))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    assert await reader.readexactly(4) == b"\x81\x02hi"
    await hang_up(writer)


@attack
async def compression_is_not_agreed(target: Target) -> None:
    """An offer of permessage-deflate is not taken up: no bomb can be inflated."""
    socket = await target.websocket(b"Sec-WebSocket-Extensions: permessage-deflate\r\n")
    assert b"extensions" not in socket.head.lower()
    await socket.hang_up()
