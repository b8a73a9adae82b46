"""`clarion keys`: made by the running server, or in its database where none runs."""

from pathlib import Path

import pytest

from tests.api.test_rights import SCOPES
from tests.support.command import command
from tests.support.server import Server, clarion, running


def _keys(server_folder: Path, *arguments: str) -> str:
    done = clarion("keys", *arguments, env={"CLARION_DATA_DIR": str(server_folder / "data")})
    assert done.returncode == 0, done.stderr
    return done.stdout


def _notify(server: Server, key: str) -> int:
    body = {"recipients": [{"id": "ann"}], "title": "hello"}
    return server.post("/v1/notifications", body, token=key).status_code


def test_a_key_is_made_used_listed_and_ended_while_the_server_runs(tmp_path: Path) -> None:
    """It works at once, is listed without its secret, and ends at once."""
    with running(tmp_path) as server:
        key = _keys(tmp_path, "create", "my-backend", "--scope", "notifications:send").strip()
        assert _notify(server, key) == 202
        listed = _keys(tmp_path, "list")
        assert "my-backend" in listed
        assert key.rpartition("_")[2] not in listed
        key_id = next(line.split()[0] for line in listed.splitlines() if "my-backend" in line)
        _keys(tmp_path, "revoke", key_id)
        assert _notify(server, key) == 401


def test_a_key_may_be_made_before_the_server_runs(tmp_path: Path) -> None:
    """Where no server holds the data, the command opens it itself."""
    with running(tmp_path):
        pass
    key = _keys(tmp_path, "create", "early").strip()
    with running(tmp_path) as server:
        assert _notify(server, key) == 202


def test_the_help_names_every_scope() -> None:
    """Each by itself, or as part of a `*`."""
    told = clarion("keys", "create", "--help", env={}).stdout
    for scope in SCOPES.values():
        family = scope.partition(":")[0]
        assert scope in told or f"{family}:*" in told, scope


def test_a_list_that_is_piped_is_not_cut(stopped: Path) -> None:
    """However long the names are: ids and times are for other programs."""
    _keys(stopped, "create", "x" * 150)
    assert "…" not in _keys(stopped, "list")


def test_names_of_keys_are_shown_as_they_are(stopped: Path) -> None:
    """No name hides a key, or keeps the list from being shown; nor does it turn the text around."""
    _keys(stopped, "create", "[/x] [conceal]a\u202eb")
    assert "[/x] [conceal]a?b" in _keys(stopped, "list")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server that ran once."""
    folder = tmp_path_factory.mktemp("stopped")
    with running(folder):
        return folder


def test_a_wrong_folder_makes_no_new_database(tmp_path: Path) -> None:
    """A key for a store that nobody serves would look like success."""
    done = clarion("keys", "create", "lost", env={"CLARION_DATA_DIR": str(tmp_path / "data")})
    assert done.returncode == 2
    assert "--data-dir" in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("id", ["nothing", "../auth/me", "a\nb", "a?b", ""])
def test_an_unknown_key_cannot_be_revoked(stopped: Path, id: str) -> None:
    """Exit code 1, and the reason."""
    # The number of workers is for `serve`.
    env = {"CLARION_DATA_DIR": str(stopped / "data"), "CLARION_WORKERS": "2"}
    done = command("keys", "revoke", id, env=env)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("clarion: ")
    assert "Traceback" not in done.stderr


def test_what_is_no_text_is_one_clear_line(tmp_path: Path) -> None:
    """An argument in another encoding: exit code 2, no traceback."""
    name = b"\xff".decode(errors="surrogateescape")
    done = clarion("keys", "create", name, env={"CLARION_DATA_DIR": str(tmp_path / "data")})
    assert (done.returncode, done.stderr) == (2, "clarion: an argument is not UTF-8\n")
