"""`clarion apply`: workflows that stand in an application's repository become those of its server.

Everything is read and judged first: with a fault anywhere, nothing is changed. Only what differs is put, so that a second run makes
no versions. What is only on the server is named and left alone.
"""

import difflib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from cyclopts import Parameter
from msgspec import Struct
from rich.console import Console
from rich.text import Text

from clarion.cli.remote import URL, Url, connected, safe
from clarion.cli.written import Flaw, Written, files, read
from clarion.client import ApiError, Client, calls
from clarion.errors import UsageError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")  # what else cannot stand in the address of a call
_JUDGED = (400, 413, 422)  # of what was sent; any other refusal is of the caller or the server

_SIGNS = {
    "new": ("+", "green"),
    "changed": ("~", "yellow"),
    "unchanged": ("=", "dim"),
    "only on the server": ("?", "cyan"),
}


class Kept(Struct, frozen=True):
    """A workflow of the server."""

    workflow: str
    definition: dict[str, Any]


class Page(Struct, frozen=True):
    """Some of them; `next`: the cursor of those behind."""

    items: list[Kept]
    next: str | None


class Plan(Struct, frozen=True):
    """What would become of a file's workflow: `state` is new, changed or unchanged."""

    written: Written
    state: str
    version: int

    @property
    def name(self) -> str:
        """The workflow's key."""
        return str(self.written.data["workflow"])


def apply(
    paths: list[Path],
    /,
    *,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Change nothing; exit status 1 if something would change")
    ] = False,
    url: Url = URL,
    key: Annotated[
        str | None, Parameter(help=r"An API key with workflows:\*. $CLARION_KEY")
    ] = None,
) -> None:
    """Make workflows written in YAML files those of the server, and show what differs.

    Args:
        paths: Files, or folders of .yaml files.
    """
    console = Console(highlight=False, soft_wrap=True)
    written, flaws = _read(files(paths))
    if flaws:
        _tell(flaws)
    with connected(url, key) as client:
        there = _there(client)
        plans = _planned(client, written)
        for plan in plans:
            _show(console, plan, there.get(plan.name))
        names = {plan.name for plan in plans}
        for name in there:
            if name not in names:
                _line(console, "only on the server", name, "")
        _do(console, client, plans, is_dry=dry_run)


def _read(paths: list[Path]) -> tuple[list[Written], list[Flaw]]:
    written: dict[str, Written] = {}
    flaws: list[Flaw] = []
    for path in paths:
        try:
            found = read(path)
        except Flaw as flaw:
            flaws.append(flaw)
            continue
        name = found.data.get("workflow")
        if not isinstance(name, str):
            flaws.append(found.flaw("/workflow", "the workflow's name is expected, as text"))
        elif _NAME.fullmatch(name) is None:
            detail = (
                "a name has at most 64 of a-z, 0-9 and . _ -, and begins with one of the first two"
            )
            flaws.append(found.flaw("/workflow", detail))
        elif name in written:
            flaws.append(found.flaw("/workflow", f"{name!r} stands in {written[name].path}, too"))
        else:
            written[name] = found
    return list(written.values()), flaws


def _there(client: Client) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    after: str | None = ""
    while after is not None:
        path = f"/v1/workflows{calls.query(after=after, limit=100)}"
        page = client.call(calls.Call("GET", path, Page))
        found |= {each.workflow: each.definition for each in page.items}
        after = page.next
    return found


def _planned(client: Client, written: list[Written]) -> list[Plan]:
    plans: list[Plan] = []
    flaws: list[Flaw] = []
    for each in written:
        try:
            put = client.put_workflow(each.data, dry_run=True)
        except ApiError as exc:
            if exc.status not in _JUDGED:
                raise
            faults = exc.problem.get("errors") or [{"pointer": "", "detail": exc.message}]
            flaws += (each.flaw(str(f["pointer"]), str(f["detail"])) for f in faults)
            continue
        for said in put.warnings:
            flaw = each.flaw(said["pointer"], f"warning: {said['detail']}")
            print(safe(str(flaw)), file=sys.stderr)
        state = "unchanged" if not put.is_new else "new" if put.version == 1 else "changed"
        plans.append(Plan(each, state, put.version))
    if flaws:
        _tell(flaws)
    return plans


def _tell(flaws: list[Flaw]) -> None:
    for flaw in flaws:
        print(safe(str(flaw)), file=sys.stderr)
    raise UsageError(f"nothing was applied: {len(flaws)} fault{'s' * (len(flaws) != 1)}")


def _do(console: Console, client: Client, plans: list[Plan], *, is_dry: bool) -> None:
    differ = [plan for plan in plans if plan.state != "unchanged"]
    if not differ:
        console.print("nothing to change")
        return
    if is_dry:
        console.print(f"{len(differ)} would change")
        sys.exit(1)
    for plan in differ:
        put = client.put_workflow(plan.written.data)
        console.print(f"applied {put.workflow}, version {put.version}", markup=False)


def _show(console: Console, plan: Plan, before: Mapping[str, Any] | None) -> None:
    more = "" if plan.state == "unchanged" else f"version {plan.version}, {plan.written.path}"
    _line(console, plan.state, plan.name, more)
    if plan.state != "changed" or before is None:
        return
    old, new = (_lines(each) for each in (before, plan.written.data))
    for line in list(difflib.unified_diff(old, new, lineterm="", n=2))[2:]:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
        console.print(Text(f"    {line}", style))


def _line(console: Console, state: str, name: str, more: str) -> None:
    sign, style = _SIGNS[state]
    console.print(Text(safe(f"{sign} {name}  {state}" + (f" ({more})" if more else "")), style))


def _lines(definition: Mapping[str, Any]) -> list[str]:
    said: str = yaml.safe_dump(_said(definition), allow_unicode=True, width=1_000)
    return said.splitlines()


def _said(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Without members that say what holds anyway: the server writes them out, people do not."""
    facts = {
        name: {member: each for member, each in fact.items() if each is not None}
        for name, fact in (definition.get("facts") or {}).items()
    }
    own = {
        name: each
        for name, each in definition.items()
        if each is not None and (name, each) not in _ANYWAY
    }
    return own | ({"facts": facts} if facts else {})


_ANYWAY: list[tuple[str, Any]] = [("name", ""), ("category", ""), ("tags", []), ("critical", False)]
