"""`clarion serve`: start the server, and say where to look."""

import functools
import importlib
import sys
from pathlib import Path
from typing import Annotated, Any, cast

from cyclopts import Parameter
from msgspec import Struct

from clarion import __version__
from clarion.app import App, Setup, build
from clarion.auth import system
from clarion.cli.flags import Config, Flags, read
from clarion.errors import SettingsError
from clarion.realtime.transports import listen, run
from clarion.settings import Loaded, Settings
from clarion.telemetry import build_info, configure_logging, get_logger

_log = get_logger(__name__)


def serve(
    *,
    application: Annotated[
        str | None,
        Parameter(
            name="--app",
            help="package.module:setup, a function that is called with the app before it starts",
        ),
    ] = None,
    flags: Annotated[Any, Parameter(name="*")] = None,
    config: Config = None,
) -> None:
    """Start the server; Ctrl-C stops it."""
    loaded = read(flags, config)
    setup = _find(application) if application else None
    configure_logging(loaded.settings.log_level, json=loaded.settings.log_json)
    run(_serve(loaded, setup))


serve.__annotations__["flags"] = Annotated[Flags, Parameter(name="*")]


async def _serve(loaded: Loaded, setup: Setup | None) -> None:
    settings = loaded.settings
    for note in loaded.notes:
        _log.info("setting", note=note)
    build_info.labels(__version__).set(1)
    # First: a taken port must not cost more than a line.
    sockets = listen(settings.host, settings.port)
    async with build(settings, setup) as app:
        demo = await _demo(app) if settings.demo else None
        await app.serve(
            sockets, on_started=lambda port: print(_where_to_look(settings, port, demo), flush=True)
        )


class _Demo(Struct, frozen=True):
    accounts: list[tuple[str, str]]
    key: str


async def _demo(app: App) -> _Demo:
    """Two accounts with new passwords, and a new key for the `curl` line; the key of the former start ends."""
    operator = system("demo")
    for key in await app.keys.list(operator):
        if key.name == "demo":
            await app.keys.revoke(operator, key.id)
    made = await app.keys.create(operator, "demo", ["notifications:send"])
    return _Demo(await app.accounts.ensure_demo(), made.key)


def _where_to_look(settings: Settings, port: int, demo: _Demo | None) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{'127.0.0.1' if settings.host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104
    lines = ["", f"Clarion {__version__} is running; Ctrl-C stops it.", ""]
    if demo is None:
        lines += [f"  Page       {url}/", f"  API docs   {url}/docs", ""]
        lines += ["  A key for your back end:   clarion keys create my-backend", ""]
        return "\n".join(lines)
    lines += [f"  Demo page  {url}/"]
    lines += [f"    {name}  password  {password}" for name, password in demo.accounts]
    if settings.delivery == "capture":
        lines += [
            f"  Captured   {url}/#captures  what would have been sent: nothing leaves this server"
        ]
    body = '{"recipients": ["ann"], "title": "Hello from curl"}'
    lines += [
        f"  API docs   {url}/docs",
        "",
        "  Sign in as ann, then tell her something:",
        f"  curl -sS {url}/v1/notifications -H 'Authorization: Bearer {demo.key}' -H 'Content-Type: application/json' -d '{body}'",
        "",
    ]
    return "\n".join(lines)


def _find(path: str) -> Setup:
    """The function that `--app` names."""
    module, _, name = path.partition(":")
    if not name or not module or module.startswith("."):
        raise SettingsError(f"--app {path}: name a function, as in package.module:setup")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = functools.reduce(getattr, name.split("."), importlib.import_module(module))
    except ImportError as exc:
        raise SettingsError(f"--app {path}: {exc}") from exc
    except AttributeError as exc:
        raise SettingsError(f"--app {path}: {exc}") from exc
    if not callable(found):
        raise SettingsError(f"--app {path}: it is not a function")
    return cast(Setup, found)
