"""The SQLite database copied while a server uses it, and a copy put in its place.

SQLite copies within one read, as any of the server's own: writers go on, and the copy is the state of one moment. Only this library
may do it: another one could begin the log anew at its end, which is the server's alone to do.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import apsw

from clarion.errors import SettingsError
from clarion.storage.core import as_error
from clarion.storage.disk import sync
from clarion.storage.open import DATABASE, lock

FORMER = f"{DATABASE}.former"
"""What a restored database took the place of."""


def back_up(data_dir: Path, to: Path) -> int:
    """Copy the database into a file that is not there yet (mode 0600), and sync it; returns its size in bytes.

    A server may run on the data, and writes meanwhile. Its log grows for as long as the copy takes.

    Raises:
        SettingsError: There is no database, the file exists, or its folder cannot be written.
        StorageFull: There is no room for the copy.
        Unavailable: The database cannot be read now.
    """
    source = data_dir / DATABASE
    if not source.exists():
        raise SettingsError(f"there is no database in {data_dir}: name the folder with --data-dir")
    if to.exists():
        raise SettingsError(f"{to} exists, and is left as it is: name another file")
    part = to.with_name(f"{to.name}.part")
    with _told(part), contextlib.ExitStack() as failed:
        os.close(_new(part))
        failed.callback(part.unlink, missing_ok=True)
        # Read only: to close the last connection of a writer would move the log into the database.
        db = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
        copy = apsw.Connection(str(part))
        with contextlib.closing(db), contextlib.closing(copy):
            db.set_busy_timeout(5_000)
            try:
                with copy.backup("main", db, "main") as work:
                    work.step(-1)
                copy.execute("PRAGMA journal_mode=DELETE")  # one file, whoever looks into it
            except apsw.Error as exc:
                raise as_error(exc, copy) from exc
        size = part.stat().st_size
        sync(part)
        part.rename(to)
        sync(to.parent)
        failed.pop_all()
    return size


def restore(data_dir: Path, file: Path) -> bool:
    """Put a copy of a database in place of the one in `data_dir`; returns whether there was one, which is `FORMER` then.

    Done by root, the files belong to who has the folder.

    Raises:
        SettingsError: A server runs on the data, the file is no database of Clarion's or is damaged, or the folder cannot be written.
    """
    _check(file)
    path, part, former = data_dir / DATABASE, data_dir / f"{DATABASE}.part", data_dir / FORMER
    with _told(data_dir), contextlib.ExitStack() as release:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock(path, release)
        release.callback(part.unlink, missing_ok=True)
        with open(_new(part), "wb") as copy, file.open("rb") as source:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        was_there = path.exists()
        if was_there:
            # The log belongs to the former one: beside another database it would destroy it.
            for end in ("-shm", "-wal", ""):
                Path(f"{former}{end}").unlink(missing_ok=True)
            for end in ("-wal", ""):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{path}{end}").rename(f"{former}{end}")
        for end in ("-shm", "-wal"):
            Path(f"{path}{end}").unlink(missing_ok=True)
        if os.geteuid() == 0:
            # Whoever runs the server must be able to open what root has put there.
            owner = data_dir.stat()
            for each in (part, Path(f"{path}.lock")):
                os.chown(each, owner.st_uid, owner.st_gid, follow_symlinks=False)
        part.rename(path)
        sync(data_dir)
    return was_there


def _check(file: Path) -> None:
    if not file.is_file():
        raise SettingsError(f"there is no file {file}")
    try:
        with contextlib.closing(apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            found = db.execute("PRAGMA quick_check(1)").fetchall()
            db.execute("SELECT 1 FROM schema_migration").fetchone()
    except apsw.Error as exc:
        raise SettingsError(f"{file} is no database of Clarion's: {exc}") from exc
    if found != [("ok",)]:
        raise SettingsError(f"{file} is damaged: {found[0][0]}")


def _new(part: Path) -> int:
    """A file that was not there (mode 0600): what stands at its place, left over or put there by somebody, is neither written to nor followed."""
    part.unlink(missing_ok=True)
    return os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise SettingsError(f"{path} cannot be written: {exc.strerror}") from exc
