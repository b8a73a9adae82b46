"""Every hole that is known of the peers of this server, tried on ours: each test's docstring carries the ids.

What a claim says about time and memory is counted in calls and bytes (`tests/support/counting.py`). The text of an advisory:
`https://github.com/advisories/<GHSA id>`.
"""

import ast
import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from clarion import telemetry
from clarion.protocol.engineio import Transport as Kind
from clarion.realtime.client import ATTACHMENTS_S
from clarion.settings import Limits, Realtime
from clarion.telemetry import spawn
from tests.support.counting import calls, peak_bytes, tasks
from tests.support.memory_transport import MemoryClient, in_time, make_server, settle
from tests.support.raw_client import (
    CLOSE,
    CONTINUATION,
    TEXT,
    RawWebSocket,
    frame,
    hang_up,
    upgrade,
)
from tests.support.raw_socketio import QUERY, Spoken, Wire, until, wired

ROOT = Path(__file__).parents[2]

KNOWN = [
    "CVE-2020-36048", "GHSA-j4f2-536g-r55m", "CVE-2020-36049", "GHSA-xfhh-g9f5-x4m4", "CVE-2020-28481",
    "GHSA-fxwf-4rqh-v8g3", "CVE-2019-13611", "GHSA-j3jp-gvr5-7hwq", "CVE-2021-32640", "GHSA-6fc8-4gx4-v693",
    "GHSA-5v72-xg48-5rpm", "CVE-2024-37890", "GHSA-3h5v-q93c-6h6q", "CVE-2022-21676", "GHSA-273r-mgr4-v34f",
    "CVE-2022-41940", "GHSA-r7qp-cfhv-p84w", "CVE-2023-31125", "GHSA-q9mw-68c2-j6m5", "CVE-2022-2421",
    "GHSA-qm95-pgcg-qqfq", "CVE-2023-32695", "GHSA-cqmj-92xf-r6r9", "CVE-2024-38355", "GHSA-25hc-qcg6-38wj",
    "CVE-2026-33151", "GHSA-677m-j7p3-52f9", "CVE-2026-69185", "GHSA-2m8v-j782-fhvr", "CVE-2026-48804",
    "GHSA-5w7q-77mv-v69f", "CVE-2026-59725", "GHSA-r635-g3xr-vw7x", "GHSA-gr94-w7qr-f4j3", "CVE-2026-102600",
    "GHSA-wfpm-5gcm-94cg", "CVE-2026-102599", "GHSA-2gc4-cqfq-p2gv", "CVE-2026-48802", "GHSA-cgwc-pv48-fhj5",
    "CVE-2025-61765", "GHSA-g8c6-8fjj-2r4m", "CVE-2026-45736", "GHSA-58qx-3vcg-4xpx", "CVE-2026-48779",
    "GHSA-96hv-2xvq-fx4p", "CVE-2026-32689", "GHSA-628h-q48j-jr6q", "CVE-2026-32301", "CVE-2026-49998",
    "GHSA-g6vg-wj8f-48cj",
]  # fmt: skip


def docstrings() -> str:
    """What all tests promise."""
    trees = [
        ast.parse(text)
        for path in (ROOT / "tests").rglob("*.py")
        if "CVE-" in (text := path.read_text()) or "GHSA-" in text
    ]
    tests = [
        node
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return "\n".join(ast.get_docstring(node) or "" for node in tests)


def test_each_known_hole_has_a_test() -> None:
    """Every id of the list stands in the docstring of a test that tries it."""
    promised = set(re.findall(r"CVE-\d+-\d+|GHSA(?:-\w{4}){3}", docstrings()))
    assert [each for each in KNOWN if each not in promised] == []


async def connected(**more: Any) -> MemoryClient:
    """A client in `/`, on a server of its own."""
    client = MemoryClient(make_server(**more))
    await client.join()
    await client.hear()
    return client


# ── payloads ──
@pytest.mark.parametrize("body", [b"4\x1e" * 500_000, b"\x1e" * 1_000_000], ids=["4", "nothing"])
async def test_a_body_of_a_million_packets_costs_a_count(body: bytes) -> None:
    """CVE-2020-36048 GHSA-j4f2-536g-r55m, CVE-2026-32689 GHSA-628h-q48j-jr6q: tiny packets by the million are counted, not made."""
    client = MemoryClient(make_server(), Kind.POLLING)
    refused = telemetry.limit_exceeded.labels("packets_per_payload")
    before = refused.value
    session, via = client.session, client.transport
    assert calls(lambda: session.receive_payload(body, via)) < 500
    assert not session.is_open
    assert refused.value == before + 1
    again = MemoryClient(make_server(), Kind.POLLING)
    assert peak_bytes(lambda: again.session.receive_payload(body, again.transport)) < 3 * len(body)


async def test_packets_below_the_limit_cost_each_the_same() -> None:
    """CVE-2020-36048: ten times as many packets in a body are ten times the work."""
    few, many = (MemoryClient(make_server(), Kind.POLLING) for _ in range(2))
    once = calls(lambda: few.session.receive_payload(b"\x1e".join([b"6"] * 190), few.transport))
    ten = calls(lambda: many.session.receive_payload(b"\x1e".join([b"6"] * 1900), many.transport))
    assert ten < 11 * once


@pytest.mark.parametrize("text", ["42" + "9" * 10**6, "42/" + "x" * 10**6, "45" + "1" * 10**6])
async def test_long_heads_are_refused_unread(text: str) -> None:
    """CVE-2020-36049 GHSA-xfhh-g9f5-x4m4: a million digits or characters before the payload make no number and no name."""
    first, second = await connected(), await connected()
    assert calls(lambda: first.say(text)) < 500
    assert first.transport.closed is not None
    assert peak_bytes(lambda: second.say(text)) < 4 * len(text)


@pytest.mark.parametrize("brackets", ["[", '{"a":', "[[{}],"])
async def test_brackets_do_not_exhaust_the_stack(brackets: str) -> None:
    """A hundred thousand open brackets are refused before anything is parsed."""
    client = await connected()
    text = '42["e",' + brackets * 100_000
    assert peak_bytes(lambda: client.say(text)) < 10 * len(text)
    assert client.transport.closed is not None


# ── requests ──
async def test_pages_of_others_reach_nothing() -> None:
    """CVE-2020-28481 GHSA-fxwf-4rqh-v8g3, CVE-2019-13611 GHSA-j3jp-gvr5-7hwq: by default a foreign Origin gets 403 on each transport."""
    async with wired() as wire:
        for origin in (b"https://evil.example", b"null", b"http://x.evil.example", b"http://x:81"):
            header = b"Origin: " + origin + b"\r\nCookie: session=secret\r\n"
            answer = await wire.ask("GET", QUERY + b"polling", headers=header)
            assert answer.status == 403
            assert "access-control-allow-origin" not in answer.headers
            asked = upgrade(header, path=QUERY + b"websocket")
            assert await wire.raw.first_status(asked) == 403
        assert wire.io.sessions == 0


ODD_HEADERS = [
    (b"Sec-WebSocket-Protocol: a" + b" " * 20_000 + b"b\r\n", {101, 400}),
    (b"Sec-WebSocket-Protocol: " + b", " * 10_000 + b"\r\n", {101, 400}),
    (b"Sec-WebSocket-Protocol: a" + b" " * 100_000 + b"b\r\n", {431}),
    (b"Sec-WebSocket-Protocol: \xff\xfe\r\n", {101, 400}),
    (b"Sec-WebSocket-Extensions: constructor\r\n", {101}),
    (b'Sec-WebSocket-Extensions: __proto__; permessage-deflate="\r\n', {101, 400}),
    (b"Sec-WebSocket-Extensions: " + b";" * 20_000 + b"\r\n", {101, 400}),
    (b"".join(b"X-%d: 1\r\n" % n for n in range(2000)), {431}),
]


async def test_odd_headers_of_an_upgrade_are_answered() -> None:
    """CVE-2021-32640 GHSA-6fc8-4gx4-v693, GHSA-5v72-xg48-5rpm, CVE-2024-37890 GHSA-3h5v-q93c-6h6q: long, odd and too many."""
    async with wired() as wire:
        for header, allowed in ODD_HEADERS:
            status = await wire.raw.first_status(upgrade(header, path=QUERY + b"websocket"))
            assert status in allowed, header[:60]
        await is_alive(wire)


async def is_alive(wire: Wire) -> None:
    client = await wire.joined()
    client.say("3")
    assert wire.io.sessions >= 1


async def test_a_reserved_bit_behind_the_upgrade_closes_that_connection_alone() -> None:
    """CVE-2022-21676 GHSA-273r-mgr4-v34f: sent in one piece with the request; the process lives."""
    async with wired() as wire:
        for rsv in (1, 2, 4):
            sent = upgrade(path=QUERY + b"websocket") + frame(TEXT, b"40", rsv=rsv)
            reader, writer = await wire.raw.dial(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            client = Spoken(RawWebSocket(reader, writer, head))
            wire.spoken.append(client)
            while isinstance(heard := await client.hear(), str):
                assert heard.startswith("0{")
            assert heard == (CLOSE, 1002)
        await is_alive(wire)


async def test_resets_while_upgrades_are_refused_hurt_nobody() -> None:
    """CVE-2022-41940 GHSA-r7qp-cfhv-p84w: whoever hangs up in the middle of a refusal, or of a 101, is no error of ours."""
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: errors.append(what))
    async with wired() as wire:
        for path in (QUERY + b"websocket&sid=unknown", QUERY + b"abc", QUERY + b"websocket"):
            for wait_s in (0, 0, 0.001, 0.003):
                _, writer = await wire.raw.dial(upgrade(path=path))
                await asyncio.sleep(wait_s)
                await hang_up(writer)
        await until(lambda: not wire.io.sessions)
        await is_alive(wire)
    assert errors == []


BAD_QUERIES = [
    b"EIO=4&transport=abc", b"EIO=4&transport=__proto__", b"EIO=4&transport=constructor", b"EIO=4&transport=websocket&transport=x",
    b"EIO=4&EIO=4&transport=websocket", b"EIO=4&transport=websocket%00", b"EIO=%ff%fe&transport=websocket", b"EIO=4&transport=%",
    b"EIO[]=4&transport[]=websocket", b"EIO=4&transport=websocket&sid=__proto__", b"EIO=4&transport=websocket&sid=%00",
    b"EIO=4&transport=websocket&sid=" + b"a" * 20_000, b"&" * 20_000, b"EIO=4&transport=websocket&a=" + b"x" * 65_536,
]  # fmt: skip


async def test_bad_queries_of_an_upgrade_are_refused() -> None:
    """CVE-2023-31125 GHSA-q9mw-68c2-j6m5, GHSA-gr94-w7qr-f4j3, CVE-2026-102600 GHSA-wfpm-5gcm-94cg: 4xx, and nothing is made."""
    async with wired() as wire:
        for query in BAD_QUERIES:
            status = await wire.raw.first_status(upgrade(path=b"/socket.io/?" + query))
            assert 400 <= status < 500, query[:60]
            assert wire.io.sessions == 0
        await is_alive(wire)


async def test_a_binary_body_is_answered_before_it_has_come() -> None:
    """CVE-2026-59725 GHSA-r635-g3xr-vw7x: octet-stream, left open: 400 at once, and the session is gone."""
    async with wired() as wire:
        client = await wire.polling()
        head = (
            b"Host: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000\r\n\r\nhalf"
        )
        sent = b"POST " + client.target + b" HTTP/1.1\r\n" + head
        assert await wire.raw.first_status(sent) == 400
        assert wire.io.sessions == 0


async def test_an_upgrade_cannot_change_a_sessions_revision() -> None:
    """CVE-2026-102599 GHSA-2gc4-cqfq-p2gv: without EIO it is 400, and a ping of the client still ends a session of revision 4."""
    async with wired() as wire:
        client = await wire.polling()
        for query in (b"transport=websocket&sid=", b"EIO=3&transport=websocket&sid="):
            asked = upgrade(path=b"/socket.io/?" + query + client.sid.encode())
            assert await wire.raw.first_status(asked) == 400
        assert wire.io.find(client.sid).is_open
        await client.post("2")
        assert wire.io.find(client.sid) is None


# ── packets ──
@pytest.mark.parametrize(
    "text",
    [
        '451-["e",{"_placeholder":true,"num":"splice"}]', '451-["e",{"_placeholder":true,"num":"__class__"}]', '42[{"toString":"x"}]',
        '42[["e"]]', '42[{"__class__":1},1]', '45999999-["e"]', '4511-["e"]', '451.5-["e"]', '45-1-["e"]', '45NaN-["e"]', '451e1-["e"]',
        '450x1-["e"]', '45 1-["e"]', '450-["e"]',
    ],
)  # fmt: skip
async def test_packets_that_broke_others_are_refused(text: str) -> None:
    """CVE-2022-2421 GHSA-qm95-pgcg-qqfq, CVE-2023-32695 GHSA-cqmj-92xf-r6r9, CVE-2026-33151 GHSA-677m-j7p3-52f9.

    CVE-2026-69185 GHSA-2m8v-j782-fhvr: also counts that can never be reached.
    """
    client = await connected()
    client.say(text)
    assert client.transport.closed is not None


async def test_attachments_are_bounded_together() -> None:
    """CVE-2026-69185 GHSA-2m8v-j782-fhvr: all attachments of a packet have one bound of bytes, whatever each may have."""
    limits = Limits(max_payload_bytes=100_000, attachments=3)
    client = await connected(limits=limits)
    holes = ",".join(f'{{"_placeholder":true,"num":{n}}}' for n in range(3))
    client.say(f'453-["e",{holes}]', b"." * 100_000, b"." * 100_000)
    assert client.session.is_open
    client.say(b"." * 100_001)
    assert client.transport.closed is not None


@pytest.mark.parametrize(
    "name",
    ["error", "connection", "__init__", "__class__", "emit", "_go", "constructor", "toString"],
)
async def test_no_name_of_an_event_reaches_more_than_handlers(name: str) -> None:
    """CVE-2024-38355 GHSA-25hc-qcg6-38wj: without a listener it is answered as unknown, and nothing else happens."""
    client = await connected()
    client.say(f'427["{name}"]', f'42["{name}",1]')
    (answer,) = await client.hear()
    assert answer.startswith('437[{"error":{"code":"unknown_event"')
    assert client.session.is_open


@pytest.mark.parametrize(
    "name",
    ["disconnect", "disconnecting", "connect", "connect_error", "newListener", "removeListener"],
)
async def test_reserved_names_end_the_session(name: str) -> None:
    """CVE-2024-38355: a client can't call the listeners of what happens to its own socket."""
    client = MemoryClient(make_server())
    told: list[str] = []
    for event in ("disconnect", "disconnecting"):
        client.session._shared.of("/").handle(event, lambda socket, reason: told.append(reason))
    await client.join()
    client.say(f'42["{name}","forged"]')
    await settle()
    assert client.transport.closed is not None
    assert "forged" not in told


async def test_attachments_before_connect_are_not_kept() -> None:
    """CVE-2026-48804 GHSA-5w7q-77mv-v69f: who is in no namespace makes us keep nothing."""
    client = MemoryClient(make_server())
    client.say('451-["e",{"_placeholder":true,"num":0}]')
    assert client.transport.closed is not None


@pytest.mark.parametrize("how", ["lost", "late"])
def test_attachments_that_never_come_are_freed(how: str) -> None:
    """CVE-2026-48804 GHSA-5w7q-77mv-v69f: with the connection, or when their time is over."""

    async def scenario(_: Any) -> None:
        client = await connected()
        holes = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'
        client.say(f'452-["e",{holes}]', bytes(1_000_000))
        assert client.session._decoder.is_waiting
        if how == "lost":
            client.lose()
        else:
            await asyncio.sleep(ATTACHMENTS_S + 0.1)
        assert not client.session.is_open
        assert not client.session._decoder.is_waiting

    in_time(scenario)


# ── heartbeat and acks ──
@pytest.mark.parametrize("kind", list(Kind))
async def test_pongs_by_the_hundred_thousand_start_nothing(kind: Kind) -> None:
    """CVE-2026-48802 GHSA-cgwc-pv48-fhj5: one timer and no task, however many pongs come; each costs the same."""
    io = make_server()
    client = MemoryClient(io, kind)
    await settle()
    before = tasks()
    session, via = client.session, client.transport
    once = calls(lambda: session.receive("3", via))
    assert calls(lambda: [session.receive("3", via) for _ in range(1000)]) < 1100 * once
    for _ in range(100_000):
        session.receive("3", via)
    assert len(io.wheel) == 1
    assert tasks() == before
    assert session.is_open


async def test_an_ack_answers_once_and_only_its_own_question() -> None:
    """An id that is used again, was never given or belongs to another client answers nothing."""
    io = make_server()
    ada, bob = MemoryClient(io), MemoryClient(io)
    sid = await ada.join()
    await bob.join()
    question = spawn(io.of("/").sockets[sid].emit_with_ack("q"), name="question")
    (asked,) = await ada.hear()
    id = re.match(r"42(\d+)", asked)[1]
    bob.say(f'43{id}["forged"]', "43999[]", f'43{id}["again"]')
    ada.say("43999[]", f'43{id}["mine"]', f'43{id}["twice"]')
    assert await question == "mine"
    assert ada.session.is_open
    assert bob.session.is_open


async def test_a_client_may_use_an_id_again() -> None:
    """Ids of questions are the client's: the same one twice is answered twice, and nothing is kept of it."""
    client = await connected()
    client.session._shared.handle("q", lambda socket, n: n)
    client.say('425["q",1]', '425["q",2]')
    assert await client.hear() == ["435[1]", "435[2]"]


# ── what piles up ──
async def test_a_buffer_that_nobody_polls_is_bounded() -> None:
    """POSTs that keep a session alive do not let what waits for its GET grow: closed as slow at the hard mark."""
    limits = Limits(egress_soft_bytes=10_000, egress_hard_bytes=50_000)
    io = make_server(limits=limits)
    client = MemoryClient(io, Kind.POLLING)
    await client.join()
    client.transport.is_writable = False

    def flood() -> None:
        for _ in range(1000):
            io.emit("e", "." * 1000)
            client.session.receive_payload(b"3", client.transport)

    assert peak_bytes(flood) < 20 * limits.egress_hard_bytes
    await settle()
    assert not client.session.is_open


def test_namespaces_that_were_left_are_not_remembered_for_ever() -> None:
    """A client that goes in and out of namespaces of made-up names for hours is let do so, and leaves nothing behind."""

    async def scenario(_: Any) -> None:
        io = make_server(Realtime(ping_interval_s=10_000, ping_timeout_s=10_000))
        io.of(re.compile(r"/room-\d+"))
        client = MemoryClient(io)
        for number in range(1_000):
            client.say(f"40/room-{number},", f"41/room-{number},", f'42/room-{number},["late"]')
            await asyncio.sleep(1)
        assert client.session.is_open
        assert len(client.session._left) <= 100
        assert list(io.namespaces) == ["/"]

    in_time(scenario)


def test_orderly_closes_of_many_polls_leave_nothing() -> None:
    """A thousand sessions on polling, closed while nobody fetches: one timer, and all gone after 5 s."""

    async def scenario(_: Any) -> None:
        io = make_server()
        clients = [MemoryClient(io, Kind.POLLING) for _ in range(1000)]
        for client in clients:
            client.transport.is_writable = False
            client.session.drain()
        assert io.sessions == 1000
        await asyncio.sleep(5.2)
        assert io.sessions == 0
        assert len(io.wheel) == 0

    in_time(scenario)


async def test_fragments_by_the_thousand_are_refused() -> None:
    """CVE-2026-48779 GHSA-96hv-2xvq-fx4p: one-byte fragments are counted; above the limit 1009, with what came freed."""
    async with wired() as wire:
        client = await wire.joined()
        many = frame(CONTINUATION, b"x", fin=0) * 20_000
        client.socket.writer.write(frame(TEXT, b"4", fin=0) + many)
        assert await client.hear() == (CLOSE, 1009)
        await client.hang_up()
        await until(lambda: not wire.io.sessions)


async def test_a_close_says_what_it_was_told_to_say() -> None:
    """CVE-2026-45736 GHSA-58qx-3vcg-4xpx: a close frame has its code and its reason, and no byte of anything else."""
    async with wired() as wire:
        client = await wire.joined()
        wire.io.stop()
        (session,) = wire.io._sessions.values()
        session.drain()
        first, size = await client.socket.reader.readexactly(2)
        assert first == 0x88
        body = await client.socket.reader.readexactly(size)
        assert body == (3001).to_bytes(2, "big") + b"draining"


# ── what must not be there ──
UNPICKLING = {
    "pickle",
    "cPickle",
    "_pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "jsonpickle",
    "multiprocessing",
    "yaml",
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_nothing_is_unpickled() -> None:
    """CVE-2025-61765 GHSA-g8c6-8fjj-2r4m: no module imports what makes objects of bytes by running them; one reads YAML, as nodes, not as objects."""
    guilty = {
        path.name: bad
        for path in (ROOT / "src").rglob("*.py")
        if (bad := imports(path) & UNPICKLING)
    }
    assert guilty == {"written.py": {"yaml"}}
    reading = [path for path in (ROOT / "src").rglob("*.py") if path.name in guilty]
    nodes = [node for path in reading for node in ast.walk(ast.parse(path.read_text()))]
    calls = [ast.unparse(node) for node in nodes if isinstance(node, ast.Call)]
    used = {call.partition("(")[0] for call in calls if call.startswith("yaml.")}
    assert used == {"yaml.SafeLoader", "yaml.compose", "yaml.dump"}
    asked = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    assert not asked & {"get_data", "get_single_data", "construct_document", "construct_object"}
