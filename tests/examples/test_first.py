"""The tutorial, done as it is written: its files applied, its scripts run, on a server that keeps what it would send."""

import os
import subprocess
from pathlib import Path

from tests.support.command import command
from tests.support.server import running, until

ROOT = Path(__file__).parent.parent.parent
FIRST = ROOT / "examples" / "first"
SCOPES = ("workflows:*", "notifications:send", "subscribers:*", "users:manage")


def test_the_page_shows_the_files_that_are_run() -> None:
    """The workflow word for word, and the call that triggers it."""
    page = (ROOT / "docs/tutorials/first-notifications.md").read_text()
    assert (FIRST / "mention.yaml").read_text() in page
    assert (FIRST / "mention.sh").read_text().splitlines()[-1] in page
    assert all(f"--scope {scope}" in page.replace("'", "") for scope in SCOPES)


def test_a_mention_that_nobody_sees_becomes_a_push_and_an_email(tmp_path: Path) -> None:
    """With waits of a second; `why.sh` tells of the run, and what would become of an email."""
    (tmp_path / "first").mkdir()
    text = (FIRST / "mention.yaml").read_text()
    (tmp_path / "first/mention.yaml").write_text(text.replace("2s", "1s").replace("3s", "1s"))
    with running(tmp_path, CLARION_DELIVERY="capture") as server:
        env = {"CLARION_URL": server.url, "CLARION_KEY": server.key(*SCOPES)}
        applied = command("apply", str(tmp_path / "first"), env=env)
        assert applied.returncode == 0, applied.stderr

        def run(script: str) -> str:
            done = subprocess.run(
                ["sh", FIRST / script], env=os.environ | env, capture_output=True, text=True, timeout=30, check=False
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        assert '"durability":"fsync"' in run("mention.sh")
        reader = server.key("captures:read")
        until(lambda: len(server.get("/v1/captures", token=reader).json()["items"]) == 2)
        mail, push = server.get("/v1/captures", token=reader).json()["items"]
        assert push["content"]["title"] == "Cleo mentioned you"
        assert mail["content"]["subject"] == "1 unread, the newest from Cleo"
        assert "Cleo mentioned you: look at this" in mail["content"]["html"]
        told = run("why.sh")
        assert '"step":"bell"' in told
        assert '"verdict":"send"' in told
