"""The hook that puts the page into wheels: never an old page, never none by accident, never a build that nobody needs."""

import importlib.util
import shutil
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def hook() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path, hook: types.ModuleType) -> Path:
    """A project whose page is built."""
    source = tmp_path / "clients" / "client" / "src"
    source.mkdir(parents=True)
    (source / "index.ts").write_text("export {};")
    (tmp_path / "clients" / "package-lock.json").write_text("{}")
    _built(tmp_path, hook)
    return tmp_path


def _built(project: Path, hook: types.ModuleType) -> None:
    web = project / hook.WEB
    web.mkdir(parents=True, exist_ok=True)
    (web / "index.html").write_text("<!doctype html>")
    (web / hook.HASH_FILE).write_text(hook.hash_sources(project / "clients") + "\n")
    _client(project / hook.CLIENT_FILES)


def _client(folder: Path) -> None:
    """The official client's files."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("", ".min", ".esm.min", ".msgpack.min"):
        for end in ("", ".map"):
            (folder / f"socket.io{kind}.js{end}").write_text("client")


@pytest.fixture
def npm(monkeypatch: pytest.MonkeyPatch, hook: types.ModuleType) -> list[list[str]]:
    """What would have been run."""
    commands: list[list[str]] = []

    def run(command: list[str], folder: Path) -> None:
        commands.append(command[1:])
        if "build" in command:
            _built(folder.parent, hook)

    monkeypatch.setattr(hook, "_run", run)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    return commands


def test_the_page_in_this_tree_is_of_these_sources(hook: types.ModuleType) -> None:
    """The build in Node and this hook compute the same hash; `make build` keeps the page fresh."""
    built = (ROOT / hook.WEB / hook.HASH_FILE).read_text().strip()
    assert built == hook.hash_sources(ROOT / "clients")


def test_both_sides_hash_the_same_files(hook: types.ModuleType) -> None:
    """The list of sources is written twice, in Python and TypeScript; it is one list."""
    text = (ROOT / "clients/console/tools/hash-sources.ts").read_text()
    listed = text.split("SOURCES = [")[1].split("]")[0]
    assert [name.strip().strip('",') for name in listed.split()] == list(hook.SOURCES)
    assert all((ROOT / "clients" / name).exists() for name in hook.SOURCES)


def test_a_fresh_page_is_not_built_again(
    hook: types.ModuleType, project: Path, npm: list[list[str]]
) -> None:
    """Building a wheel twice builds the page once."""
    hook.ensure_built(project)
    assert npm == []


def test_a_changed_source_builds_the_page(
    hook: types.ModuleType, project: Path, npm: list[list[str]]
) -> None:
    """An old page never gets into a wheel; packages are installed only where they are missing."""
    (project / "clients/client/src/index.ts").write_text("export const x = 1;")
    hook.ensure_built(project)
    assert [command[0] for command in npm] == ["ci", "run"]
    (project / "clients/node_modules").mkdir()
    (project / "clients/client/src/index.ts").unlink()
    hook.ensure_built(project)
    assert [command[0] for command in npm] == ["ci", "run", "run"]


def test_without_npm_an_old_page_stops_the_build(
    hook: types.ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what to install, or what to set."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    hook.ensure_built(project)
    (project / hook.WEB / hook.HASH_FILE).unlink()
    with pytest.raises(SystemExit, match="CLARION_SKIP_FRONTEND=1"):
        hook.ensure_built(project)


def test_without_sources_the_built_page_is_enough_and_needed(
    hook: types.ModuleType, project: Path, npm: list[list[str]]
) -> None:
    """A tree for building only has no clients/: then the page must be in it."""
    shutil.rmtree(project / "clients")
    hook.ensure_built(project)
    shutil.rmtree(project / hook.CLIENT_FILES)
    with pytest.raises(SystemExit, match="no page"):
        hook.ensure_built(project)
    _client(project / hook.CLIENT_FILES)
    (project / hook.WEB / "index.html").unlink()
    with pytest.raises(SystemExit, match="no page"):
        hook.ensure_built(project)
    assert npm == []


def test_the_official_client_is_copied_from_where_npm_put_it(
    hook: types.ModuleType, project: Path, npm: list[list[str]]
) -> None:
    """Missing files are copied without a build; that fails where npm has not got them either."""
    (project / hook.CLIENT_FILES / "socket.io.js").unlink()
    _client(project / "clients" / hook.CLIENT_SOURCE)
    hook.ensure_built(project)
    assert npm == []
    assert (project / hook.CLIENT_FILES / "socket.io.js").read_text() == "client"
    shutil.rmtree(project / hook.CLIENT_FILES)
    shutil.rmtree(project / "clients" / hook.CLIENT_SOURCE)
    assert not hook.copy_client(project)


def test_a_build_that_leaves_no_page_is_a_failure(
    hook: types.ModuleType, project: Path, npm: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when npm itself was content."""
    monkeypatch.setattr(hook, "_run", lambda command, folder: None)
    (project / hook.WEB / "index.html").unlink()
    with pytest.raises(SystemExit, match="without the page"):
        hook.ensure_built(project)


def test_editable_installs_and_the_skip_never_build(
    hook: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`pip install -e .` needs no Node; a wheel without a page is possible, on purpose only."""
    asked: list[Path] = []
    monkeypatch.setattr(hook, "ensure_built", asked.append)
    front_end = hook.FrontEnd(str(tmp_path), {}, None, None, "", "wheel")
    front_end.initialize("editable", {})
    monkeypatch.setenv("CLARION_SKIP_FRONTEND", "1")
    front_end.initialize("standard", {})
    assert asked == []
    monkeypatch.delenv("CLARION_SKIP_FRONTEND")
    front_end.initialize("standard", {})
    assert asked == [tmp_path]
