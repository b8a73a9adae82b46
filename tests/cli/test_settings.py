"""`clarion settings`: every setting, its value, its source."""

from pathlib import Path

from clarion.settings import fields
from tests.support.server import clarion


def test_each_setting_is_printed_with_its_source(tmp_path: Path) -> None:
    """One line a setting; what was set says by what."""
    (tmp_path / "clarion.toml").write_text("[limits]\nrooms = 7\n")
    done = clarion(
        "settings", "--port", "9000", env={"CORS_ORIGIN": "https://a.example"}, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert all(field.key in lines for field in fields())
    assert "flag --port" in lines["port"]
    assert "clarion.toml" in lines["limits.rooms"]
    assert "CORS_ORIGIN" in lines["allowed_origins"]
    assert "default" in lines["host"]


def test_secrets_are_not_printed(tmp_path: Path) -> None:
    """That they are set is said, not what they are."""
    secret = "s3cret-" * 6
    env = {
        "CLARION_AUTH_JWT_SECRET": secret,
        "CLARION_AUTH_ISSUER": "me",
        "REDIS_HOST": "r",
        "REDIS_PASSWORD": "hunter2",
    }
    done = clarion("settings", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "(set, not shown)" in done.stdout
    assert secret not in done.stdout
    assert "hunter2" not in done.stdout


def test_those_of_a_part_are_printed_alone(tmp_path: Path) -> None:
    """A part, or one of them; what there is not is said."""
    done = clarion("settings", "events", "limits.rooms", "--limits.rooms", "7", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    wanted = [f.key for f in fields() if f.section == "events" or f.key == "limits.rooms"]
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == wanted
    done = clarion("settings", "limits.roms", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "limits.roms" in done.stderr
