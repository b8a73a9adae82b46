"""Clients on polling that take nothing of what is sent: memory stays within the marks, and they go by name."""

import asyncio
import json

import pytest

from clarion.realtime import Sent
from clarion.settings import Limits, Realtime
from clarion.telemetry import REGISTRY, spawn
from tests.support.raw_client import hang_up
from tests.support.raw_socketio import until, wired

SMALL = Limits(drain_s=0.1, close_s=1.0, egress_soft_bytes=16_384, egress_hard_bytes=65_536)


def breaches(limit: str) -> float:
    return REGISTRY.get_sample_value("clarion_limit_exceeded_total", {"limit": limit}) or 0.0


async def test_a_client_that_only_posts_is_closed_at_the_hard_mark():
    """Answers that nobody fetches wait up to `egress_hard_bytes`; then the session ends as slow, though it is alive and posts."""
    async with wired(limits=SMALL) as wire:
        wire.io.handle("q", lambda socket, text: text)
        client, reasons = await wire.polling(), []
        wire.io.handle("disconnect", lambda socket, reason: reasons.append(reason))
        await client.join()
        session = wire.io.find(client.sid)
        before, most = breaches("egress_hard_bytes"), 0
        body = "\x1e".join(f'42{n}["q","{"x" * 1_000}"]' for n in range(10))
        for _ in range(20):
            answer = await client.post(body)
            most = max(most, session.egress.waiting)
            if not session.is_open:
                break
        assert not session.is_open
        assert most <= SMALL.egress_hard_bytes
        assert breaches("egress_hard_bytes") == before + 1
        assert reasons == ["transport error"]
        assert session.egress.waiting == 0
        # It may still be told, and is then forgotten.
        assert (await client.get()).body in {b"1", b'{"code":1,"message":"Session ID unknown"}'}
        assert wire.io.sessions == 0
        assert answer.status in {200, 400}


async def test_a_client_that_never_polls_again_is_forgotten():
    """A session that was closed waits 5 s for its last words to be fetched, and no more; nothing keeps its memory."""
    async with wired(Realtime(ping_interval_s=0.1, ping_timeout_s=0.1), limits=SMALL) as wire:
        client = await wire.polling()
        await client.join()
        session = wire.io.find(client.sid)
        assert wire.io.of("/").volatile.emit("news") == 0, "nobody polls: dropped"
        wire.io.emit("news", "x" * 1_000)
        await until(lambda: wire.io.sessions == 0)
        assert session.egress.waiting == 0


async def test_a_poll_that_is_not_read_is_cut_off():
    """An answer that its client does not take ends with `stall_s`; what comes meanwhile is bounded, and the session ends."""
    limits = Limits(
        drain_s=0.1, close_s=1.0, stall_s=1.0, body_rate=1 << 30, head_s=2.0,
        egress_soft_bytes=16 << 20, egress_hard_bytes=40 << 20,
    )  # fmt: skip
    settings = Realtime(ping_interval_s=0.5, ping_timeout_s=0.5)
    async with wired(settings, limits=limits) as wire:
        client = await wire.polling()
        await client.join()
        session = wire.io.find(client.sid)
        for _ in range(30):
            wire.io.emit("big", "x" * 1_000_000)
        before = breaches("stall_s")
        head = b"GET " + client.target + b" HTTP/1.1\r\nHost: x\r\n\r\n"
        _, writer = await wire.raw.dial(head, limit=1_024)
        await until(lambda: session.egress.waiting == 0)  # all of it is the answer now
        await until(lambda: breaches("stall_s") == before + 1)
        await until(lambda: not session.is_open)
        await hang_up(writer)
        await until(lambda: wire.io.sessions == 0)


async def test_pongs_keep_a_session_but_cost_nothing():
    """A client may post pongs that nobody asked for: one deadline moves, no answer, task or timer comes of it."""
    async with wired(limits=SMALL) as wire:
        client = await wire.polling()
        await client.join()
        session = wire.io.find(client.sid)
        tasks = len(asyncio.all_tasks())
        for _ in range(5):
            assert (await client.post("\x1e".join(["3"] * 2_000))).body == b"ok"
        assert session.egress.waiting == 0
        assert len(wire.io.wheel) == 1
        await until(lambda: len(asyncio.all_tasks()) <= tasks)


@pytest.mark.parametrize("packet", [b"", b"4", b"3", b"6", b"2", b"x"])
async def test_a_body_of_tiny_packets_is_refused_before_it_is_split(packet):
    """CVE-2020-36048, CVE-2026-32689: a megabyte of separators or of tiny packets is counted, refused by name, and not served."""
    async with wired() as wire:
        heard = []
        wire.io.handle("disconnect", lambda socket, reason: heard.append(reason))
        client = await wire.polling()
        await client.join()
        before = breaches("packets_per_payload")
        body = (packet + b"\x1e") * (999_999 // (len(packet) + 1))
        assert (await client.post(body)).status == 400
        assert heard == ["parse error"]
        assert breaches("packets_per_payload") == before + 1


async def test_a_binary_body_left_open_is_answered():
    """CVE-2026-59725: an octet-stream whose body never comes gets its 400 at once, and its session ends."""
    async with wired() as wire:
        client = await wire.polling()
        head = b"POST " + client.target + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
        reader, writer = await wire.raw.dial(
            head + b"Content-Type: application/octet-stream\r\n\r\n"
        )
        async with asyncio.timeout(10):
            assert b" 400 " in await reader.readuntil(b"\r\n")
        await hang_up(writer)
        assert wire.io.sessions == 0


async def test_many_polls_of_one_session_end_it_once():
    """A storm of GETs: one is held and gets `1`, all others 400; nothing is left."""
    async with wired() as wire:
        client = await wire.polling()
        polls = [spawn(client.get(), name="poll") for _ in range(20)]
        answers = await asyncio.gather(*polls)
        assert sorted({a.status for a in answers}) == [200, 400]
        assert [a.body for a in answers if a.status == 200] == [b"1"]
        late = [json.loads(a.body)["code"] for a in answers if a.status == 400 and a.body]
        assert set(late) <= {1}
        assert wire.io.sessions == 0


async def test_emit_says_that_it_waits_for_a_poll():
    """`Sent.QUEUED` while no GET is held, `REFUSED` once the mark was passed."""
    async with wired(limits=SMALL) as wire:
        client = await wire.polling()
        await client.join()
        (socket,) = wire.io.of("/").sockets.values()
        outcomes = [socket.emit("e", "x" * 10_000) for _ in range(12)]
        assert outcomes[0] is Sent.QUEUED
        assert outcomes[-1] is Sent.REFUSED
