"""`clarion backup` and `clarion restore`: the SQLite database as one file. PostgreSQL has its own tools for it."""

import sys
from pathlib import Path

from clarion.cli.flags import Config, Flags, read
from clarion.cli.keys import DataDir
from clarion.errors import SettingsError


def backup(file: Path, /, *, data_dir: DataDir = None, config: Config = None) -> None:
    """Copy the SQLite database into a file: the state of one moment, while the server goes on or does not run.

    The secret that signs access tokens is not in it: keep `secrets.json` of the data folder elsewhere, or everybody signs in anew.

    Args:
        file: It must not be there yet.
    """
    from clarion.storage import back_up  # here: the database is not needed for --help

    size = back_up(_folder(data_dir, config), file)
    print(f"{file}: {size:,} bytes")


def restore(file: Path, /, *, data_dir: DataDir = None, config: Config = None) -> None:
    """Put a copy in place of the SQLite database, which is kept as `clarion.db.former`. The server must not run.

    What was due when the copy was made is due again: it may be sent a second time.

    Args:
        file: As `clarion backup` wrote it.
    """
    from clarion.storage import FORMER
    from clarion.storage import restore as put_back

    folder = _folder(data_dir, config)
    if put_back(folder, file):
        print(f"the former database is {folder / FORMER}", file=sys.stderr)
    print(f"restored {file} into {folder}")


def _folder(data_dir: Path | None, config: Path | None) -> Path:
    given = Flags(data_dir=str(data_dir)) if data_dir else None
    settings = read(given, config).settings
    if settings.database_url:
        raise SettingsError(
            "the data is in PostgreSQL (database_url): pg_dump and pg_restore copy it, see docs/how-to/operate.md"
        )
    return Path(settings.data_dir).absolute()
