"""`clarion send`: to those who are named, or a file of them; watched to the end, or called off half-way."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clarion.clock import SystemClock, as_datetime
from tests.support.command import command
from tests.support.server import Server, clean_environment, free_port

SCOPES = ("notifications:send", "workflows:*")
BELL = {"workflow": "bell", "steps": [{"inbox": {"title": "hello {{ payload.name }}"}}]}
BROKEN = {
    "workflow": "broken",
    "steps": [{"inbox": {"title": "{{ 1 // recipient.attributes.n }}"}}],
}
SLOW = {
    "workflow": "slow",
    "steps": [
        {"wait": "1d", "if": "recipient.attributes.n != 0"},
        {"inbox": {"title": "{{ 1 // recipient.attributes.n }}"}},
    ],
}


class Desk:
    """A server with workflows, and the command line beside it."""

    def __init__(self, server: Server) -> None:
        self.server, self.key = server, server.key(*SCOPES)
        self.env = {"CLARION_URL": server.url, "CLARION_KEY": self.key}
        for each in (BELL, BROKEN, SLOW):
            assert (
                server.put(f"/v1/workflows/{each['workflow']}", each, token=self.key).status_code
                == 200
            )

    def send(self, *arguments: str | Path, **env: str) -> "subprocess.CompletedProcess[str]":
        return command("send", *map(str, arguments), env=self.env | env)

    def progress(self, told: str) -> dict[str, object]:
        id = told.splitlines()[0].rpartition(" ")[2]
        return dict(self.server.get(f"/v1/triggers/{id}/progress", token=self.key).json())


@pytest.fixture(scope="module")
def desk(server: Server) -> Desk:
    return Desk(server)


def people(path: Path, count: int, name: str = "u", **more: object) -> Path:
    """A file of so many."""
    path.write_text("".join(json.dumps({"id": f"{name}{n}", **more}) + "\n" for n in range(count)))
    return path


def test_a_file_of_people_is_sent_to_once(desk: Desk, tmp_path: Path) -> None:
    """And to those who are named beside it; the same key again is the same send."""
    file = people(tmp_path / "people.ndjson", 1_500)
    arguments = ("bell", "--recipients", file, "--to", "u3", "--payload", '{"name": "you"}')
    done = desk.send(*arguments, "--idempotency-key", "may")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "done: 1,500/1,500"
    assert desk.progress(done.stdout)["total"] == 1_500
    again = desk.send(*arguments, "--idempotency-key", "may", "--detach")
    assert again.stdout.splitlines() == done.stdout.splitlines()[:1]
    some = desk.send("bell", "--filter", 'recipient.id == "u7"', "--to", "u8", "--exclude", "u9")
    assert "done: 2/2" in some.stdout, some.stderr


def test_a_table_or_the_standard_input_is_sent_to(desk: Desk, tmp_path: Path) -> None:
    """A row may go over several lines; what is wrong with one is told by the line that it begins on."""
    table = tmp_path / "people.csv"
    rows = 'id,name,attributes.plan\n"t-1","Ann\nfrom Berlin",pro\n\nt-2,,\n'
    table.write_text(rows)
    done = desk.send("bell", "--recipients", table)
    assert (done.returncode, done.stdout.splitlines()[-1][:9]) == (0, "done: 2/2"), done.stderr
    for given, arguments in ((rows, ("--format", "csv")), ('"t-1"\n{"id": "t-3"}\n"t-2"\n', ())):
        done = subprocess.run(
            [sys.executable, "-m", "clarion", "send", "bell", "--recipients", "-", *arguments],
            env=clean_environment(**desk.env), input=given, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"done: {given.count('t-')}/" in done.stdout
    for text, says in (
        (f"{rows}t-3,C\n", f"{table}:6: 2 cells"),
        (f"{rows}t-3,C\nt-4\n", f"{table}:6: 2 cells, the head has 3\n{table}:7: 1 cells"),
        (rows.replace("name", "email"), f"{table}:2: "),
        ("name\nAnn\n", f"{table}:1: "),
        ('id\n"open\n', f"{table}:2: "),
        ("id\n", "nobody stands in"),
    ):
        table.write_text(text)
        done = desk.send("bell", "--recipients", table, "--to", "zoe")
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert says in done.stderr
    assert desk.send("bell", "--recipients", table, "--format", "xls").returncode == 2


def test_failures_are_told_by_reason(desk: Desk, tmp_path: Path) -> None:
    """How many, why, and by the exit status."""
    done = desk.send(
        "broken", "--recipients", people(tmp_path / "p", 7, "broken", attributes={"n": 0})
    )
    assert done.returncode == 1
    assert "7 failed" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("  7 × ")


def test_ctrl_c_calls_off_what_has_not_happened(desk: Desk, tmp_path: Path) -> None:
    """Once: it says how far it was, which a bar has shown until then, with the reasons of failures."""
    file = people(tmp_path / "people.ndjson", 40, "waiting")
    with file.open("a") as more:
        more.write('{"id": "x", "attributes": {"n": 0}}\n')
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "clarion", "send", "slow", "--recipients", str(file)],
        env=clean_environment(**desk.env, TERM="xterm", COLUMNS="120"),
        stdout=subprocess.PIPE,
        stderr=end,
        text=True,
    )
    os.close(end)
    assert process.stdout is not None
    first = process.stdout.readline()
    shown = ""
    while not ("1/41" in shown and "1 × " in shown):
        assert len(shown) < 20_000, shown
        shown += os.read(terminal, 65_536).decode(errors="replace")
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=30)[0]
    os.close(terminal)
    assert process.returncode == 130
    assert "called off: done with 0 of 41, 1 failed" in rest
    assert "not finished: 40 runs" in rest
    assert desk.progress(first)["state"] == "cancelled"


def test_a_send_on_its_way_is_steered(desk: Desk, tmp_path: Path) -> None:
    """Paused, resumed, watched, called off; Ctrl-C while it is watched leaves it alone."""
    sent = desk.send("slow", "--recipients", people(tmp_path / "p", 5, "later"), "--detach")
    trigger = sent.stdout.split()[-1]

    def steer(*arguments: str) -> str:
        done = command("triggers", *arguments, env=desk.env)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert steer("pause", trigger).startswith("paused: 0/")
    assert desk.progress(sent.stdout)["state"] == "paused"
    assert steer("resume", trigger).startswith("running: 0/")
    terminal, end = pty.openpty()
    watching = subprocess.Popen(
        [sys.executable, "-m", "clarion", "triggers", "watch", trigger],
        env=clean_environment(**desk.env, TERM="xterm", COLUMNS="120"),
        stdout=subprocess.PIPE, stderr=end, text=True,
    )  # fmt: skip
    os.close(end)
    shown = ""
    while "0/5" not in shown:
        shown += os.read(terminal, 65_536).decode(errors="replace")
    watching.send_signal(signal.SIGINT)
    assert "running: 0/5" in watching.communicate(timeout=30)[0]
    os.close(terminal)
    assert watching.returncode == 130
    assert desk.progress(sent.stdout)["state"] == "running"
    told = steer("cancel", trigger).splitlines()
    assert told == ["called off: done with 0 of 5", "  not finished: 5 runs"]
    assert steer("cancel", trigger) == "over already: nothing was called off"
    over = command("triggers", "watch", trigger, env=desk.env)
    assert (over.returncode, over.stdout.split(":")[0]) == (1, "cancelled"), over.stderr
    for verb in ("watch", "pause", "resume", "cancel"):
        done = command("triggers", verb, "nothing", env=desk.env)
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        [line] = done.stderr.splitlines()
        assert "nothing" in line


def test_a_send_for_later_is_not_waited_for(desk: Desk) -> None:
    """It says when it begins."""
    year = as_datetime(SystemClock().now_ms()).year + 1
    at = f"{year}-12-24T18:00"
    done = desk.send("bell", "--everyone", "--at", at, "--zone", "Europe/Berlin")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"it begins at {year}-12-24T17:00")


def test_what_is_wrong_with_a_file_is_told_by_line(desk: Desk, tmp_path: Path) -> None:
    """Before anything is sent, by what is no JSON here, or by the server's rules; nobody gets anything."""
    file = tmp_path / "people.ndjson"
    for text, status, says in (
        (b'"ann"\n\n{', 2, f"{file}:3: not JSON"),
        (b'"ann"\n"\xe9"\n', 2, f"{file}:2: not JSON"),
        (b'"ann"\n7\n', 2, f"{file}:2: "),
        (b'7\n"ann"\n{\n', 2, f"{file}:3: not JSON"),
        (b"[" * 100_000, 2, f"{file}:1: "),
        (b" \n\n", 2, "nobody stands in"),
        (b'"' + b"a" * (1 << 20) + b'"', 2, f"{file}:1: longer"),
        (b'"ann"\n\n{"id": "b", "email": "nowhere"}\n', 2, f"{file}:3: "),
        (b'{"id": "b", "colour": "red"}\n', 2, f"{file}:1: "),
        (b'{"id": "b", "id": "c"}\n', 1, "twice"),
        (b"name,id\nAnn,ann\n", 2, "looks like a table: give --format csv"),
    ):
        file.write_bytes(text)
        done = desk.send("bell", "--recipients", file, "--to", "zoe")
        assert done.returncode == status, done.stderr
        assert says in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""


def test_a_refusal_is_one_line(desk: Desk, tmp_path: Path) -> None:
    """No name, no payload, no workflow, no right, no server."""
    writer = desk.server.key("notifications:send")
    for done, status, says in (
        (desk.send("bell"), 2, "nobody is named"),
        (desk.send("bell", "--to", "a", "--payload", "[1]"), 2, "--payload"),
        (desk.send("bell", "--to", "a", "--payload", "[" * 9_000), 2, "--payload"),
        (desk.send("bell", "--recipients", tmp_path), 2, "there is no file"),
        (desk.send("nothing", "--to", "ann"), 1, "nothing"),
        (desk.send("bell", "--to", "ann", "--at", "soon"), 1, "no time"),
        (desk.send("bell", "--to", "ann", "--to", "who"), 1, "/recipients/1: who is not known"),
        (desk.send("bell", "--to", "ann", CLARION_KEY=writer), 1, "--detach"),
        (desk.send("bell", "--to", "a", CLARION_URL=f"http://127.0.0.1:{free_port()}"), 1, "no answer"),
    ):  # fmt: skip
        assert done.returncode == status, done.stderr
        [line] = done.stderr.splitlines()
        assert line.startswith("clarion: ")
        assert says in line
    assert desk.send("bell", "--everyone", "--detach", CLARION_KEY=writer).returncode == 0
