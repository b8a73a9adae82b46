"""Loading: from flags, environment, file and former names to settings, each judged by its type and rules.

A value comes from a flag, from the environment (`CLARION_<SECTION>_<NAME>`), from `clarion.toml`, from a name of the former
system (`REDIS_HOST` …), or is the default, in this order of weight. Where each came from is remembered.
"""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_origin
from urllib.parse import quote

import msgspec
from msgspec import Struct

from clarion.errors import SettingsError
from clarion.settings.together import check_together
from clarion.settings.whole import SECTIONS, Field, Settings, fields

Source = str
"""Where a value came from, as a person would say it: `default`, `flag --port`, `CLARION_PORT`, `clarion.toml`, `REDIS_HOST`."""


class Loaded(Struct, frozen=True):
    """Settings with the source of each value, and what a person should be told about them at the start."""

    settings: Settings
    sources: dict[str, Source]
    notes: list[str]


def load(
    *,
    flags: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    toml: Mapping[str, Any] | None = None,
) -> Loaded:
    """Merge what was given into settings.

    Args:
        flags: By key (`limits.body_bytes`); values are text or of the setting's type.
        env: The environment.
        toml: `clarion.toml`, decoded.

    Raises:
        SettingsError: An unknown name, a value of the wrong type or out of range, or settings that do not go together;
            the message names the setting and its source.
    """
    known = {field.key: field for field in fields()}
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    notes: list[str] = []

    def put(key: str, value: Any, source: Source) -> None:
        if key not in known:
            raise SettingsError(f"{source}: there is no setting {key!r}{_nearest(key, known)}")
        values[key] = _parse(known[key], value, source)
        sources[key] = source

    env = env or {}
    for key, (value, source) in _former(env).items():
        put(key, value, source)
    former = dict(sources)
    for key, value in _flatten(toml or {}):
        put(key, value, "clarion.toml")
    by_env = {field.env: field for field in known.values()}
    for name, value in env.items():
        if not name.startswith("CLARION_") or name in _NOT_SETTINGS:
            continue
        if name not in by_env:
            raise SettingsError(f"{name}: there is no such setting{_nearest(name, by_env)}")
        put(by_env[name].key, value, name)
    for key, value in (flags or {}).items():
        put(key, value, f"flag {known[key].flag}" if key in known else "flag")
    for key, source in former.items():
        if sources[key] == source:
            notes.append(f"{known[key].key} is taken from {source}")
        else:
            notes.append(f"{known[key].key} is taken from {sources[key]}, which wins over {source}")
    settings = _build(values)
    if "*" in settings.allowed_origins:
        notes.append(
            f"allowed_origins is * (from {sources['allowed_origins']}): pages of every site may call"
        )
    check_together(settings, sources)
    return Loaded(settings, {key: sources.get(key, "default") for key in known}, notes)


# Read by other parts of the program, not settings of the server.
_NOT_SETTINGS = frozenset(
    {
        "CLARION_TEST",
        "CLARION_CRASH_AT",
        "CLARION_CONFIG",
        "CLARION_SKIP_FRONTEND",
        "CLARION_TEST_POSTGRES",
        # Of clients, as the examples call them: in one shell with the server.
        "CLARION_URL",
        "CLARION_KEY",
        "CLARION_TOKEN",
    }
)


def _former(env: Mapping[str, str]) -> dict[str, tuple[Any, Source]]:
    """What the names of the former system say, by today's keys."""
    out: dict[str, tuple[Any, Source]] = {}
    if host := env.get("REDIS_HOST"):
        password = f":{quote(env['REDIS_PASSWORD'], safe='')}@" if env.get("REDIS_PASSWORD") else ""
        out["redis_url"] = f"redis://{password}{host}:{env.get('REDIS_PORT') or 6379}", "REDIS_HOST"
    if url := env.get("FRONTEND_URL"):
        out["public_url"] = url, "FRONTEND_URL"
    if origins := env.get("CORS_ORIGIN"):
        out["allowed_origins"] = origins, "CORS_ORIGIN"
    if window := env.get("RATE_LIMIT_WINDOW_MS"):
        if not window.isdigit():
            raise SettingsError(f"RATE_LIMIT_WINDOW_MS: {window!r} is not a number of milliseconds")
        out["limits.api_window_s"] = int(window) / 1000, "RATE_LIMIT_WINDOW_MS"
    if most := env.get("RATE_LIMIT_MAX_REQUESTS"):
        out["limits.api_requests"] = most, "RATE_LIMIT_MAX_REQUESTS"
    return out


def _flatten(toml: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in toml.items():
        if isinstance(value, Mapping):
            for inner, item in value.items():
                yield f"{name}.{inner}", item
        else:
            yield name, value


def _parse(field: Field, value: Any, source: Source) -> Any:
    if isinstance(value, str) and get_origin(field.type) is list:
        value = [item.strip() for item in value.split(",") if item.strip()]
    if (
        isinstance(value, str)
        and field.type is bool
        and value.lower() in {"yes", "on", "no", "off"}
    ):
        value = value.lower() in {"yes", "on"}
    struct = SECTIONS.get(field.section, Settings)
    annotated = next(f.type for f in msgspec.structs.fields(struct) if f.name == field.name)
    try:
        return msgspec.convert(value, annotated, strict=False)
    except msgspec.ValidationError as exc:
        shown = "the value" if field.is_secret else repr(value)
        raise SettingsError(
            f"{source}: {shown} is no good for {field.key} ({field.help}): {exc}"
        ) from exc


def _build(values: Mapping[str, Any]) -> Settings:
    top = {key: value for key, value in values.items() if "." not in key}
    for section, struct in SECTIONS.items():
        prefix = section + "."
        top[section] = struct(
            **{k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}
        )
    return Settings(**top)


P = TypeVar("P", bound=Struct)


def checked(part: P | None, kind: type[P]) -> P:
    """A part that a program wrote, by the rules by which `load` judges: a struct's constructor applies none.

    Args:
        part: Such as `Realtime(path="/ws/")`; None: the defaults.
        kind: What it has to be.

    Raises:
        SettingsError: It is something else, or one of its values is no good.
    """
    if part is None:
        return kind()
    if not isinstance(part, kind):
        raise SettingsError(f"{kind.__name__}(…) is wanted here, not {part!r:.60}")
    try:
        return msgspec.convert(msgspec.to_builtins(part), kind)
    except msgspec.ValidationError as exc:
        raise SettingsError(f"{kind.__name__}: {exc}") from exc


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    found = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {found[0]}?" if found else ""
