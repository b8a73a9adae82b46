"""Where data lives: what may be wrong with it is said before anything is served."""

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from clarion.clock import SystemClock
from clarion.errors import SettingsError, Unavailable
from clarion.storage import Store, open_store
from tests.support.ledger import APPEND, MIGRATIONS, Entry, lines


async def opened(data_dir: Path, url: str = "") -> Store:
    return await open_store(url=url, data_dir=data_dir, clock=SystemClock(), migrations=MIGRATIONS)


async def test_the_data_folder_is_private(tmp_path: Path) -> None:
    """The folder is 0700; the database, its log and its lock are 0600."""
    store = await opened(tmp_path / "a" / "data")
    await store.apply(APPEND, [Entry("t", "a", "1")])
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "a" / "data").iterdir()}
    await store.close()
    assert stat.S_IMODE((tmp_path / "a" / "data").stat().st_mode) == 0o700
    assert modes == dict.fromkeys(
        ("clarion.db", "clarion.db.lock", "clarion.db-wal", "clarion.db-shm"), 0o600
    )


async def test_data_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    """Closing leaves one file with everything in it."""
    store = await opened(tmp_path)
    await store.apply(APPEND, [Entry("t", "a", "1")])
    await store.close()
    assert set(os.listdir(tmp_path)) == {"clarion.db", "clarion.db.lock"}
    store = await opened(tmp_path)
    assert [line.id for line in await lines(store)] == ["1"]
    await store.close()


async def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    """Another process holds the data: one clear line that names it; when it has gone, even by kill -9, the data is free."""
    script = (
        "import asyncio, sys, pathlib\n"
        "from clarion.clock import SystemClock\n"
        "from clarion.storage import open_store\n"
        "async def main():\n"
        "    await open_store(data_dir=pathlib.Path(sys.argv[1]), clock=SystemClock())\n"
        "    print('open', flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    child = subprocess.Popen(  # noqa: ASYNC220  it is started at once
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with child:
        try:
            assert child.stdout is not None
            while "open" not in await asyncio.to_thread(child.stdout.readline):
                assert child.poll() is None
            who = rf"another Clarion server \(process {child.pid}\) uses data_dir"
            with pytest.raises(SettingsError, match=who):
                await opened(tmp_path)
        finally:
            child.kill()
    store = await open_store(data_dir=tmp_path, clock=SystemClock())
    with pytest.raises(SettingsError, match="another Clarion server"):
        await opened(tmp_path)
    await store.close()


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """One line: which folder, and why."""
    (tmp_path / "file").write_text("")
    with pytest.raises(
        SettingsError, match=r"data_dir .*/file/data cannot be written: Not a directory"
    ):
        await opened(tmp_path / "file" / "data")


async def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    """One line that names the file, and nothing is made of it."""
    await (await opened(tmp_path)).close()
    database = tmp_path / "clarion.db"
    content = bytearray(database.read_bytes())
    content[100:4096] = b"\xff" * 3996  # the page that says what tables there are
    database.write_bytes(content)
    with pytest.raises(SettingsError, match="cannot be used as a database"):
        await opened(tmp_path)
    assert database.read_bytes() == content


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """It is not overwritten, and the lock is given back."""
    database = tmp_path / "clarion.db"
    database.write_bytes(b"precious" * 1000)
    for _ in range(2):
        with pytest.raises(SettingsError, match="cannot be used as a database"):
            await opened(tmp_path)
    assert database.read_bytes() == b"precious" * 1000


async def test_an_sqlite_that_corrupts_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Releases before 3.51.3 have a bug that can corrupt a database in WAL mode."""
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(SettingsError, match=r"3\.51\.3 or newer"):
        await opened(tmp_path)


async def test_postgres_without_its_driver_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver is an optional extra."""
    for name in [name for name in sys.modules if name.startswith("clarion.storage.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(SettingsError, match=r'pip install "clarion\[postgres\]"'):
        await opened(tmp_path, "postgresql://localhost/x")


async def test_a_postgres_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    """Nothing listens: told as it is, without the URL (it may hold a password)."""
    with pytest.raises(Unavailable) as caught:
        await opened(tmp_path, f"postgresql://ann:secret@/x?host={tmp_path}")
    assert "secret" not in str(caught.value)


async def test_a_database_url_that_is_none_is_a_settings_error(tmp_path: Path) -> None:
    """What asyncpg cannot parse."""
    with pytest.raises(SettingsError, match="database_url"):
        await opened(tmp_path, "postgresql://localhost:notaport/x")
