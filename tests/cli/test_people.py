"""`clarion import` and `clarion export subscribers`: in from a file, and out as one."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.command import command
from tests.support.server import Server, clarion, clean_environment, free_port


def test_people_come_in_from_a_file_and_go_out_as_one(server: Server, tmp_path: Path) -> None:
    """Lines that are not taken are told by number; what goes out is what an import takes; a refusal is one line."""
    key = server.key("subscribers:*")
    env = {"CLARION_URL": server.url, "CLARION_KEY": key}
    assert server.put("/v1/audiences/vip", {}, token=key).status_code < 300
    table = tmp_path / "people.csv"
    rows = [f"u{n},u{n}@example.org\n" for n in range(2_000)]
    table.write_text("id,email\n" + "".join(rows) + "x,nowhere\n")
    done = clarion("import", str(table), "--audience", "vip", env=env)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{table}:2002: ")
    assert "done: 2,001/2,001" in done.stdout
    assert "1 failed" in done.stdout

    out = command("export", "subscribers", "--audience", "vip", env=env)
    assert (out.returncode, out.stderr) == (0, "")
    assert len(out.stdout.splitlines()) == 2_000
    lines = tmp_path / "people.ndjson"
    lines.write_text(out.stdout)
    again = command("import", str(lines), env=env)
    assert (again.returncode, again.stderr) == (0, "")
    assert json.loads(out.stdout.splitlines()[0])["email"] == "u0@example.org"

    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "clarion", "export", "subscribers"],
        env=clean_environment(**env),
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert done.stderr == "clarion: the output cannot be written: Broken pipe\n"

    reader = server.key("subscribers:read")
    away = f"http://127.0.0.1:{free_port()}"
    for given, more, status in (
        (["import", str(tmp_path / "people.xls")], {}, 2),
        (["import", str(tmp_path / "none.csv")], {}, 2),
        (["import", str(lines)], {"CLARION_KEY": reader}, 1),
        (["export", "subscribers", "--format", "xml"], {}, 1),
        (["export", "subscribers", "--filter", "1 +"], {}, 1),
        (["export", "subscribers"], {"CLARION_URL": away}, 1),
    ):
        done = command(*given, env=env | more)
        assert (done.returncode, done.stdout) == (status, "")
        [line] = done.stderr.splitlines()
        assert line.startswith("clarion: ")
