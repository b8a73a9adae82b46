"""`clarion backup` and `clarion restore`: what was answered before a copy is in it, and nothing is overwritten by mistake."""

import os
import threading
from pathlib import Path

import apsw
import pytest

from tests.support.command import command
from tests.support.server import Server, running


def _run(folder: Path, *arguments: str, code: int = 0, **settings: str) -> str:
    env = {"CLARION_DATA_DIR": str(folder / "data")} | settings
    name, file = arguments
    done = command(name, str(folder / file), env=env)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def _notify(server: Server, key: str, title: str) -> None:
    body = {"recipients": ["ann"], "title": title}
    assert server.post("/v1/notifications", body, token=key).status_code == 202


def test_a_copy_of_a_busy_server_takes_the_place_of_what_came_later(tmp_path: Path) -> None:
    """What was answered before is there after the restart, keys too; what came later is not, and is kept beside."""
    with running(tmp_path) as server:
        key = server.key("notifications:send")
        server.register("ann")
        for n in range(20):
            _notify(server, key, f"before {n}")
        is_over = threading.Event()

        def go_on() -> None:
            while not is_over.is_set():
                _notify(server, key, "beside")

        writer = threading.Thread(target=go_on)
        writer.start()
        try:
            assert "copy.db" in _run(tmp_path, "backup", "copy.db")
        finally:
            is_over.set()
            writer.join()
        _notify(server, key, "later")
        assert "another Clarion server" in _run(tmp_path, "restore", "copy.db", code=2)
        server.kill()  # its log stays: it must not be taken for that of the copy
        assert "clarion.db.former" in _run(tmp_path, "restore", "copy.db")
        titles = _stored(tmp_path / "data/clarion.db")
        assert {f"before {n}" for n in range(20)} <= titles
        assert "later" not in titles
        assert "later" in _stored(tmp_path / "data/clarion.db.former")
        server.start()
        _notify(server, key, "goes on")


def _stored(path: Path) -> set[str]:
    db = apsw.Connection(str(path))
    try:
        return {title for (title,) in db.execute("SELECT title FROM notification")}
    finally:
        db.close()


def test_nothing_is_overwritten_and_nothing_damaged_restored(tmp_path: Path) -> None:
    """Each refusal says in a line what is wrong, with exit code 2, and changes nothing."""
    data = tmp_path / "data"
    assert "there is no database" in _run(tmp_path, "backup", "copy.db", code=2)
    assert not data.exists()
    with running(tmp_path):
        pass
    before = (data / "clarion.db").read_bytes()
    _run(tmp_path, "backup", "copy.db")
    copy = (tmp_path / "copy.db").read_bytes()
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert "exists" in _run(tmp_path, "backup", "copy.db", code=2)
    assert "cannot be written" in _run(tmp_path, "backup", "nowhere/copy.db", code=2)
    (tmp_path / "half.db").write_bytes(copy[: len(copy) // 2])
    (tmp_path / "other.db").write_bytes(b"no database" * 1000)
    assert "half.db" in _run(tmp_path, "restore", "half.db", code=2)
    assert "no database of Clarion's" in _run(tmp_path, "restore", "other.db", code=2)
    assert "there is no file" in _run(tmp_path, "restore", "none.db", code=2)
    assert (data / "clarion.db").read_bytes() == before
    assert not list(tmp_path.rglob("*.part"))


def test_links_lead_nowhere(tmp_path: Path) -> None:
    """Whoever has the folder, or one beside the copy, cannot make root write to a file elsewhere, read what is copied, or give it away."""
    with running(tmp_path):
        pass
    theirs, lock = tmp_path / "theirs", tmp_path / "data/clarion.db.lock"
    theirs.write_text("theirs")
    before = theirs.stat()
    for name in ("copy.db.part", "data/clarion.db.part"):
        (tmp_path / name).symlink_to(theirs)
    _run(tmp_path, "backup", "copy.db")
    _run(tmp_path, "restore", "copy.db")
    lock.unlink()
    lock.symlink_to(theirs)
    assert "cannot be written" in _run(tmp_path, "restore", "copy.db", code=2)
    after = theirs.stat()
    assert theirs.read_text() == "theirs"
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)


def test_what_is_restored_belongs_to_who_has_the_folder(tmp_path: Path) -> None:
    """Also where root does it; anybody else can only have a folder of their own."""
    with running(tmp_path):
        pass
    _run(tmp_path, "backup", "copy.db")
    owner = 4711 if os.geteuid() == 0 else os.geteuid()
    os.chown(tmp_path / "data", owner, -1)
    _run(tmp_path, "restore", "copy.db")
    for name in ("clarion.db", "clarion.db.lock"):
        assert (tmp_path / "data" / name).stat().st_uid == owner


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_postgresql_has_tools_of_its_own(tmp_path: Path, name: str) -> None:
    url = "postgresql://db.internal/clarion"
    said = _run(tmp_path, name, "copy.db", code=2, CLARION_DATABASE_URL=url)
    assert "pg_dump" in said
