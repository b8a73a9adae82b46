"""`clarion serve`: start the server, and say where to look."""

import contextlib
import functools
import importlib
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

from cyclopts import Parameter
from msgspec import Struct

from clarion import __version__
from clarion.accounts import load_secrets
from clarion.app import (
    LOCAL_SOCKET,
    App,
    Setup,
    Siblings,
    at_end,
    has_failed,
    own,
    owner_socket,
    when_disk_fails,
)
from clarion.auth import system
from clarion.cli.flags import Config, Flags, read
from clarion.cli.supervisor import Supervisor
from clarion.errors import SettingsError
from clarion.ids import Ids
from clarion.realtime.transports import reserve, reserve_many, run
from clarion.settings import Settings
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
    settings = loaded.settings
    configure_logging(settings.log_level, json=settings.log_json)
    for note in loaded.notes:
        _log.info("setting", note=note)
    setup = _find(application) if application else None
    if settings.workers > 1:
        sys.exit(_supervise(settings, setup))
    # First: a taken port must not cost more than a line.
    sockets = reserve(settings.host, settings.port)
    if run(_serve(settings, setup, sockets, Place())):
        sys.exit(os.EX_IOERR)


serve.__annotations__["flags"] = Annotated[Flags, Parameter(name="*")]


class Place(Struct, frozen=True):
    """Where a process stands among the workers of a host; by default it is the only one.

    Args:
        number: From 0.
        is_first: Nobody has stood there before.
        stop_with: A descriptor: when it is at its end, so is this process. -1: none.
        owner: The socket of the process that owns the data; None: this one has its own way to the database.
        siblings: The other workers.
    """

    number: int = 0
    is_first: bool = True
    stop_with: int = -1
    owner: Path | None = None
    siblings: Siblings | None = None

    @property
    def local(self) -> str:
        """The name of its local socket."""
        return local_socket(self.number)


def local_socket(number: int) -> str:
    """The name of a worker's local socket: the first has the one that the command line looks for."""
    return f"worker-{number}.sock" if number else LOCAL_SOCKET


def _supervise(settings: Settings, setup: Setup | None) -> int:
    sockets = reserve_many(settings.host, settings.port, settings.workers)
    # Made before there are several who would make them.
    load_secrets(Path(settings.data_dir), Ids())
    owner = None if settings.database_url else owner_socket(settings)
    sockets_of = [Path(settings.data_dir) / local_socket(n) for n in range(settings.workers)]

    def work(number: int, is_first: bool) -> None:
        others = {n: local for n, local in enumerate(sockets_of) if n != number}
        siblings = Siblings(number, others)
        place = Place(number, is_first, supervisor.stop_with, owner, siblings)
        run(_serve(settings, setup, sockets[number], place))

    def own_data() -> None:
        if run(own(settings, supervisor.stop_with)):
            sys.exit(os.EX_IOERR)

    supervisor = Supervisor(settings, sockets, work, own_data if owner else None)
    return supervisor.run()


async def _serve(
    settings: Settings, setup: Setup | None, sockets: Sequence[socket.socket], place: Place
) -> bool:
    """Serve until told to stop, or until the disk fails; returns whether it did."""
    build_info.labels(__version__).set(1)
    async with App(settings, setup, owner=place.owner, siblings=place.siblings) as app:
        is_to_tell = place.number == 0 and place.is_first
        demo = await _demo(app) if settings.demo and is_to_tell else None

        def started(port: int) -> None:
            if is_to_tell and settings.log_json and demo is None:
                # Nobody sits before it: who collects lines wants JSON alone.
                _log.info(
                    "serving",
                    version=__version__,
                    host=settings.host,
                    port=port,
                    workers=settings.workers,
                )
            elif is_to_tell:
                print(_where_to_look(settings, port, demo), flush=True)

        with contextlib.ExitStack() as until:
            until.enter_context(when_disk_fails(app.store, app.end))
            if place.stop_with >= 0:
                until.enter_context(at_end(place.stop_with, app.end))
            await app.serve(
                sockets,
                on_started=started,
                local=place.local,
            )
    return has_failed(app.store)


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
        sought = (
            f"; it is looked for in {Path.cwd()}" if exc.name == module.partition(".")[0] else ""
        )
        raise SettingsError(f"--app {path}: {exc}{sought}") from exc
    except AttributeError as exc:
        raise SettingsError(f"--app {path}: {exc}") from exc
    if not callable(found):
        raise SettingsError(f"--app {path}: it is not a function")
    return cast(Setup, found)
