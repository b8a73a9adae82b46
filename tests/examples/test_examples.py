"""The examples, each run against a real server as a reader would run them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from clarion.client import Client
from tests.support.server import Server, await_port, free_port, running

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"
MODULES = ROOT / "clients" / "node_modules"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("examples")) as server:
        server.register("ann")
        yield server


def _at(server: Server, name: str, folder: Path) -> Path:
    """The example, with the address of this test's server."""
    copy = folder / Path(name).name
    copy.write_text((EXAMPLES / name).read_text().replace("http://127.0.0.1:8000", server.url))
    return copy


def _run(*command: str, **env: str) -> str:
    done = subprocess.run(
        command, env=os.environ | env, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_curl_example_is_accepted_and_repeatable(server: Server, tmp_path: Path) -> None:
    """Run twice, it has one effect and one answer: it carries an Idempotency-Key."""
    key = server.key("notifications:send")
    script = str(_at(server, "notify.sh", tmp_path))
    first, second = (_run("sh", script, CLARION_KEY=key) for _ in range(2))
    assert '"durability":"fsync"' in first
    assert first == second


def test_the_python_example_is_accepted(server: Server, tmp_path: Path) -> None:
    """It prints the id and the durability."""
    script = str(_at(server, "notify.py", tmp_path))
    out = _run(sys.executable, script, CLARION_KEY=server.key("notifications:send"))
    assert out.split()[1] == "fsync"


def test_the_invoice_example_reaches_whom_it_may(tmp_path: Path) -> None:
    """Kept and not sent; who is suppressed gets none."""
    with running(tmp_path, CLARION_DELIVERY="capture") as server:
        script = str(_at(server, "invoice.py", tmp_path))
        scopes = ("workflows:*", "notifications:send", "captures:read")
        out = _run(sys.executable, script, CLARION_KEY=server.key(*scopes))
    assert out.splitlines() == ["ann@example.com Invoice 17"]


def test_the_mention_example_runs_a_workflow(server: Server, tmp_path: Path) -> None:
    """It prints the workflow's version and the durability; twice is the same version."""
    script = str(_at(server, "mention.py", tmp_path))
    for _ in range(2):
        key = server.key("workflows:write", "notifications:send")
        assert _run(sys.executable, script, CLARION_KEY=key).split() == ["mention", "1", "fsync"]


def test_the_newsletter_reaches_its_readers(server: Server, tmp_path: Path) -> None:
    """It prints what was not taken of an import, and how far the send is; twice is the same, and one send."""
    script = str(_at(server, "newsletter.py", tmp_path))
    key = server.key("workflows:*", "notifications:send", "subscribers:*")
    for _ in range(2):
        out = _run(sys.executable, script, CLARION_KEY=key).splitlines()
        assert out[0] == "2 lines, 1 not taken:"
        assert out[1].startswith("  3 /email: ")
        assert out[2:] == ["done 2000 of 2000"]


def test_the_schedules_example_plans_ahead(server: Server, tmp_path: Path) -> None:
    """It prints what is to come, what was called off, and that what it has kept is paused; twice is the same."""
    script = str(_at(server, "schedules.py", tmp_path))
    for state in ("active", "paused"):
        key = server.key("workflows:*", "notifications:send")
        assert _run(sys.executable, script, CLARION_KEY=key).splitlines() == [
            "the first Monday and the last day of a month, at 09:00",
            f"weekly-report {state} {'09:00' if state == 'active' else '-'}",
            "to come at 2030-12-31T17:00:00Z",
            "called off: 1",
            "paused",
        ]


def test_the_customers_example_reaches_an_audience(server: Server, tmp_path: Path) -> None:
    """It prints who is reached, by what a function has built; twice is the same version."""
    key = server.key("workflows:*", "notifications:send", "subscribers:*")
    script = str(_at(server, "customers.py", tmp_path))
    for _ in range(2):
        assert _run(sys.executable, script, CLARION_KEY=key).splitlines() == [
            "customers: ann, ben",
            "accepted: renew version 1",
        ]


def test_the_events_example_counts_once(server: Server, tmp_path: Path) -> None:
    """What is told twice is counted once; and again when the script runs again."""
    key = server.key("workflows:write", "notifications:send", "events:write", "events:read")
    script = str(_at(server, "events.py", tmp_path))
    for _ in range(2):
        assert _run(sys.executable, script, CLARION_KEY=key) == "1 paid by 1\n"


def test_the_push_example_lists_devices_and_sends(server: Server, tmp_path: Path) -> None:
    """It prints the user's devices; what it says arrives in browsers is shown by tests/browser/test_push.py."""
    key = server.key("workflows:write", "notifications:send", "users:manage")
    with Client(server.url, key=key) as clarion:
        clarion.put_push_device("kim", fcm="a-token", label="phone")
        clarion.notify([{"id": "kim"}], title="so that kim is known")
    out = _run(sys.executable, str(EXAMPLES / "push/back_end.py"), server.url, key, "kim")
    assert out.startswith("fcm phone since 20")


def test_the_welcome_example_speaks_the_readers_language(server: Server, tmp_path: Path) -> None:
    """It prints what a German reads, by way of layout, plural and money; twice is the same."""
    script = str(_at(server, "welcome.py", tmp_path))
    for _ in range(2):
        key = server.key("workflows:*", "notifications:send")
        assert _run(sys.executable, script, CLARION_KEY=key).splitlines() == [
            "Willkommen, Ann",
            "Du hast 2 Gutscheine im Wert von €\xa012,50. Deine Acme",
            "fsync",
        ]


def test_the_preferences_example_says_why(server: Server, tmp_path: Path) -> None:
    """It prints what becomes of three mentions, and that a change of what was not read is refused; twice is the same."""
    script = str(_at(server, "preferences.py", tmp_path))
    for _ in range(2):
        key = server.key("workflows:*", "notifications:send", "subscribers:*")
        assert _run(sys.executable, script, CLARION_KEY=key).splitlines() == [
            "stale",
            "skip: user:/categories/social/email: not payload.urgent",
            "send: nothing is in its way",
            "skip: muted: payload.thread",
            "preferences",
        ]


def test_the_operators_example_finds_what_failed(server: Server, tmp_path: Path) -> None:
    """It prints why a text was not sent, sends it again, and counts."""
    script = str(_at(server, "operators.py", tmp_path))
    key = server.key("workflows:*", "notifications:send", "messages:*")
    assert _run(sys.executable, script, CLARION_KEY=key).splitlines() == [
        "ann queued step sms_1 failed there is no sms provider",
        "1: there is no sms provider",
        "1 sent again",
        "1 queued",
    ]


def test_the_activity_example_tells_who_did_what(server: Server, tmp_path: Path) -> None:
    """It prints what it says; twice is the same."""
    script = str(_at(server, "activity.py", tmp_path))
    for _ in range(2):
        out = _run(sys.executable, script, CLARION_KEY=server.key("topics:*"))
        assert sorted(out.splitlines()) == [
            "ann like photo:17 {'name': 'Ann Lee'}",
            "bob comment photo:17 {}",
        ]
        readers = str(_at(server, "readers.py", tmp_path))
        assert _run(sys.executable, readers, CLARION_KEY=server.key("topics:*")) == "{'like': 1}\n"


def test_the_presence_examples_see_who_is_here(tmp_path: Path) -> None:
    """A page enters, and sees itself come and type; a back end sees who is there, and nobody who is invisible."""
    settings = {"CLARION_PRESENCE_OPEN": "lobby", "CLARION_PRESENCE_TICK_S": "0.02"}
    with running(tmp_path, **settings) as server:
        (tmp_path / "node_modules").symlink_to(MODULES)
        script = _at(server, "presence.mjs", tmp_path)
        pages = []
        try:
            for name in ("bob", "cleo"):
                token = server.register(name)["access_token"]
                page = subprocess.Popen(
                    ["node", str(script)],
                    env=os.environ | {"CLARION_TOKEN": token},
                    stdout=subprocess.PIPE,
                    text=True,
                )
                pages.append(page)
                assert page.stdout is not None
                told = ""
                while not told.endswith(f"{name} typing\n"):
                    told = page.stdout.readline()
                    assert told
            key = server.key("presence:*", "topics:read")
            out = _run(sys.executable, str(_at(server, "presence.py", tmp_path)), CLARION_KEY=key)
        finally:
            for page in pages:
                page.kill()
                page.wait()
                assert page.stdout is not None
                page.stdout.close()
        assert out.splitlines()[:3] == ["ann offline []", "bob online ['']", "cleo offline []"]
        assert "bob is in the lobby: online" in out


def test_the_search_example_finds(server: Server, tmp_path: Path) -> None:
    """It prints what it says; twice is the same."""
    script = str(_at(server, "search.py", tmp_path))
    for _ in range(2):
        out = _run(sys.executable, script, CLARION_KEY=server.key("search:*"))
        assert "['Rédhot boot', 'Red shoe']" in out
        assert "{'title': ['Red ', 'shoe', '']}" in out


def test_the_live_search_example_stays_true(tmp_path: Path) -> None:
    """It prints what is there, then each change that its user may see: what enters, moves, leaves."""
    secret = "the application's secret, 32 bytes or more"
    login = {"CLARION_AUTH_JWT_SECRET": secret, "CLARION_AUTH_ISSUER": "app"}
    with running(tmp_path, **login) as server:
        key = server.key("search:*")
        claims = {
            "iss": "app",
            "aud": "clarion",
            "sub": "ann",
            "exp": 2**33,
            "topics": {"search:shoes": ["subscribe"]},
            "access": ["team:red"],
        }
        token = jwt.encode(claims, secret, "HS256")
        with Client(server.url, key=key) as clarion:
            clarion.put_collection("shoes", {"title": "text", "price": "number"})
            clarion.put_document("shoes", "a", {"title": "Red shoe", "price": 30})
            (tmp_path / "node_modules").symlink_to(MODULES)
            script = _at(server, "live_search.mjs", tmp_path)
            process = subprocess.Popen(
                ["node", str(script)],
                env=os.environ | {"CLARION_TOKEN": token},
                stdout=subprocess.PIPE,
                text=True,
            )
            assert process.stdout is not None
            try:
                assert process.stdout.readline() == "Red shoe (1)\n"
                boot = {"title": "Redder boot", "price": 20}
                clarion.put_document("shoes", "hidden", boot, access=["team:blue"])
                clarion.put_document("shoes", "b", boot, access=["team:red"])
                assert process.stdout.readline() == "Redder boot, Red shoe (2)\n"
                clarion.put_document("shoes", "a", {"title": "Red shoe", "price": 10})
                assert process.stdout.readline() == "Red shoe, Redder boot (2)\n"
                clarion.delete_document("shoes", "b")
                assert process.stdout.readline() == "Red shoe (1)\n"
                clarion.delete_collection("shoes")
            finally:
                process.kill()
                process.wait()
                process.stdout.close()


def test_the_timeline_example_sees_what_is_followed(tmp_path: Path) -> None:
    """What is there, then what happens in all streams that its user follows and may read."""
    secret = "the application's secret, 32 bytes or more"
    login = {"CLARION_AUTH_JWT_SECRET": secret, "CLARION_AUTH_ISSUER": "app"}
    claims = {
        "iss": "app",
        "aud": "clarion",
        "sub": "ann",
        "exp": 2**33,
        "topics": {"activity:user:*": ["subscribe"]},
    }
    env = {"CLARION_USER": "ann", "CLARION_TOKEN": jwt.encode(claims, secret, "HS256")}
    with (
        running(tmp_path, **login) as server,
        Client(server.url, key=server.key("topics:*")) as clarion,
    ):
        first = clarion.add_activity("user:bob", "bob", "post", "photo:17")
        for stream in ("user:bob", "user:eve", "secret"):
            clarion.follow("ann", stream)
        (tmp_path / "node_modules").symlink_to(MODULES)
        process = subprocess.Popen(
            ["node", str(_at(server, "timeline.mjs", tmp_path))],
            env=os.environ | env,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "bob post photo:17\n"
            clarion.add_activity("secret", "dan", "post", "plan:1")
            clarion.add_activity("user:eve", "eve", "like", "photo:17")
            assert process.stdout.readline() == "eve like photo:17, bob post photo:17\n"
            clarion.edit_activity("user:bob", first.activity.id, verb="share")
            assert process.stdout.readline() == "eve like photo:17, bob share photo:17\n"
            clarion.remove_activity("user:bob", first.activity.id)
            assert process.stdout.readline() == "eve like photo:17\n"
            clarion.unfollow("ann", "user:eve")
            assert process.stdout.readline() == "nothing\n"
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def test_the_feed_example_tells_what_is_new(tmp_path: Path) -> None:
    """Groups as they grow, and how many are new: none, once they were seen."""
    secret = "the application's secret, 32 bytes or more"
    login = {"CLARION_AUTH_JWT_SECRET": secret, "CLARION_AUTH_ISSUER": "app"}
    claims = {"iss": "app", "aud": "clarion", "sub": "ann", "exp": 2**33}
    env = {"CLARION_USER": "ann", "CLARION_TOKEN": jwt.encode(claims, secret, "HS256")}
    with (
        running(tmp_path, **login) as server,
        Client(server.url, key=server.key("topics:*")) as clarion,
    ):
        clarion.set_readers("notes:ann", users=["ann"])
        like = {"group": "{verb} {object}"}
        clarion.add_activity("notes:ann", "bob", "like", "photo:17", **like)
        (tmp_path / "node_modules").symlink_to(MODULES)
        process = subprocess.Popen(
            ["node", str(_at(server, "feed.mjs", tmp_path))],
            env=os.environ | env,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        lines = (line.rstrip() for line in process.stdout)
        try:
            assert (next(lines), next(lines)) == ("bob like photo:17", "1 new")
            for actor in ("eve", "dan"):
                clarion.add_activity("notes:ann", actor, "like", "photo:17", **like)
            while (said := (next(lines), next(lines))) != (
                "dan and 2 others like photo:17",
                "0 new",
            ):
                assert said[1] in {"0 new", "1 new"}
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def test_the_dashboard_example_is_watched(tmp_path: Path) -> None:
    """The viewer prints what is there, what is given, and what the source answers: itself."""
    (tmp_path / "examples").symlink_to(EXAMPLES)
    with running(tmp_path, "--app", "examples.dashboard.server:setup") as server:
        key = server.key("dashboards:*", "topics:*")
        (tmp_path / "node_modules").symlink_to(MODULES)
        script = str(_at(server, "dashboard/back_end.py", tmp_path))
        out = _run(sys.executable, script, CLARION_KEY=key)
        assert out.splitlines() == ["orders [[3], [1]]", "visitors 1"]
        process = subprocess.Popen(
            ["node", str(_at(server, "dashboard/watch.mjs", tmp_path))],
            env=os.environ | {"CLARION_TOKEN": key},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            first = [process.stdout.readline() for _ in range(4)]
            assert sorted(first) == [
                "Orders a minute: 3, 1\n",
                "Sales: 3 widgets\n",
                "Visitors: 1\n",
                "Watching now: 1\n",
            ]
            _run(sys.executable, script, CLARION_KEY=key)
            more = sorted(process.stdout.readline() for _ in range(2))
            assert more == ["Orders a minute: 3, 1\n", "Visitors: 2\n"]
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def test_the_browser_example_sees_the_inbox_live(server: Server, tmp_path: Path) -> None:
    """It prints the unread count, then the notification that comes."""
    token = server.post(
        "/v1/auth/login", {"username": "ann", "password": "correct horse battery"}
    ).json()["access_token"]
    (tmp_path / "node_modules").symlink_to(MODULES)
    script = _at(server, "inbox.mjs", tmp_path)
    process = subprocess.Popen(
        ["node", str(script)],
        env=os.environ | {"CLARION_TOKEN": token},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().strip().endswith("unread")
        body = {"recipients": ["ann"], "title": "Live, please"}
        assert (
            server.post(
                "/v1/notifications", body, token=server.key("notifications:send")
            ).status_code
            == 202
        )
        assert process.stdout.readline().startswith("added Live, please")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_chat_example_answers(tmp_path: Path) -> None:
    """Handlers of `--app` are served in namespace `/`: what one says the others hear, and the sender gets an ack."""
    script = """
import { io } from "socket.io-client";
const [ann, ben] = process.argv.slice(3).map((token) => io(process.argv[2], { auth: { token } }));
const heard = new Promise((ok) => ben.on("said", ok));
await Promise.all([ann, ben].map((s) => new Promise((ok) => s.on("connect", ok))));
const told = await Promise.all([ann.emitWithAck("say", "hello"), heard]);
console.log(told.map((each) => JSON.stringify(each)).join("\\n"));
process.exit(0);
"""
    (tmp_path / "node_modules").symlink_to(MODULES)
    (tmp_path / "chat.mjs").write_text(script)
    (tmp_path / "examples").symlink_to(EXAMPLES)
    with running(tmp_path, "--app", "examples.chat:setup") as server:
        tokens = [server.register(name)["access_token"] for name in ("ann", "ben")]
        out = _run("node", str(tmp_path / "chat.mjs"), server.url, *tokens)
    assert '{"ok":true}' in out
    assert '{"by":"ann","text":"hello"}' in out


def test_the_emitting_example_reaches_and_moves_a_user(tmp_path: Path) -> None:
    """Its events arrive, its room has the user's socket, and at the end the user is put out."""
    script = """
import { io } from "socket.io-client";
const socket = io(process.argv[2], { auth: { token: process.argv[3] } });
socket.onAny((...event) => console.log(JSON.stringify(event)));
socket.on("connect", () => console.log("connected"));
socket.on("disconnect", (reason) => console.log(reason));
"""
    (tmp_path / "node_modules").symlink_to(MODULES)
    (tmp_path / "listen.mjs").write_text(script)
    (tmp_path / "examples").symlink_to(EXAMPLES)
    with running(tmp_path, "--app", "examples.chat:setup") as server:
        token = server.register("ann")["access_token"]
        with subprocess.Popen(
            ["node", str(tmp_path / "listen.mjs"), server.url, token],
            stdout=subprocess.PIPE,
            text=True,
        ) as client:
            assert client.stdout is not None
            try:
                assert client.stdout.readline() == "connected\n"
                emit = str(_at(server, "emit.py", tmp_path))
                out = _run(sys.executable, emit, CLARION_KEY=server.key("realtime:*"))
                heard = client.stdout.read()  # put out, it has nothing more to do and ends
            finally:
                client.kill()
    assert "Room(name='doc/17', sockets=1)" in out
    assert "transport='websocket'" in out or "transport='polling'" in out
    assert heard.splitlines() == [
        '["build:finished",{"id":17}]',
        '["news","Maintenance at 8"]',
        "io server disconnect",
    ]


def test_the_admin_example_lets_its_page_in(tmp_path: Path) -> None:
    """A page of the origin that it names signs in and sees the server; one of another origin is refused."""
    script = """
import { io } from "socket.io-client";
const auth = { username: "admin", password: "a long password" };
const enter = (origin) => new Promise((ok) => {
  const options = { auth, extraHeaders: { origin }, transports: ["websocket"], forceNew: true, reconnection: false };
  const socket = io(process.argv[2] + "/admin", options);
  socket.on("server_stats", (stats) => ok(stats.namespaces.map(({ name }) => name)));
  socket.on("connect_error", (error) => ok(error.message));
});
console.log(JSON.stringify([await enter("https://admin.socket.io"), await enter("https://evil.example")]));
process.exit();
"""
    (tmp_path / "node_modules").symlink_to(MODULES)
    (tmp_path / "page.mjs").write_text(script)
    port = free_port()
    server = (EXAMPLES / "admin_page.py").read_text().replace("port=3000", f"port={port}")
    (tmp_path / "admin_page.py").write_text(server)
    with subprocess.Popen([sys.executable, str(tmp_path / "admin_page.py")]) as process:
        try:
            await_port(port, process)
            out = _run("node", str(tmp_path / "page.mjs"), f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
    assert json.loads(out) == [["/", "/admin"], "websocket error"]


def test_the_raw_example_echoes_and_ticks(tmp_path: Path) -> None:
    """Both kinds of handlers, reached by the `websockets` client on the port of everything else; the API beside them still answers."""
    (tmp_path / "examples").symlink_to(EXAMPLES)
    with running(tmp_path, "--app", "examples.raw_echo:setup") as server:
        base = server.url.replace("http", "ws")
        with connect(f"{base}/echo") as echo:
            for message in ("text", b"bytes"):
                echo.send(message)
                assert echo.recv() == message
        with connect(f"{base}/clock?every=0", subprotocols=[Subprotocol("ticks")]) as clock:
            assert clock.subprotocol == "ticks"
            assert list(clock) == [str(tick) for tick in range(10)]
        assert server.get("/livez").status_code == 200


def test_an_open_namespace_asks_for_no_token_and_others_still_do(tmp_path: Path) -> None:
    """`auth.open_namespaces` opens what it names; a bad token is refused there, too."""
    script = """
import { io } from "socket.io-client";
const [url] = process.argv.slice(2);
const heard = (socket) => new Promise((ok) => {
  socket.on("connect", () => ok("in"));
  socket.on("connect_error", (error) => ok(error.data.code));
});
console.log(await heard(io(url)));
console.log(await heard(io(url, { auth: { token: "nonsense" }, forceNew: true })));
console.log(await heard(io(url + "/clarion", { forceNew: true })));
process.exit(0);
"""
    (tmp_path / "node_modules").symlink_to(MODULES)
    (tmp_path / "open.mjs").write_text(script)
    with running(tmp_path, CLARION_AUTH_OPEN_NAMESPACES="/") as server:
        out = _run("node", str(tmp_path / "open.mjs"), server.url)
    assert out.split() == ["in", "unauthenticated", "unauthenticated"]
