"""Flags of every setting, made from the settings themselves: there is one list of names, types and helps."""

import dataclasses
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from clarion.errors import SettingsError
from clarion.settings import Loaded, fields, load

_BY_NAME = {field.key.replace(".", "__"): field for field in fields()}

# Every flag but a yes-or-no one is text here: clarion.settings parses it, so that flags, environment and file are judged alike.
Flags: type[Any] = dataclasses.make_dataclass(
    "Flags",
    [
        (
            name,
            Annotated[
                (bool if field.type is bool else str) | None,
                Parameter(
                    name=field.flag,
                    help=f"{field.help}. ${field.env}, default {field.default!r}",
                    group="Settings",
                    show=not field.section,  # all of them would be 800 lines
                ),
            ],
            None,
        )
        for name, field in _BY_NAME.items()
    ],
    namespace={"__module__": __name__},
)

Config = Annotated[
    Path | None,
    Parameter(
        name="--config",
        help="A settings file; default: clarion.toml in this folder, if it is there. $CLARION_CONFIG",
    ),
]


def read(flags: Any, config: Path | None) -> Loaded:
    """Settings from these flags, the environment and the file.

    Raises:
        SettingsError: One clear line, for exit code 2.
    """
    given = (
        {_BY_NAME[name].key: value for name, value in vars(flags).items() if value is not None}
        if flags
        else {}
    )
    return load(flags=given, env=os.environ, toml=_toml(config))


def _toml(config: Path | None) -> dict[str, Any]:
    named = config or (
        Path(os.environ["CLARION_CONFIG"]) if os.environ.get("CLARION_CONFIG") else None
    )
    path = named or Path("clarion.toml")
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        if named is None:
            return {}
        raise SettingsError(f"there is no settings file {path}") from None
    except OSError as exc:
        raise SettingsError(f"the settings file {path} cannot be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SettingsError(f"the settings file {path} is not TOML: {exc}") from exc
