"""The secrets file: made once, for our eyes only."""

import os
import stat
from pathlib import Path

import pytest

from clarion.accounts import Secrets, load_secrets
from clarion.accounts import secrets as module
from clarion.errors import SettingsError
from clarion.ids import Ids


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """The next start reads what the first one wrote; another folder has others."""
    first = load_secrets(tmp_path / "a", Ids())
    assert load_secrets(tmp_path / "a", Ids()) == first
    assert load_secrets(tmp_path / "b", Ids()) != first
    assert len(first.token_secret.encode()) >= 32


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_nobody_else_can_read_them(tmp_path: Path, umask: int) -> None:
    """File 0600, folder 0700, whatever the umask lets through; no half-written file stays beside it."""
    former = os.umask(umask & 0o077)
    try:
        load_secrets(tmp_path / "data", Ids())
    finally:
        os.umask(former)
    file = tmp_path / "data" / "secrets.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o666, 0o610])
def test_a_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    """The message says what to do and nothing of what is in it."""
    secrets = load_secrets(tmp_path, Ids())
    file = tmp_path / "secrets.json"
    file.chmod(mode)
    with pytest.raises(SettingsError, match="chmod 600") as caught:
        load_secrets(tmp_path, Ids())
    assert secrets.token_secret not in str(caught.value)
    file.chmod(0o600)
    assert load_secrets(tmp_path, Ids()) == secrets


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"token_secret": 1}', b'{"token_secret": "canary', b"\xff"]
)
def test_a_damaged_file_is_refused_without_being_quoted(tmp_path: Path, content: bytes) -> None:
    """It is not replaced in silence either: somebody should know."""
    file = tmp_path / "secrets.json"
    file.touch(0o600)
    file.write_bytes(content)
    with pytest.raises(SettingsError, match="damaged") as caught:
        load_secrets(tmp_path, Ids())
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert file.read_bytes() == content


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "data").touch()
    with pytest.raises(SettingsError, match="data"):
        load_secrets(tmp_path / "data", Ids())


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full: no file, no rest of one, and the next start begins anew."""

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", full)
        with pytest.raises(SettingsError, match="No space left"):
            load_secrets(tmp_path, Ids())
    assert list(tmp_path.iterdir()) == []
    load_secrets(tmp_path, Ids())


def test_secrets_do_not_show_themselves(tmp_path: Path) -> None:
    """Not in a log line, not in a traceback."""
    secrets = load_secrets(tmp_path, Ids())
    assert secrets.token_secret not in repr(secrets)
    assert secrets.token_secret not in f"{[secrets]}"
    assert Secrets(token_secret="a") != Secrets(token_secret="b")
