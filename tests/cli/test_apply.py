"""`clarion apply`: files of YAML become the server's workflows, and every fault is told by file and line."""

import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from clarion.cli.written import read, yaml_of
from tests.support.command import command
from tests.support.server import Server, clarion, free_port

Run = Callable[..., "CompletedProcess[str]"]
EXAMPLES = Path(__file__).parents[2] / "examples" / "workflows"


class Repository:
    """A folder of workflows, and a server to apply it to."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.key = server.key("workflows:*", "notifications:send")
        self.reader = server.key("workflows:read")

    def apply(
        self, *arguments: str | Path, key: str = "", url: str = "", run: Run = command
    ) -> "CompletedProcess[str]":
        env = {"CLARION_URL": url or self._server.url, "CLARION_KEY": key or self.key}
        return run("apply", *map(str, arguments), env=env)

    def pull(self, *arguments: str | Path) -> "CompletedProcess[str]":
        env = {"CLARION_URL": self._server.url, "CLARION_KEY": self.reader}
        return command("pull", *map(str, arguments), env=env)

    def another(self, *scopes: str) -> str:
        return self._server.key(*scopes)

    def version(self, workflow: str) -> int:
        answer = self._server.get(f"/v1/workflows/{workflow}", token=self.key)
        return int(answer.json()["version"]) if answer.status_code == 200 else 0


@pytest.fixture(scope="module")
def repository(server: Server) -> Repository:
    return Repository(server)


def test_what_differs_is_shown_then_applied_once(repository: Repository, tmp_path: Path) -> None:
    """A dry run changes nothing and says so by its status; a second run makes no versions."""
    folder = tmp_path / "workflows"
    shutil.copytree(EXAMPLES, folder)
    dry = repository.apply(folder, "--dry-run")
    assert dry.returncode == 1, dry.stderr
    assert "+ mention  new" in dry.stdout
    assert repository.version("mention") == 0

    done = repository.apply(folder, run=clarion)
    assert (done.returncode, done.stderr) == (0, "")
    assert [repository.version(name) for name in ("welcome", "mention", "comments")] == [1, 1, 1]
    again = repository.apply(folder, "--dry-run")
    assert again.returncode == 0
    assert "nothing to change" in again.stdout

    mention = folder / "mention.yaml"
    mention.write_text(mention.read_text().replace("5m", "10m"))
    (folder / "welcome.yaml").unlink()
    done = repository.apply(folder, folder / ".." / "workflows" / "mention.yaml")
    assert done.returncode == 0
    told = [line.strip() for line in done.stdout.splitlines()]
    assert {"-- wait: 5m", "+- wait: 10m", "= comments  unchanged"} <= set(told)
    assert "? welcome  only on the server" in told
    assert [repository.version(name) for name in ("welcome", "mention", "comments")] == [1, 2, 1]


GOOD = "workflow: good\nsteps:\n  - inbox: {title: hello}\n"
BAD = {
    "tab": ("workflow: bad\nsteps:\n\t- wait: 5m\n", 3, "not YAML"),
    "open": ("workflow: bad\nsteps: [\n", 3, "not YAML"),
    "control": ("workflow: bad\nname: \x01\n", 2, "not YAML"),
    "alias": ("workflow: &a bad\nname: *a\n", 1, "aliases"),
    "tag": ("workflow: bad\nname: !!python/name:os.system x\n", 2, "tags"),
    "deep": ("workflow: bad\nsteps: " + "[" * 5_000, 2, "deeper"),
    "twice": ("workflow: bad\nname: a\nname: b\n", 3, "twice, first on line 2"),
    "documents": ("workflow: bad\n---\nworkflow: worse\n", 2, "one definition a file"),
    "nameless": ("name: bad\n", 1, "a definition is expected"),
    "number": ("name: x\ntemplate: 12\n", 2, "name is expected"),
    "list": ("- bad\n", 1, "a definition is expected"),
    "empty": ("", 1, "a definition is expected"),
    "huge": ("#" * 300_000, 1, "bytes"),
    "surrogate": ('workflow: bad\nname: "\\ud800"\n', 2, "surrogate"),
    "unquoted": ("workflow: bad\nname: {{ payload.x }}\n", 2, ""),
    "infinite": ("workflow: bad\nname: 1e999\n", 2, "too large"),
    "long": (f"workflow: bad\nname: {2**64}\n", 2, "too large"),
    "longer": (f"workflow: bad\nname: {'9' * 5_000}\n", 2, "too large"),
    "escape": ('workflow: bad\nname: "\\UFFFFFFFF"\n', 2, "too large"),
    "beyond": ('workflow: bad\nname: "\\U00110000"\n', 2, "too large"),
    "version": (f"%YAML 1.{'9' * 5_000}\n---\nworkflow: bad\n", 1, "too large"),
    "same": (GOOD, 1, "stands in"),
}


def test_plain_values_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    """Whole numbers of 64 bits keep every digit; what only looks like a number, a time or a yes is text."""
    given: dict[str, object] = {
        "1234567890123456789": 1_234_567_890_123_456_789,
        str(-(2**63)): -(2**63),
        str(2**64 - 1): 2**64 - 1,
        "1.5e3": 1_500.0,
        "True": True,
        "FALSE": False,
        "Null": None,
        "~": None,
        "tRUE": "tRUE",
        "on": "on",
        "10:30": "10:30",
        "2026-05-01": "2026-05-01",
        "1_000": "1_000",
        "'12'": "12",
        "'1e3'": "1e3",
        "'08'": "08",
        "'+.5'": "+.5",
        '"two\\n  lines "': "two\n  lines ",
    }
    file = tmp_path / "plain.yaml"
    file.write_text("workflow: x\nvalues:\n" + "".join(f"  - {each}\n" for each in given))
    for _ in range(2):
        found = read(file).data["values"]
        expected = [(type(each), each) for each in given.values()]
        assert [(type(each), each) for each in found] == expected
        file.write_text(yaml_of(read(file).data))  # what is written reads as the same


def test_files_that_cannot_be_read_are_told_all_at_once(
    repository: Repository, tmp_path: Path
) -> None:
    """By file and line; nothing of the good one is applied."""
    (tmp_path / "a.yaml").write_text(GOOD)
    for name, (text, _, _) in BAD.items():
        (tmp_path / f"bad-{name}.yml").write_text(text)
    (tmp_path / "latin.yaml").write_bytes(b"workflow: bad\nname: \xe9\n")
    done = repository.apply(tmp_path)
    assert done.returncode == 2
    told = done.stderr.splitlines()
    for name, (_, line, says) in BAD.items():
        [found] = [each for each in told if f"bad-{name}.yml:" in each.partition(" ")[0]]
        assert f"bad-{name}.yml:{line}: " in found
        assert says in found
    assert any("latin.yaml:2: not UTF-8" in each for each in told)
    assert told[-1] == f"clarion: nothing was applied: {len(BAD) + 1} faults"
    assert repository.version("good") == 0


def test_what_the_server_refuses_is_told_by_line(repository: Repository, tmp_path: Path) -> None:
    """Unknown members, missing ones, conditions: the server's rule, where it is broken in the file."""
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "unknown.yaml").write_text("workflow: unknown\nsteps:\n  - wait: 5m\ncolour: red\n")
    (tmp_path / "missing.yaml").write_text("workflow: missing\n")
    (tmp_path / "named.yaml").write_text("steps: [{wait: 1m}]\nworkflow: ../Bad\n")
    (tmp_path / "template.yaml").write_text(
        "template: words\nchannels:\n  inbox:\n    en: {title: x}\n    de: {titel: x}\n"
    )
    (tmp_path / "schedule.yaml").write_text(
        "schedule: s\ntrigger: {workflow: missing, everyone: true}\nwhen: {cron: soon}\n"
    )
    (tmp_path / "preferences.yaml").write_text(
        "preferences: defaults\ncategories:\n  a: {email: 'payload ='}\n"
    )
    (tmp_path / "mine.yaml").write_text("# me\npreferences: ann\n")
    (tmp_path / "steps.yaml").write_text(
        "workflow: steps\nsteps:\n  - wait: soon\n  - stop: nothing.read\n  - dance: now\n"
    )
    done = repository.apply(tmp_path)
    assert done.returncode == 2
    for place in (
        "unknown.yaml:4",
        "missing.yaml:1",
        "steps.yaml:3",
        "steps.yaml:4",
        "steps.yaml:5",
        "named.yaml:2",
        "template.yaml:5",
        "schedule.yaml:2",
        "preferences.yaml:3",
        "mine.yaml:2",
    ):
        assert f"{place}: " in done.stderr
    assert "is not known here (/colour)" in done.stderr
    assert repository.version("good") == 0


def test_a_refusal_or_no_answer_is_one_line(repository: Repository, tmp_path: Path) -> None:
    """No right, no key, no server, no address, no file: what is missing is said, without a trace."""
    (tmp_path / "good.yaml").write_text(GOOD)
    away = f"http://127.0.0.1:{free_port()}"
    for done, status, says in (
        (repository.apply(tmp_path, key=repository.reader), 1, "workflows:write"),
        (repository.apply(tmp_path, key="clk_nobody"), 1, ""),
        (repository.apply(tmp_path, url=away), 1, away),
        (repository.apply(tmp_path, "--check", key="clk_nobody"), 2, ""),
        (repository.apply(tmp_path, "--check", url=away), 2, away),
        (repository.apply(tmp_path, url="nowhere"), 2, "--url"),
        (repository.apply(tmp_path, url="http://a..b"), 2, "--url"),
        (repository.apply(tmp_path / "nothing"), 2, "there is no file"),
        (repository.apply("x" * 5_000), 2, "cannot be read"),
        (command("apply", str(tmp_path)), 2, "--key"),
    ):
        assert done.returncode == status
        [line] = done.stderr.splitlines()
        assert line.startswith("clarion: ")
        assert says in line


def test_another_server_is_told_apart(tmp_path: Path) -> None:
    """Whatever answers there with something else is named, not taken for an empty Clarion."""
    (tmp_path / "good.yaml").write_text(GOOD)
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n<p>!")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{other.getsockname()[1]}"
        done = command("apply", str(tmp_path), env={"CLARION_URL": url, "CLARION_KEY": "clk_x"})
        thread.join()
    assert (done.returncode, done.stderr) == (1, f"clarion: what answers on {url} is not Clarion\n")
