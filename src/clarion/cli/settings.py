"""`clarion settings`: each setting, its value, and where that came from."""

from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clarion.cli.flags import Config, Flags, read
from clarion.errors import SettingsError
from clarion.settings import Loaded, fields


def settings(
    *parts: Annotated[
        str, Parameter(help="Only these: a part, such as limits, or one, such as limits.rooms.")
    ],
    flags: Annotated[Any, Parameter(name="*")] = None,
    config: Config = None,
) -> None:
    """Print each setting with its value and where the value came from. Secrets are not shown."""
    loaded = read(flags, config)
    known = {name for field in fields() for name in (field.section, field.key)}
    if unknown := [part for part in parts if part not in known]:
        raise SettingsError(f"there is no setting or part {unknown[0]}: see clarion settings")
    table = Table(
        "Setting", "Value", "From", "What it is", box=None, pad_edge=False, header_style="bold"
    )
    for field in fields():
        if parts and not {field.section, field.key} & {*parts}:
            continue
        source = loaded.sources[field.key]
        style = "" if source == "default" else "bold"
        table.add_row(
            Text(field.key, style),
            Text(_shown(loaded, field.key), style),
            Text(source, style),
            field.help,
        )
    console = Console(width=None if Console().is_terminal else 200)
    console.print(table)
    for note in loaded.notes:
        console.print(note, markup=False)


def _shown(loaded: Loaded, key: str) -> str:
    section, _, name = key.rpartition(".")
    value = getattr(getattr(loaded.settings, section) if section else loaded.settings, name)
    field = next(field for field in fields() if field.key == key)
    if field.is_secret and value:
        return "(set, not shown)"
    if isinstance(value, list):
        return ", ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


settings.__annotations__["flags"] = Annotated[Flags, Parameter(name="*")]
