"""`clarion --help`, and what the commands take to start."""

import inspect

import pytest

from clarion.cli import apply as apply_command
from clarion.cli import keys, people, serve, triggers
from clarion.cli import send as send_command
from clarion.cli import settings as settings_command
from clarion.settings import fields
from tests.support.server import clarion

IMPORTS = {"PYTHONPROFILEIMPORTTIME": "1"}  # told on stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["settings"],
        ["keys", "--help"],
        ["apply", "--help"],
        ["send", "--help"],
        ["triggers", "--help"],
    ],
    ids=" ".join,
)
def test_what_needs_no_server_loads_none(arguments: list[str]) -> None:
    """It is half a second of CPU, which whoever types this would wait for."""
    done = clarion(*arguments, env=IMPORTS)
    assert done.returncode == 0, done.stderr
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "clarion.cli" in loaded
    assert not loaded & {"clarion.app", "clarion.api", "clarion.realtime", "starlette", "apsw"}


def test_the_help_says_of_each_command_what_its_own_says() -> None:
    """In the words of the command itself, which is not imported for it."""
    told = " ".join(clarion("--help").stdout.replace("│", " ").split())
    for says in (
        serve.serve.__doc__,
        settings_command.settings.__doc__,
        keys.app.help,
        apply_command.apply.__doc__,
        send_command.send.__doc__,
        triggers.app.help,
        people.import_.__doc__,
        people.export.help,
    ):
        assert says is not None
        assert inspect.cleandoc(says).splitlines()[0] in told


def test_the_help_of_serve_is_a_page() -> None:
    """It shows the settings of no part, and says where the others are; all of them are flags."""
    told = clarion("serve", "--help").stdout
    assert len(told.splitlines()) < 80
    assert all(field.flag in told for field in fields() if not field.section)
    assert "clarion settings" in told
