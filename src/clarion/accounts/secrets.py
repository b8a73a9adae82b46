"""The server's own secrets: made once, at the first start, and kept in `<data_dir>/secrets.json`.

There is no secret with a default (it would be known to everybody), and no setting for these: nothing outside has to know them.
Deleting the file makes new ones: then all access tokens end, and clients refresh.
"""

import os
import stat
from pathlib import Path

import msgspec
from msgspec import Struct

from clarion.errors import SettingsError
from clarion.ids import Ids
from clarion.storage.disk import sync

FILE = "secrets.json"
_TOKEN_SECRET_BYTES = 32


class Secrets(Struct, frozen=True):
    """What nobody else may know; never shown."""

    token_secret: str
    """Signs our access tokens."""

    def __repr__(self) -> str:
        return "Secrets(…)"


def load_secrets(data_dir: Path, ids: Ids) -> Secrets:
    """Read the secrets, or make them where there are none. Blocks for a moment: to be called before the server serves.

    Args:
        data_dir: Made (mode 0700) where it is missing.
        ids: Source of the secrets.

    Raises:
        SettingsError: The file cannot be read or written, is not ours, or others may read it.
    """
    path = data_dir / FILE
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _write(path, Secrets(token_secret=ids.token(_TOKEN_SECRET_BYTES)), ids)
        return _read(path)
    except OSError as exc:
        raise SettingsError(f"{path}: {exc.strerror}") from exc


def _read(path: Path) -> Secrets:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise SettingsError(
                f"{path} has mode {mode:04o}, so others on this machine may know what is in it. Delete it (clients will "
                f"sign in again by themselves), or, if nobody else could read it: chmod 600 {path}"
            )
        data = file.read()
    try:
        secrets = msgspec.json.decode(data, type=Secrets)
    except msgspec.DecodeError:
        # Without the cause: it could quote the content.
        raise SettingsError(
            f"{path} is damaged. Delete it: a new one is made at the start"
        ) from None
    return secrets


def _write(path: Path, secrets: Secrets, ids: Ids) -> None:
    """Under a name of its own first: the file is there whole, or not at all."""
    part = path.with_name(f"{FILE}.{ids.token(6)}")
    try:
        # O_EXCL: whatever stands there already is not ours. The mode is given at birth; later would be too late.
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(msgspec.json.encode(secrets))
            file.flush()
            os.fsync(fd)
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    sync(path.parent)  # without it a power cut could take all tokens
