"""`clarion keys`: API keys for back ends, made by the running server or, where none runs, in its database."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clarion.cli.flags import Config, Flags, read
from clarion.cli.remote import safe
from clarion.client import ApiError, AsyncClient, calls
from clarion.errors import ServerError, SettingsError
from clarion.settings import Settings

T = TypeVar("T")

app = App(name="keys", help="API keys for back ends.")

DataDir = Annotated[
    Path | None, Parameter(name="--data-dir", help="The server's data folder. $CLARION_DATA_DIR")
]
# A pipe has no width: nothing is cut there.
_width = None if Console().is_terminal else 1000
_print = Console(highlight=False, soft_wrap=True, width=_width).print


@app.command
def create(
    name: str,
    /,
    *,
    scope: Annotated[
        list[str] | None,
        Parameter(
            name="--scope",
            negative="",
            # A star would begin emphasis: help is Markdown.
            help=r"What it may do: notifications:send (default), topics:\*, search:\*, presence:\*, dashboards:\*, workflows:\*, subscribers:\*, events:\*, captures:\*, messages:\*, webhooks:manage,"
            r" realtime:\*, metrics:read, users:manage, keys:manage; instead of \* also read, write, or what else a call asks for."
            " May be repeated",
        ),
    ] = None,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Make a key and print it. It is shown this once: the server keeps only its digest.

    Args:
        name: For people: which program uses it.
    """
    key = _ask(calls.create_key(name, scope or ["notifications:send"]), data_dir, config)
    _print(key.key, markup=False)


@app.command(name="list")
def list_(*, data_dir: DataDir = None, config: Config = None) -> None:
    """List the keys; their secrets are not known to anybody."""
    table = Table("Id", "Name", "Scopes", "Made", "Last used", box=None, pad_edge=False)
    for key in _ask(calls.list_keys(), data_dir, config).items:
        scopes, used = " ".join(key.scopes), key.last_used_at or "never"
        row = (key.id, key.name, scopes, key.created_at, used)
        # As it is: a name in brackets is no markup, which could hide a key or end the list.
        table.add_row(*(Text(safe(cell)) for cell in row))
    _print(table)


@app.command
def revoke(key_id: str, /, *, data_dir: DataDir = None, config: Config = None) -> None:
    """End a key, at once.

    Args:
        key_id: As `clarion keys list` shows it.
    """
    _ask(calls.revoke_key(key_id), data_dir, config)
    _print(f"revoked {key_id}", markup=False)


def _ask(call: calls.Call[T], data_dir: Path | None, config: Path | None) -> T:
    given = Flags(data_dir=str(data_dir)) if data_dir else None
    settings = read(given, config).settings
    folder = str(Path(settings.data_dir).absolute())  # so that messages say which one was meant
    try:
        return asyncio.run(_call(call, msgspec.structs.replace(settings, data_dir=folder)))
    except ApiError as exc:
        raise ServerError(exc.message) from exc


async def _call(call: calls.Call[T], settings: Settings) -> T:
    """Ask the running server over its local socket; where none answers, open its data ourselves."""
    async with AsyncClient(socket=Path(settings.data_dir) / "clarion.sock", retries=0) as client:
        try:
            return await client.call(call)
        except ApiError as exc:
            if exc.status:
                raise
    return await _offline(call, settings)


async def _offline(call: calls.Call[T], settings: Settings) -> T:
    # Here and not above: the whole server, which most calls do without.
    from clarion.app import build
    from clarion.storage import DATABASE

    data_dir = Path(settings.data_dir)
    if not settings.database_url and not (data_dir / DATABASE).exists():
        raise SettingsError(
            f"no server answers on {data_dir / 'clarion.sock'}, and there is no data in {data_dir}: "
            "name the server's folder with --data-dir, or start it once"
        )
    # The lock makes this safe: with a server on the data it is refused, and says so.
    print(f"no server is running on {data_dir}: using its database", file=sys.stderr)
    async with (
        build(settings) as offline,
        AsyncClient(app=offline.local, retries=0) as client,
    ):
        return await client.call(call)
