"""The `clarion` command: `serve`, `settings`, `keys`, `apply`, `pull`, `send`, `triggers`, `import`, `export`, `backup`, `restore`. Thin: it reads flags, calls the app or the running server, and prints.

Exit codes: 0 done · 1 it was tried and failed · 2 something is set or typed wrong, said in one line.
"""

import sys
from typing import NoReturn

from cyclopts import App, CycloptsError

from clarion import __version__
from clarion.errors import ClarionError, UsageError
from clarion.telemetry import configure_logging

__all__ = ["main"]

_app = App(
    name="clarion",
    help="Real-time features and notifications for any application.",
    version=__version__,
    help_on_error=False,
)
_ALL_FLAGS = "There are more flags, one for each setting: --limits.rooms is that of limits.rooms. `clarion settings` shows them all, `clarion settings limits` those of a part."

# By name: only what is asked for is imported. The server takes half a second of CPU.
_app.command(
    "clarion.cli.serve:serve",
    help="Start the server; Ctrl-C stops it.",
    help_epilogue=_ALL_FLAGS,
)
_app.command(
    "clarion.cli.settings:settings",
    help="Print each setting with its value and where the value came from. Secrets are not shown.",
    help_epilogue=_ALL_FLAGS,
)
_app.command("clarion.cli.keys:app", name="keys", help="API keys for back ends.")
_app.command(
    "clarion.cli.apply:apply",
    help="Make workflows, templates, schedules and defaults written in YAML files those of the server, and show what differs.",
)
_app.command(
    "clarion.cli.pull:pull", help="Write what the server has into files, as `apply` takes them."
)
_app.command(
    "clarion.cli.send:send",
    help="Run a workflow for people, and show how far it is; Ctrl-C calls off what has not happened.",
)
_app.command(
    "clarion.cli.triggers:app",
    name="triggers",
    help="Sends that are on their way: watch, pause, resume or cancel them.",
)
_app.command(
    "clarion.cli.people:import_",
    name="import",
    help="Take in subscribers from a file, and tell each line that is not taken; Ctrl-C takes no more.",
)
_app.command("clarion.cli.people:export", name="export", help="What the server knows, as lines.")
_app.command(
    "clarion.cli.backup:backup",
    help="Copy the SQLite database into a file, while the server runs or does not.",
)
_app.command(
    "clarion.cli.backup:restore",
    help="Put a copy in place of the SQLite database. The server must not run.",
)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; ends the process."""
    try:
        "".join(sys.argv if arguments is None else arguments).encode()
    except UnicodeEncodeError:
        _fail(2, "an argument is not UTF-8")
    configure_logging("warning")  # stdout is for what was asked; `serve` sets what its settings say
    try:
        _app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as exc:
        _fail(2, " ".join(str(exc).split()) + " (see clarion --help)")
    except UsageError as exc:
        _fail(2, exc.message)
    except ClarionError as exc:
        _fail(1, exc.message)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def _fail(code: int, message: str) -> NoReturn:
    print(f"clarion: {message}", file=sys.stderr)
    sys.exit(code)
