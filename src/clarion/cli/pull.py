"""`clarion pull`: what the server has, as the files that `clarion apply` takes. Files that are there keep their places."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from rich.console import Console

from clarion.cli import definitions
from clarion.cli.apply import told
from clarion.cli.definitions import Kept
from clarion.cli.remote import URL, Url, connected, safe
from clarion.cli.written import Flaw, Written, files, read, yaml_of
from clarion.client import Client
from clarion.errors import UsageError

_STRANGE: Final = re.compile(r"[^A-Za-z0-9._-]")  # in names of files


def pull(
    folder: Path,
    /,
    *,
    overwrite: Annotated[
        bool, Parameter(negative="", help="Also files that say something else; comments are lost")
    ] = False,
    url: Url = URL,
    key: Annotated[
        str | None, Parameter(help="An API key with workflows:read. $CLARION_KEY")
    ] = None,
) -> None:
    """Write what the server has into files: what no file of the folder says, and with --overwrite what one says otherwise.

    Args:
        folder: Where they are to be; it is made.
    """
    console = Console(highlight=False, soft_wrap=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = {(each.kind, each.data[each.kind]): each for each in _files(folder)}
    except Flaw as flaw:
        raise UsageError(safe(f"nothing was written: {flaw}")) from flaw
    except OSError as exc:
        raise UsageError(safe(f"{folder}: {exc.strerror}")) from exc
    with connected(url, key) as client:
        there = definitions.there(client)
        same = _unchanged(client, list(found.values()))
    count = 0
    for kept in there:
        file = found.get((kept.kind, kept.name))
        name = told(kept.kind, kept.name)
        if file is not None and (file.path in same or not overwrite):
            differs = "" if file.path in same else f"  differs, {file.path} stays as it is"
            console.print(safe(f"= {name}{differs}"), markup=False)
            continue
        path = file.path if file else _path(folder, kept, {each.path for each in found.values()})
        text = yaml_of(definitions.said(kept.kind, kept.name, kept.definition))
        try:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as exc:
            raise UsageError(safe(f"{path} cannot be written: {exc.strerror}")) from exc
        if file is None:
            found[kept.kind, kept.name] = Written(path, kept.kind, {}, {})
        count += 1
        console.print(safe(f"{'~' if file else '+'} {name}  {path}"), markup=False)
    console.print(f"{count} written")


def _files(folder: Path) -> Iterator[Written]:
    if any(each.suffix in (".yaml", ".yml") for each in folder.rglob("*")):
        yield from map(read, files([folder]))


def _unchanged(client: Client, files: list[Written]) -> set[Path]:
    """The files that say what the server has."""
    if not files:
        return set()
    judged = definitions.check(client, [each.data for each in files]).items
    pairs = zip(files, judged, strict=True)
    return {file.path for file, each in pairs if each.state == "unchanged"}


def _path(folder: Path, kept: Kept, taken: set[Path]) -> Path:
    """`workflows/welcome.yaml`; names of schedules may have what a file's had better not have."""
    kind = kept.kind if kept.kind == "preferences" else f"{kept.kind}s"
    name, n = _STRANGE.sub("_", kept.name), 2
    path = folder / kind / f"{name}.yaml"
    while path in taken or path.exists():
        path, n = folder / kind / f"{name}-{n}.yaml", n + 1
    return path
