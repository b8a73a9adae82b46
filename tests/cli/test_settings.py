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
